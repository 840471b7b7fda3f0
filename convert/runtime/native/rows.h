// Executes the programs of fused stages, compiled into every optimised set of kernels. A row of
// up to kTileChannels channels stays in registers from the first instruction to the last.
//
// The including file defines for its instruction set, besides what tiles.h needs, kLanes floats
// as
//   Lanes, load_lanes(from), store_lanes(to, lanes), zero_lanes(),
//   add_lanes(a, b), multiply_lanes(a, b), lanes_of_counts(counts),
//   prelu_lanes(x, slopes)             x < 0 ? x * slopes : x
//   negative_lanes_mask(x, is_exact)   bit l is x[l] < 0; is_exact: denormal numbers, too
//   pack_signs(low, high, is_exact)    a word of two kLanes
//
// Every instruction rounds as the operator alone would (-ffp-contract=off).
#ifndef BCD_ROWS_H_
#define BCD_ROWS_H_

#include "kernels.h"

// The counts of a tile; a row of a border pixel is replaced by the floats that it comes to.
typedef struct {
  _Alignas(64) int32_t counts[kMaxTilePixels * kTileChannels];
  bool is_float[kMaxTilePixels];
  const float *multiplier, *bias;
} Counted;

// What the counts of a pixel come to, from a channel on.
typedef struct {
  const int32_t* counts;
  const float *multiplier, *bias;
  bool is_float;
} CountedRow;

static inline __attribute__((always_inline)) CountedRow counted_row(const Counted* counted,
                                                                    int pixel) {
  return (CountedRow){counted->counts + pixel * kTileChannels, counted->multiplier,
                      counted->bias, counted->is_float[pixel]};
}

static inline __attribute__((always_inline)) Lanes counted_lanes(const CountedRow* row,
                                                                 int channel) {
  const int32_t* counts = row->counts + channel;
  if (row->is_float) return load_lanes((const float*)(const void*)counts);
  return add_lanes(
      multiply_lanes(lanes_of_counts(counts), load_lanes(row->multiplier + channel)),
      load_lanes(row->bias + channel));
}

// XNNPACK's order of summation.
static inline __attribute__((always_inline)) Lanes pooled_lanes(const RowOp* op,
                                                                const float* from) {
  const Lanes left = add_lanes(load_lanes(from), load_lanes(from + op->below));
  const float* next = from + op->right;
  const Lanes right = add_lanes(load_lanes(next), load_lanes(next + op->below));
  return multiply_lanes(add_lanes(left, right), same_lanes(0.25f));
}

static inline __attribute__((always_inline)) void pack_row(const Lanes* row, const int blocks,
                                                           const bool is_exact, uint32_t* out) {
#pragma GCC unroll 4
  for (int b = 0; b < blocks; b += 2) {
    out[b / 2] = b + 1 < blocks ? pack_signs(row[b], row[b + 1], is_exact)
                                : negative_lanes_mask(row[b], is_exact);
  }
}

// Where registers are scarce, one block is finished before the next begins.
#ifndef BCD_AFTER_BLOCK
#define BCD_AFTER_BLOCK
#endif

#define BCD_FOR_BLOCKS _Pragma("GCC unroll 4") for (int b = 0; b < blocks; ++b)
#define BCD_AT (b * kLanes)

static __attribute__((noinline)) void bound_values(const Bounds* bounds, float* values,
                                                   int count) {
  for (int i = 0; i < count; ++i) {
    const float x = values[i] < bounds->low ? bounds->low : values[i];
    values[i] = x > bounds->high ? bounds->high : x;
  }
}

