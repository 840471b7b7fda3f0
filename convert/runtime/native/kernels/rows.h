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
//   bound_lanes(x, low, high)          within_bounds of each
//   negative_lanes_mask(x, is_exact)   bit l is x[l] < 0; is_exact: denormal numbers, too
//   pack_signs(low, high, is_exact)    a word of two kLanes
//   kRowBlocks                         so many Lanes stay in registers
//
// Every instruction rounds as the operator alone would (-ffp-contract=off).
#ifndef BCD_ROWS_H_
#define BCD_ROWS_H_

#include "kernels/kernels.h"
#include "kernels/row_ops.h"

#define BCD_CASE(code, function, arithmetic)                                \
  case code:                                                                \
    function(op, at, of_op(op, counted), rows, pixels, blocks, arithmetic); \
    break;

BCD_INLINE const Counted* of_op(const RowOp* op, const Counted* counted) {
  return &counted[op->convolution];
}

// The rows of a few pixels, all in registers.
BCD_INLINE void run_ops(const RowOp* op, const RowOp* end, const Place* at,
                        const Counted* counted, const int pixels, const int blocks) {
  Lanes rows[kRowBlocks];
  BCD_FOR_PIXELS { BCD_FOR_BLOCKS rows[p * blocks + b] = zero_lanes(); }
  for (; op != end; ++op) {
    switch (op->code) { BCD_ROW_OPS(BCD_CASE) }
  }
}

#undef BCD_CASE

// The last channels of a strip, fewer than kLanes. Apart, because it needs many registers.
static __attribute__((noinline)) void run_few(const RowOp* op, const RowOp* end, int channel,
                                              int count, int pixel, const Counted* counted,
                                              int tiled) {
  const Place at = {.pixel = pixel, .tiled = tiled, .channel = channel, .count = count};
  run_ops(op, end, &at, counted, 1, 1);
}

#ifdef BCD_OWN_ROWS
#include BCD_OWN_ROWS
#else

// As many pixels as fit into the registers.
enum {
  kPixelsOf1 = (int)kRowBlocks < (int)kTilePixels ? kRowBlocks : kTilePixels,
  kPixelsOf2 = (int)kRowBlocks / 2 < (int)kTilePixels ? kRowBlocks / 2 : kTilePixels,
  kPixelsOf3 = (int)kRowBlocks / 3 < (int)kTilePixels ? kRowBlocks / 3 : kTilePixels,
  kPixelsOf4 = (int)kRowBlocks / 4 < (int)kTilePixels ? kRowBlocks / 4 : kTilePixels,
};

typedef void (*RunRows)(const RowOp* op, const RowOp* end, int pixel, const Counted* counted,
                        int tiled);

#define BCD_RUN_ROWS(name, blocks, pixels)                                               \
  static void name(const RowOp* op, const RowOp* end, int pixel, const Counted* counted, \
                   int tiled) {                                                          \
    const Place at = {.pixel = pixel, .tiled = tiled, .channel = 0, .count = kLanes};    \
    run_ops(op, end, &at, counted, pixels, blocks);                                      \
  }
BCD_RUN_ROWS(run_rows_of_1, 1, kPixelsOf1)
BCD_RUN_ROWS(run_rows_of_2, 2, kPixelsOf2)
BCD_RUN_ROWS(run_rows_of_3, 3, kPixelsOf3)
BCD_RUN_ROWS(run_rows_of_4, 4, kPixelsOf4)
BCD_RUN_ROWS(run_row_of_1, 1, 1)
BCD_RUN_ROWS(run_row_of_2, 2, 1)
BCD_RUN_ROWS(run_row_of_3, 3, 1)
BCD_RUN_ROWS(run_row_of_4, 4, 1)
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

static void prepare_rows(RowOp* ops, int count, int blocks, Counted* counted, float* own) {
  (void)ops, (void)count, (void)blocks, (void)counted, (void)own;
}

// The whole blocks of a tile, whose first pixel in the panel is `first`.
static void run_blocks(const RowOp* ops, const RowOp* end, int blocks, int first, int pixels,
                       const Counted* counted) {
  if (blocks == 0) return;
  int p = 0;
  for (; p + kRunRows[blocks].pixels <= pixels; p += kRunRows[blocks].pixels) {
    kRunRows[blocks].together(ops, end, first + p, counted, p);
  }
  for (; p < pixels; ++p) kRunRows[blocks].alone(ops, end, first + p, counted, p);
}

#endif  // BCD_OWN_ROWS

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

