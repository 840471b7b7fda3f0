// x86-64 with AVX2 and FMA (Haswell, Zen and later).
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu.h"
#include "pragma_target.h"

TARGET_BEGIN("avx2,fma")

#include "kernels.h"

// AVX2 has no popcount, but a shuffle that looks up 32 nibbles at once. The table is chosen by
// four bits of the activation and looked up by four weights, so it holds what their exclusive
// or would count to: one shuffle and one addition for 4 bits of 32 channels. The weights lie
// with one nibble in a byte, so that nothing has to be cut out. These are eight operations on
// 512 bits; the pairs of pairs.h would take eleven, of which seven count one register.
//
// Counts of bytes are added up over as many words as a byte can hold, 7 * 32 = 224, then over
// as many as 16 bits can.
enum {
  kHalf = 8,
  kTilePixels = 4,
  kGroupChannels = 32,
  kTileGroups = kTileChannels / kGroupChannels,
  kNibbles = 8,  // of a word
  kWordsPerByteSum = 7,
  kWordsPerShortSum = kWordsPerByteSum * 290,
};

static const uint8_t kDiffering[16][16] __attribute__((aligned(64))) = {
#define BCD_COUNTS(a)                                                                         \
  {                                                                                           \
    BCD_COUNT(a ^ 0), BCD_COUNT(a ^ 1), BCD_COUNT(a ^ 2), BCD_COUNT(a ^ 3), BCD_COUNT(a ^ 4), \
        BCD_COUNT(a ^ 5), BCD_COUNT(a ^ 6), BCD_COUNT(a ^ 7), BCD_COUNT(a ^ 8),               \
        BCD_COUNT(a ^ 9), BCD_COUNT(a ^ 10), BCD_COUNT(a ^ 11), BCD_COUNT(a ^ 12),            \
        BCD_COUNT(a ^ 13), BCD_COUNT(a ^ 14), BCD_COUNT(a ^ 15)                               \
  }
#define BCD_COUNT(x) (((x)&1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
    BCD_COUNTS(0),  BCD_COUNTS(1),  BCD_COUNTS(2),  BCD_COUNTS(3),
    BCD_COUNTS(4),  BCD_COUNTS(5),  BCD_COUNTS(6),  BCD_COUNTS(7),
    BCD_COUNTS(8),  BCD_COUNTS(9),  BCD_COUNTS(10), BCD_COUNTS(11),
    BCD_COUNTS(12), BCD_COUNTS(13), BCD_COUNTS(14), BCD_COUNTS(15),
#undef BCD_COUNTS
#undef BCD_COUNT
};

static int padded_channels(const Convolution* c) {
  return (c->group_channels_out + kGroupChannels - 1) / kGroupChannels * kGroupChannels;
}

static size_t packed_words(const Convolution* c) {
  return (size_t)c->groups * (size_t)padded_channels(c) * (size_t)convolution_depth(c) *
         kNibbles / sizeof(uint32_t);
}

static inline const uint32_t* tile_weights(const Convolution* c, int group, int from) {
  return c->packed + ((size_t)group * (size_t)padded_channels(c) + (size_t)from) *
                         (size_t)convolution_depth(c) * kNibbles / sizeof(uint32_t);
}

// For each tile of channels, for each word of the patch, for each of its nibbles: that nibble
// of all the tile's channels, one in a byte.
static void pack(const Convolution* c, uint32_t* packed) {
  const size_t depth = (size_t)convolution_depth(c);
  const int padded = padded_channels(c);
  uint8_t* to = (uint8_t*)packed;
  memset(to, 0, packed_words(c) * sizeof(uint32_t));
  for (int group = 0; group < c->groups; ++group) {
    for (int from = 0; from < padded; from += kTileChannels) {
      const int width = padded - from < kTileChannels ? padded - from : kTileChannels;
      for (int o = 0; o < width && from + o < c->group_channels_out; ++o) {
        const size_t channel = (size_t)(group * c->group_channels_out + from + o);
        for (size_t k = 0; k < depth * kNibbles; ++k) {
          const uint32_t word = c->filter[channel * depth + k / kNibbles];
          to[k * (size_t)width + (size_t)o] = word >> (4 * (k % kNibbles)) & 15;
        }
      }
      to += depth * kNibbles * (size_t)width;
    }
  }
}

// 16 times each nibble of up to kWordsPerByteSum words: the places of their tables.
static inline void place_tables(const uint32_t* row, int words, uint8_t* places) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i high_nibble = _mm256_set1_epi8((char)0xf0);
  const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32(words), lanes);
  const __m256i x = _mm256_maskload_epi32((const int*)row, valid);
  const __m256i even = _mm256_and_si256(_mm256_slli_epi32(x, 4), high_nibble);
  const __m256i odd = _mm256_and_si256(x, high_nibble);
  const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);
  _mm256_store_si256((__m256i*)places, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_store_si256((__m256i*)places + 1, _mm256_permute2x128_si256(low, high, 0x31));
}