// `pixel` counts in the panel, `tiled` in the tile whose counts are there.
static inline __attribute__((always_inline)) void run_row(const RowOp* op, const RowOp* end,
                                                          const int blocks, int pixel,
                                                          const Counted* counted, int tiled) {
  Lanes row[kTileBlocks];
  BCD_FOR_BLOCKS row[b] = zero_lanes();
  for (; op != end; ++op) {
    float* at = (float*)(void*)op->data + (size_t)pixel * op->stride;
    switch (op->code) {
      case kSetRow:
        BCD_FOR_BLOCKS {
          row[b] = load_lanes(at + BCD_AT);
          BCD_AFTER_BLOCK
        }
        break;
      case kSetCounts: {
        const CountedRow counts = counted_row(&counted[op->convolution], tiled);
        BCD_FOR_BLOCKS {
          row[b] = counted_lanes(&counts, BCD_AT);
          BCD_AFTER_BLOCK
        }
        break;
      }
      case kSetPool:
        at = (float*)(void*)op->data + op->places[pixel];
        BCD_FOR_BLOCKS {
          row[b] = pooled_lanes(op, at + BCD_AT);
          BCD_AFTER_BLOCK
        }
        break;
      case kSetRepeated: {
        int channel = op->offset;
        BCD_FOR_BLOCKS {
          row[b] = load_lanes(at + channel);
          channel = channel + kLanes == op->period ? 0 : channel + kLanes;
        }
        break;
      }
      case kAddRow:
        BCD_FOR_BLOCKS {
          row[b] = add_lanes(row[b], load_lanes(at + BCD_AT));
          BCD_AFTER_BLOCK
        }
        break;
      case kAddCounts: {
        const CountedRow counts = counted_row(&counted[op->convolution], tiled);
        BCD_FOR_BLOCKS {
          row[b] = add_lanes(row[b], counted_lanes(&counts, BCD_AT));
          BCD_AFTER_BLOCK
        }
        break;
      }
      case kAddPool:
        at = (float*)(void*)op->data + op->places[pixel];
        BCD_FOR_BLOCKS {
          row[b] = add_lanes(row[b], pooled_lanes(op, at + BCD_AT));
          BCD_AFTER_BLOCK
        }
        break;
      case kAddRepeated: {
        int channel = op->offset;
        BCD_FOR_BLOCKS {
          row[b] = add_lanes(row[b], load_lanes(at + channel));
          channel = channel + kLanes == op->period ? 0 : channel + kLanes;
        }
        break;
      }
      case kMultiplyRow:
        BCD_FOR_BLOCKS {
          row[b] = multiply_lanes(row[b], load_lanes(at + BCD_AT));
          BCD_AFTER_BLOCK
        }
        break;
      case kPreluRow:
        BCD_FOR_BLOCKS {
          row[b] = prelu_lanes(row[b], load_lanes(at + BCD_AT));
          BCD_AFTER_BLOCK
        }
        break;
      case kBound: {  // rare: it shall not cost the others registers
        float values[kTileChannels];
        BCD_FOR_BLOCKS store_lanes(values + BCD_AT, row[b]);
        bound_values(&op->bounds, values, blocks * kLanes);
        BCD_FOR_BLOCKS row[b] = load_lanes(values + BCD_AT);
        break;
      }
      case kStore:
        BCD_FOR_BLOCKS {
          store_lanes(at + BCD_AT, row[b]);
          BCD_AFTER_BLOCK
        }
        break;
      case kSign:
        pack_row(row, blocks, false, (uint32_t*)(void*)at);
        break;
      case kSignExact:
        pack_row(row, blocks, true, (uint32_t*)(void*)at);
        break;
    }
  }
}

static void run_row_of_1(const RowOp* op, const RowOp* end, int pixel, const Counted* counted,
                         int tiled) {
  run_row(op, end, 1, pixel, counted, tiled);
}

static void run_row_of_2(const RowOp* op, const RowOp* end, int pixel, const Counted* counted,
                         int tiled) {
  run_row(op, end, 2, pixel, counted, tiled);
}

static void run_row_of_3(const RowOp* op, const RowOp* end, int pixel, const Counted* counted,
                         int tiled) {
  run_row(op, end, 3, pixel, counted, tiled);
}

static void run_row_of_4(const RowOp* op, const RowOp* end, int pixel, const Counted* counted,
                         int tiled) {
  run_row(op, end, 4, pixel, counted, tiled);
}

// ---- The last channels, fewer than kLanes ----

typedef struct {
  float values[kLanes];
} Padded;

static Lanes load_few(const float* from, int count) {
  Padded padded = {{0}};
  memcpy(padded.values, from, (size_t)count * sizeof(float));
  return load_lanes(padded.values);
}

static Lanes pooled_few(const RowOp* op, const float* from, int count) {
  const Lanes left = add_lanes(load_few(from, count), load_few(from + op->below, count));
  const float* next = from + op->right;
  const Lanes right = add_lanes(load_few(next, count), load_few(next + op->below, count));
  return multiply_lanes(add_lanes(left, right), same_lanes(0.25f));
}

