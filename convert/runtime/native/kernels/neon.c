// AArch64: NEON is part of the architecture.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/kernels.h"

// For two words of four channels one eor, one bsl, one cnt and one uadalp, which adds pairs of
// bytes to 16-bit sums; word by word they are six.
enum { kQuads = kLanes / 4, kTilePixels = 4, kPackedChannels = kLanes, kPackedSide = 4 };
#include "kernels/pairs.h"

// 16-bit sums take the counts of so many pairs: 4095 * 16 = 65520. The differing bits of a
// channel fit into 16 bits up to so many: 1023 * 64 = 65472.
enum { kPairsPerShortSum = 4095, kPairsPerShortCount = 1023 };

// Two patches lie pair by pair beside each other, so that one load has the pairs of both. So do
// their constants, twice: the second one of them is where the first one of the second patch
// would be.
enum { kPairStep = 4 };

// A whole tile: four pixels of a block of channels. v0 to v15 are the sums, v16 to v23 the
// pairs of the patches, v24 to v27 those of two quads of filters, and v28 to v31 what is
// computed: compilers run out of registers and spill.
// clang-format off
#define BCD_EACH(op, to0, a0, to1, a1, to2, a2, to3, a3, b) \
  op " v" to0 ".16b, v" a0 ".16b" b "\n\t"                  \
  op " v" to1 ".16b, v" a1 ".16b" b "\n\t"                  \
  op " v" to2 ".16b, v" a2 ".16b" b "\n\t"                  \
  op " v" to3 ".16b, v" a3 ".16b" b "\n\t"
#define BCD_QUAD(b, db, sum0, sum1, sum2, sum3, add)                                  \
  BCD_EACH("eor", "28", "16", "29", "18", "30", "20", "31", "22", ", v" b ".16b")     \
  BCD_EACH("bsl", "28", "17", "29", "19", "30", "21", "31", "23", ", v" db ".16b")    \
  BCD_EACH("cnt", "28", "28", "29", "29", "30", "30", "31", "31", "")                 \
  add " v" sum0 ".8h, v28.16b\n\t"                                                    \
  add " v" sum1 ".8h, v29.16b\n\t"                                                    \
  add " v" sum2 ".8h, v30.16b\n\t"                                                    \
  add " v" sum3 ".8h, v31.16b\n\t"
#define BCD_PAIR(add)                                                \
  "ld4r {v16.4s, v17.4s, v18.4s, v19.4s}, [%[row0]], #16\n\t"        \
  "ld4r {v20.4s, v21.4s, v22.4s, v23.4s}, [%[row2]], #16\n\t"        \
  "ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [%[weights]], #64\n\t"      \
  BCD_QUAD("24", "25", "0", "4", "8", "12", add)                     \
  BCD_QUAD("26", "27", "1", "5", "9", "13", add)                     \
  "ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [%[weights]], #64\n\t"      \
  BCD_QUAD("24", "25", "2", "6", "10", "14", add)                    \
  BCD_QUAD("26", "27", "3", "7", "11", "15", add)
// Twice the sums of a pixel, and the constants, in 16 bits. v24 and v25 hold the constants of the
// filters, v31 twos.
#define BCD_FINISH(constant, a, b, c, d)                       \
  "addp v" a ".8h, v" a ".8h, v" b ".8h\n\t"                   \
  "addp v" c ".8h, v" c ".8h, v" d ".8h\n\t"                   \
  "sub v20.8h, v" constant ".8h, v24.8h\n\t"                   \
  "sub v22.8h, v" constant ".8h, v25.8h\n\t"                   \
  "mla v20.8h, v" a ".8h, v31.8h\n\t"                          \
  "mla v22.8h, v" c ".8h, v31.8h\n\t"                          \
  "uxtl2 v21.4s, v20.8h\n\t"                                   \
  "uxtl2 v23.4s, v22.8h\n\t"                                   \
  "uxtl v20.4s, v20.4h\n\t"                                    \
  "uxtl v22.4s, v22.4h\n\t"                                    \
  "st1 {v20.4s, v21.4s, v22.4s, v23.4s}, [%[to]], %[step]\n\t"
