// Counts differing bits by table, for instruction sets that have no popcount of vectors but a
// shuffle, which looks up kGroupChannels nibbles at once.
//
// A table is chosen by four bits of the activations of two pixels and looked up by four
// weights: it holds what both exclusive ors count to, the second pixel's count 16 times. So one
// shuffle and one addition serve 4 bits of all these channels of two pixels. The weights lie
// with one nibble in a byte, so that nothing has to be cut out.
//
// Three lookups add up to 12 at most in either half of a byte. Such sums x are added up as they
// are, and once more shifted right by four within 16 bits, both modulo 256. With the counts a
// and b of an even byte and c and d of the odd one above it these come to
//     even: a + 16 b        odd: c + 16 d
//     even: b + 16 c        odd: d
// from which d, c, b and a follow in turn. That is done for as many sums as a byte can hold,
// 21 * 12 = 252; then 16-bit sums are added up over as many words as these can.
//
// Where the tables of the nibbles of a patch begin is found out once, for all output channels.
//
// The including file defines
//   kGroupChannels                  the bytes of a vector: kTileChannels, or half of them
//   kTilePixels                     an even number
//   table_at(address)               16 bytes, as often as they fit into a vector
//   look_up(table, nibbles)         a byte for each of the nibbles
//   widen(even, odd, is_first, counts), which makes sums of 16 bits, of every other channel
//                                   each, kGroupChannels counts, or adds them to these
//   BCD_OWN_CHUNKS                  a file with its own sum_whole_chunk, if it has one
// and, as vectors of kGroupChannels bytes, the types NibbleBytes of uint8_t and NibbleShorts of
// uint16_t.
#ifndef BCD_NIBBLES_H_
#define BCD_NIBBLES_H_

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

enum {
  kPlaced = 8,  // words whose tables are found together
  kTilePairs = kTilePixels / 2,
  kTileGroups = kTileChannels / kGroupChannels,
  kNibbles = 8,  // of a word
  kTriple = 3,   // lookups that half a byte holds the sum of
  kTriplesPerByteSum = 21,
  kTriplesPerShortSum = kTriplesPerByteSum * 256,  // of 12 each, in 16 bits
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

// Two pixels share a patch: for each of their words, of which there are whole registers, the
// kNibbles offsets of tables, in 16 bits each, and those of one word more, because the last
// triple may reach beyond.
static int patch_words(const Convolution* c) {
  return 2 * ((convolution_depth(c) + kPlaced - 1) / kPlaced * kPlaced) + 2;
}

// Offsets are written from the first word to the last, four words for two of a pair of pixels:
// so far behind them they do not overtake the words that they are made of.
static inline uint32_t* gathered_patches(uint32_t* patches, size_t words) {
  return patches + words + words / 2;
}

static inline const uint32_t* patch_of(const uint32_t* patches, size_t words, int pixel) {
  return patches + (size_t)(pixel / 2 * 2) * words;
}

// Where the tables of eight words' nibbles begin, counted in bytes; of words that are not there
// the first one.
static inline void place_eight(const uint32_t* first, const uint32_t* second, int words,
                               uint32_t* offsets) {
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
  _mm256_storeu_si256(to, _mm256_permute2x128_si256(a, b, 0x20));
  _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(c, d, 0x20));
  _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(a, b, 0x31));
  _mm256_storeu_si256(to + 3, _mm256_permute2x128_si256(c, d, 0x31));
}

static void encode_patches(const Convolution* c, uint32_t* patches, int pixels) {
  const int depth = convolution_depth(c), words = c->patch_words;
  for (int p = 0; p < pixels; p += 2, patches += 2 * (size_t)words) {
    const uint32_t* first = gathered_patches(patches, (size_t)words);
    const uint32_t* second = p + 1 < pixels ? first + words : first;
    int k = 0;
    for (; k < depth; k += kPlaced) {
      place_eight(first + k, second + k, depth - k, patches + 4 * k);
    }
    _mm_storeu_si128((__m128i*)(patches + 4 * k), _mm_setzero_si128());
  }
}

// 16-bit sums of two pixels in a group's even and odd channels.
typedef struct {
  NibbleShorts first_even, first_odd, second_even, second_odd;
} Sums;

// A chunk's sums x and shifted sums, of two pixels in a group.
typedef struct {
  NibbleBytes plain, shifted;
} ByteSums;

// The counts in them, as the head of this file explains.
static inline Sums counts_in(ByteSums bytes) {
  const NibbleShorts plain = (NibbleShorts)bytes.plain, shifted = (NibbleShorts)bytes.shifted;
  Sums s;
  s.second_odd = shifted >> 8;
  s.first_odd = (NibbleShorts)(bytes.plain - (NibbleBytes)(s.second_odd << 12)) >> 8;
  s.second_even = (shifted - (s.first_odd << 4)) & 0xff;
  s.first_even = (plain - (s.second_even << 4)) & 0xff;
  return s;
}

static inline Sums add_sums(Sums a, Sums b) {
  return (Sums){
      .first_even = a.first_even + b.first_even,
      .first_odd = a.first_odd + b.first_odd,
      .second_even = a.second_even + b.second_even,
      .second_odd = a.second_odd + b.second_odd,
  };
}