typedef struct {
  _Alignas(32) uint8_t of[kMaxTilePixels][kNibbles * (kWordsPerByteSum + 1)];
} Places;

// Adds up the bytes of a chunk of words. `sums` holds 16-bit sums: of each group of channels
// those that unpacklo and unpackhi make of the bytes.
static inline __attribute__((always_inline)) void add_chunk(const Places* places,
                                                            const int pixels, int words,
                                                            const uint8_t* weights,
                                                            const int groups, __m256i* sums) {
  __m256i bytes[kMaxTilePixels][kTileGroups];
#pragma GCC unroll 4
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) bytes[p][g] = _mm256_setzero_si256();
  }
  for (int k = 0; k < words * kNibbles; ++k, weights += groups * kGroupChannels) {
    __m256i w[kTileGroups];
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) {
      w[g] = _mm256_loadu_si256((const __m256i*)(weights + g * kGroupChannels));
    }
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) {
      const uint8_t* table = &kDiffering[0][0] + places->of[p][k];
      const __m256i differing = _mm256_broadcastsi128_si256(*(const __m128i*)table);
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g) {
        bytes[p][g] = _mm256_add_epi8(bytes[p][g], _mm256_shuffle_epi8(differing, w[g]));
      }
    }
  }
  const __m256i zero = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) {
      __m256i* sum = sums + (p * kTileGroups + g) * 2;
      sum[0] = _mm256_add_epi16(sum[0], _mm256_unpacklo_epi8(bytes[p][g], zero));
      sum[1] = _mm256_add_epi16(sum[1], _mm256_unpackhi_epi8(bytes[p][g], zero));
    }
  }
}

// Eight 16-bit sums become counts.
static inline void widen(__m128i sums, bool is_first, int32_t* counts) {
  const __m256i wide = _mm256_cvtepu16_epi32(sums);
  __m256i* to = (__m256i*)counts;
  _mm256_store_si256(to, is_first ? wide : _mm256_add_epi32(_mm256_load_si256(to), wide));
}

static inline __attribute__((always_inline)) void count(const uint32_t* const* rows,
                                                        const int pixels, int depth,
                                                        const uint32_t* weights,
                                                        const int groups, int32_t* counts) {
  const uint8_t* nibbles = (const uint8_t*)weights;
  for (int begin = 0; begin < depth; begin += kWordsPerShortSum) {
    const int end = depth - begin < kWordsPerShortSum ? depth : begin + kWordsPerShortSum;
    __m256i sums[kMaxTilePixels * kTileGroups * 2];
    for (int i = 0; i < pixels * kTileGroups * 2; ++i) sums[i] = _mm256_setzero_si256();
    for (int done = begin; done < end; done += kWordsPerByteSum) {
      const int words = end - done < kWordsPerByteSum ? end - done : kWordsPerByteSum;
      Places places;
#pragma GCC unroll 4
      for (int p = 0; p < pixels; ++p) place_tables(rows[p] + done, words, places.of[p]);
      add_chunk(&places, pixels, words, nibbles, groups, sums);
      nibbles += words * kNibbles * groups * kGroupChannels;
    }
    for (int p = 0; p < pixels; ++p) {
      for (int g = 0; g < groups; ++g) {
        const __m256i low = sums[(p * kTileGroups + g) * 2];
        const __m256i high = sums[(p * kTileGroups + g) * 2 + 1];
        int32_t* to = counts + p * kTileChannels + g * kGroupChannels;
        widen(_mm256_castsi256_si128(low), begin == 0, to);
        widen(_mm256_castsi256_si128(high), begin == 0, to + 8);
        widen(_mm256_extracti128_si256(low, 1), begin == 0, to + 16);
        widen(_mm256_extracti128_si256(high, 1), begin == 0, to + 24);
      }
    }
  }
}

#define BCD_TILE(pixels, groups)                         \
  case (pixels)*4 + (groups):                            \
    count(rows, pixels, depth, weights, groups, counts); \
    break;

static void count_tile(const uint32_t* const* rows, int pixels, int depth,
                       const uint32_t* weights, int blocks, int32_t* counts) {
  switch (pixels * 4 + (blocks + 1) / 2) {
    BCD_TILE(1, 1)
    BCD_TILE(2, 1)
    BCD_TILE(3, 1)
    BCD_TILE(4, 1)
    BCD_TILE(1, 2)
    BCD_TILE(2, 2)
    BCD_TILE(3, 2)
    BCD_TILE(4, 2)
  }
}

#undef BCD_TILE

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
#include "rows.h"
#include "vectors.h"

TARGET_END

const Kernels avx2_kernels = {
    .name = "avx2",
    .runs_here = cpu_has_avx2,
    .quantize_float = quantize_float,
    .quantize_int8 = quantize_int8,
    .convolve = convolve,
    .sum = sum,
    .connect = connect,
    .is_tiled = true,
    .packed_words = packed_words,
    .pack = pack,
    .place = place_ungrouped,
    .run_strip = run_strip,
};

#endif  // defined(__x86_64__)
