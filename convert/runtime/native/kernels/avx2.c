// x86-64 with AVX2 and FMA (Haswell, Zen and later).
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu.h"
#include "kernels/pragma_target.h"

TARGET_BEGIN("avx2,fma")

#include "kernels/kernels.h"

enum { kTilePixels = 4, kGroupChannels = 32, kHalf = 8 };

typedef uint8_t NibbleBytes __attribute__((vector_size(kGroupChannels), may_alias));
typedef uint16_t NibbleShorts __attribute__((vector_size(kGroupChannels), may_alias));

static inline NibbleBytes table_at(const void* address) {
  return (NibbleBytes)_mm256_broadcastsi128_si256(*(const __m128i*)address);
}

static inline NibbleBytes look_up(NibbleBytes table, NibbleBytes nibbles) {
  return (NibbleBytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)nibbles);
}

// Eight 16-bit sums become counts.
static inline void widen_half(__m128i sums, bool is_first, int32_t* counts) {
  const __m256i wide = _mm256_cvtepu16_epi32(sums);
  __m256i* to = (__m256i*)counts;
  _mm256_store_si256(to, is_first ? wide : _mm256_add_epi32(_mm256_load_si256(to), wide));
}

static inline void widen(NibbleShorts even, NibbleShorts odd, bool is_first, int32_t* counts) {
  const __m256i low = _mm256_unpacklo_epi16((__m256i)even, (__m256i)odd);
  const __m256i high = _mm256_unpackhi_epi16((__m256i)even, (__m256i)odd);
  widen_half(_mm256_castsi256_si128(low), is_first, counts);
  widen_half(_mm256_castsi256_si128(high), is_first, counts + 8);
  widen_half(_mm256_extracti128_si256(low, 1), is_first, counts + 16);
  widen_half(_mm256_extracti128_si256(high, 1), is_first, counts + 24);
}

#define BCD_OWN_CHUNKS "kernels/avx2_chunk.h"
#include "kernels/nibbles.h"

static void count_tile(const PanelPixel* panel, int pixels, int depth, const uint32_t* weights,
                       int blocks, int32_t* counts) {
  if (pixels > 2 && blocks > 2) {
    count_pairs(panel, 2, depth, weights, 2, counts);
  } else if (pixels > 2) {
    count_pairs(panel, 2, depth, weights, 1, counts);
  } else if (blocks > 2) {
    count_pairs(panel, 1, depth, weights, 2, counts);
  } else {
    count_pairs(panel, 1, depth, weights, 1, counts);
  }
}

// Whole registers are stored: for a part of one LLVM's models of Zen 3 and 4 have twelve
// cycles.
static inline void copy_words(uint32_t* to, const uint32_t* from, int count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int i = 0; i < count; i += kHalf) {
    const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32(count - i), lanes);
    const __m256i words = _mm256_maskload_epi32((const int*)from + i, valid);
    _mm256_storeu_si256((__m256i*)(to + i), words);
  }
}

static inline uint32_t greater_half(const int32_t* counts, const int32_t* thresholds) {
  const __m256i greater = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i*)counts),
                                             _mm256_loadu_si256((const __m256i*)thresholds));
  return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(greater));
}

static inline uint32_t greater_mask(const int32_t* counts, const int32_t* thresholds) {
  return greater_half(counts, thresholds) | greater_half(counts + kHalf, thresholds + kHalf)
                                                << kHalf;
}

#include "kernels/tiles.h"

// As signed integers the negative floats, and -0 below them, are all below this.
static inline uint32_t negative_bits(__m256i bits) {
  const __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(kLastNegative + 1)), bits);
  const __m256i minus_zero = _mm256_cmpeq_epi32(bits, _mm256_set1_epi32(INT32_MIN));
  const __m256i negative = _mm256_andnot_si256(minus_zero, below);
  return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(negative));
}

static inline uint32_t negative_mask(const float* in) {
  return negative_bits(_mm256_loadu_si256((const __m256i*)in));
}

static void quantize_float(const float* in, size_t rows, int channels, uint32_t* out) {
  for (size_t r = 0; r < rows; ++r) {
    for (int left = channels; left > 0; left -= kWordBits) {
      uint32_t word = 0;
      int c = 0;
      const int count = left < kWordBits ? left : kWordBits;
      for (; c + kHalf <= count; c += kHalf) word |= negative_mask(in + c) << c;
      for (; c < count; ++c) word |= (uint32_t)is_negative(in[c]) << c;
      in += count;
      *out++ = word;
    }
  }
}

