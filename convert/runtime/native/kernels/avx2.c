// x86-64 with AVX2 and FMA (Haswell, Zen and later).
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu.h"
#include "kernels/pragma_target.h"

TARGET_BEGIN("avx2,fma")

#include "kernels/kernels.h"

// AVX2 has no popcount, but a shuffle that looks up 32 nibbles at once. A table is chosen by
// four bits of the activations of two pixels and looked up by four weights: it holds what both
// exclusive ors count to, the second pixel's count 16 times. So one shuffle and one addition
// serve 4 bits of 32 channels of two pixels. The weights lie with one nibble in a byte, so that
// nothing has to be cut out.
//
// Three lookups add up to 12 at most in either half of a byte. Such sums x are added up as they
// are, and once more shifted right by four within 16 bits, both modulo 256. With the counts a
// and b of an even byte and c and d of the odd one above it these come to
//     even: a + 16 b        odd: c + 16 d
//     even: b + 16 c        odd: d
// from which d, c, b and a follow in turn. That is done for as many sums as a byte can hold,
// 21 * 12 = 252; then 16-bit sums are added up over as many words as these can.
enum {
  kHalf = 8,
  kTilePixels = 4,
  kTilePairs = kTilePixels / 2,
  kGroupChannels = 32,
  kTileGroups = kTileChannels / kGroupChannels,
  kNibbles = 8,  // of a word
  kTriple = 3,   // lookups that half a byte holds the sum of
  kTriplesPerByteSum = 21,
  kWordsPerSegment = 63,  // whose nibbles make whole byte sums
  kWordsPerShortSum = kWordsPerSegment * 32,
};

#define BCD_COUNT(x) (((x)&1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
#define BCD_BOTH(a, b, w) (BCD_COUNT((a) ^ (w)) + 16 * BCD_COUNT((b) ^ (w)))
#define BCD_TABLE(a, b)                                                                \
  {                                                                                    \
    BCD_BOTH(a, b, 0), BCD_BOTH(a, b, 1), BCD_BOTH(a, b, 2), BCD_BOTH(a, b, 3),        \
        BCD_BOTH(a, b, 4), BCD_BOTH(a, b, 5), BCD_BOTH(a, b, 6), BCD_BOTH(a, b, 7),    \
        BCD_BOTH(a, b, 8), BCD_BOTH(a, b, 9), BCD_BOTH(a, b, 10), BCD_BOTH(a, b, 11),  \
        BCD_BOTH(a, b, 12), BCD_BOTH(a, b, 13), BCD_BOTH(a, b, 14), BCD_BOTH(a, b, 15) \
  }
#define BCD_TABLES(b)                                                                        \
  {                                                                                          \
    BCD_TABLE(0, b), BCD_TABLE(1, b), BCD_TABLE(2, b), BCD_TABLE(3, b), BCD_TABLE(4, b),     \
        BCD_TABLE(5, b), BCD_TABLE(6, b), BCD_TABLE(7, b), BCD_TABLE(8, b), BCD_TABLE(9, b), \
        BCD_TABLE(10, b), BCD_TABLE(11, b), BCD_TABLE(12, b), BCD_TABLE(13, b),              \
        BCD_TABLE(14, b), BCD_TABLE(15, b)                                                   \
  }
// By the second pixel's bits, the first one's, and the weight's.
static const uint8_t kDiffering[16][16][16] __attribute__((aligned(64))) = {
    BCD_TABLES(0),  BCD_TABLES(1),  BCD_TABLES(2),  BCD_TABLES(3),
    BCD_TABLES(4),  BCD_TABLES(5),  BCD_TABLES(6),  BCD_TABLES(7),
    BCD_TABLES(8),  BCD_TABLES(9),  BCD_TABLES(10), BCD_TABLES(11),
    BCD_TABLES(12), BCD_TABLES(13), BCD_TABLES(14), BCD_TABLES(15),
};
#undef BCD_TABLES
#undef BCD_TABLE
#undef BCD_BOTH
#undef BCD_COUNT

static int padded_channels(const Convolution* c) {
  return (c->group_channels_out + kGroupChannels - 1) / kGroupChannels * kGroupChannels;
}

