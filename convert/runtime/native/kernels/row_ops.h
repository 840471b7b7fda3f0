// What the instructions of fused programs do with rows, for all machines: kernels.h has the
// table of them, and rows.h, or a machine's own way of executing programs, calls these
// functions from it. Rows are those of a few pixels, `blocks` blocks of kLanes channels in
// each: rows[p * blocks + b]. Of the last channels of a strip there may be fewer than a block,
// `count`; otherwise that is kLanes.
//
// With pixels, blocks and count constant, all of it is straight code on registers.
#ifndef BCD_ROW_OPS_H_
#define BCD_ROW_OPS_H_

#include "kernels/kernels.h"

#define BCD_INLINE static inline __attribute__((always_inline))
#define BCD_FOR_PIXELS _Pragma("GCC unroll 6") for (int p = 0; p < pixels; ++p)
#define BCD_FOR_BLOCKS _Pragma("GCC unroll 4") for (int b = 0; b < blocks; ++b)

// The counts of a tile, or in the rows of some pixels, as those at a border, the floats that
// they come to.
typedef struct {
  union {
    _Alignas(64) int32_t counts[kMaxTilePixels * kTileChannels];
    float floats[kMaxTilePixels * kTileChannels];
  };
  bool is_float[kMaxTilePixels];
  bool has_floats;  // in any pixel
  // The same for all tiles of a strip.
  int depth;
  const uint32_t* weights;
  const float *multiplier, *bias;
} Counted;

// Which rows: the first pixel in the panel and in the tile, and the first channel in the strip.
typedef struct {
  int64_t pixel, tiled, channel;
  int count;
} Place;

BCD_INLINE Lanes apply(const Arithmetic arithmetic, Lanes row, Lanes x) {
  switch (arithmetic) {
    case kSet:
      return x;
    case kAdd:
      return add_lanes(row, x);
    case kSubtract:
      return subtract_lanes(row, x);
    case kMultiply:
      return multiply_lanes(row, x);
    case kPrelu:
      break;
  }
  return prelu_lanes(row, x);
}

// ---- Memory ----

BCD_INLINE Lanes load_some(const float* from, const int count) {
  if (count == kLanes) return load_lanes(from);
  float padded[kLanes] = {0};
  memcpy(padded, from, (size_t)count * sizeof(float));
  return load_lanes(padded);
}

BCD_INLINE void store_some(float* to, Lanes x, const int count) {
  if (count == kLanes) {
    store_lanes(to, x);
    return;
  }
  float padded[kLanes];
  store_lanes(padded, x);
  memcpy(to, padded, (size_t)count * sizeof(float));
}

BCD_INLINE float* row_of_all(const RowOp* op, const Place* at) {
  return (float*)(void*)op->data + at->channel;
}

BCD_INLINE float* row_in_tile(const RowOp* op, const Place* at) {
  return (float*)(void*)op->data + (size_t)at->tiled * op->stride + at->channel;
}

BCD_INLINE float* row_in_panel(const RowOp* op, const Place* at) {
  return (float*)(void*)op->data + (size_t)at->pixel * op->stride + at->channel;
}

BCD_INLINE float* row_at(const RowOp* op, const Place* at) {
  return op->is_in_tile ? row_in_tile(op, at) : row_in_panel(op, at);
}

// ---- Operands ----

// The same one for all pixels.
BCD_INLINE void take_same(const float* from, Lanes* rows, const int pixels, const int blocks,
                          const int count, const Arithmetic arithmetic) {
  BCD_FOR_BLOCKS {
    const Lanes x = load_some(from + b * kLanes, count);
    BCD_FOR_PIXELS rows[p * blocks + b] = apply(arithmetic, rows[p * blocks + b], x);
  }
}

