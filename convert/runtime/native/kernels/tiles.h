// The convolution that all optimized kernels share, compiled into each of them.
//
// Output pixels are taken in panels, small enough for their patches (the window of input words
// behind one output pixel, `depth` words in a row) to stay in the first-level cache. Over a
// panel run the blocks of output channels, and over each block tiles of up to kTilePixels
// pixels:
//
//   for panel: gather and encode patches           scratch: patches_bytes
//     for 64 channels: their weights stay in cache
//       for 4 pixels: count, then transform and store while the counts are in registers or L1
//
// The including file defines, for its instruction set,
//   copy_words(to, from, count)           a few words, of which there are mostly less than 32;
//                                         up to kLanes words behind them may be overwritten
//   BCD_COPIES_LINES and copy_lines(to, from, words, lines, stride), if it has a better one:
//                                         lines of a few words that lie `stride` words apart,
//                                         one after the other
//   gathered_patches(patches, words)      where the words of the first patch are gathered;
//   those
//                                         of the next one lie `words` further, which is
//                                         Kernels.patch_words
//   encode_patches(convolution, patches, pixels), which makes of them what count_tile reads
//   patch_of(patches, words, pixel)       where it reads that of a pixel
//   count_tile(panel, pixels, depth, weights, blocks, counts), which sets
//     counts[p * kTileChannels + o] = sum over k of popcount(patch[p][k] ^ weights[k][o])
//     of the words as they were gathered, of which panel[p].row is the encoding,
//     for all p < pixels <= kTilePixels <= kMaxTilePixels, which it defines, and o < blocks *
//     kLanes <= kTileChannels
//   tile_weights(convolution, group, from): the weights of a tile, in the order of count_tile
//   greater_mask(counts, thresholds): bit l of kLanes is counts[l] > thresholds[l]
#ifndef BCD_TILES_H_
#define BCD_TILES_H_

#include <string.h>

#include "kernels/kernels.h"

static inline void clear_words(uint32_t* to, int count) {
  for (int i = 0; i < count; ++i) to[i] = 0;
}

#ifndef BCD_COPIES_LINES
static inline void copy_lines(uint32_t* to, const uint32_t* from, int words, int lines,
                              int64_t stride) {
  for (int i = 0; i < lines; ++i, to += words, from += stride) copy_words(to, from, words);
}
#endif

static inline int first_of(int64_t a, int b) { return a < b ? (int)a : b; }

// Apart, as the next one, so that the way without borders and maps keeps its registers.
static __attribute__((noinline)) void gather_patch(const Convolution* c,
                                                   const uint32_t* group_image, int64_t in_y,
                                                   int64_t in_x, uint32_t* patch) {
  const Window* w = &c->window;
  const int words = c->group_words, line_words = w->window_width * words;
  const bool is_run = w->in_words == words && w->dilation_width == 1;
  const int left = in_x < 0 ? first_of(-in_x, w->window_width) * words : 0;
  const int right = first_of(w->in_width - in_x, w->window_width) * words;
  for (int i = 0; i < w->window_height; ++i) {
    const int64_t y = in_y + (int64_t)i * w->dilation_height;
    if (y < 0 || y >= w->in_height) {
      clear_words(patch, line_words);
      patch += line_words;
      continue;
    }
    const uint32_t* line = group_image + y * w->in_width * w->in_words;
    if (is_run && left < right) {
      if (left > 0) clear_words(patch, left);
      copy_words(patch + left, line + in_x * words + left, right - left);
      if (right < line_words) clear_words(patch + right, line_words - right);
      patch += line_words;
      continue;
    }
    for (int j = 0; j < w->window_width; ++j, patch += words) {
      const int64_t x = in_x + (int64_t)j * w->dilation_width;
      if (x < 0 || x >= w->in_width) {
        clear_words(patch, words);
      } else {
        copy_words(patch, line + x * w->in_words, words);
      }
    }
  }
}

