// Sums of pixels and FULLY_CONNECTED as all optimized kernels share them, compiled into each:
// after rows.h, and with
//   fused_lanes(a, b, c)   a * b + c, rounded once
// besides what that needs. The orders of summation are those of reference.c: lanes lie along
// channels, and never along what is summed up.
#ifndef BCD_VECTORS_H_
#define BCD_VECTORS_H_

#include "kernels/kernels.h"

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

static void sum(const float* in, size_t pixels, int channels, int first, int last, float* out) {
  const size_t stride = (size_t)channels;
  int c = first;
  for (; c + kTileChannels <= last; c += kTileChannels) {
    sum_blocks(in + c, pixels, stride, kTileBlocks, out + c);
  }
  for (; c + 2 * kLanes <= last; c += 2 * kLanes)
    sum_blocks(in + c, pixels, stride, 2, out + c);
  for (; c + kLanes <= last; c += kLanes) sum_blocks(in + c, pixels, stride, 1, out + c);
  if (c < last) sum_few(in + c, pixels, stride, last - c, out + c);
}

// Weights are fetched so many rows of a tile ahead.
enum { kRowsAhead = 8 };

// The outputs of a tile for one row.
static inline __attribute__((always_inline)) void connect_tile(const FullyConnected* layer,
                                                               const float* x, int first,
                                                               const int blocks, float* out) {
  const float* weights = layer->packed + (size_t)first * (size_t)layer->inputs;
  Lanes sums[kTileBlocks];
#pragma GCC unroll 4
  for (int b = 0; b < blocks; ++b) sums[b] = load_lanes(layer->bias + first + b * kLanes);
  for (int k = 0; k < layer->inputs; ++k, weights += blocks * kLanes) {
    const Lanes same = same_lanes(x[k]);
#pragma GCC unroll 4
    for (int b = 0; b < blocks; ++b) {
      __builtin_prefetch(weights + (kRowsAhead * blocks + b) * kLanes);
      sums[b] = fused_lanes(same, load_lanes(weights + b * kLanes), sums[b]);
    }
  }
#pragma GCC unroll 4
  for (int b = 0; b < blocks; ++b) store_lanes(out + b * kLanes, sums[b]);
}

#define BCD_TILE(blocks)                       \
  case blocks:                                 \
    connect_tile(layer, x, first, blocks, to); \
    break;

static void connect(const FullyConnected* layer, const float* in, size_t rows, int first,
                    int last, float* out) {
  for (; first < last; first += kTileChannels) {
    const int left = last - first, count = left < kTileChannels ? left : kTileChannels;
    for (size_t r = 0; r < rows; ++r) {
      const float* x = in + r * (size_t)layer->inputs;
      float values[kTileChannels];
      float* row = out + r * (size_t)layer->outputs + first;
      float* to = count % kLanes == 0 ? row : values;
      switch ((count + kLanes - 1) / kLanes) {
        BCD_TILE(1)
        BCD_TILE(2)
        BCD_TILE(3)
        BCD_TILE(4)
      }
      if (to == values) memcpy(row, values, (size_t)count * sizeof(float));
    }
  }
}

#undef BCD_TILE

#endif  // BCD_VECTORS_H_