BCD_INLINE void take_each(const float* from, size_t stride, Lanes* rows, const int pixels,
                          const int blocks, const int count, const Arithmetic arithmetic) {
  BCD_FOR_PIXELS {
    BCD_FOR_BLOCKS {
      const Lanes x = load_some(from + b * kLanes, count);
      rows[p * blocks + b] = apply(arithmetic, rows[p * blocks + b], x);
    }
    from += stride;
  }
}

BCD_INLINE void take_row(const RowOp* op, const Place* at, const Counted* counted, Lanes* rows,
                         const int pixels, const int blocks, const Arithmetic arithmetic) {
  (void)counted;
  if (pixels > 1 && op->stride == 0) {
    take_same(row_of_all(op, at), rows, pixels, blocks, at->count, arithmetic);
  } else {
    take_each(row_at(op, at), op->stride, rows, pixels, blocks, at->count, arithmetic);
  }
}

BCD_INLINE void take_repeated(const RowOp* op, const Place* at, const Counted* counted,
                              Lanes* rows, const int pixels, const int blocks,
                              const Arithmetic arithmetic) {
  (void)counted;
  const float* from = (float*)(void*)op->data + (size_t)at->pixel * op->stride;
  int64_t first = op->offset;
  if (at->channel != 0) first = (first + at->channel) % op->period;
  BCD_FOR_PIXELS {
    int64_t channel = first;
    BCD_FOR_BLOCKS {
      const Lanes x = load_lanes(from + channel);
      rows[p * blocks + b] = apply(arithmetic, rows[p * blocks + b], x);
      channel = channel + kLanes == op->period ? 0 : channel + kLanes;
    }
    from += op->stride;
  }
}

BCD_INLINE Lanes scaled_counts(const Counted* counted, size_t row, int64_t channel,
                               Lanes multiplier, Lanes bias) {
  const Lanes counts = lanes_of_counts(counted->counts + row + (size_t)channel);
  return add_lanes(multiply_lanes(counts, multiplier), bias);
}

// Of a few pixels those alone count, of more the tile.
BCD_INLINE bool have_floats(const Counted* counted, int64_t tiled, const int pixels) {
  if (pixels > 2) return counted->has_floats;
  bool have = false;
  BCD_FOR_PIXELS have |= counted->is_float[tiled + p];
  return have;
}

BCD_INLINE void take_counts(const RowOp* op, const Place* at, const Counted* counted,
                            Lanes* rows, const int pixels, const int blocks,
                            const Arithmetic arithmetic) {
  (void)op;
  const bool some = have_floats(counted, at->tiled, pixels);
  if (!some) {
    BCD_FOR_BLOCKS {
      const int64_t channel = at->channel + b * kLanes;
      const Lanes multiplier = load_lanes(counted->multiplier + channel);
      const Lanes bias = load_lanes(counted->bias + channel);
      BCD_FOR_PIXELS {
        const Lanes x = scaled_counts(counted, (size_t)(at->tiled + p) * kTileChannels, channel,
                                      multiplier, bias);
        rows[p * blocks + b] = apply(arithmetic, rows[p * blocks + b], x);
      }
    }
    return;
  }
  BCD_FOR_PIXELS {
    const size_t row = (size_t)(at->tiled + p) * kTileChannels;
    const bool is_float = counted->is_float[at->tiled + p];
    BCD_FOR_BLOCKS {
      const int64_t channel = at->channel + b * kLanes;
      const Lanes x = is_float ? load_lanes(counted->floats + row + (size_t)channel)
                               : scaled_counts(counted, row, channel,
                                               load_lanes(counted->multiplier + channel),
                                               load_lanes(counted->bias + channel));
      rows[p * blocks + b] = apply(arithmetic, rows[p * blocks + b], x);
    }
  }
}