// The last triple is filled up with zeros, of the weights and of the activations.
static inline int triples_of(int words) { return (words * kNibbles + kTriple - 1) / kTriple; }

static size_t padded_nibbles(const Convolution* c) {
  return (size_t)kTriple * (size_t)triples_of(convolution_depth(c));
}

static size_t packed_words(const Convolution* c) {
  return (size_t)c->groups * (size_t)padded_channels(c) * padded_nibbles(c) / sizeof(uint32_t);
}

static inline const uint32_t* tile_weights(const Convolution* c, int group, int from) {
  return c->packed + ((size_t)group * (size_t)padded_channels(c) + (size_t)from) *
                         padded_nibbles(c) / sizeof(uint32_t);
}

// For each tile of channels, for each nibble of the patch: that nibble of all the tile's
// channels, one in a byte.
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
      to += padded_nibbles(c) * (size_t)width;
    }
  }
}

// Where the tables of two pixels' nibbles begin, counted in bytes; of words that are not there
// the first one.
typedef struct {
  _Alignas(32) uint16_t of[kNibbles * (kWordsPerSegment + 1)];
} Offsets;

static inline void place_eight(const uint32_t* first, const uint32_t* second, int words,
                               uint16_t* offsets) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i high_nibble = _mm256_set1_epi8((char)0xf0);
  const __m256i low_nibble = _mm256_set1_epi8(0x0f);
  const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32(words), lanes);
  const __m256i x = _mm256_maskload_epi32((const int*)first, valid);
  const __m256i y = _mm256_maskload_epi32((const int*)second, valid);
  // The even nibbles of bytes, and the odd ones: 16 times the first pixel's in the low byte,
  // the second one's in the high byte.
  const __m256i even_x = _mm256_and_si256(_mm256_slli_epi32(x, 4), high_nibble);
  const __m256i even_y = _mm256_and_si256(y, low_nibble);
  const __m256i odd_x = _mm256_and_si256(x, high_nibble);
  const __m256i odd_y = _mm256_and_si256(_mm256_srli_epi32(y, 4), low_nibble);
  const __m256i even_low = _mm256_unpacklo_epi8(even_x, even_y);
  const __m256i even_high = _mm256_unpackhi_epi8(even_x, even_y);
  const __m256i odd_low = _mm256_unpacklo_epi8(odd_x, odd_y);
  const __m256i odd_high = _mm256_unpackhi_epi8(odd_x, odd_y);
  const __m256i a = _mm256_unpacklo_epi16(even_low, odd_low);
  const __m256i b = _mm256_unpackhi_epi16(even_low, odd_low);
  const __m256i c = _mm256_unpacklo_epi16(even_high, odd_high);
  const __m256i d = _mm256_unpackhi_epi16(even_high, odd_high);
  __m256i* to = (__m256i*)offsets;
  _mm256_store_si256(to, _mm256_permute2x128_si256(a, b, 0x20));
  _mm256_store_si256(to + 1, _mm256_permute2x128_si256(c, d, 0x20));
  _mm256_store_si256(to + 2, _mm256_permute2x128_si256(a, b, 0x31));
  _mm256_store_si256(to + 3, _mm256_permute2x128_si256(c, d, 0x31));
}

static inline void place_tables(const uint32_t* first, const uint32_t* second, int words,
                                Offsets* offsets) {
  // Past the last word, because a triple may reach beyond it.
  for (int k = 0; k <= words; k += kHalf) {
    place_eight(first + k, second + k, words - k, offsets->of + k * kNibbles);
  }
}

// 16-bit sums of two pixels in a group's even and odd channels.
typedef struct {
  __m256i first_even, first_odd, second_even, second_odd;
} Sums;

// A chunk's sums x and shifted sums, of two pixels in a group.
typedef struct {
  __m256i plain, shifted;
} ByteSums;

