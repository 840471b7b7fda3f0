// x86-64 with AVX-512 F, BW, VL and VPOPCNTDQ (Ice Lake, Zen 4 and later).
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu.h"
#include "pragma_target.h"

#if defined(__clang__)
TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq")
#else  // GCC would vectorise the stores of the results with half of every register.
TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq,prefer-vector-width=512")
#endif

#include "kernels.h"

enum { kTilePixels = 4 };

// Sixteen accumulators, four weights and a broadcast activation: 21 of 32 registers. Per 512
// bits one xor, one popcount and one add, on the two ports that take 512-bit operations.
static inline __attribute__((always_inline)) void count(const uint32_t* const* rows,
                                                        const int pixels, int depth,
                                                        const uint32_t* weights,
                                                        const int blocks, int32_t* counts) {
  __m512i sums[kMaxTilePixels][kTileBlocks];
#pragma GCC unroll 4
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int b = 0; b < blocks; ++b) sums[p][b] = _mm512_setzero_si512();
  }
  for (int k = 0; k < depth; ++k, weights += blocks * kLanes) {
    __m512i w[kTileBlocks];
#pragma GCC unroll 4
    for (int b = 0; b < blocks; ++b) w[b] = _mm512_loadu_si512(weights + b * kLanes);
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) {
      const __m512i a = _mm512_set1_epi32((int)rows[p][k]);
#pragma GCC unroll 4
      for (int b = 0; b < blocks; ++b) {
        const __m512i differing = _mm512_popcnt_epi32(_mm512_xor_si512(a, w[b]));
        sums[p][b] = _mm512_add_epi32(sums[p][b], differing);
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int b = 0; b < blocks; ++b) {
      _mm512_store_si512(counts + p * kTileChannels + b * kLanes, sums[p][b]);
    }
  }
}

// With both sizes constant, the accumulators of a tile stay in registers.
#define BCD_TILE(pixels, blocks)                         \
  case (pixels)*8 + (blocks):                            \
    count(rows, pixels, depth, weights, blocks, counts); \
    break;
#define BCD_TILES(blocks) \
  BCD_TILE(1, blocks) BCD_TILE(2, blocks) BCD_TILE(3, blocks) BCD_TILE(4, blocks)

static void count_tile(const uint32_t* const* rows, int pixels, int depth,
                       const uint32_t* weights, int blocks, int32_t* counts) {
  switch (pixels * 8 + blocks) {
    BCD_TILES(1)
    BCD_TILES(2)
    BCD_TILES(3)
    BCD_TILES(4)
  }
}

#undef BCD_TILES
#undef BCD_TILE

#include "pack.h"

static inline void copy_words(uint32_t* to, const uint32_t* from, int count) {
  for (int i = 0; i < count; i += kLanes) {
    const int left = count - i;
    const __mmask16 valid = (__mmask16)(left >= kLanes ? 0xffff : (1 << left) - 1);
    _mm512_mask_storeu_epi32(to + i, valid, _mm512_maskz_loadu_epi32(valid, from + i));
  }
}

static inline uint32_t greater_mask(const int32_t* counts, const int32_t* thresholds) {
  return _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(counts), _mm512_loadu_si512(thresholds));
}

#include "tiles.h"

static inline uint32_t negative_mask(const float* in, int channels) {
  const __mmask16 valid = (__mmask16)(channels >= kLanes ? 0xffff : (1 << channels) - 1);
  const __m512i bits = _mm512_maskz_loadu_epi32(valid, in);
  const __m512i from_first = _mm512_sub_epi32(bits, _mm512_set1_epi32((int)kFirstNegative));
  const __m512i range = _mm512_set1_epi32((int)(kLastNegative - kFirstNegative));
  return _mm512_cmple_epu32_mask(from_first, range);
}

static void quantize_float(const float* in, size_t rows, int channels, uint32_t* out) {
  for (size_t r = 0; r < rows; ++r, in += channels) {
    for (int c = 0; c < channels; c += kWordBits) {
      uint32_t word = negative_mask(in + c, channels - c);
      if (channels - c > kLanes) word |= negative_mask(in + c + 16, channels - c - 16) << 16;
      *out++ = word;
    }
  }
}

static void quantize_int8(const int8_t* in, size_t rows, int channels, int zero_point,
                          uint32_t* out) {
  const __m256i zero = _mm256_set1_epi8((char)zero_point);
  for (size_t r = 0; r < rows; ++r, in += channels) {
    for (int c = 0; c < channels; c += kWordBits) {
      const int left = channels - c;
      const __mmask32 valid = left >= kWordBits ? 0xffffffffu : (1u << left) - 1;
      *out++ = _mm256_mask_cmplt_epi8_mask(valid, _mm256_maskz_loadu_epi8(valid, in + c), zero);
    }
  }
}

typedef __m512 Lanes;

static inline __attribute__((always_inline)) Lanes load_lanes(const float* from) {
  return _mm512_loadu_ps(from);
}

static inline __attribute__((always_inline)) void store_lanes(float* to, Lanes x) {
  _mm512_storeu_ps(to, x);
}

static inline __attribute__((always_inline)) Lanes zero_lanes(void) {
  return _mm512_setzero_ps();
}

static inline __attribute__((always_inline)) Lanes same_lanes(float x) {
  return _mm512_set1_ps(x);
}

static inline __attribute__((always_inline)) Lanes add_lanes(Lanes a, Lanes b) {
  return _mm512_add_ps(a, b);
}

static inline __attribute__((always_inline)) Lanes multiply_lanes(Lanes a, Lanes b) {
  return _mm512_mul_ps(a, b);
}

static inline __attribute__((always_inline)) Lanes lanes_of_counts(const int32_t* counts) {
  return _mm512_cvtepi32_ps(_mm512_load_si512(counts));
}

static inline __attribute__((always_inline)) Lanes prelu_lanes(Lanes x, Lanes slopes) {
  const __mmask16 negative = _mm512_cmp_ps_mask(x, zero_lanes(), _CMP_LT_OQ);
  return _mm512_mask_mul_ps(x, negative, x, slopes);
}

static inline __attribute__((always_inline)) uint32_t negative_lanes_mask(Lanes x,
                                                                          bool is_exact) {
  if (!is_exact) return _mm512_cmp_ps_mask(x, zero_lanes(), _CMP_LT_OQ);
  const __m512i from_first =
      _mm512_sub_epi32(_mm512_castps_si512(x), _mm512_set1_epi32((int)kFirstNegative));
  const __m512i range = _mm512_set1_epi32((int)(kLastNegative - kFirstNegative));
  return _mm512_cmple_epu32_mask(from_first, range);
}

static inline __attribute__((always_inline)) uint32_t pack_signs(Lanes low, Lanes high,
                                                                 bool is_exact) {
  return negative_lanes_mask(low, is_exact) | negative_lanes_mask(high, is_exact) << kLanes;
}

#include "rows.h"

TARGET_END

const Kernels avx512_kernels = {
    .name = "avx512",
    .runs_here = cpu_has_avx512_popcount,
    .quantize_float = quantize_float,
    .quantize_int8 = quantize_int8,
    .convolve = convolve,
    .is_tiled = true,
    .packed_words = packed_words,
    .pack = pack,
    .place = place_ungrouped,
    .run_strip = run_strip,
};

#endif  // defined(__x86_64__)