static void quantize_int8(const int8_t* in, size_t rows, int channels, int zero_point,
                          uint32_t* out) {
  const __m256i zero = _mm256_set1_epi8((char)zero_point);
  for (size_t r = 0; r < rows; ++r) {
    for (int left = channels; left > 0; left -= kWordBits) {
      uint32_t word = 0;
      const int count = left < kWordBits ? left : kWordBits;
      if (count == kWordBits) {
        const __m256i x = _mm256_loadu_si256((const __m256i*)in);
        word = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(zero, x));
      } else {
        for (int c = 0; c < count; ++c) word |= (uint32_t)(in[c] < zero_point) << c;
      }
      in += count;
      *out++ = word;
    }
  }
}

typedef struct {
  __m256 low, high;
} Lanes;

static inline __attribute__((always_inline)) Lanes load_lanes(const float* from) {
  return (Lanes){_mm256_loadu_ps(from), _mm256_loadu_ps(from + kHalf)};
}

static inline __attribute__((always_inline)) void store_lanes(float* to, Lanes x) {
  _mm256_storeu_ps(to, x.low);
  _mm256_storeu_ps(to + kHalf, x.high);
}

static inline __attribute__((always_inline)) Lanes same_lanes(float x) {
  return (Lanes){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

static inline __attribute__((always_inline)) Lanes zero_lanes(void) { return same_lanes(0.0f); }

static inline __attribute__((always_inline)) Lanes add_lanes(Lanes a, Lanes b) {
  return (Lanes){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

static inline __attribute__((always_inline)) Lanes subtract_lanes(Lanes a, Lanes b) {
  return (Lanes){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

static inline __attribute__((always_inline)) Lanes multiply_lanes(Lanes a, Lanes b) {
  return (Lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

static inline __attribute__((always_inline)) Lanes fused_lanes(Lanes a, Lanes b, Lanes c) {
  return (Lanes){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

static inline __attribute__((always_inline)) Lanes lanes_of_counts(const int32_t* counts) {
  const __m256i* from = (const __m256i*)counts;
  return (Lanes){_mm256_cvtepi32_ps(_mm256_load_si256(from)),
                 _mm256_cvtepi32_ps(_mm256_load_si256(from + 1))};
}

static inline __attribute__((always_inline)) __m256 prelu_half(__m256 x, __m256 slopes) {
  const __m256 negative = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ);
  return _mm256_blendv_ps(x, _mm256_mul_ps(x, slopes), negative);
}

static inline __attribute__((always_inline)) Lanes prelu_lanes(Lanes x, Lanes slopes) {
  return (Lanes){prelu_half(x.low, slopes.low), prelu_half(x.high, slopes.high)};
}

// Where an operand is not a number, the second one is the result.
static inline __attribute__((always_inline)) Lanes bound_lanes(Lanes x, Lanes low, Lanes high) {
  return (Lanes){_mm256_min_ps(high.low, _mm256_max_ps(low.low, x.low)),
                 _mm256_min_ps(high.high, _mm256_max_ps(low.high, x.high))};
}

static inline __attribute__((always_inline)) uint32_t negative_half(__m256 x, bool is_exact) {
  if (!is_exact) {
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
  }
  return negative_bits(_mm256_castps_si256(x));
}

static inline __attribute__((always_inline)) uint32_t negative_lanes_mask(Lanes x,
                                                                          bool is_exact) {
  return negative_half(x.low, is_exact) | negative_half(x.high, is_exact) << kHalf;
}

static inline __attribute__((always_inline)) uint32_t pack_signs(Lanes low, Lanes high,
                                                                 bool is_exact) {
  return negative_lanes_mask(low, is_exact) | negative_lanes_mask(high, is_exact) << kLanes;
}

enum { kRowBlocks = 4 };
#define BCD_PREFETCHES
#include "kernels/rows.h"
#include "kernels/vectors.h"

enum { kImagePixels = 4, kImageBlocks = 1 };
#include "kernels/image.h"

TARGET_END

const Kernels avx2_kernels = BCD_TILED_KERNELS("avx2", cpu_has_avx2);

#endif  // defined(__x86_64__)