// The counts in them, as the head of this file explains.
static inline Sums counts_in(ByteSums bytes) {
  const __m256i low = _mm256_set1_epi16(0x00ff);
  Sums s;
  s.second_odd = _mm256_srli_epi16(bytes.shifted, 8);
  const __m256i high = _mm256_sub_epi8(bytes.plain, _mm256_slli_epi16(s.second_odd, 12));
  s.first_odd = _mm256_srli_epi16(high, 8);
  const __m256i b = _mm256_sub_epi16(bytes.shifted, _mm256_slli_epi16(s.first_odd, 4));
  s.second_even = _mm256_and_si256(b, low);
  const __m256i a = _mm256_sub_epi16(bytes.plain, _mm256_slli_epi16(s.second_even, 4));
  s.first_even = _mm256_and_si256(a, low);
  return s;
}

static inline Sums add_sums(Sums a, Sums b) {
  return (Sums){
      .first_even = _mm256_add_epi16(a.first_even, b.first_even),
      .first_odd = _mm256_add_epi16(a.first_odd, b.first_odd),
      .second_even = _mm256_add_epi16(a.second_even, b.second_even),
      .second_odd = _mm256_add_epi16(a.second_odd, b.second_odd),
  };
}

// Adds what weights, `stride` apart, find in three tables to the plain sums and to the shifted
// ones. Written in C it takes more registers than there are: compilers load each weight into
// one, and hold sums twice.
static inline __attribute__((always_inline)) void look_up(const __m256i* tables,
                                                          const __m256i* weights,
                                                          const int stride, ByteSums* sums) {
  __m256i x, y;
  __asm__(
      "vpshufb %[w0], %[t0], %[x]\n\t"
      "vpshufb %[w1], %[t1], %[y]\n\t"
      "vpaddb %[y], %[x], %[x]\n\t"
      "vpshufb %[w2], %[t2], %[y]\n\t"
      "vpaddb %[y], %[x], %[x]\n\t"
      "vpaddb %[x], %[plain], %[plain]\n\t"
      "vpsrlw $4, %[x], %[x]\n\t"
      "vpaddb %[x], %[shifted], %[shifted]"
      : [plain] "+x"(sums->plain), [shifted] "+x"(sums->shifted), [x] "=&x"(x), [y] "=&x"(y)
      : [t0] "x"(tables[0]), [t1] "x"(tables[1]), [t2] "x"(tables[2]), [w0] "m"(weights[0]),
        [w1] "m"(weights[stride]), [w2] "m"(weights[2 * stride]));
}

// Adds up so many triples, from that of the nibble `from` on.
static inline __attribute__((always_inline)) void sum_chunk(const Offsets* offsets, int from,
                                                            const int pairs, int triples,
                                                            const uint8_t* weights,
                                                            const int groups,
                                                            ByteSums sums[][kTileGroups]) {
#pragma GCC unroll 2
  for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) {
      sums[p][g].plain = sums[p][g].shifted = _mm256_setzero_si256();
    }
  }
  const int end = from + triples * kTriple;
  for (int k = from; k < end; k += kTriple, weights += kTriple * groups * kGroupChannels) {
#pragma GCC unroll 2
    for (int p = 0; p < pairs; ++p) {
      __m256i tables[kTriple];
#pragma GCC unroll 3
      for (int i = 0; i < kTriple; ++i) {
        const char* table = (const char*)kDiffering + offsets[p].of[k + i];
        tables[i] = _mm256_broadcastsi128_si256(*(const __m128i*)table);
      }
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g) {
        look_up(tables, (const __m256i*)weights + g, groups, &sums[p][g]);
      }
    }
  }
}

// Eight 16-bit sums become counts.
static inline void widen_half(__m128i sums, bool is_first, int32_t* counts) {
  const __m256i wide = _mm256_cvtepu16_epi32(sums);
  __m256i* to = (__m256i*)counts;
  _mm256_store_si256(to, is_first ? wide : _mm256_add_epi32(_mm256_load_si256(to), wide));
}

static inline void widen(__m256i even, __m256i odd, bool is_first, int32_t* counts) {
  const __m256i low = _mm256_unpacklo_epi16(even, odd);
  const __m256i high = _mm256_unpackhi_epi16(even, odd);
  widen_half(_mm256_castsi256_si128(low), is_first, counts);
  widen_half(_mm256_castsi256_si128(high), is_first, counts + 8);
  widen_half(_mm256_extracti128_si256(low, 1), is_first, counts + 16);
  widen_half(_mm256_extracti128_si256(high, 1), is_first, counts + 24);
}