// clang-format on

// Returns where the weights end.
static const uint32_t* count_whole_tile(const PanelPixel* panel, int pairs,
                                        const uint32_t* weights, int32_t* counts) {
  const uint32_t *row0 = panel[0].row, *row2 = panel[2].row;
  // After the first pair one or two others if four do not divide the rest, then four at a time.
  int64_t left = (unsigned)(pairs - 1) / 4;
  __asm__ volatile(
      BCD_PAIR("uaddlp")
      "tbnz %w[pairs], #0, 1f\n\t"
      BCD_PAIR("uadalp")
      "1:\n\t"
      "tbz %w[rest], #1, 2f\n\t"
      BCD_PAIR("uadalp")
      BCD_PAIR("uadalp")
      "2:\n\t"
      "cbz %[left], 4f\n"
      "3:\n\t"
      BCD_PAIR("uadalp")
      BCD_PAIR("uadalp")
      BCD_PAIR("uadalp")
      BCD_PAIR("uadalp")
      "subs %[left], %[left], #1\n\t"
      "b.ne 3b\n"
      "4:\n\t"
      "ld1 {v24.4s, v25.4s, v26.4s, v27.4s}, [%[weights]], #64\n\t"
      "movi v31.8h, #2\n\t"
      "uzp1 v24.8h, v24.8h, v25.8h\n\t"
      "uzp1 v25.8h, v26.8h, v27.8h\n\t"
      "ld4r {v16.8h, v17.8h, v18.8h, v19.8h}, [%[row0]]\n\t"
      BCD_FINISH("16", "0", "1", "2", "3")
      BCD_FINISH("18", "4", "5", "6", "7")
      "ld4r {v16.8h, v17.8h, v18.8h, v19.8h}, [%[row2]]\n\t"
      BCD_FINISH("16", "8", "9", "10", "11")
      BCD_FINISH("18", "12", "13", "14", "15")
      : [row0] "+r"(row0), [row2] "+r"(row2), [weights] "+r"(weights), [left] "+r"(left),
        [to] "+r"(counts)
      : [pairs] "r"(pairs), [rest] "r"(pairs - 1), [step] "r"(kTileChannels * sizeof(int32_t))
      : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
        "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22",
        "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
  return weights;
}

#undef BCD_FINISH
#undef BCD_PAIR
#undef BCD_QUAD
#undef BCD_EACH

// Any part of a tile, and of any depth.
static inline __attribute__((always_inline)) void count_block(const PanelPixel* panel,
                                                              const int pixels, int pairs,
                                                              const uint32_t* weights,
                                                              int32_t* counts) {
  const uint32_t* constants = weights + (size_t)pairs * 2 * kLanes;
#pragma GCC unroll 4
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < kQuads; ++q) {
      const uint32x4_t constant =
          vsubq_u32(vld1q_dup_u32(panel[p].row + kPairStep * (size_t)pairs + p % 2),
                    vld1q_u32(constants + q * 4));
      vst1q_u32((uint32_t*)counts + p * kTileChannels + q * 4, constant);
    }
  }
  for (int done = 0; done < pairs; done += kPairsPerShortSum) {
    const int left = pairs - done, now = left < kPairsPerShortSum ? left : kPairsPerShortSum;
    const uint32_t* patches[kTilePixels];
    uint16x8_t sums[kTilePixels][kQuads];
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) {
      patches[p] = panel[p].row + kPairStep * (size_t)done;
#pragma GCC unroll 4
      for (int q = 0; q < kQuads; ++q) sums[p][q] = vdupq_n_u16(0);
    }
    for (int k = 0; k < now; ++k, weights += 2 * kLanes) {
      uint32x4x2_t a[kTilePixels];
#pragma GCC unroll 4
      for (int p = 0; p < pixels; ++p) {
        a[p] = vld2q_dup_u32(patches[p]);
        patches[p] += kPairStep;
      }
#pragma GCC unroll 4
      for (int q = 0; q < kQuads; ++q) {
        const uint32x4_t b1 = vld1q_u32(weights + q * 8), db = vld1q_u32(weights + q * 8 + 4);
#pragma GCC unroll 4
        for (int p = 0; p < pixels; ++p) {
          const uint32x4_t h = vbslq_u32(veorq_u32(a[p].val[0], b1), a[p].val[1], db);
          sums[p][q] = vpadalq_u8(sums[p][q], vcntq_u8(vreinterpretq_u8_u32(h)));
        }
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
      for (int q = 0; q < kQuads; ++q) {
        uint32_t* to = (uint32_t*)counts + p * kTileChannels + q * 4;
        vst1q_u32(to, vmlaq_n_u32(vld1q_u32(to), vpaddlq_u16(sums[p][q]), 2));
      }
    }
  }
}

