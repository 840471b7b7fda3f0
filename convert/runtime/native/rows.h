// Executes the programs of fused stages, compiled into every optimized set of kernels. Rows of
// up to kTileChannels channels, of as many pixels as there are registers for, stay there from
// the first instruction to the last; an instruction set may have its own way to do so, see
// neon_rows.h.
//
// The including file defines for its instruction set, besides what tiles.h needs, kLanes floats
// as
//   Lanes, load_lanes(from), store_lanes(to, lanes), zero_lanes(),
//   add_lanes(a, b), subtract_lanes(a, b), multiply_lanes(a, b), lanes_of_counts(counts),
//   prelu_lanes(x, slopes)             x < 0 ? x * slopes : x
//   negative_lanes_mask(x, is_exact)   bit l is x[l] < 0; is_exact: denormal numbers, too
//   pack_signs(low, high, is_exact)    a word of two kLanes
//   kRowBlocks                         so many Lanes stay in registers
//
// Every instruction rounds as the operator alone would (-ffp-contract=off).
#ifndef BCD_ROWS_H_
#define BCD_ROWS_H_

#include "kernels.h"

// The counts of a tile, or in the rows of some pixels, as those at a border, the floats that
// they come to.
typedef struct {
  union {
    _Alignas(64) int32_t counts[kMaxTilePixels * kTileChannels];
    float floats[kMaxTilePixels * kTileChannels];
  };
  bool is_float[kMaxTilePixels];
  bool has_floats;  // in any pixel
  const float *multiplier, *bias;
} Counted;

// The row of a pixel.
typedef struct {
  const int32_t* counts;
  const float* floats;  // NULL if the counts are there
  const float *multiplier, *bias;
} CountedRow;

static inline __attribute__((always_inline)) CountedRow counted_row(const Counted* counted,
                                                                    int pixel) {
  const int at = pixel * kTileChannels;
  return (CountedRow){counted->counts + at,
                      counted->is_float[pixel] ? counted->floats + at : NULL,
                      counted->multiplier, counted->bias};
}