// Adds up so many triples of lookups, the first of which is that of `rows` and `weights`.
static inline __attribute__((always_inline)) void sum_chunk(const uint16_t* const* rows,
                                                            const int pairs, int triples,
                                                            const uint8_t* weights,
                                                            const int groups,
                                                            ByteSums sums[][kTileGroups]) {
  for (int k = 0; k < triples * kTriple; k += kTriple) {
    NibbleBytes triple[kTilePairs][kTileGroups];
#pragma GCC unroll 3
    for (int i = 0; i < kTriple; ++i, weights += groups * kGroupChannels) {
#pragma GCC unroll 3
      for (int p = 0; p < pairs; ++p) {
        const NibbleBytes table = table_at((const char*)kDiffering + rows[p][k + i]);
#pragma GCC unroll 2
        for (int g = 0; g < groups; ++g) {
          const NibbleBytes found = look_up(table, ((const NibbleBytes*)weights)[g]);
          if (i == 0) {
            triple[p][g] = found;
          } else {
            triple[p][g] += found;
          }
        }
      }
    }
#pragma GCC unroll 3
    for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g) {
        sums[p][g].plain += triple[p][g];
        sums[p][g].shifted += (NibbleBytes)((NibbleShorts)triple[p][g] >> 4);
      }
    }
  }
}

#ifdef BCD_OWN_CHUNKS
#include BCD_OWN_CHUNKS
#else
static inline __attribute__((always_inline)) void sum_whole_chunk(
    const uint16_t* const* rows, int triples, const uint8_t* weights,
    ByteSums sums[][kTileGroups]) {
  sum_chunk(rows, kTilePairs, triples, weights, kTileGroups, sums);
}
#endif

static inline __attribute__((always_inline)) void count_bytes(const uint16_t* const* rows,
                                                              const int pairs, int triples,
                                                              const uint8_t* weights,
                                                              const int groups,
                                                              ByteSums sums[][kTileGroups]) {
#pragma GCC unroll 3
  for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) {
      sums[p][g].plain = sums[p][g].shifted = (NibbleBytes){0};
    }
  }
  if (pairs == kTilePairs && groups == kTileGroups) {
    sum_whole_chunk(rows, triples, weights, sums);
  } else {
    sum_chunk(rows, pairs, triples, weights, groups, sums);
  }
}

static inline void widen_sums(Sums sums, bool is_first, int pair, int group, int32_t* counts) {
  counts += 2 * pair * kTileChannels + group * kGroupChannels;
  widen(sums.first_even, sums.first_odd, is_first, counts);
  widen(sums.second_even, sums.second_odd, is_first, counts + kTileChannels);
}

static inline __attribute__((always_inline)) void count_chunk(const uint16_t* const* rows,
                                                              const int pairs, int triples,
                                                              const uint8_t* weights,
                                                              const int groups,
                                                              int32_t* counts) {
  ByteSums bytes[kTilePairs][kTileGroups];
  count_bytes(rows, pairs, triples, weights, groups, bytes);
#pragma GCC unroll 3
  for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) widen_sums(counts_in(bytes[p][g]), true, p, g, counts);
  }
}

static inline __attribute__((always_inline)) void count_chunks(const uint16_t** rows,
                                                               const int pairs, int triples,
                                                               const uint8_t* weights,
                                                               const int groups,
                                                               int32_t* counts) {
  for (int begin = 0; begin < triples; begin += kTriplesPerShortSum) {
    const int left = triples - begin;
    const int end = begin + (left < kTriplesPerShortSum ? left : kTriplesPerShortSum);
    Sums sums[kTilePairs][kTileGroups];
    memset(sums, 0, sizeof(sums));
    for (int done = begin; done < end; done += kTriplesPerByteSum) {
      const int now = end - done < kTriplesPerByteSum ? end - done : kTriplesPerByteSum;
      ByteSums bytes[kTilePairs][kTileGroups];
      count_bytes(rows, pairs, now, weights, groups, bytes);
      weights += now * kTriple * groups * kGroupChannels;
#pragma GCC unroll 3
      for (int p = 0; p < pairs; ++p) {
        rows[p] += now * kTriple;
#pragma GCC unroll 2
        for (int g = 0; g < groups; ++g) {
          sums[p][g] = add_sums(sums[p][g], counts_in(bytes[p][g]));
        }
      }
    }
    for (int p = 0; p < pairs; ++p) {
      for (int g = 0; g < groups; ++g) widen_sums(sums[p][g], begin == 0, p, g, counts);
    }
  }
}

// Counts for a tile of so many pairs of pixels, which patches are of, and groups of channels.
// The last one of an odd number of pixels is its own partner.
static inline __attribute__((always_inline)) void count_pairs(const PanelPixel* panel,
                                                              const int pairs, int depth,
                                                              const uint32_t* weights,
                                                              const int groups,
                                                              int32_t* counts) {
  const uint16_t* offsets[kTilePairs];
#pragma GCC unroll 3
  for (int p = 0; p < pairs; ++p) offsets[p] = (const uint16_t*)panel[2 * p].row;
  const int triples = triples_of(depth);
  if (triples <= kTriplesPerByteSum) {
    count_chunk(offsets, pairs, triples, (const uint8_t*)weights, groups, counts);
  } else {
    count_chunks(offsets, pairs, triples, (const uint8_t*)weights, groups, counts);
  }
}

#endif  // BCD_NIBBLES_H_
