// x86-64 with AVX-512 F, BW, VL and VPOPCNTDQ (Ice Lake, Zen 4 and later).
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu.h"
#include "kernels/pragma_target.h"

#if defined(__clang__)
TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq,prfchw")
#else  // GCC would vectorise the stores of the results with half of every register.
TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq,prfchw,prefer-vector-width=512")
#endif

#include "kernels/kernels.h"

// Weights are fetched so many words ahead.
enum { kAhead = 512 };

// The accumulators of a tile, and the weights of two blocks, which lie together, fit into the
// registers.
enum { kTilePixels = 6, kTileSide = 2, kPackedChannels = kTileSide * kLanes };
enum { kPackedSide = kPackedChannels };
#include "kernels/pairs.h"

// Four operations on 1024 bits, where word by word they are six.
static inline __attribute__((always_inline)) void count_side(const uint32_t* const* rows,
                                                             const int pixels, int pairs,
                                                             const uint32_t* weights,
                                                             const int blocks,
                                                             int32_t* counts) {
  enum { kChoose = 0xac };  // the first operand's bit ? the third's : the second's
  const uint32_t* ends[kTilePixels];
  __m512i sums[kTilePixels][kTileSide];
#pragma GCC unroll 6
  for (int p = 0; p < pixels; ++p) {
    ends[p] = rows[p] + 2 * (ptrdiff_t)pairs;
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) sums[p][b] = _mm512_setzero_si512();
  }
  for (ptrdiff_t k = -2 * (ptrdiff_t)pairs; k < 0; k += 2, weights += 2 * blocks * kLanes) {
    __m512i b1[kTileSide], db[kTileSide];
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      b1[b] = _mm512_loadu_si512(weights + b * kLanes);
      db[b] = _mm512_loadu_si512(weights + (blocks + b) * kLanes);
      _mm_prefetch((const char*)(weights + kAhead + b * kLanes), _MM_HINT_T0);
      _mm_prefetch((const char*)(weights + kAhead + (blocks + b) * kLanes), _MM_HINT_T0);
    }
#pragma GCC unroll 6
    for (int p = 0; p < pixels; ++p) {
      const __m512i a0 = _mm512_set1_epi32((int)ends[p][k]);
      const __m512i not_da = _mm512_set1_epi32((int)ends[p][k + 1]);
#pragma GCC unroll 2
      for (int b = 0; b < blocks; ++b) {
        const __m512i h =
            _mm512_ternarylogic_epi32(_mm512_xor_si512(a0, b1[b]), db[b], not_da, kChoose);
        sums[p][b] = _mm512_add_epi32(sums[p][b], _mm512_popcnt_epi32(h));
      }
    }
  }
#pragma GCC unroll 6
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      const __m512i constant = _mm512_sub_epi32(_mm512_set1_epi32((int)*ends[p]),
                                                _mm512_loadu_si512(weights + b * kLanes));
      const __m512i twice = _mm512_add_epi32(sums[p][b], sums[p][b]);
      _mm512_store_si512(counts + p * kTileChannels + b * kLanes,
                         _mm512_add_epi32(twice, constant));
    }
  }
}

// With both sizes constant, the accumulators stay in registers.
#define BCD_TILE(pixels, blocks)                              \
  case (pixels)*4 + (blocks):                                 \
    count_side(rows, pixels, pairs, weights, blocks, counts); \
    break;

static void count_tile(const uint32_t* const* rows, int pixels, int depth,
                       const uint32_t* weights, int blocks, int32_t* counts) {
  const int pairs = pairs_of(depth);
  for (; blocks > 0; blocks -= kTileSide) {
    switch (pixels * 4 + (blocks < kTileSide ? blocks : kTileSide)) {
      BCD_TILE(1, 1)
      BCD_TILE(2, 1)
      BCD_TILE(3, 1)
      BCD_TILE(4, 1)
      BCD_TILE(5, 1)
      BCD_TILE(6, 1)
      BCD_TILE(1, 2)
      BCD_TILE(2, 2)
      BCD_TILE(3, 2)
      BCD_TILE(4, 2)
      BCD_TILE(5, 2)
      BCD_TILE(6, 2)
    }
    weights += (2 * (size_t)pairs + 1) * kPackedChannels;
    counts += kPackedChannels;
  }
}

#undef BCD_TILE

// Patches are changed a register at a time: a masked store takes longer.
static int patch_words(const Convolution* c) {
  return 2 * pairs_of(convolution_depth(c)) / kLanes * kLanes + kLanes;
}

