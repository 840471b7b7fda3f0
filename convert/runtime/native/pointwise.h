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

static void prelu(Operand a, Operand slopes, int pixels, int channels, float* out,
                  size_t stride) {
  for (int p = 0; p < pixels; ++p) {
    const float* restrict x = a.data + (size_t)p * a.stride;
    const float* restrict slope = slopes.data + (size_t)p * slopes.stride;
    float* restrict to = out + (size_t)p * stride;
    for (int c = 0; c < channels; ++c) {
      const float scaled = x[c] * slope[c];
      to[c] = x[c] < 0.0f ? scaled : x[c];
    }
  }
}

static void quantize(Operand a, int pixels, int channels, uint32_t* out, size_t stride) {
  for (int p = 0; p < pixels; ++p) {
    quantize_float(a.data + (size_t)p * a.stride, 1, channels, out + (size_t)p * stride);
  }
}

#endif  // BCD_POINTWISE_H_