// The same where the input's words lie elsewhere, in pieces of `run` words. `map` is the
// group's.
static inline __attribute__((always_inline)) void gather_pieces(
    const Convolution* c, const uint32_t* image, const int32_t* map, int64_t in_y, int64_t in_x,
    const int words, const int run, uint32_t* patch) {
  const Window* w = &c->window;
  const int64_t width = w->in_width, height = w->in_height, in_words = w->in_words;
  const int64_t step_x = w->dilation_width, step_y = w->dilation_height;
  const int64_t end_x = in_x + w->window_width * step_x;
  const int64_t end_y = in_y + w->window_height * step_y;
  for (int64_t y = in_y; y < end_y; y += step_y) {
    const bool is_line = y >= 0 && y < height;
    int64_t at = (y * width + in_x) * in_words;  // may lie outside the map
    for (int64_t x = in_x; x < end_x; x += step_x, at += step_x * in_words, patch += words) {
      if (!is_line || x < 0 || x >= width) {
        clear_words(patch, words);
        continue;
      }
      for (int k = 0; k < words; k += run) {
        const int32_t from = map[at + k];
        if (from < 0) {
          clear_words(patch + k, run);
        } else {
          copy_words(patch + k, image + from, run);
        }
      }
    }
  }
}

// Most pixels have a word or two.
static __attribute__((noinline)) void gather_mapped_patch(const Convolution* c,
                                                          const uint32_t* image, int group,
                                                          int64_t in_y, int64_t in_x,
                                                          uint32_t* patch) {
  const int words = c->group_words, run = c->map_run;
  const int32_t* map = c->map + group * words;
  if (words == 1) {
    gather_pieces(c, image, map, in_y, in_x, 1, 1, patch);
  } else if (words == 2 && run == 2) {
    gather_pieces(c, image, map, in_y, in_x, 2, 2, patch);
  } else {
    gather_pieces(c, image, map, in_y, in_x, words, run, patch);
  }
}

// The sums of the taps that lie outside the image, in some channels, and for which pixels they
// hold. Those along an edge miss the same taps.
typedef struct {
  int64_t in_y, in_x;
  int32_t sums[kTileChannels];
} BorderSums;

// The last ones at the left edge, and at any other one: from line to line the sides take turns.
enum { kBorders = 2 };

static inline void forget_borders(BorderSums* borders) {
  for (int i = 0; i < kBorders; ++i) borders[i].in_y = INT64_MIN;
}

static void sum_border(const Convolution* c, const PanelPixel* pixel, int channel, int channels,
                       int32_t* sums) {
  const Window* w = &c->window;
  memset(sums, 0, (size_t)channels * sizeof(*sums));
  for (int i = 0; i < w->window_height; ++i) {
    const int64_t y = pixel->in_y + (int64_t)i * w->dilation_height;
    for (int j = 0; j < w->window_width; ++j) {
      const int64_t x = pixel->in_x + (int64_t)j * w->dilation_width;
      if (y >= 0 && y < w->in_height && x >= 0 && x < w->in_width) continue;
      const int32_t* tap =
          c->tap_sums + (size_t)(i * w->window_width + j) * (size_t)c->channels_out + channel;
      for (int o = 0; o < channels; ++o) sums[o] += tap[o];
    }
  }
}

// The same for all windows that lie within the image in this direction.
static inline int64_t border_of(int64_t in, int64_t reach, int size) {
  return in >= 0 && in + reach < size ? 0 : in;
}

static const int32_t* border_sums(const Convolution* c, const PanelPixel* pixel, int channel,
                                  int channels, BorderSums* borders) {
  const Window* w = &c->window;
  const int64_t reach_y = (int64_t)(w->window_height - 1) * w->dilation_height;
  const int64_t reach_x = (int64_t)(w->window_width - 1) * w->dilation_width;
  const int64_t in_y = border_of(pixel->in_y, reach_y, w->in_height);
  const int64_t in_x = border_of(pixel->in_x, reach_x, w->in_width);
  BorderSums* border = &borders[in_x < 0];
  if (border->in_y != in_y || border->in_x != in_x) {
    border->in_y = in_y;
    border->in_x = in_x;
    sum_border(c, pixel, channel, channels, border->sums);
  }
  return border->sums;
}

static inline int32_t clamp(int32_t value, int32_t low, int32_t high) {
  value = value < high ? value : high;
  return value > low ? value : low;
}

static inline void store_float(const Convolution* c, int channel, int channels,
                               const int32_t* restrict counts, float* restrict out) {
  const float* restrict bias = c->bias + channel;
  if (c->count_multiplier != NULL) {
    const float* restrict multiplier = c->count_multiplier + channel;
    for (int o = 0; o < channels; ++o) out[o] = (float)counts[o] * multiplier[o] + bias[o];
    return;
  }
  const float* restrict multiplier = c->multiplier + channel;
  const int32_t low = c->clamp_min, high = c->clamp_max;
  for (int o = 0; o < channels; ++o) {
    out[o] = (float)clamp(2 * counts[o], low, high) * multiplier[o] + bias[o];
  }
}