// Apart, so that whole tiles keep their registers.
static __attribute__((noinline)) void count_part(const PanelPixel* panel, int pixels, int pairs,
                                                 const uint32_t* weights, int blocks,
                                                 int32_t* counts) {
  for (; blocks > 0; --blocks) {
    if (pixels == kTilePixels) {
      count_block(panel, kTilePixels, pairs, weights, counts);
    } else if (pixels == 3) {
      count_block(panel, 3, pairs, weights, counts);
    } else if (pixels == 2) {
      count_block(panel, 2, pairs, weights, counts);
    } else {
      count_block(panel, 1, pairs, weights, counts);
    }
    weights += (2 * (size_t)pairs + 1) * kLanes;
    counts += kLanes;
  }
}

static void count_tile(const PanelPixel* panel, int pixels, int depth, const uint32_t* weights,
                       int blocks, int32_t* counts) {
  const int pairs = pairs_of(depth);
  if (pixels != kTilePixels || pairs > kPairsPerShortCount) {
    count_part(panel, pixels, pairs, weights, blocks, counts);
    return;
  }
  for (; blocks > 0; --blocks) {
    weights = count_whole_tile(panel, pairs, weights, counts);
    counts += kLanes;
  }
}

// Patches are changed eight words at a time.
enum { kPatchStep = 8 };

static int patch_words(const Convolution* c) {
  return convolution_depth(c) / kPatchStep * kPatchStep + 2 * kPatchStep;
}

static inline uint32_t* gathered_patches(uint32_t* patches, size_t words) {
  return patches + words;  // one further: so pairs do not overtake the words they are made of
}

// Two patches lie pair by pair beside each other.
static inline const uint32_t* patch_of(const uint32_t* patches, size_t words, int pixel) {
  const size_t at = (unsigned)pixel;
  return patches + (at & ~(size_t)1) * words + (at & 1) * 2;
}

static void encode_patches(const Convolution* c, uint32_t* patches, int pixels) {
  const int depth = convolution_depth(c), words = c->patch_words;
  const size_t constants = kPairStep * (size_t)pairs_of(depth);
  for (int p = 0; p < pixels; p += 2, patches += 2 * words) {
    uint32_t *first = patches + words, *second = first + words;
    vst1q_u32(first + depth, vdupq_n_u32(0));
    vst1q_u32(first + depth + 4, vdupq_n_u32(0));
    vst1q_u32(second + depth, vdupq_n_u32(0));
    vst1q_u32(second + depth + 4, vdupq_n_u32(0));
    uint32x4_t constant0 = vdupq_n_u32(0), constant1 = vdupq_n_u32(0);
    uint32_t* to = patches;
    for (const uint32_t* end = first + depth; first < end;) {
      const uint32x4x2_t a = vld2q_u32(first), b = vld2q_u32(second);
      first += kPatchStep;
      second += kPatchStep;
      const uint32x4_t da = veorq_u32(a.val[0], a.val[1]), db = veorq_u32(b.val[0], b.val[1]);
      constant0 = vpadalq_u16(constant0, vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u32(da))));
      constant1 = vpadalq_u16(constant1, vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u32(db))));
      const uint32x4x4_t both = {{a.val[0], vmvnq_u32(da), b.val[0], vmvnq_u32(db)}};
      vst4q_u32(to, both);
      to += 2 * kPatchStep;
    }
    const uint32x4_t sums = vpaddq_u32(constant0, constant1);
    vst1q_u32(patches + constants, vpaddq_u32(sums, sums));
  }
}

