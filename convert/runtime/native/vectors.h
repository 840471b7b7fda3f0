// MEAN and FULLY_CONNECTED as all optimised kernels share them, compiled into each: after
// rows.h, and with
//   fused_lanes(a, b, c)   a * b + c, rounded once
// besides what that needs. The orders of summation are those of reference.c: lanes lie along
// channels, and never along what is summed up.
#ifndef BCD_VECTORS_H_
#define BCD_VECTORS_H_

#include "kernels.h"

static inline __attribute__((always_inline)) void sum_blocks(const float* in, size_t pixels,
                                                             size_t stride, const int blocks,
                                                             float* out) {
  Lanes sums[kTileBlocks];
  for (int b = 0; b < blocks; ++b) sums[b] = zero_lanes();
  for (size_t p = 0; p < pixels; ++p, in += stride) {
#pragma GCC unroll 4
    for (int b = 0; b < blocks; ++b) sums[b] = add_lanes(sums[b], load_lanes(in + b * kLanes));
  }
  for (int b = 0; b < blocks; ++b) store_lanes(out + b * kLanes, sums[b]);
}

// Fewer than kLanes channels.
static void sum_few(const float* in, size_t pixels, size_t stride, int count, float* out) {
  float sums[kLanes] = {0};
  for (size_t p = 0; p < pixels; ++p, in += stride) {
    for (int c = 0; c < count; ++c) sums[c] += in[c];
  }
  memcpy(out, sums, (size_t)count * sizeof(float));
}

static void mean(const float* in, size_t pixels, int channels, int first, int last,
                 float* out) {
  const size_t stride = (size_t)channels;
  const float count = (float)pixels;
  int c = first;
  for (; c + kTileChannels <= last; c += kTileChannels) {
    sum_blocks(in + c, pixels, stride, kTileBlocks, out + c);
  }
  for (; c + 2 * kLanes <= last; c += 2 * kLanes)
    sum_blocks(in + c, pixels, stride, 2, out + c);
  for (; c + kLanes <= last; c += kLanes) sum_blocks(in + c, pixels, stride, 1, out + c);
  if (c < last) sum_few(in + c, pixels, stride, last - c, out + c);
  for (c = first; c < last; ++c) out[c] /= count;
}

// The outputs of some blocks for one row.
static inline __attribute__((always_inline)) void connect_blocks(const FullyConnected* layer,
                                                                 const float* x,
                                                                 const float* bias,
                                                                 const float* weights,
                                                                 const int blocks, float* out) {
  const size_t block = (size_t)layer->inputs * kLanes;
  Lanes sums[kTileBlocks];
#pragma GCC unroll 4
  for (int b = 0; b < blocks; ++b) sums[b] = load_lanes(bias + b * kLanes);
  for (int k = 0; k < layer->inputs; ++k, weights += kLanes) {
    const Lanes same = same_lanes(x[k]);
#pragma GCC unroll 4
    for (int b = 0; b < blocks; ++b) {
      sums[b] = fused_lanes(same, load_lanes(weights + (size_t)b * block), sums[b]);
    }
  }
#pragma GCC unroll 4
  for (int b = 0; b < blocks; ++b) store_lanes(out + b * kLanes, sums[b]);
}

static void connect(const FullyConnected* layer, const float* in, size_t rows, int first,
                    int last, float* out) {
  int o = first;
  while (o < last) {
    const int left = last - o;
    const float* bias = layer->bias + o;
    const float* weights = layer->packed + (size_t)o * (size_t)layer->inputs;
    const bool is_wide = left >= kTileChannels;
    for (size_t r = 0; r < rows; ++r) {
      const float* x = in + r * (size_t)layer->inputs;
      float* to = out + r * (size_t)layer->outputs + o;
      if (is_wide) {
        connect_blocks(layer, x, bias, weights, kTileBlocks, to);
      } else if (left >= kLanes) {
        connect_blocks(layer, x, bias, weights, 1, to);
      } else {
        float values[kLanes];
        connect_blocks(layer, x, bias, weights, 1, values);
        memcpy(to, values, (size_t)left * sizeof(float));
      }
    }
    o += is_wide ? kTileChannels : kLanes;
  }
}

#endif  // BCD_VECTORS_H_