// The same rounding as the specification's, without a branch.
static inline int8_t round_to_int8(float y) {
  y = y > -128.0f ? y : -128.0f;
  y = y < 127.0f ? y : 127.0f;
  const int32_t whole = (int32_t)y;
  const float rest = y - (float)whole;
  return (int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
}

static inline void store_int8(const Convolution* c, int channel, int channels,
                              const int32_t* restrict counts, int8_t* restrict out) {
  const float* restrict multiplier = c->multiplier + channel;
  const float* restrict bias = c->bias + channel;
  const int32_t low = c->clamp_min, high = c->clamp_max;
  for (int o = 0; o < channels; ++o) {
    out[o] = round_to_int8((float)clamp(2 * counts[o], low, high) * multiplier[o] + bias[o]);
  }
}

// A group may begin and end within a word, so bits are added to words that were cleared before.
static inline void store_bits(const Convolution* c, int channel, int channels,
                              const int32_t* counts, uint32_t* out) {
  for (int o = 0; o < channels; o += kLanes) {
    uint32_t mask = greater_mask(counts + o, c->threshold + channel + o);
    if (channels - o < kLanes) mask &= (1u << (channels - o)) - 1;
    const int at = channel + o;
    const uint64_t placed = (uint64_t)mask << (at % kWordBits);
    out[at / kWordBits] |= (uint32_t)placed;
    if (placed >> kWordBits) out[at / kWordBits + 1] |= (uint32_t)(placed >> kWordBits);
  }
}

// What store_float gives, less what was counted too much.
static inline void store_corrected(const Convolution* c, int channel, int channels,
                                   const int32_t* restrict counts,
                                   const int32_t* restrict border, float* restrict out) {
  const float* restrict scale = c->scale + channel;
  if (c->count_multiplier == NULL) {
    store_float(c, channel, channels, counts, out);
    for (int o = 0; o < channels; ++o) out[o] += -scale[o] * (float)border[o];
    return;
  }
  const float* restrict multiplier = c->count_multiplier + channel;
  const float* restrict bias = c->bias + channel;
  for (int o = 0; o < channels; ++o) {
    const float y = (float)counts[o] * multiplier[o] + bias[o];
    out[o] = y + -scale[o] * (float)border[o];
  }
}

// As the functions above, for a pixel at a border that is padded with zeros.
static void store_border(const Convolution* c, const PanelPixel* pixel, int channel,
                         int channels, const int32_t* counts, BorderSums* borders, void* out) {
  const int32_t* border = border_sums(c, pixel, channel, channels, borders);
  if (c->output == kOutputFloat && !c->has_activation) {
    store_corrected(c, channel, channels, counts, border, out);
    return;
  }
  for (int o = 0; o < channels; ++o) {
    const int at = channel + o;
    const int32_t doubled = 2 * counts[o] + border[o];
    if (c->output == kOutputBits) {
      const uint32_t bit = doubled > 2 * c->threshold[at];
      ((uint32_t*)out)[at / kWordBits] |= bit << (at % kWordBits);
      continue;
    }
    const float y =
        (float)clamp(doubled, c->clamp_min, c->clamp_max) * c->multiplier[at] + c->bias[at];
    if (c->output == kOutputInt8) {
      ((int8_t*)out)[o] = round_to_int8(y);
    } else {
      ((float*)out)[o] = y;
    }
  }
}

static void store_pixel(const Convolution* c, const PanelPixel* pixel, int channel,
                        int channels, const int32_t* counts, BorderSums* borders, void* out) {
  if (c->pads_with_zero && pixel->is_border) {
    store_border(c, pixel, channel, channels, counts, borders, out);
  } else if (c->output == kOutputFloat) {
    store_float(c, channel, channels, counts, out);
  } else if (c->output == kOutputInt8) {
    store_int8(c, channel, channels, counts, out);
  } else {
    store_bits(c, channel, channels, counts, out);
  }
}

// The pixels [p, end) of a panel, whose windows lie inside the image: so many lines of so many
// words, `stride` apart, the first pixel's from `from` on.
static inline __attribute__((always_inline)) void place_lines(
    const Convolution* c, const uint32_t* from, const int words, const int lines,
    int64_t stride, int p, int end, PanelPixel* panel, uint32_t* patches) {
  const size_t patch_words = (size_t)c->patch_words;
  const int64_t step = (int64_t)c->window.stride_width * c->window.in_words;
  uint32_t* patch = gathered_patches(patches, patch_words) + (size_t)p * patch_words;
  for (; p < end; ++p, from += step, patch += patch_words) {
    panel[p].is_border = false;
    panel[p].row = patch_of(patches, patch_words, p);
    copy_lines(patch, from, words, lines, stride);
  }
}

#define BCD_LINES(its_words, its_lines)                                         \
  if (words == (its_words) && lines == (its_lines)) {                           \
    place_lines(c, from, its_words, its_lines, stride, p, end, panel, patches); \
    return;                                                                     \
  }

// Most pixels are those of large images, which have a word or two.
static __attribute__((noinline)) void place_inside(const Convolution* c, const uint32_t* from,
                                                   int p, int end, PanelPixel* panel,
                                                   uint32_t* patches) {
  const Window* w = &c->window;
  const int words = w->window_width * c->group_words, lines = w->window_height;
  const int64_t stride = (int64_t)w->in_width * w->in_words * w->dilation_height;
  BCD_LINES(1, 1)
  BCD_LINES(2, 1)
  BCD_LINES(3, 3)
  BCD_LINES(6, 3)
  place_lines(c, from, words, lines, stride, p, end, panel, patches);
}

#undef BCD_LINES

// The pixels of a line of the output: where the window of the first one begins, the image and
// its words of the group.
typedef struct {
  int64_t in_y, in_x;
  const uint32_t *image, *group_image;
} OutLine;

// Those whose windows reach beyond the image, or whose words do not lie in lines.
static void place_elsewhere(const Convolution* c, const OutLine* line, int group,
                            bool is_inside, int begin, int p, int end, PanelPixel* panel,
                            uint32_t* patches) {
  const size_t patch_words = (size_t)c->patch_words;
  uint32_t* patch = gathered_patches(patches, patch_words) + (size_t)p * patch_words;
  for (; p < end; ++p, patch += patch_words) {
    PanelPixel* pixel = &panel[p];
    pixel->in_y = line->in_y;
    pixel->in_x = line->in_x + (int64_t)(p - begin) * c->window.stride_width;
    pixel->is_border = !is_inside;
    pixel->row = patch_of(patches, patch_words, p);
    if (c->map != NULL) {
      gather_mapped_patch(c, line->image, group, pixel->in_y, pixel->in_x, patch);
    } else {
      gather_patch(c, line->group_image, pixel->in_y, pixel->in_x, patch);
    }
  }
}

// How many of `count` columns, `stride` apart from in_x on, lie before a limit.
static inline int columns_before(int64_t limit, int64_t in_x, int stride, int count) {
  if (in_x >= limit) return 0;
  const int64_t before = (limit - in_x + stride - 1) / stride;
  return before < count ? (int)before : count;
}

// Places the window of every pixel of the panel, and gathers its patch.
static void place_panel(const Convolution* c, const uint32_t* in, int group, size_t first,
                        int pixels, PanelPixel* panel, uint32_t* patches) {
  const Window* w = &c->window;
  const int64_t reach_y = (int64_t)(w->window_height - 1) * w->dilation_height;
  const int64_t reach_x = (int64_t)(w->window_width - 1) * w->dilation_width;
  // Whether a line of the window is one piece of the image.
  const bool is_run = c->map == NULL && w->in_words == c->group_words && w->dilation_width == 1;
  int out_x = (int)(first % (size_t)w->out_width);
  int out_y = (int)(first / (size_t)w->out_width % (size_t)w->out_height);
  size_t n = first / (size_t)w->out_width / (size_t)w->out_height;
  for (int p = 0; p < pixels;) {
    const uint32_t* image = in + n * c->image_words;
    const OutLine line = {.in_y = (int64_t)out_y * w->stride_height - w->pad_top,
                          .in_x = (int64_t)out_x * w->stride_width - w->pad_left,
                          .image = image,
                          .group_image = image + group * c->group_words};
    const int left = pixels - p, width = w->out_width - out_x;
    const int begin = p, end = p + (left < width ? left : width);
    // Pixels before and behind these have windows that reach beyond the image.
    const bool is_edge = line.in_y < 0 || line.in_y + reach_y >= w->in_height;
    const int stride = w->stride_width;
    const int inside =
        is_edge ? end : begin + columns_before(0, line.in_x, stride, end - begin);
    const int64_t last_x = w->in_width - reach_x;
    int outside =
        is_edge ? end : begin + columns_before(last_x, line.in_x, stride, end - begin);
    if (outside < inside) outside = inside;
    place_elsewhere(c, &line, group, false, begin, begin, inside, panel, patches);
    if (is_run && inside < outside) {
      const int64_t in_x = line.in_x + (int64_t)(inside - begin) * stride;
      place_inside(c, line.group_image + (line.in_y * w->in_width + in_x) * w->in_words, inside,
                   outside, panel, patches);
    } else {
      place_elsewhere(c, &line, group, true, begin, inside, outside, panel, patches);
    }
    place_elsewhere(c, &line, group, false, begin, outside, end, panel, patches);
    p = end;
    out_x = 0;
    if (++out_y == w->out_height) {
      out_y = 0;
      ++n;
    }
  }
  encode_patches(c, patches, pixels);
}

static inline int blocks_of(int channels) { return (channels + kLanes - 1) / kLanes; }

// Computes up to kTileChannels channels of one group, beginning with the group's channel
// `from`, for all pixels of a panel. `out` is where the first pixel's first of these channels
// goes, or, for bits, where the first pixel's words begin; the next pixel's place is
// pixel_bytes further.
static void convolve_tiles(const Convolution* c, const PanelPixel* panel, int pixels, int group,
                           int from, int channels, void* out, size_t pixel_bytes) {
  _Alignas(64) int32_t counts[kMaxTilePixels * kTileChannels];
  const int channel = group * c->group_channels_out + from, depth = convolution_depth(c);
  const uint32_t* weights = tile_weights(c, group, from);
  BorderSums borders[kBorders];
  forget_borders(borders);
  char* to = out;
  for (int p = 0; p < pixels; p += kTilePixels) {
    const int tile = pixels - p < kTilePixels ? pixels - p : kTilePixels;
    count_tile(panel + p, tile, depth, weights, blocks_of(channels), counts);
    for (int i = 0; i < tile; ++i, to += pixel_bytes) {
      store_pixel(c, &panel[p + i], channel, channels, counts + i * kTileChannels, borders, to);
    }
  }
}

static void convolve_panel(const Convolution* c, const uint32_t* in, char* out, size_t first,
                           int pixels, void* scratch) {
  PanelPixel* panel = scratch;
  uint32_t* patches = (uint32_t*)(panel + c->panel_pixels);
  const bool is_bits = c->output == kOutputBits;
  const size_t value_bytes = c->output == kOutputInt8 ? 1 : 4;
  const size_t pixel_bytes =
      value_bytes * (is_bits ? (size_t)words_of(c->channels_out) : (size_t)c->channels_out);
  out += first * pixel_bytes;
  if (is_bits) memset(out, 0, (size_t)pixels * pixel_bytes);
  for (int group = 0; group < c->groups; ++group) {
    place_panel(c, in, group, first, pixels, panel, patches);
    for (int from = 0; from < c->group_channels_out; from += kTileChannels) {
      const int left = c->group_channels_out - from;
      const int channels = left < kTileChannels ? left : kTileChannels;
      const size_t at = (size_t)(group * c->group_channels_out + from);
      convolve_tiles(c, panel, pixels, group, from, channels,
                     is_bits ? out : out + at * value_bytes, pixel_bytes);
    }
  }
}

static void convolve(const Convolution* c, const uint32_t* in, void* out, size_t first,
                     size_t last, void* scratch) {
  while (first < last) {
    const size_t left = last - first;
    const int pixels = left < (size_t)c->panel_pixels ? (int)left : c->panel_pixels;
    convolve_panel(c, in, out, first, pixels, scratch);
    first += (size_t)pixels;
  }
}

static void place_ungrouped(const Convolution* c, const uint32_t* in, size_t first, int pixels,
                            PanelPixel* panel, uint32_t* patches) {
  place_panel(c, in, 0, first, pixels, panel, patches);
}

#endif  // BCD_TILES_H_