static void begin_strip(const Strip* strip, int k, Counted* counted) {
  const Convolution* c = strip->of[k].convolution;
  const int channel = strip->of[k].channel;
  memset(counted->is_float, 0, sizeof(counted->is_float));
  counted->has_floats = false;
  counted->depth = convolution_depth(c);
  counted->weights = tile_weights(c, 0, channel);
  counted->multiplier =
      (c->count_multiplier != NULL ? c->count_multiplier : c->multiplier) + channel;
  counted->bias = c->bias + channel;
}

// At a border of zeros alone a pixel has other results than its counts scaled.
static __attribute__((noinline)) void replace_border(const Strip* strip, int k,
                                                     const PanelPixel* panel, int pixels,
                                                     BorderSums* borders, Counted* counted) {
  counted->has_floats = false;
  for (int p = 0; p < pixels; ++p) {
    counted->is_float[p] = panel[p].is_border;
    if (!counted->is_float[p]) continue;
    counted->has_floats = true;
    float values[kTileChannels];
    store_pixel(strip->of[k].convolution, &panel[p], strip->of[k].channel, strip->channels,
                counted->counts + p * kTileChannels, borders, values);
    memcpy(counted->floats + p * kTileChannels, values,
           (size_t)strip->channels * sizeof(float));
  }
}

static inline bool has_border(const PanelPixel* panel, int pixels) {
  bool has = false;
  if (pixels == kTilePixels) {
#pragma GCC unroll 6
    for (int p = 0; p < (int)kTilePixels; ++p) has |= panel[p].is_border;
    return has;
  }
  for (int p = 0; p < pixels; ++p) has |= panel[p].is_border;
  return has;
}

// The doubled counts between the clamps, which the plain multiplier scales.
static void clamp_counts(const Convolution* c, int blocks, int pixels, Counted* counted) {
  const int32_t low = c->clamp_min, high = c->clamp_max;
  for (int p = 0; p < pixels; ++p) {
    if (counted->is_float[p]) continue;
    int32_t* counts = counted->counts + p * kTileChannels;
    for (int o = 0; o < blocks * kLanes; ++o) counts[o] = clamp(2 * counts[o], low, high);
  }
}

// `blocks` includes the last one, if it is not whole.
static void count_strip(const Strip* strip, int k, int blocks, int first, int pixels,
                        BorderSums* borders, Counted* counted) {
  const Convolution* c = strip->of[k].convolution;
  const PanelPixel* panel = strip->of[k].panel + first;
  count_tile(panel, pixels, counted->depth, counted->weights, blocks, counted->counts);
  if (c->pads_with_zero && (counted->has_floats || has_border(panel, pixels))) {
    replace_border(strip, k, panel, pixels, borders, counted);
  }
  if (c->count_multiplier == NULL) clamp_counts(c, blocks, pixels, counted);
}

static void run_strip(RowOp* ops, int count, const Strip* strip) {
  Counted counted[kMaxStripConvolutions];
  const RowOp* end = ops + count;
  const int blocks = strip->channels / kLanes, few = strip->channels % kLanes;
  const int all_blocks = blocks_of(strip->channels);
  float own[kTileChannels];  // of whoever prepares the rows
  prepare_rows(ops, count, blocks, counted, own);
  BorderSums borders[kMaxStripConvolutions][kBorders];
  for (int k = 0; k < strip->convolutions; ++k) {
    begin_strip(strip, k, &counted[k]);
    forget_borders(borders[k]);
  }
#ifdef BCD_PREFETCHES
  const bool prefetches = strip->convolutions > 0;  // otherwise it would be most of the work
  if (prefetches) prefetch_rows(ops, end, 0, 2 * kTilePixels, strip->channels);
#endif
  const int convolutions = strip->convolutions;
  for (int first = 0; first < strip->pixels; first += kTilePixels) {
    const int left = strip->pixels - first;
    const int pixels = left < kTilePixels ? left : kTilePixels;
#ifdef BCD_PREFETCHES
    if (prefetches)
      prefetch_rows(ops, end, first + 2 * kTilePixels, kTilePixels, strip->channels);
#endif
    for (int k = 0; k < convolutions; ++k) {
      count_strip(strip, k, all_blocks, first, pixels, borders[k], &counted[k]);
    }
    run_blocks(ops, end, blocks, first, pixels, counted);
    for (int p = 0; few > 0 && p < pixels; ++p) {
      run_few(ops, end, blocks * kLanes, few, first + p, counted, p);
    }
  }
}

#endif  // BCD_ROWS_H_