static inline void copy_words(uint32_t* restrict to, const uint32_t* restrict from, int count) {
  if (count < 4) {  // without a call of memcpy, which takes longer
    if (count & 2) vst1_u32(to, vld1_u32(from));
    if (count & 1) to[count - 1] = from[count - 1];
    return;
  }
  for (; count > 8; count -= 8, from += 8, to += 8) {
    const uint32x4_t low = vld1q_u32(from), high = vld1q_u32(from + 4);
    vst1q_u32(to, low);
    vst1q_u32(to + 4, high);
    __asm__ volatile("" ::: "memory");  // nor here
  }
  if (count > 4) vst1q_u32(to, vld1q_u32(from));
  vst1q_u32(to + count - 4, vld1q_u32(from + count - 4));
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

#include "kernels/tiles.h"

static inline uint32x4_t negative_bits(uint32x4_t bits) {
  const uint32x4_t from_first = vsubq_u32(bits, vdupq_n_u32(kFirstNegative));
  return vcleq_u32(from_first, vdupq_n_u32(kLastNegative - kFirstNegative));
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

static inline __attribute__((always_inline)) Lanes subtract_lanes(Lanes a, Lanes b) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vsubq_f32(a.val[q], b.val[q]);
  return y;
}

static inline __attribute__((always_inline)) Lanes multiply_lanes(Lanes a, Lanes b) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vmulq_f32(a.val[q], b.val[q]);
  return y;
}

static inline __attribute__((always_inline)) Lanes fused_lanes(Lanes a, Lanes b, Lanes c) {
  for (int q = 0; q < kQuads; ++q) c.val[q] = vfmaq_f32(c.val[q], a.val[q], b.val[q]);
  return c;
}

static inline __attribute__((always_inline)) Lanes lanes_of_counts(const int32_t* counts) {
  Lanes y;
  for (int q = 0; q < kQuads; ++q) y.val[q] = vcvtq_f32_s32(vld1q_s32(counts + q * 4));
  return y;
}

// As vbslq_f32, but the compiler, which has three instructions for that, may choose one that
// needs a copy.
static inline __attribute__((always_inline)) float32x4_t replace_where(uint32x4_t mask,
                                                                       float32x4_t by,
                                                                       float32x4_t x) {
  __asm__("bit %0.16b, %1.16b, %2.16b" : "+w"(x) : "w"(by), "w"(mask));
  return x;
}

static inline __attribute__((always_inline)) Lanes prelu_lanes(Lanes x, Lanes slopes) {
  for (int q = 0; q < kQuads; ++q) {
    const uint32x4_t is_negative = vcltzq_f32(x.val[q]);
    x.val[q] = replace_where(is_negative, vmulq_f32(x.val[q], slopes.val[q]), x.val[q]);
  }
  return x;
}

static inline __attribute__((always_inline)) Lanes bound_lanes(Lanes x, Lanes low, Lanes high) {
  for (int q = 0; q < kQuads; ++q) {
    const float32x4_t y = vbslq_f32(vcltq_f32(x.val[q], low.val[q]), low.val[q], x.val[q]);
    x.val[q] = vbslq_f32(vcgtq_f32(y, high.val[q]), high.val[q], y);
  }
  return x;
}

static inline __attribute__((always_inline)) uint32x4_t negative_quad(float32x4_t x,
                                                                      bool is_exact) {
  return is_exact ? negative_bits(vreinterpretq_u32_f32(x)) : vcltzq_f32(x);
}