static inline void widen_sums(Sums sums, bool is_first, int pair, int group, int32_t* counts) {
  counts += 2 * pair * kTileChannels + group * kGroupChannels;
  widen(sums.first_even, sums.first_odd, is_first, counts);
  widen(sums.second_even, sums.second_odd, is_first, counts + kTileChannels);
}

static inline __attribute__((always_inline)) void place_pairs(const uint32_t* const* rows,
                                                              const int pairs, int from,
                                                              int words, Offsets* offsets) {
#pragma GCC unroll 2
  for (int p = 0; p < pairs; ++p) {
    place_tables(rows[2 * p] + from, rows[2 * p + 1] + from, words, &offsets[p]);
  }
}

// Of a depth that is a single chunk.
static inline __attribute__((always_inline)) void count_chunk(const uint32_t* const* rows,
                                                              const int pairs, int depth,
                                                              const uint32_t* weights,
                                                              const int groups,
                                                              int32_t* counts) {
  Offsets offsets[kTilePairs];
  ByteSums bytes[kTilePairs][kTileGroups];
  place_pairs(rows, pairs, 0, depth, offsets);
  sum_chunk(offsets, 0, pairs, triples_of(depth), (const uint8_t*)weights, groups, bytes);
#pragma GCC unroll 2
  for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) widen_sums(counts_in(bytes[p][g]), true, p, g, counts);
  }
}

static inline __attribute__((always_inline)) void count(const uint32_t* const* rows,
                                                        const int pairs, int depth,
                                                        const uint32_t* weights,
                                                        const int groups, int32_t* counts) {
  const uint8_t* nibbles = (const uint8_t*)weights;
  for (int begin = 0; begin < depth; begin += kWordsPerShortSum) {
    const int end = depth - begin < kWordsPerShortSum ? depth : begin + kWordsPerShortSum;
    Sums sums[kTilePairs][kTileGroups];
    memset(sums, 0, sizeof(sums));
    for (int done = begin; done < end; done += kWordsPerSegment) {
      const int words = end - done < kWordsPerSegment ? end - done : kWordsPerSegment;
      const int triples = triples_of(words);
      Offsets offsets[kTilePairs];
      place_pairs(rows, pairs, done, words, offsets);
      for (int t = 0; t < triples; t += kTriplesPerByteSum) {
        const int now = triples - t < kTriplesPerByteSum ? triples - t : kTriplesPerByteSum;
        ByteSums bytes[kTilePairs][kTileGroups];
        sum_chunk(offsets, t * kTriple, pairs, now, nibbles, groups, bytes);
        nibbles += now * kTriple * groups * kGroupChannels;
#pragma GCC unroll 2
        for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 2
          for (int g = 0; g < groups; ++g) {
            sums[p][g] = add_sums(sums[p][g], counts_in(bytes[p][g]));
          }
        }
      }
    }
    for (int p = 0; p < pairs; ++p) {
      for (int g = 0; g < groups; ++g) widen_sums(sums[p][g], begin == 0, p, g, counts);
    }
  }
}

#define BCD_TILE(kind, name, pairs, groups)            \
  case kind:                                           \
    name(rows, pairs, depth, weights, groups, counts); \
    break;

// Of an odd number of pixels the last one's partner is the first one once more.
static void count_tile(const uint32_t* const* rows, int pixels, int depth,
                       const uint32_t* weights, int blocks, int32_t* counts) {
  const bool is_chunk = triples_of(depth) <= kTriplesPerByteSum;
  switch (is_chunk * 4 + (pixels > 2) * 2 + (blocks > 2)) {
    BCD_TILE(0, count, 1, 1)
    BCD_TILE(1, count, 1, 2)
    BCD_TILE(2, count, 2, 1)
    BCD_TILE(3, count, 2, 2)
    BCD_TILE(4, count_chunk, 1, 1)
    BCD_TILE(5, count_chunk, 1, 2)
    BCD_TILE(6, count_chunk, 2, 1)
    BCD_TILE(7, count_chunk, 2, 2)
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
