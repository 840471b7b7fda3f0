// AArch64: NEON is part of the architecture.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels.h"

// 16-bit sums take the counts of so many words: 4095 * 16 = 65520.
enum { kWordsPerShortSum = 4095, kQuads = kLanes / 4, kTilePixels = 3, kPairBlocks = 2 };

// Two blocks of 16 channels for three pixels: 24 accumulators, three broadcast activations, and
// weights and differences in the remaining five of 32 registers. Per 128 bits one eor, one cnt
// and one uadalp, which adds pairs of bytes to 16-bit sums: nothing has to be widened between.
static inline __attribute__((always_inline)) void count_blocks(const uint32_t* const* rows,
                                                               const int pixels, int depth,
                                                               const uint32_t* weights,
                                                               int stride, const int blocks,
                                                               int32_t* counts) {
  for (int done = 0; done < depth; done += kWordsPerShortSum) {
    const int words = depth - done < kWordsPerShortSum ? depth - done : kWordsPerShortSum;
    const uint32_t* activations[kTilePixels];
    uint16x8_t sums[kTilePixels][kPairBlocks * kQuads];
#pragma GCC unroll 3
    for (int p = 0; p < pixels; ++p) {
      activations[p] = rows[p] + done;
#pragma GCC unroll 8
      for (int q = 0; q < blocks * kQuads; ++q) sums[p][q] = vdupq_n_u16(0);
    }
    for (int k = 0; k < words; ++k, weights += stride) {
      uint8x16_t a[kTilePixels];
#pragma GCC unroll 3
      for (int p = 0; p < pixels; ++p) {
        a[p] = vreinterpretq_u8_u32(vld1q_dup_u32(activations[p]++));
      }
#pragma GCC unroll 8
      for (int q = 0; q < blocks * kQuads; ++q) {
        const uint8x16_t w = vreinterpretq_u8_u32(vld1q_u32(weights + q * 4));
#pragma GCC unroll 3
        for (int p = 0; p < pixels; ++p) {
          sums[p][q] = vpadalq_u8(sums[p][q], vcntq_u8(veorq_u8(a[p], w)));
        }
      }
    }
#pragma GCC unroll 3
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 8
      for (int q = 0; q < blocks * kQuads; ++q) {
        uint32_t* to = (uint32_t*)counts + p * kTileChannels + q * 4;
        vst1q_u32(to,
                  done == 0 ? vpaddlq_u16(sums[p][q]) : vpadalq_u16(vld1q_u32(to), sums[p][q]));
      }
    }
  }
}

#define BCD_TILE(pixels, blocks)                                        \
  case (pixels)*4 + (blocks):                                           \
    count_blocks(rows, pixels, depth, weights, stride, blocks, counts); \
    break;

static void count_tile(const uint32_t* const* rows, int pixels, int depth,
                       const uint32_t* weights, int blocks, int32_t* counts) {
  const int stride = blocks * kLanes;
  for (; blocks > 0; blocks -= kPairBlocks) {
    switch (pixels * 4 + (blocks < kPairBlocks ? blocks : kPairBlocks)) {
      BCD_TILE(1, 1)
      BCD_TILE(2, 1)
      BCD_TILE(3, 1)
      BCD_TILE(1, 2)
      BCD_TILE(2, 2)
      BCD_TILE(3, 2)
    }
    weights += kPairBlocks * kLanes;
    counts += kPairBlocks * kLanes;
  }
}

#undef BCD_TILE

#include "pack.h"

static inline void copy_words(uint32_t* restrict to, const uint32_t* restrict from, int count) {
  int i = 0;
  for (; i + 4 <= count; i += 4) vst1q_u32(to + i, vld1q_u32(from + i));
  for (; i < count; ++i) to[i] = from[i];
}

static const uint8_t kPowers[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};

// Gathers the top bit of 16 lanes: each lane keeps its own power of two, and lanes are added.
static inline uint32_t gather_bits(uint32x4_t lanes0, uint32x4_t lanes1, uint32x4_t lanes2,
                                   uint32x4_t lanes3) {
  const uint16x8_t low = vcombine_u16(vmovn_u32(lanes0), vmovn_u32(lanes1));
  const uint16x8_t high = vcombine_u16(vmovn_u32(lanes2), vmovn_u32(lanes3));
  const uint8x16_t bytes =
      vandq_u8(vcombine_u8(vmovn_u16(low), vmovn_u16(high)), vld1q_u8(kPowers));
  return (uint32_t)vaddv_u8(vget_low_u8(bytes)) | (uint32_t)vaddv_u8(vget_high_u8(bytes)) << 8;
}

static inline uint32_t greater_mask(const int32_t* counts, const int32_t* thresholds) {
  uint32x4_t lanes[kQuads];
#pragma GCC unroll 4
  for (int q = 0; q < kQuads; ++q) {
    lanes[q] = vcgtq_s32(vld1q_s32(counts + q * 4), vld1q_s32(thresholds + q * 4));
  }
  return gather_bits(lanes[0], lanes[1], lanes[2], lanes[3]);
}

#include "tiles.h"

static inline uint32x4_t negative_bits(uint32x4_t bits) {
  const uint32x4_t from_first = vsubq_u32(bits, vdupq_n_u32(kFirstNegative));
  return vcleq_u32(from_first, vdupq_n_u32(kLastNegative - kFirstNegative));
}

static inline uint32x4_t negative_lanes(const float* in) {
  return negative_bits(vreinterpretq_u32_f32(vld1q_f32(in)));
}