static inline __attribute__((always_inline)) Lanes counted_lanes(const CountedRow* row,
                                                                 int channel) {
  if (row->floats != NULL) return load_lanes(row->floats + channel);
  const Lanes counts = lanes_of_counts(row->counts + channel);
  return add_lanes(multiply_lanes(counts, load_lanes(row->multiplier + channel)),
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

static inline __attribute__((always_inline)) float* row_at(const RowOp* op, int pixel,
                                                           int tiled) {
  return (float*)(void*)op->data + (size_t)(op->is_in_tile ? tiled : pixel) * op->stride;
}

static inline __attribute__((always_inline)) void pack_row(const Lanes* row, const int blocks,
                                                           const bool is_exact, uint32_t* out) {
#pragma GCC unroll 4
  for (int b = 0; b < blocks; b += 2) {
    out[b / 2] = b + 1 < blocks ? pack_signs(row[b], row[b + 1], is_exact)
                                : negative_lanes_mask(row[b], is_exact);
  }
}

static __attribute__((noinline)) void bound_values(const Bounds* bounds, float* values,
                                                   int count) {
  for (int i = 0; i < count; ++i) {
    values[i] = within_bounds(bounds, values[i]);
  }
}

// Where the sum lies that a pixel belongs to; it begins with the first of its pixels.
static inline __attribute__((always_inline)) float* sum_at(const RowOp* op, int pixel) {
  return (float*)(void*)op->data + (size_t)(pixel / kSumPixels) * op->stride;
}

static inline __attribute__((always_inline)) bool begins_sum(int pixel) {
  return pixel % kSumPixels == 0;
}

#ifdef BCD_OWN_ROWS
#include BCD_OWN_ROWS
#else

// Where registers are scarce, one block is finished before the next begins.
#ifndef BCD_AFTER_BLOCK
#define BCD_AFTER_BLOCK
#endif

#define BCD_FOR_PIXELS _Pragma("GCC unroll 6") for (int p = 0; p < pixels; ++p)
#define BCD_FOR_BLOCKS _Pragma("GCC unroll 4") for (int b = 0; b < blocks; ++b)
#define BCD_AT (b * kLanes)
#define BCD_ROW rows[p * blocks + b]

// Sets all rows to `result`, which computes with the operand's lanes x. What is the same for
// all pixels is loaded once.
#define BCD_SET_ROWS(result)                     \
  if (pixels > 1 && op->stride == 0) {           \
    BCD_FOR_BLOCKS {                             \
      const Lanes x = load_lanes(at + BCD_AT);   \
      BCD_FOR_PIXELS BCD_ROW = result;           \
      BCD_AFTER_BLOCK                            \
    }                                            \
  } else {                                       \
    BCD_FOR_PIXELS {                             \
      BCD_FOR_BLOCKS {                           \
        const Lanes x = load_lanes(at + BCD_AT); \
        BCD_ROW = result;                        \
        BCD_AFTER_BLOCK                          \
      }                                          \
      at += op->stride;                          \
    }                                            \
  }

#define BCD_SET_REPEATED(result)                                       \
  BCD_FOR_PIXELS {                                                     \
    int channel = op->offset;                                          \
    BCD_FOR_BLOCKS {                                                   \
      const Lanes x = load_lanes(at + channel);                        \
      BCD_ROW = result;                                                \
      channel = channel + kLanes == op->period ? 0 : channel + kLanes; \
    }                                                                  \
    at += op->stride;                                                  \
  }

#define BCD_SET_POOL(result)                                             \
  BCD_FOR_PIXELS {                                                       \
    const float* from = (float*)(void*)op->data + op->places[pixel + p]; \
    BCD_FOR_BLOCKS {                                                     \
      const Lanes x = pooled_lanes(op, from + BCD_AT);                   \
      BCD_ROW = result;                                                  \
      BCD_AFTER_BLOCK                                                    \
    }                                                                    \
  }

#define BCD_SET_COUNTS(result)                                                             \
  const Counted* tile = &counted[op->convolution];                                         \
  if (pixels > 1 && !tile->has_floats) {                                                   \
    BCD_FOR_BLOCKS {                                                                       \
      const Lanes multiplier = load_lanes(tile->multiplier + BCD_AT);                      \
      const Lanes bias = load_lanes(tile->bias + BCD_AT);                                  \
      BCD_FOR_PIXELS {                                                                     \
        const int32_t* counts = tile->counts + (tiled + p) * kTileChannels;                \
        const Lanes scaled = multiply_lanes(lanes_of_counts(counts + BCD_AT), multiplier); \
        const Lanes x = add_lanes(scaled, bias);                                           \
        BCD_ROW = result;                                                                  \
      }                                                                                    \
      BCD_AFTER_BLOCK                                                                      \
    }                                                                                      \
  } else {                                                                                 \
    BCD_FOR_PIXELS {                                                                       \
      const CountedRow counts = counted_row(tile, tiled + p);                              \
      BCD_FOR_BLOCKS {                                                                     \
        const Lanes x = counted_lanes(&counts, BCD_AT);                                    \
        BCD_ROW = result;                                                                  \
        BCD_AFTER_BLOCK                                                                    \
      }                                                                                    \
    }                                                                                      \
  }

// The rows of a few pixels, all in registers. `pixel`, the first, counts in the panel, `tiled`
// in the tile whose counts are there.
static inline __attribute__((always_inline)) void run_rows(const RowOp* op, const RowOp* end,
                                                           const int blocks, const int pixels,
                                                           int pixel, const Counted* counted,
                                                           int tiled) {
  Lanes rows[kRowBlocks];
  BCD_FOR_PIXELS { BCD_FOR_BLOCKS BCD_ROW = zero_lanes(); }
  for (; op != end; ++op) {
    float* at = row_at(op, pixel, tiled);
    switch (op->code) {
      case kSetRow:
        BCD_SET_ROWS(x)
        break;
      case kSetCounts: {
        BCD_SET_COUNTS(x)
        break;
      }
      case kSetPool:
        BCD_SET_POOL(x)
        break;
      case kSetRepeated:
        BCD_SET_REPEATED(x)
        break;
      case kAddRow:
        BCD_SET_ROWS(add_lanes(BCD_ROW, x))
        break;
      case kAddCounts: {
        BCD_SET_COUNTS(add_lanes(BCD_ROW, x))
        break;
      }
      case kAddPool:
        BCD_SET_POOL(add_lanes(BCD_ROW, x))
        break;
      case kAddRepeated:
        BCD_SET_REPEATED(add_lanes(BCD_ROW, x))
        break;
      case kSubtractRow:
        BCD_SET_ROWS(subtract_lanes(BCD_ROW, x))
        break;
      case kMultiplyRow:
        BCD_SET_ROWS(multiply_lanes(BCD_ROW, x))
        break;
      case kPreluRow:
        BCD_SET_ROWS(prelu_lanes(BCD_ROW, x))
        break;
      case kBound:  // rare: it shall not cost the others registers
        BCD_FOR_PIXELS {
          float values[kTileChannels];
          BCD_FOR_BLOCKS store_lanes(values + BCD_AT, BCD_ROW);
          bound_values(&op->bounds, values, blocks * kLanes);
          BCD_FOR_BLOCKS BCD_ROW = load_lanes(values + BCD_AT);
        }
        break;
      case kStore:
        BCD_FOR_PIXELS {
          BCD_FOR_BLOCKS {
            store_lanes(at + BCD_AT, BCD_ROW);
            BCD_AFTER_BLOCK
          }
          at += op->stride;
        }
        break;
      case kSum: {
        float* to = sum_at(op, pixel);
        BCD_FOR_BLOCKS {
          Lanes total = begins_sum(pixel) ? zero_lanes() : load_lanes(to + BCD_AT);
          BCD_FOR_PIXELS total = add_lanes(total, BCD_ROW);
          store_lanes(to + BCD_AT, total);
          BCD_AFTER_BLOCK
        }
        break;
      }
      case kSign:
        BCD_FOR_PIXELS {
          pack_row(&rows[p * blocks], blocks, false, (uint32_t*)(void*)at);
          at += op->stride;
        }
        break;
      case kSignExact:
        BCD_FOR_PIXELS {
          pack_row(&rows[p * blocks], blocks, true, (uint32_t*)(void*)at);
          at += op->stride;
        }
        break;
    }
  }
}

#undef BCD_SET_COUNTS
#undef BCD_SET_POOL
#undef BCD_SET_REPEATED
#undef BCD_SET_ROWS
#undef BCD_ROW

// As many pixels as fit into the registers.
enum {
  kPixelsOf1 = (int)kRowBlocks < (int)kTilePixels ? kRowBlocks : kTilePixels,
  kPixelsOf2 = (int)kRowBlocks / 2 < (int)kTilePixels ? kRowBlocks / 2 : kTilePixels,
  kPixelsOf3 = (int)kRowBlocks / 3 < (int)kTilePixels ? kRowBlocks / 3 : kTilePixels,
  kPixelsOf4 = (int)kRowBlocks / 4 < (int)kTilePixels ? kRowBlocks / 4 : kTilePixels,
};

typedef void (*RunRows)(const RowOp* op, const RowOp* end, int pixel, const Counted* counted,
                        int tiled);

#define BCD_RUN_ROWS(blocks, pixels)                                             \
  static void run_rows_of_##blocks(const RowOp* op, const RowOp* end, int pixel, \
                                   const Counted* counted, int tiled) {          \
    run_rows(op, end, blocks, pixels, pixel, counted, tiled);                    \
  }                                                                              \
  static void run_row_of_##blocks(const RowOp* op, const RowOp* end, int pixel,  \
                                  const Counted* counted, int tiled) {           \
    run_rows(op, end, blocks, 1, pixel, counted, tiled);                         \
  }
