// x86-64 with AVX-512 F, BW, VL and VPOPCNTDQ (Ice Lake, Zen 4 and later).
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu.h"
#include "pragma_target.h"

#if defined(__clang__)
TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq,prfchw")
#else  // GCC would vectorise the stores of the results with half of every register.
TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vpopcntdq,prfchw,prefer-vector-width=512")
#endif

#include "kernels.h"

// A tile is counted in pairs of blocks, whose weights lie together.
enum { kTilePixels = 6, kPairBlocks = 2, kPairChannels = kPairBlocks * kLanes };

// Words are taken in pairs, as by a carry-save adder: with x0 and x1 the differences of two
// words, and `ones` the lowest bits of a count for each bit of a word,
//
//   carry = majority(ones, x0, x1), which counts 2
//   ones  = ones ^ x0 ^ x1
//
// Filters and patches hold the second word of a pair as its difference from the first, so that
// x0 ^ x1 is the difference of the two that lie there:
//
//   x0 = a0 ^ w0,  next = ones ^ a01 ^ w01,  carry = ones == next ? x0 : ones
//
// With popcount and addition these are five operations on 1024 bits, and word by word they are
// six. The ones begin with the first word of an odd depth.
enum { kSelect = 0xd4, kParity = 0x96 };

// The ones where pairs begin.
static inline __attribute__((always_inline)) __m512i first_ones(const uint32_t* row, int depth,
                                                                const uint32_t* weights) {
  if (depth % 2 == 0) return _mm512_setzero_si512();
  return _mm512_xor_si512(_mm512_set1_epi32((int)row[0]), _mm512_loadu_si512(weights));
}

// Six pixels of two blocks. zmm0 to zmm11 are the sums, zmm12 to zmm23 the ones, zmm24 to zmm27
// the weights, and zmm28 to zmm31 what two steps need side by side: compilers run out of
// registers and spill. Two steps keep the ports busier than one after the other: 2.6 cycles for
// a pair and not 3, on Zen 4, where 2.5 are the limit.
#define BCD_PIXEL(row, sum0, ones0, sum1, ones1)           \
  "vpbroadcastd (" row                                     \
  "), %%zmm28\n\t"                                         \
  "vpxord %%zmm24, %%zmm28, %%zmm30\n\t"                   \
  "vpxord %%zmm25, %%zmm28, %%zmm28\n\t"                   \
  "vmovdqa64 " ones0                                       \
  ", %%zmm31\n\t"                                          \
  "vmovdqa64 " ones1                                       \
  ", %%zmm29\n\t"                                          \
  "vpternlogd $0x96, 4(" row ")%{1to16%}, %%zmm26, " ones0 \
  "\n\t"                                                   \
  "vpternlogd $0x96, 4(" row ")%{1to16%}, %%zmm27, " ones1 \
  "\n\t"                                                   \
  "vpternlogd $0xd4, " ones0                               \
  ", %%zmm31, %%zmm30\n\t"                                 \
  "vpternlogd $0xd4, " ones1                               \
  ", %%zmm29, %%zmm28\n\t"                                 \
  "vpopcntd %%zmm30, %%zmm30\n\t"                          \
  "vpopcntd %%zmm28, %%zmm28\n\t"                          \
  "vpaddd %%zmm30, " sum0 ", " sum0                        \
  "\n\t"                                                   \
  "vpaddd %%zmm28, " sum1 ", " sum1 "\n\t"
#define BCD_CLEAR(sum, ones)      \
  "vpxord " sum ", " sum ", " sum \
  "\n\t"                          \
  "vpxord " ones ", " ones ", " ones "\n\t"
#define BCD_LOAD(ones, at) "vmovdqa32 " at "(%[first]), " ones "\n\t"
// Twice the sum and the ones that are left over.
#define BCD_STORE(sum, ones, at)   \
  "vpopcntd " ones ", " ones       \
  "\n\t"                           \
  "vpaddd " sum ", " sum ", " sum  \
  "\n\t"                           \
  "vpaddd " ones ", " sum ", " sum \
  "\n\t"                           \
  "vmovdqa32 " sum ", " at "(%[counts])\n\t"