static inline uint32_t negative_mask(const float* in) {
  return gather_bits(negative_lanes(in), negative_lanes(in + 4), negative_lanes(in + 8),
                     negative_lanes(in + 12));
}

static void quantize_float(const float* in, size_t rows, int channels, uint32_t* out) {
  for (size_t r = 0; r < rows; ++r) {
    for (int left = channels; left > 0; left -= kWordBits) {
      uint32_t word = 0;
      int c = 0;
      const int count = left < kWordBits ? left : kWordBits;
      for (; c + kLanes <= count; c += kLanes) word |= negative_mask(in + c) << c;
      for (; c < count; ++c) word |= (uint32_t)is_negative(in[c]) << c;
      in += count;
      *out++ = word;
    }
  }
}

static void quantize_int8(const int8_t* in, size_t rows, int channels, int zero_point,
                          uint32_t* out) {
  const uint8x16_t powers = vld1q_u8(kPowers);
  const int8x16_t zero = vdupq_n_s8((int8_t)zero_point);
  for (size_t r = 0; r < rows; ++r) {
    for (int left = channels; left > 0; left -= kWordBits) {
      uint32_t word = 0;
      int c = 0;
      const int count = left < kWordBits ? left : kWordBits;
      for (; c + kLanes <= count; c += kLanes) {
        const uint8x16_t bits = vandq_u8(vcltq_s8(vld1q_s8(in + c), zero), powers);
        word |= ((uint32_t)vaddv_u8(vget_low_u8(bits)) | (uint32_t)vaddv_u8(vget_high_u8(bits))
                                                             << 8)
                << c;
      }
      for (; c < count; ++c) word |= (uint32_t)(in[c] < zero_point) << c;
      in += count;
      *out++ = word;
    }
  }
}

typedef float32x4x4_t Lanes;

static inline __attribute__((always_inline)) Lanes load_lanes(const float* from) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vld1q_f32(from + q * 4);
  return y;
}

static inline __attribute__((always_inline)) void store_lanes(float* to, Lanes x) {
  for (int q = 0; q < kQuads; ++q) vst1q_f32(to + q * 4, x.val[q]);
}

static inline __attribute__((always_inline)) Lanes same_lanes(float x) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vdupq_n_f32(x);
  return y;
}

static inline __attribute__((always_inline)) Lanes zero_lanes(void) { return same_lanes(0.0f); }

static inline __attribute__((always_inline)) Lanes add_lanes(Lanes a, Lanes b) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vaddq_f32(a.val[q], b.val[q]);
  return y;
}

static inline __attribute__((always_inline)) Lanes multiply_lanes(Lanes a, Lanes b) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vmulq_f32(a.val[q], b.val[q]);
  return y;
}

static inline __attribute__((always_inline)) Lanes lanes_of_counts(const int32_t* counts) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vcvtq_f32_s32(vld1q_s32(counts + q * 4));
  return y;
}

static inline __attribute__((always_inline)) Lanes prelu_lanes(Lanes x, Lanes slopes) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q)
    y.val[q] = vbslq_f32(vcltzq_f32(x.val[q]), vmulq_f32(x.val[q], slopes.val[q]), x.val[q]);
  return y;
}

// By comparison: what is not a number stays.
static inline __attribute__((always_inline)) float32x4_t bound_quad(float32x4_t x,
                                                                    float32x4_t low,
                                                                    float32x4_t high) {
  x = vbslq_f32(vcltq_f32(x, low), low, x);
  return vbslq_f32(vcgtq_f32(x, high), high, x);
}

static inline __attribute__((always_inline)) Lanes bound_lanes(Lanes x, float low, float high) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q)
    y.val[q] = bound_quad(x.val[q], vdupq_n_f32(low), vdupq_n_f32(high));
  return y;
}

static inline __attribute__((always_inline)) uint32x4_t negative_quad(float32x4_t x,
                                                                      bool is_exact) {
  return is_exact ? negative_bits(vreinterpretq_u32_f32(x)) : vcltzq_f32(x);
}

static inline __attribute__((always_inline)) uint8x16_t negative_bytes(Lanes x, bool is_exact) {
  const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(negative_quad(x.val[0], is_exact)),
                                    vreinterpretq_u16_u32(negative_quad(x.val[1], is_exact)));
  const uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(negative_quad(x.val[2], is_exact)),
                                     vreinterpretq_u16_u32(negative_quad(x.val[3], is_exact)));
  return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)),
                  vld1q_u8(kPowers));
}

// Pairwise sums: eight bytes with one bit each become one.
static inline __attribute__((always_inline)) uint32_t pack_signs(Lanes low, Lanes high,
                                                                 bool is_exact) {
  uint8x16_t bytes = vpaddq_u8(negative_bytes(low, is_exact), negative_bytes(high, is_exact));
  bytes = vpaddq_u8(bytes, bytes);
  bytes = vpaddq_u8(bytes, bytes);
  return vgetq_lane_u32(vreinterpretq_u32_u8(bytes), 0);
}

static inline __attribute__((always_inline)) uint32_t negative_lanes_mask(Lanes x,
                                                                          bool is_exact) {
  return pack_signs(x, same_lanes(0.0f), is_exact);
}

#include "rows.h"

static bool runs_everywhere(void) { return true; }

const Kernels neon_kernels = {
    .name = "neon",
    .runs_here = runs_everywhere,
    .quantize_float = quantize_float,
    .quantize_int8 = quantize_int8,
    .convolve = convolve,
    .is_tiled = true,
    .packed_words = packed_words,
    .pack = pack,
    .place = place_ungrouped,
    .run_strip = run_strip,
};

#endif  // defined(__aarch64__)