// XNNPACK's order of summation.
BCD_INLINE void take_pool(const RowOp* op, const Place* at, const Counted* counted, Lanes* rows,
                          const int pixels, const int blocks, const Arithmetic arithmetic) {
  (void)counted;
  BCD_FOR_PIXELS {
    const float* from = (float*)(void*)op->data + op->indices[at->pixel + p] + at->channel;
    BCD_FOR_BLOCKS {
      const float *here = from + b * kLanes, *next = here + op->right;
      const Lanes left =
          add_lanes(load_some(here, at->count), load_some(here + op->below, at->count));
      const Lanes right =
          add_lanes(load_some(next, at->count), load_some(next + op->below, at->count));
      const Lanes x = multiply_lanes(add_lanes(left, right), same_lanes(0.25f));
      rows[p * blocks + b] = apply(arithmetic, rows[p * blocks + b], x);
    }
  }
}

// ---- Results ----

BCD_INLINE void bound_row(const RowOp* op, const Place* at, const Counted* counted, Lanes* rows,
                          const int pixels, const int blocks, const Arithmetic none) {
  (void)at, (void)counted, (void)none;
  const Lanes low = same_lanes(op->bounds.low), high = same_lanes(op->bounds.high);
  BCD_FOR_PIXELS {
    BCD_FOR_BLOCKS rows[p * blocks + b] = bound_lanes(rows[p * blocks + b], low, high);
  }
}

BCD_INLINE void store_each(float* to, size_t stride, const Lanes* rows, const int pixels,
                           const int blocks, const int count) {
  BCD_FOR_PIXELS {
    BCD_FOR_BLOCKS store_some(to + b * kLanes, rows[p * blocks + b], count);
    to += stride;
  }
}

BCD_INLINE void store_row(const RowOp* op, const Place* at, const Counted* counted, Lanes* rows,
                          const int pixels, const int blocks, const Arithmetic none) {
  (void)counted, (void)none;
  store_each(row_at(op, at), op->stride, rows, pixels, blocks, at->count);
}

// Where the sum lies that a pixel belongs to; it begins with the first of its pixels.
BCD_INLINE void sum_row(const RowOp* op, const Place* at, const Counted* counted, Lanes* rows,
                        const int pixels, const int blocks, const Arithmetic none) {
  (void)counted, (void)none;
  float* to =
      (float*)(void*)op->data + (size_t)(at->pixel / kSumPixels) * op->stride + at->channel;
  const bool begins = at->pixel % kSumPixels == 0;
  BCD_FOR_BLOCKS {
    Lanes total = begins ? zero_lanes() : load_some(to + b * kLanes, at->count);
    BCD_FOR_PIXELS total = add_lanes(total, rows[p * blocks + b]);
    store_some(to + b * kLanes, total, at->count);
  }
}

// Blocks are halves of words. The lower one clears the upper one, which may not be there.
BCD_INLINE void pack_rows(const RowOp* op, const Place* at, const Lanes* rows, const int pixels,
                          const int blocks, const bool is_exact) {
  BCD_FOR_PIXELS {
    uint32_t* to = (uint32_t*)(void*)op->data + (size_t)(at->pixel + p) * op->stride +
                   at->channel / kWordBits;
#pragma GCC unroll 4
    for (int b = 0; b < blocks; b += 2, ++to) {
      const Lanes* row = &rows[p * blocks + b];
      uint32_t word = b + 1 < blocks ? pack_signs(row[0], row[1], is_exact)
                                     : negative_lanes_mask(row[0], is_exact);
      if (at->count < kLanes) word &= (1u << at->count) - 1;
      *to = at->channel % kWordBits == 0 ? word : *to | word << kLanes;
    }
  }
}

BCD_INLINE void sign_row(const RowOp* op, const Place* at, const Counted* counted, Lanes* rows,
                         const int pixels, const int blocks, const Arithmetic none) {
  (void)counted, (void)none;
  pack_rows(op, at, rows, pixels, blocks, false);
}

BCD_INLINE void sign_row_exact(const RowOp* op, const Place* at, const Counted* counted,
                               Lanes* rows, const int pixels, const int blocks,
                               const Arithmetic none) {
  (void)counted, (void)none;
  pack_rows(op, at, rows, pixels, blocks, true);
}

#endif  // BCD_ROW_OPS_H_