static void count_whole_pair(const uint32_t* const* rows, int depth, const uint32_t* weights,
                             int32_t* counts) {
  const int odd = depth % 2;
  _Alignas(64) int32_t first[kTilePixels * kPairChannels];
  if (odd) {
    for (int p = 0; p < kTilePixels; ++p) {
      for (int b = 0; b < kPairBlocks; ++b) {
        _mm512_store_si512(first + (p * kPairBlocks + b) * kLanes,
                           first_ones(rows[p], depth, weights + b * kLanes));
      }
    }
    weights += kPairChannels;
  }
  int64_t k = odd - depth;  // to the end of a row
  __asm__ volatile(
      BCD_CLEAR("%%zmm0", "%%zmm12") BCD_CLEAR("%%zmm1", "%%zmm13")
      BCD_CLEAR("%%zmm2", "%%zmm14") BCD_CLEAR("%%zmm3", "%%zmm15")
      BCD_CLEAR("%%zmm4", "%%zmm16") BCD_CLEAR("%%zmm5", "%%zmm17")
      BCD_CLEAR("%%zmm6", "%%zmm18") BCD_CLEAR("%%zmm7", "%%zmm19")
      BCD_CLEAR("%%zmm8", "%%zmm20") BCD_CLEAR("%%zmm9", "%%zmm21")
      BCD_CLEAR("%%zmm10", "%%zmm22") BCD_CLEAR("%%zmm11", "%%zmm23")
      "test %[odd], %[odd]\n\t"
      "jz 1f\n\t"
      BCD_LOAD("%%zmm12", "0") BCD_LOAD("%%zmm13", "64")
      BCD_LOAD("%%zmm14", "128") BCD_LOAD("%%zmm15", "192")
      BCD_LOAD("%%zmm16", "256") BCD_LOAD("%%zmm17", "320")
      BCD_LOAD("%%zmm18", "384") BCD_LOAD("%%zmm19", "448")
      BCD_LOAD("%%zmm20", "512") BCD_LOAD("%%zmm21", "576")
      BCD_LOAD("%%zmm22", "640") BCD_LOAD("%%zmm23", "704")
      "1:\n\t"
      "test %[k], %[k]\n\t"
      "jz 3f\n\t"
      ".p2align 5\n"
      "2:\n\t"
      "prefetcht0 2048(%[weights])\n\t"
      "prefetcht0 2112(%[weights])\n\t"
      "prefetcht0 2176(%[weights])\n\t"
      "prefetcht0 2240(%[weights])\n\t"
      "vmovdqu32 (%[weights]), %%zmm24\n\t"
      "vmovdqu32 64(%[weights]), %%zmm25\n\t"
      "vmovdqu32 128(%[weights]), %%zmm26\n\t"
      "vmovdqu32 192(%[weights]), %%zmm27\n\t"
      BCD_PIXEL("%[row0],%[k],4", "%%zmm0", "%%zmm12", "%%zmm1", "%%zmm13")
      BCD_PIXEL("%[row1],%[k],4", "%%zmm2", "%%zmm14", "%%zmm3", "%%zmm15")
      BCD_PIXEL("%[row2],%[k],4", "%%zmm4", "%%zmm16", "%%zmm5", "%%zmm17")
      BCD_PIXEL("%[row3],%[k],4", "%%zmm6", "%%zmm18", "%%zmm7", "%%zmm19")
      BCD_PIXEL("%[row4],%[k],4", "%%zmm8", "%%zmm20", "%%zmm9", "%%zmm21")
      BCD_PIXEL("%[row5],%[k],4", "%%zmm10", "%%zmm22", "%%zmm11", "%%zmm23")
      "add $256, %[weights]\n\t"
      "add $2, %[k]\n\t"
      "jnz 2b\n"
      "3:\n\t"
      BCD_STORE("%%zmm0", "%%zmm12", "0") BCD_STORE("%%zmm1", "%%zmm13", "64")
      BCD_STORE("%%zmm2", "%%zmm14", "256") BCD_STORE("%%zmm3", "%%zmm15", "320")
      BCD_STORE("%%zmm4", "%%zmm16", "512") BCD_STORE("%%zmm5", "%%zmm17", "576")
      BCD_STORE("%%zmm6", "%%zmm18", "768") BCD_STORE("%%zmm7", "%%zmm19", "832")
      BCD_STORE("%%zmm8", "%%zmm20", "1024") BCD_STORE("%%zmm9", "%%zmm21", "1088")
      BCD_STORE("%%zmm10", "%%zmm22", "1280") BCD_STORE("%%zmm11", "%%zmm23", "1344")
      : [k] "+r"(k), [weights] "+r"(weights)
      : [row0] "r"(rows[0] + depth), [row1] "r"(rows[1] + depth), [row2] "r"(rows[2] + depth),
        [row3] "r"(rows[3] + depth), [row4] "r"(rows[4] + depth), [row5] "r"(rows[5] + depth),
        [odd] "r"(odd), [first] "r"(first), [counts] "r"(counts)
      : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
        "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
        "xmm28", "xmm29", "xmm30", "xmm31");
}
_Static_assert(kTileChannels * sizeof(int32_t) == 256, "counts lie where BCD_STORE says");

