// x86-64 with AVX2 (Haswell, Zen and later).
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu.h"
#include "pragma_target.h"

TARGET_BEGIN("avx2")

#include "kernels.h"

// AVX2 has no popcount: a shuffle looks up the two nibbles of every byte. The counts of bytes
// are added up over as many words as a byte can hold, 31 * 8 = 248, then widened.
enum { kWordsPerByteSum = 31, kHalf = 8, kTilePixels = 4 };

static inline __attribute__((always_inline)) __m256i popcount_bytes(__m256i x, __m256i table,
                                                                    __m256i low_nibble) {
  const __m256i low = _mm256_and_si256(x, low_nibble);
  const __m256i high = _mm256_and_si256(_mm256_srli_epi32(x, 4), low_nibble);
  return _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
}

// One block of 16 channels: eight accumulators, the table, the nibble mask and temporaries fill
// the 16 registers, so the blocks of a tile are counted one after the other.
static inline __attribute__((always_inline)) void count_block(const uint32_t* const* rows,
                                                              const int pixels, int depth,
                                                              const uint32_t* weights,
                                                              const int stride,
                                                              int32_t* counts) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low_nibble = _mm256_set1_epi8(15);
  for (int done = 0; done < depth; done += kWordsPerByteSum) {
    const int end = depth - done < kWordsPerByteSum ? depth : done + kWordsPerByteSum;
    __m256i sums[kMaxTilePixels][2];
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) sums[p][0] = sums[p][1] = _mm256_setzero_si256();
    for (int k = done; k < end; ++k, weights += stride) {
      const __m256i w0 = _mm256_loadu_si256((const __m256i*)weights);
      const __m256i w1 = _mm256_loadu_si256((const __m256i*)(weights + kHalf));
#pragma GCC unroll 4
      for (int p = 0; p < pixels; ++p) {
        const __m256i a = _mm256_set1_epi32((int)rows[p][k]);
        sums[p][0] = _mm256_add_epi8(
            sums[p][0], popcount_bytes(_mm256_xor_si256(a, w0), table, low_nibble));
        sums[p][1] = _mm256_add_epi8(
            sums[p][1], popcount_bytes(_mm256_xor_si256(a, w1), table, low_nibble));
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        __m256i* to = (__m256i*)(counts + p * kTileChannels + h * kHalf);
        const __m256i pairs = _mm256_maddubs_epi16(sums[p][h], _mm256_set1_epi8(1));
        const __m256i words = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        _mm256_store_si256(to,
                           done == 0 ? words : _mm256_add_epi32(_mm256_load_si256(to), words));
      }
    }
  }
}

static inline __attribute__((always_inline)) void count(const uint32_t* const* rows,
                                                        const int pixels, int depth,
                                                        const uint32_t* weights,
                                                        const int blocks, int32_t* counts) {
  for (int b = 0; b < blocks; ++b) {
    count_block(rows, pixels, depth, weights + b * kLanes, blocks * kLanes,
                counts + b * kLanes);
  }
}

#include "count_tile.h"

static inline void copy_words(uint32_t* to, const uint32_t* from, int count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int i = 0; i < count; i += kHalf) {
    const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32(count - i), lanes);
    const __m256i words = _mm256_maskload_epi32((const int*)from + i, valid);
    _mm256_maskstore_epi32((int*)to + i, valid, words);
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

#include "tiles.h"

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

static inline __attribute__((always_inline)) Lanes multiply_lanes(Lanes a, Lanes b) {
  return (Lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
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

// The bound comes second: what is not a number stays.
static inline __attribute__((always_inline)) __m256 bound_half(__m256 x, float low, float high) {
  return _mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), x));
}

static inline __attribute__((always_inline)) Lanes bound_lanes(Lanes x, float low, float high) {
  return (Lanes){bound_half(x.low, low, high), bound_half(x.high, low, high)};
}

static inline __attribute__((always_inline)) uint32_t negative_half(__m256 x, bool is_exact) {
  if (!is_exact) {
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
  }
  return negative_bits(_mm256_castps_si256(x));
}

static inline __attribute__((always_inline)) uint32_t negative_lanes_mask(Lanes x, bool is_exact) {
  return negative_half(x.low, is_exact) | negative_half(x.high, is_exact) << kHalf;
}

static inline __attribute__((always_inline)) uint32_t pack_signs(Lanes low, Lanes high, bool is_exact) {
  return negative_lanes_mask(low, is_exact) | negative_lanes_mask(high, is_exact) << kLanes;
}

#include "rows.h"

TARGET_END

const Kernels avx2_kernels = {
    .name = "avx2",
    .runs_here = cpu_has_avx2,
    .quantize_float = quantize_float,
    .quantize_int8 = quantize_int8,
    .convolve = convolve,
    .is_tiled = true,
    .place = place_ungrouped,
    .run_strip = run_strip,
};

#endif  // defined(__x86_64__)
