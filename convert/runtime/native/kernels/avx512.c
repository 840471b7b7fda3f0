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
static inline __attribute__((always_inline)) void count_side(const PanelPixel* panel,
                                                             const int pixels, int pairs,
                                                             const uint32_t* weights,
                                                             const int blocks,
                                                             int32_t* counts) {
  enum { kChoose = 0xac };  // the first operand's bit ? the third's : the second's
  const uint32_t* ends[kTilePixels];
  __m512i sums[kTilePixels][kTileSide];
#pragma GCC unroll 6
  for (int p = 0; p < pixels; ++p) {
    ends[p] = panel[p].row + 2 * (ptrdiff_t)pairs;
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
#define BCD_TILE(pixels, blocks)                               \
  case (pixels)*4 + (blocks):                                  \
    count_side(panel, pixels, pairs, weights, blocks, counts); \
    break;

static void count_tile(const PanelPixel* panel, int pixels, int depth, const uint32_t* weights,
                       int blocks, int32_t* counts) {
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

static inline uint32_t* gathered_patches(uint32_t* patches, size_t words) {
  (void)words;
  return patches;
}

static inline const uint32_t* patch_of(const uint32_t* patches, size_t words, int pixel) {
  return patches + (size_t)pixel * words;
}

static void encode_patches(const Convolution* c, uint32_t* patches, int pixels) {
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

#include "kernels/avx512.h"

TARGET_END

const Kernels avx512_kernels = BCD_TILED_KERNELS("avx512", cpu_has_avx512_popcount);

#endif  // defined(__x86_64__)