#undef BCD_STORE
#undef BCD_LOAD
#undef BCD_CLEAR
#undef BCD_PIXEL

// Any part of that.
static inline __attribute__((always_inline)) void count_pair(const uint32_t* const* rows,
                                                             const int pixels, int depth,
                                                             const uint32_t* weights,
                                                             const int blocks,
                                                             int32_t* counts) {
  __m512i sums[kTilePixels][kPairBlocks], ones[kTilePixels][kPairBlocks];
#pragma GCC unroll 6
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      sums[p][b] = _mm512_setzero_si512();
      ones[p][b] = first_ones(rows[p], depth, weights + b * kLanes);
    }
  }
  int k = depth % 2;
  weights += k * blocks * kLanes;
  for (; k < depth; k += 2, weights += 2 * blocks * kLanes) {
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      const __m512i first = _mm512_loadu_si512(weights + b * kLanes);
      const __m512i both = _mm512_loadu_si512(weights + (blocks + b) * kLanes);
#pragma GCC unroll 6
      for (int p = 0; p < pixels; ++p) {
        const __m512i x0 = _mm512_xor_si512(_mm512_set1_epi32((int)rows[p][k]), first);
        const __m512i next = _mm512_ternarylogic_epi32(
            ones[p][b], _mm512_set1_epi32((int)rows[p][k + 1]), both, kParity);
        const __m512i carry = _mm512_ternarylogic_epi32(x0, ones[p][b], next, kSelect);
        sums[p][b] = _mm512_add_epi32(sums[p][b], _mm512_popcnt_epi32(carry));
        ones[p][b] = next;
      }
    }
  }
#pragma GCC unroll 6
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      const __m512i twice = _mm512_add_epi32(sums[p][b], sums[p][b]);
      _mm512_store_si512(counts + p * kTileChannels + b * kLanes,
                         _mm512_add_epi32(twice, _mm512_popcnt_epi32(ones[p][b])));
    }
  }
}

// With both sizes constant, the accumulators stay in registers.
#define BCD_TILE(pixels, blocks)                              \
  case (pixels)*4 + (blocks):                                 \
    count_pair(rows, pixels, depth, weights, blocks, counts); \
    break;

static void count_tile(const uint32_t* const* rows, int pixels, int depth,
                       const uint32_t* weights, int blocks, int32_t* counts) {
  for (; blocks > 0; blocks -= kPairBlocks) {
    switch (pixels * 4 + (blocks < kPairBlocks ? blocks : kPairBlocks)) {
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
      case kTilePixels * 4 + kPairBlocks:
        count_whole_pair(rows, depth, weights, counts);
        break;
    }
    weights += (size_t)depth * kPairChannels;
    counts += kPairChannels;
  }
}

#undef BCD_TILE

enum { kPackedChannels = kPairChannels };
#include "pack.h"

static void pack_pairs(const Convolution* c, uint32_t* packed) {
  const int depth = convolution_depth(c), padded = padded_channels(c);
  pack(c, packed);
  for (int group = 0; group < c->groups; ++group) {
    for (int from = 0; from < padded; from += kPackedChannels) {
      const int left = padded - from, width = left < kPackedChannels ? left : kPackedChannels;
      for (int k = depth % 2; k < depth; k += 2) {
        uint32_t* first = packed + (size_t)k * (size_t)width;
        for (int o = 0; o < width; ++o) first[width + o] ^= first[o];
      }
      packed += (size_t)depth * (size_t)width;
    }
  }
}

static inline void pair_words(uint32_t* words, size_t count) {
  if (count == 8) {  // what is left of 3x3 words after the first
    const __m256i x = _mm256_loadu_si256((const __m256i*)(const void*)words);
    const __m256i pairs = _mm256_xor_si256(x, _mm256_slli_epi64(x, kWordBits));
    _mm256_storeu_si256((__m256i*)(void*)words, pairs);
    return;
  }
  for (size_t k = 0; k < count; k += kLanes) {
    const __mmask16 valid = (__mmask16)(count - k >= kLanes ? 0xffff : (1 << (count - k)) - 1);
    const __m512i x = _mm512_maskz_loadu_epi32(valid, words + k);
    const __m512i pairs = _mm512_xor_si512(x, _mm512_slli_epi64(x, kWordBits));
    _mm512_mask_storeu_epi32(words + k, valid, pairs);
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

enum { kRowBlocks = 24 };
#define BCD_PREFETCHES
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
    .pairs_words = true,
    .pack = pack_pairs,
    .place = place_ungrouped,
    .run_strip = run_strip,
};

#endif  // defined(__x86_64__)