BCD_RUN_ROWS(1, kPixelsOf1)
BCD_RUN_ROWS(2, kPixelsOf2)
BCD_RUN_ROWS(3, kPixelsOf3)
BCD_RUN_ROWS(4, kPixelsOf4)
#undef BCD_RUN_ROWS

static const struct {
  int pixels;
  RunRows together, alone;
} kRunRows[kTileBlocks + 1] = {
    {1, NULL, NULL},
    {kPixelsOf1, run_rows_of_1, run_row_of_1},
    {kPixelsOf2, run_rows_of_2, run_row_of_2},
    {kPixelsOf3, run_rows_of_3, run_row_of_3},
    {kPixelsOf4, run_rows_of_4, run_row_of_4},
};

static void prepare_rows(RowOp* ops, int count, Counted* counted) {
  (void)ops;
  (void)count;
  (void)counted;
}

// The whole blocks of a tile, whose first pixel in the panel is `first`.
static void run_blocks(const RowOp* ops, int count, int blocks, int first, int pixels,
                       const Counted* counted) {
  if (blocks == 0) return;
  const RowOp* end = ops + count;
  int p = 0;
  for (; p + kRunRows[blocks].pixels <= pixels; p += kRunRows[blocks].pixels) {
    kRunRows[blocks].together(ops, end, first + p, counted, p);
  }
  for (; p < pixels; ++p) kRunRows[blocks].alone(ops, end, first + p, counted, p);
}