// Each lane that is all ones becomes a byte with the bit of its place among eight.
static inline __attribute__((always_inline)) uint8x16_t bytes_of_lanes(uint32x4_t lanes0,
                                                                       uint32x4_t lanes1,
                                                                       uint32x4_t lanes2,
                                                                       uint32x4_t lanes3) {
  const uint16x8_t low =
      vuzp1q_u16(vreinterpretq_u16_u32(lanes0), vreinterpretq_u16_u32(lanes1));
  const uint16x8_t high =
      vuzp1q_u16(vreinterpretq_u16_u32(lanes2), vreinterpretq_u16_u32(lanes3));
  return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)),
                  vld1q_u8(kPowers));
}

static inline __attribute__((always_inline)) uint8x16_t negative_bytes(Lanes x, bool is_exact) {
  return bytes_of_lanes(negative_quad(x.val[0], is_exact), negative_quad(x.val[1], is_exact),
                        negative_quad(x.val[2], is_exact), negative_quad(x.val[3], is_exact));
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

static void quantize_float(const float* in, size_t rows, int channels, uint32_t* out) {
  for (size_t r = 0; r < rows; ++r) {
    int left = channels;
    for (; left >= kWordBits; left -= kWordBits, in += kWordBits) {
      *out++ = pack_signs(load_lanes(in), load_lanes(in + kLanes), true);
    }
    if (left == 0) continue;
    uint32_t word = 0;
    int c = 0;
    if (left >= kLanes) {
      word = negative_lanes_mask(load_lanes(in), true);
      c = kLanes;
    }
    for (; c < left; ++c) word |= (uint32_t)is_negative(in[c]) << c;
    in += left;
    *out++ = word;
  }
}

enum { kRowPixels = 2, kRowBlocks = kRowPixels };
#define BCD_OWN_ROWS "kernels/neon_rows.h"
#include "kernels/rows.h"
#include "kernels/vectors.h"

// Floats of the image stay in registers, four of a line, and are taken out of them by lane.
enum { kImagePixels = 4, kImageBlocks = 1 };

BCD_INLINE Lanes fused_by_lane(float32x4_t x, const int lane, const Lanes weight, Lanes sum) {
#define BCD_LANE(lane)                                                  \
  case lane:                                                            \
    for (int q = 0; q < kQuads; ++q)                                    \
      sum.val[q] = vfmaq_laneq_f32(sum.val[q], weight.val[q], x, lane); \
    return sum;
  switch (lane) {
    BCD_LANE(0)
    BCD_LANE(1)
    BCD_LANE(2)
    BCD_LANE(3)
  }
#undef BCD_LANE
  return sum;
}

#define BCD_OWN_TAPS
BCD_INLINE void add_taps(const float* const* lines, int taps, const float* weights,
                         size_t block_floats, const int blocks, Lanes* sums) {
  (void)block_floats, (void)blocks;
  int k = 0;
  for (; k + 4 <= taps; k += 4, weights += 4 * kLanes) {
    float32x4_t x[kImagePixels];
#pragma GCC unroll 4
    for (int p = 0; p < kImagePixels; ++p) x[p] = vld1q_f32(lines[p] + k);
#pragma GCC unroll 4
    for (int lane = 0; lane < 4; ++lane) {
      const Lanes weight = load_lanes(weights + lane * kLanes);
#pragma GCC unroll 4
      for (int p = 0; p < kImagePixels; ++p)
        sums[p] = fused_by_lane(x[p], lane, weight, sums[p]);
    }
  }
  for (; k < taps; ++k, weights += kLanes) {
    const Lanes weight = load_lanes(weights);
#pragma GCC unroll 4
    for (int p = 0; p < kImagePixels; ++p) {
      sums[p] = fused_lanes(same_lanes(lines[p][k]), weight, sums[p]);
    }
  }
}
#include "kernels/image.h"

static bool runs_everywhere(void) { return true; }

const Kernels neon_kernels = BCD_TILED_KERNELS("neon", runs_everywhere);

#endif  // defined(__aarch64__)
