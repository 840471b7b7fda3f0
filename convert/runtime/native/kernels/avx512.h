// What both sets of kernels for AVX-512 share: all but counting. The including file defines
// before what tiles.h asks for beside.
#ifndef BCD_AVX512_H_
#define BCD_AVX512_H_

#include <immintrin.h>

#include "kernels/kernels.h"

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

enum { kImagePixels = 6, kImageBlocks = 2 };
#include "kernels/image.h"

#endif  // BCD_AVX512_H_
