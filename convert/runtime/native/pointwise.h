// Elementwise operators on tiles of floats, compiled into every optimised set of kernels. Plain
// loops: the compiler vectorises them for the instruction set of the including file, and
// without contraction (-ffp-contract=off) every one of them rounds as the operator alone would.
#ifndef BCD_POINTWISE_H_
#define BCD_POINTWISE_H_

#include "kernels.h"

static inline float bound(float value, const Bounds* bounds) {
  value = value < bounds->low ? bounds->low : value;
  return value > bounds->high ? bounds->high : value;
}

static void bound_tile(const Bounds* bounds, int pixels, int channels, float* out,
                       size_t stride) {
  for (int p = 0; p < pixels; ++p, out += stride) {
    for (int c = 0; c < channels; ++c) out[c] = bound(out[c], bounds);
  }
}

static void add(Operand a, Operand b, const Bounds* bounds, int pixels, int channels,
                float* out, size_t stride) {
  for (int p = 0; p < pixels; ++p) {
    const float* restrict x = a.data + (size_t)p * a.stride;
    const float* restrict y = b.data + (size_t)p * b.stride;
    float* restrict to = out + (size_t)p * stride;
    for (int c = 0; c < channels; ++c) to[c] = x[c] + y[c];
  }
  if (bounds != NULL) bound_tile(bounds, pixels, channels, out, stride);
}

static void multiply(Operand a, Operand b, const Bounds* bounds, int pixels, int channels,
                     float* out, size_t stride) {
  for (int p = 0; p < pixels; ++p) {
    const float* restrict x = a.data + (size_t)p * a.stride;
    const float* restrict y = b.data + (size_t)p * b.stride;
    float* restrict to = out + (size_t)p * stride;
    for (int c = 0; c < channels; ++c) to[c] = x[c] * y[c];
  }
  if (bounds != NULL) bound_tile(bounds, pixels, channels, out, stride);
}

enum { kSumChannels = 256 };

static void quantize(Operand a, Operand b, int pixels, int channels, uint32_t* out,
                     size_t stride) {
  for (int p = 0; p < pixels; ++p) {
    const float* x = a.data + (size_t)p * a.stride;
    uint32_t* to = out + (size_t)p * stride;
    if (b.data == NULL) {
      quantize_float(x, 1, channels, to);
      continue;
    }
    const float* y = b.data + (size_t)p * b.stride;
    for (int from = 0; from < channels; from += kSumChannels) {
      const int count = channels - from < kSumChannels ? channels - from : kSumChannels;
      float sums[kSumChannels];
      for (int c = 0; c < count; ++c) sums[c] = x[from + c] + y[from + c];
      quantize_float(sums, 1, count, to + from / kWordBits);
    }
  }
}

// With the presence of each operand constant, the loop holds no test.
static inline __attribute__((always_inline)) void activate_with(
    const bool has_shortcut, const bool has_shift, const bool has_rise, Operand a,
    Operand shortcut, Operand shift, Operand slopes, Operand rise, int pixels, int channels,
    float* out, size_t stride) {
  for (int p = 0; p < pixels; ++p) {
    const float* restrict x = a.data + (size_t)p * a.stride;
    const float* restrict r = has_shortcut ? shortcut.data + (size_t)p * shortcut.stride : NULL;
    const float* restrict b1 = has_shift ? shift.data + (size_t)p * shift.stride : NULL;
    const float* restrict s = slopes.data + (size_t)p * slopes.stride;
    const float* restrict b2 = has_rise ? rise.data + (size_t)p * rise.stride : NULL;
    float* restrict to = out + (size_t)p * stride;
    for (int c = 0; c < channels; ++c) {
      float y = x[c];
      if (has_shortcut) y += r[c];
      if (has_shift) y += b1[c];
      const float scaled = y * s[c];
      y = y < 0.0f ? scaled : y;
      if (has_rise) y += b2[c];
      to[c] = y;
    }
  }
}

#define BCD_ACTIVATE(index, has_shortcut, has_shift, has_rise)                                 \
  case index:                                                                                  \
    activate_with(has_shortcut, has_shift, has_rise, a, shortcut, shift, slopes, rise, pixels, \
                  channels, out, stride);                                                      \
    break;

static void activate(Operand a, Operand shortcut, Operand shift, Operand slopes, Operand rise,
                     int pixels, int channels, float* out, size_t stride) {
  switch ((shortcut.data != NULL) * 4 + (shift.data != NULL) * 2 + (rise.data != NULL)) {
    BCD_ACTIVATE(0, false, false, false)
    BCD_ACTIVATE(1, false, false, true)
    BCD_ACTIVATE(2, false, true, false)
    BCD_ACTIVATE(3, false, true, true)
    BCD_ACTIVATE(4, true, false, false)
    BCD_ACTIVATE(5, true, false, true)
    BCD_ACTIVATE(6, true, true, false)
    BCD_ACTIVATE(7, true, true, true)
  }
}

#undef BCD_ACTIVATE

#endif  // BCD_POINTWISE_H_