#undef BCD_AT
#undef BCD_FOR_BLOCKS
#undef BCD_FOR_PIXELS

#endif  // BCD_OWN_ROWS

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
    float* at = row_at(op, pixel, tiled);
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
      case kSubtractRow:
        row = subtract_lanes(row, load_few(at + from, count));
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
      case kSum: {
        float* to = sum_at(op, pixel) + from;
        Padded padded;
        const Lanes total = begins_sum(pixel) ? zero_lanes() : load_few(to, count);
        store_lanes(padded.values, add_lanes(total, row));
        memcpy(to, padded.values, (size_t)count * sizeof(float));
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

#ifdef BCD_PREFETCHES

enum { kLineBytes = 64, kLineFloats = kLineBytes / (int)sizeof(float) };

// Asks for what is read and written in memory for some pixels. These may lie behind the panel:
// then they mostly are the next one's. Rows that lie further apart share so few sets of the
// first-level cache that they would push each other out before they are used, and the patches.
static void prefetch_rows(const RowOp* op, const RowOp* end, int pixel, int pixels,
                          int channels) {
  for (; op != end; ++op) {
    if (op->stride == 0 || op->stride > kTileChannels || op->is_in_tile) continue;
    if (op->code != kSetRow && op->code != kAddRow && op->code != kStore) continue;
    const char* row = op->data + (size_t)pixel * op->stride * sizeof(float);
    for (int p = 0; p < pixels; ++p, row += op->stride * sizeof(float)) {
      for (int c = 0; c < channels; c += kLineFloats) {
        const char* at = row + (size_t)c * sizeof(float);
        if (op->code == kStore) {
          __builtin_prefetch(at, 1);
        } else {
          __builtin_prefetch(at);
        }
      }
    }
  }
}

#endif

static void count_strip(const Strip* strip, int k, int first, int pixels, Counted* counted) {
  const Convolution* c = strip->of[k].convolution;
  const int channel = strip->of[k].channel;
  const PanelPixel* panel = strip->of[k].panel + first;
  count_panel(c, panel, pixels, 0, channel, strip->channels, counted->counts);
  counted->has_floats = false;
  for (int p = 0; p < pixels; ++p) {
    counted->is_float[p] =
        c->count_multiplier == NULL || (c->pads_with_zero && panel[p].is_border);
    if (!counted->is_float[p]) continue;
    counted->has_floats = true;
    float values[kTileChannels];
    store_pixel(c, &panel[p], channel, strip->channels, counted->counts + p * kTileChannels,
                values);
    memcpy(counted->floats + p * kTileChannels, values,
           (size_t)strip->channels * sizeof(float));
  }
  counted->multiplier = c->count_multiplier == NULL ? NULL : c->count_multiplier + channel;
  counted->bias = c->bias + channel;
}

static void run_strip(RowOp* ops, int count, const Strip* strip) {
  Counted counted[kMaxStripConvolutions];
  prepare_rows(ops, count, counted);
  const RowOp* end = ops + count;
  const int blocks = strip->channels / kLanes, few = strip->channels % kLanes;
#ifdef BCD_PREFETCHES
  const bool prefetches = strip->convolutions > 0;  // otherwise it would be most of the work
  if (prefetches) prefetch_rows(ops, end, 0, 2 * kTilePixels, strip->channels);
#endif
  for (int first = 0; first < strip->pixels; first += kTilePixels) {
    const int left = strip->pixels - first;
    const int pixels = left < kTilePixels ? left : kTilePixels;
#ifdef BCD_PREFETCHES
    if (prefetches)
      prefetch_rows(ops, end, first + 2 * kTilePixels, kTilePixels, strip->channels);
#endif
    for (int k = 0; k < strip->convolutions; ++k) {
      count_strip(strip, k, first, pixels, &counted[k]);
    }
    run_blocks(ops, count, blocks, first, pixels, counted);
    for (int p = 0; few > 0 && p < pixels; ++p) {
      run_few(ops, end, blocks * kLanes, few, first + p, counted, p);
    }
  }
}

#endif  // BCD_ROWS_H_