#define BCD_PAIRS_PATCHES
static void pair_patches(const Convolution* c, uint32_t* patches, int pixels) {
  enum { kParity = 0x96, kSeconds = 0xaaaa };
  const int depth = convolution_depth(c);
  const __m512i invert = _mm512_set1_epi64((long long)0xffffffff00000000u);
  for (int p = 0; p < pixels; ++p, patches += c->patch_words) {
    __m512i zeros = _mm512_setzero_si512();  // of da
    int k = 0;
    for (; k < depth; k += kLanes) {
      const __mmask16 valid =
          (__mmask16)(depth - k >= kLanes ? 0xffff : (1 << (depth - k)) - 1);
      const __m512i x = _mm512_maskz_loadu_epi32(valid, patches + k);
      const __m512i pairs =
          _mm512_ternarylogic_epi32(x, _mm512_slli_epi64(x, kWordBits), invert, kParity);
      zeros = _mm512_add_epi32(zeros, _mm512_maskz_popcnt_epi32(kSeconds, pairs));
      _mm512_storeu_si512(patches + k, pairs);
    }
    const int bits = k / 2 * kWordBits;
    patches[2 * pairs_of(depth)] = (uint32_t)(bits - _mm512_reduce_add_epi32(zeros));
  }
}

static inline void copy_words(uint32_t* to, const uint32_t* from, int count) {
  for (; count >= kLanes; count -= kLanes, to += kLanes, from += kLanes) {
    _mm512_storeu_si512(to, _mm512_loadu_si512(from));
  }
  if (count == 0) return;
  const __mmask16 valid = (__mmask16)((1 << count) - 1);
  _mm512_mask_storeu_epi32(to, valid, _mm512_maskz_loadu_epi32(valid, from));
}

#define BCD_COPIES_LINES
static inline void copy_lines(uint32_t* to, const uint32_t* from, int words, int lines,
                              int64_t stride) {
  if (words > 4) {
    for (int i = 0; i < lines; ++i, to += words, from += stride) copy_words(to, from, words);
    return;
  }
  // Short loads and stores cross the lines of the cache less often.
  const __mmask8 valid = (__mmask8)((1 << words) - 1);
  for (int i = 0; i < lines; ++i, to += words, from += stride) {
    _mm_mask_storeu_epi32(to, valid, _mm_maskz_loadu_epi32(valid, from));
  }
}

static inline uint32_t greater_mask(const int32_t* counts, const int32_t* thresholds) {
  return _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(counts), _mm512_loadu_si512(thresholds));
}

#include "kernels/tiles.h"

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

static inline __attribute__((always_inline)) Lanes subtract_lanes(Lanes a, Lanes b) {
  return _mm512_sub_ps(a, b);
}

static inline __attribute__((always_inline)) Lanes multiply_lanes(Lanes a, Lanes b) {
  return _mm512_mul_ps(a, b);
}

static inline __attribute__((always_inline)) Lanes fused_lanes(Lanes a, Lanes b, Lanes c) {
  return _mm512_fmadd_ps(a, b, c);
}

static inline __attribute__((always_inline)) Lanes lanes_of_counts(const int32_t* counts) {
  return _mm512_cvtepi32_ps(_mm512_load_si512(counts));
}

static inline __attribute__((always_inline)) Lanes prelu_lanes(Lanes x, Lanes slopes) {
  const __mmask16 negative = _mm512_cmp_ps_mask(x, zero_lanes(), _CMP_LT_OQ);
  return _mm512_mask_mul_ps(x, negative, x, slopes);
}

// Where an operand is not a number, the second one is the result.
static inline __attribute__((always_inline)) Lanes bound_lanes(Lanes x, Lanes low, Lanes high) {
  return _mm512_min_ps(high, _mm512_max_ps(low, x));
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

enum { kRowBlocks = 24 };
#define BCD_PREFETCHES
#include "kernels/rows.h"
#include "kernels/vectors.h"

TARGET_END

const Kernels avx512_kernels = {
    .name = "avx512",
    .runs_here = cpu_has_avx512_popcount,
    .quantize_float = quantize_float,
    .quantize_int8 = quantize_int8,
    .convolve = convolve,
    .sum = sum,
    .connect = connect,
    .is_tiled = true,
    .patch_words = patch_words,
    .packed_words = packed_words,
    .pack = pack,
    .place = place_ungrouped,
    .run_strip = run_strip,
};

#endif  // defined(__x86_64__)
