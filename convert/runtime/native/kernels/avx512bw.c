// x86-64 with AVX-512 F, BW and VL, but without VPOPCNTDQ (Skylake-X and Cascade Lake).
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/cpu.h"
#include "kernels/pragma_target.h"

#if defined(__clang__)
TARGET_BEGIN("avx512f,avx512bw,avx512vl,prfchw")
#else  // GCC would vectorise the stores of the results with half of every register.
TARGET_BEGIN("avx512f,avx512bw,avx512vl,prfchw,prefer-vector-width=512")
#endif

#include "kernels/kernels.h"

enum { kTilePixels = 6, kGroupChannels = 64 };

typedef uint8_t NibbleBytes __attribute__((vector_size(kGroupChannels), may_alias));
typedef uint16_t NibbleShorts __attribute__((vector_size(kGroupChannels), may_alias));

static inline NibbleBytes table_at(const void* address) {
  return (NibbleBytes)_mm512_broadcast_i32x4(*(const __m128i*)address);
}

static inline NibbleBytes look_up(NibbleBytes table, NibbleBytes nibbles) {
  return (NibbleBytes)_mm512_shuffle_epi8((__m512i)table, (__m512i)nibbles);
}

// Sixteen 16-bit sums become counts.
static inline void widen_half(__m256i sums, bool is_first, int32_t* counts) {
  const __m512i wide = _mm512_cvtepu16_epi32(sums);
  _mm512_store_si512(counts,
                     is_first ? wide : _mm512_add_epi32(_mm512_load_si512(counts), wide));
}

static inline void widen(NibbleShorts even, NibbleShorts odd, bool is_first, int32_t* counts) {
  const __m512i low = _mm512_unpacklo_epi16((__m512i)even, (__m512i)odd);
  const __m512i high = _mm512_unpackhi_epi16((__m512i)even, (__m512i)odd);
  // Of each 128 bits the low sums come before the high ones.
  const __m512i front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const __m512i first = _mm512_permutex2var_epi64(low, front, high);
  const __m512i second = _mm512_permutex2var_epi64(low, back, high);
  widen_half(_mm512_castsi512_si256(first), is_first, counts);
  widen_half(_mm512_extracti64x4_epi64(first, 1), is_first, counts + kLanes);
  widen_half(_mm512_castsi512_si256(second), is_first, counts + 2 * kLanes);
  widen_half(_mm512_extracti64x4_epi64(second, 1), is_first, counts + 3 * kLanes);
}

#include "kernels/nibbles.h"

static void count_tile(const PanelPixel* panel, int pixels, int depth, const uint32_t* weights,
                       int blocks, int32_t* counts) {
  (void)blocks;
  if (pixels > 4) {
    count_pairs(panel, 3, depth, weights, 1, counts);
  } else if (pixels > 2) {
    count_pairs(panel, 2, depth, weights, 1, counts);
  } else {
    count_pairs(panel, 1, depth, weights, 1, counts);
  }
}

#include "kernels/avx512.h"

TARGET_END

const Kernels avx512bw_kernels = BCD_TILED_KERNELS("avx512bw", cpu_has_avx512_bytes);

#endif  // defined(__x86_64__)
