// AArch64: NEON is part of the architecture.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels.h"

// 16-bit sums take the counts of so many words: 4095 * 16 = 65520.
enum { kWordsPerShortSum = 4095, kQuads = kLanes / 4, kTilePixels = 3, kPairBlocks = 2 };

// A whole tile: two blocks of 16 channels for three pixels. v0 to v23 are the accumulators, v24
// to v26 broadcast activations, v27 and v28 weights, v29 to v31 differences: compilers run out
// of registers and spill. Per 128 bits one eor, one cnt and one uadalp, which adds pairs of
// bytes to 16-bit sums: nothing has to be widened between.
#define BCD_QUAD(w, sum0, sum1, sum2) \
  "eor v29.16b, v24.16b, " w          \
  ".16b\n\t"                          \
  "eor v30.16b, v25.16b, " w          \
  ".16b\n\t"                          \
  "eor v31.16b, v26.16b, " w          \
  ".16b\n\t"                          \
  "cnt v29.16b, v29.16b\n\t"          \
  "cnt v30.16b, v30.16b\n\t"          \
  "cnt v31.16b, v31.16b\n\t"          \
  "uadalp " sum0                      \
  ".8h, v29.16b\n\t"                  \
  "uadalp " sum1                      \
  ".8h, v30.16b\n\t"                  \
  "uadalp " sum2 ".8h, v31.16b\n\t"
#define BCD_WORD                                                                              \
  "ld1r {v24.4s}, [%[row0]], #4\n\t"                                                          \
  "ld1r {v25.4s}, [%[row1]], #4\n\t"                                                          \
  "ld1r {v26.4s}, [%[row2]], #4\n\t"                                                          \
  "ldp q27, q28, [%[weights]]\n\t" BCD_QUAD("v27", "v0", "v8", "v16") BCD_QUAD(               \
      "v28", "v1", "v9", "v17") "ldp q27, q28, [%[weights], #32]\n\t" BCD_QUAD("v27", "v2",   \
                                                                               "v10", "v18")  \
      BCD_QUAD("v28", "v3", "v11", "v19") "ldp q27, q28, [%[weights], #64]\n\t" BCD_QUAD(     \
          "v27", "v4", "v12", "v20")                                                          \
          BCD_QUAD("v28", "v5", "v13", "v21") "ldp q27, q28, [%[weights], #96]\n\t" BCD_QUAD( \
              "v27", "v6", "v14", "v22")                                                      \
              BCD_QUAD("v28", "v7", "v15", "v23") "add %[weights], %[weights], %[stride]\n\t"
#define BCD_CLEAR(a, b, c, d) \
  "movi " a                   \
  ".2d, #0\n\t"               \
  "movi " b                   \
  ".2d, #0\n\t"               \
  "movi " c                   \
  ".2d, #0\n\t"               \
  "movi " d ".2d, #0\n\t"
#define BCD_WIDEN(a, b, to, at) \
  "uaddlp v" a ".4s, v" a       \
  ".8h\n\t"                     \
  "uaddlp v" b ".4s, v" b       \
  ".8h\n\t"                     \
  "stp q" a ", q" b ", [%[" to "], #" at "]\n\t"

static void count_whole_tile(const uint32_t* const* rows, int depth, const uint32_t* weights,
                             int stride, int32_t* counts) {
  const uint32_t *row0 = rows[0], *row1 = rows[1], *row2 = rows[2];
  int32_t *counts1 = counts + kTileChannels, *counts2 = counts1 + kTileChannels;
  // Two words at a time; an odd depth begins with the second.
  int64_t pairs = (depth + 1) / 2;
  __asm__ volatile(
      BCD_CLEAR("v0", "v1", "v2", "v3") BCD_CLEAR("v4", "v5", "v6", "v7")
      BCD_CLEAR("v8", "v9", "v10", "v11") BCD_CLEAR("v12", "v13", "v14", "v15")
      BCD_CLEAR("v16", "v17", "v18", "v19") BCD_CLEAR("v20", "v21", "v22", "v23")
      "tbnz %w[depth], #0, 2f\n"
      "1:\n\t"
      BCD_WORD
      "2:\n\t"
      BCD_WORD
      "subs %[pairs], %[pairs], #1\n\t"
      "b.ne 1b\n\t"
      BCD_WIDEN("0", "1", "counts", "0") BCD_WIDEN("2", "3", "counts", "32")
      BCD_WIDEN("4", "5", "counts", "64") BCD_WIDEN("6", "7", "counts", "96")
      BCD_WIDEN("8", "9", "counts1", "0") BCD_WIDEN("10", "11", "counts1", "32")
      BCD_WIDEN("12", "13", "counts1", "64") BCD_WIDEN("14", "15", "counts1", "96")
      BCD_WIDEN("16", "17", "counts2", "0") BCD_WIDEN("18", "19", "counts2", "32")
      BCD_WIDEN("20", "21", "counts2", "64") BCD_WIDEN("22", "23", "counts2", "96")
      : [row0] "+r"(row0), [row1] "+r"(row1), [row2] "+r"(row2), [weights] "+r"(weights),
        [pairs] "+r"(pairs)
      : [depth] "r"(depth), [stride] "r"((int64_t)stride * (int64_t)sizeof(*weights)),
        [counts] "r"(counts), [counts1] "r"(counts1), [counts2] "r"(counts2)
      : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
        "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22",
        "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

#undef BCD_WIDEN
#undef BCD_CLEAR
#undef BCD_WORD
#undef BCD_QUAD

// Any part of a tile, and of any depth.
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
    const bool is_whole = pixels == kTilePixels && blocks >= kPairBlocks;
    if (is_whole && depth <= kWordsPerShortSum) {
      count_whole_tile(rows, depth, weights, stride, counts);
      weights += kPairBlocks * kLanes;
      counts += kPairBlocks * kLanes;
      continue;
    }
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

enum { kPackedChannels = kTileChannels };
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

#include "single_words.h"
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

#define BCD_AFTER_BLOCK __asm__ volatile("" ::: "memory");
enum { kRowBlocks = 6 };
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