// The strip's channels [from, from + count).
static void run_few(const RowOp* op, const RowOp* end, int from, int count, int pixel,
                    const Counted* counted, int tiled) {
  Lanes row = zero_lanes();
  for (; op != end; ++op) {
    float* at = (float*)(void*)op->data + (size_t)pixel * op->stride;
    switch (op->code) {
      case kSetRow:
        row = load_few(at + from, count);
        break;
      case kSetCounts:
      case kAddCounts: {
        const CountedRow counts = counted_row(&counted[op->convolution], tiled);
        const Lanes lanes = counted_lanes(&counts, from);
        row = op->code == kSetCounts ? lanes : add_lanes(row, lanes);
        break;
      }
      case kSetPool:
        row = pooled_few(op, (float*)(void*)op->data + op->places[pixel] + from, count);
        break;
      case kAddRow:
        row = add_lanes(row, load_few(at + from, count));
        break;
      case kAddPool:
        row = add_lanes(
            row, pooled_few(op, (float*)(void*)op->data + op->places[pixel] + from, count));
        break;
      case kSetRepeated:  // only of whole lanes
      case kAddRepeated:
        break;
      case kMultiplyRow:
        row = multiply_lanes(row, load_few(at + from, count));
        break;
      case kPreluRow:
        row = prelu_lanes(row, load_few(at + from, count));
        break;
      case kBound: {
        float values[kLanes];
        store_lanes(values, row);
        bound_values(&op->bounds, values, kLanes);
        row = load_lanes(values);
        break;
      }
      case kStore: {
        Padded padded;
        store_lanes(padded.values, row);
        memcpy(at + from, padded.values, (size_t)count * sizeof(float));
        break;
      }
      case kSign:
      case kSignExact: {
        uint32_t* word = (uint32_t*)(void*)at + from / kWordBits;
        const uint32_t mask =
            negative_lanes_mask(row, op->code == kSignExact) & ((1u << count) - 1);
        // The lower half of the word is there already.
        *word = from % kWordBits == 0 ? mask : *word | mask << kLanes;
        break;
      }
    }
  }
}

// ---- Strips ----

static void count_strip(const Strip* strip, int k, int first, int pixels, Counted* counted) {
  const Convolution* c = strip->of[k].convolution;
  const int channel = strip->of[k].channel;
  const PanelPixel* panel = strip->of[k].panel + first;
  count_panel(c, panel, pixels, 0, channel, strip->channels, counted->counts);
  for (int p = 0; p < pixels; ++p) {
    counted->is_float[p] =
        c->count_multiplier == NULL || (c->pads_with_zero && panel[p].is_border);
    if (!counted->is_float[p]) continue;
    int32_t* counts = counted->counts + p * kTileChannels;
    float values[kTileChannels];
    store_pixel(c, &panel[p], channel, strip->channels, counts, values);
    memcpy(counts, values, (size_t)strip->channels * sizeof(float));
  }
  counted->multiplier = c->count_multiplier == NULL ? NULL : c->count_multiplier + channel;
  counted->bias = c->bias + channel;
}

static void run_strip(const RowOp* ops, int count, const Strip* strip) {
  static void (*const run_rows[])(const RowOp*, const RowOp*, int, const Counted*, int) = {
      NULL, run_row_of_1, run_row_of_2, run_row_of_3, run_row_of_4};
  Counted counted[kMaxStripConvolutions];
  const RowOp* end = ops + count;
  const int blocks = strip->channels / kLanes, few = strip->channels % kLanes;
  for (int first = 0; first < strip->pixels; first += kTilePixels) {
    const int left = strip->pixels - first;
    const int pixels = left < kTilePixels ? left : kTilePixels;
    for (int k = 0; k < strip->convolutions; ++k) {
      count_strip(strip, k, first, pixels, &counted[k]);
    }
    for (int p = 0; p < pixels; ++p) {
      if (blocks > 0) run_rows[blocks](ops, end, first + p, counted, p);
      if (few > 0) run_few(ops, end, blocks * kLanes, few, first + p, counted, p);
    }
  }
}

#undef BCD_AT
#undef BCD_FOR_BLOCKS

#endif  // BCD_ROWS_H_
