// Convolutions of floats over an image as all optimized kernels share them, compiled into each:
// after vectors.h, and with
//   kImagePixels, kImageBlocks   pixels, and blocks of their channels, whose sums are all in
//                                registers
//   BCD_OWN_TAPS                 if it has an add_taps of its own
//
// The weights of a line of the window, its taps, are beside each other, and so are the floats
// of the image that they belong to.
#ifndef BCD_IMAGE_H_
#define BCD_IMAGE_H_

#include "kernels/kernels.h"

_Static_assert((int)kImagePixels <= (int)kMaxImagePixels, "there is scratch for no more");

#ifndef BCD_OWN_TAPS
// Adds a line of the window to the sums. A block's weights lie `block_floats` further than
// those of the one before.
BCD_INLINE void add_taps(const float* const* lines, int taps, const float* weights,
                         size_t block_floats, const int blocks, Lanes* sums) {
  for (int k = 0; k < taps; ++k, weights += kLanes) {
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      const Lanes weight = load_lanes(weights + (size_t)b * block_floats);
#pragma GCC unroll 6
      for (int p = 0; p < (int)kImagePixels; ++p) {
        sums[p * blocks + b] =
            fused_lanes(same_lanes(lines[p][k]), weight, sums[p * blocks + b]);
      }
    }
  }
}
#endif

// Where the window of a pixel begins, and how much further its next line does.
typedef struct {
  const float* first;
  size_t stride;
} ImagePatch;

// The channels of some blocks from `channel` on, of the first `pixels` patches.
BCD_INLINE void convolve_tile(const ImageConvolution* c, const ImagePatch* patches, int pixels,
                              int channel, const int blocks, float* out) {
  const Window* w = &c->window;
  const int taps = w->window_width * w->in_words;
  const size_t block_floats = (size_t)image_depth(c) * kLanes;
  const float* weights = c->packed + (size_t)(channel / kLanes) * block_floats;
  const float* lines[kImagePixels];
  Lanes sums[kImagePixels * kImageBlocks];
#pragma GCC unroll 6
  for (int p = 0; p < (int)kImagePixels; ++p) {
    lines[p] = patches[p].first;
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      sums[p * blocks + b] = load_lanes(c->bias + channel + b * kLanes);
    }
  }
  for (int i = 0; i < w->window_height; ++i, weights += taps * kLanes) {
    add_taps(lines, taps, weights, block_floats, blocks, sums);
#pragma GCC unroll 6
    for (int p = 0; p < (int)kImagePixels; ++p) lines[p] += patches[p].stride;
  }
  const Lanes low = same_lanes(c->bounds.low), high = same_lanes(c->bounds.high);
#pragma GCC unroll 6
  for (int p = 0; p < (int)kImagePixels; ++p) {
    if (p == pixels) return;
#pragma GCC unroll 2
    for (int b = 0; b < blocks; ++b) {
      const int at = channel + b * kLanes, left = c->channels_out - at;
      Lanes x = sums[p * blocks + b];
      if (c->has_bounds) x = bound_lanes(x, low, high);
      store_some(out + (size_t)p * (size_t)c->channels_out + at, x,
                 left < kLanes ? left : kLanes);
    }
  }
}

// The floats of a window that reaches beyond the image, zeros there.
static __attribute__((noinline)) void gather_window(const Window* w, const float* image,
                                                    int64_t in_y, int64_t in_x, float* to) {
  for (int64_t y = in_y; y < in_y + w->window_height; ++y) {
    for (int64_t x = in_x; x < in_x + w->window_width; ++x, to += w->in_words) {
      const bool is_inside = y >= 0 && y < w->in_height && x >= 0 && x < w->in_width;
      for (int k = 0; k < w->in_words; ++k) {
        to[k] = is_inside ? image[(y * w->in_width + x) * w->in_words + k] : 0.0f;
      }
    }
  }
}

// An output pixel, and where its window begins.
typedef struct {
  int x, y;
  size_t sample;
  int64_t in_x, in_y;
  const float* image;
} OutPixel;

static inline void place(const ImageConvolution* c, const float* in, OutPixel* at) {
  const Window* w = &c->window;
  const size_t floats = (size_t)w->in_height * (size_t)w->in_width * (size_t)w->in_words;
  at->in_x = (int64_t)at->x * w->stride_width - w->pad_left;
  at->in_y = (int64_t)at->y * w->stride_height - w->pad_top;
  at->image = in + at->sample * floats;
}

// Goes on by some pixels of a line.
static inline void step_on(const ImageConvolution* c, const float* in, int pixels,
                           OutPixel* at) {
  at->x += pixels;
  if (at->x == c->window.out_width) {
    at->x = 0;
    if (++at->y == c->window.out_height) {
      at->y = 0;
      ++at->sample;
    }
  }
  place(c, in, at);
}

// Whether the windows of so many pixels, one beside the other, lie inside the image.
static inline bool are_inside(const Window* w, const OutPixel* at, int pixels) {
  const int64_t last_x = at->in_x + (int64_t)(pixels - 1) * w->stride_width;
  return at->x + pixels <= w->out_width && at->in_y >= 0 &&
         at->in_y + w->window_height <= w->in_height && at->in_x >= 0 &&
         last_x + w->window_width <= w->in_width;
}

static inline ImagePatch patch_inside(const Window* w, const OutPixel* at) {
  return (ImagePatch){at->image + (at->in_y * w->in_width + at->in_x) * w->in_words,
                      (size_t)w->in_width * (size_t)w->in_words};
}

// Where pixels are missing, the last one is computed again.
static __attribute__((noinline)) void place_one_by_one(const ImageConvolution* c,
                                                       const float* in, int pixels,
                                                       float* scratch, ImagePatch* patches,
                                                       OutPixel* at) {
  const Window* w = &c->window;
  for (int p = 0; p < (int)kImagePixels; ++p, scratch += image_depth(c)) {
    if (p >= pixels) {
      patches[p] = patches[p - 1];
      continue;
    }
    if (are_inside(w, at, 1)) {
      patches[p] = patch_inside(w, at);
    } else {
      gather_window(w, at->image, at->in_y, at->in_x, scratch);
      patches[p] = (ImagePatch){scratch, (size_t)w->window_width * (size_t)w->in_words};
    }
    step_on(c, in, 1, at);
  }
}

static void convolve_image(const ImageConvolution* c, const float* in, float* out, size_t first,
                           size_t last, float* scratch) {
  const Window* w = &c->window;
  const size_t line = first / (size_t)w->out_width;
  const size_t step = (size_t)w->stride_width * (size_t)w->in_words;
  OutPixel at = {.x = (int)(first % (size_t)w->out_width),
                 .y = (int)(line % (size_t)w->out_height),
                 .sample = line / (size_t)w->out_height};
  place(c, in, &at);
  ImagePatch patches[kImagePixels];
  for (; first < last; first += kImagePixels) {
    const int pixels = last - first < (size_t)kImagePixels ? (int)(last - first) : kImagePixels;
    if (pixels == kImagePixels && are_inside(w, &at, kImagePixels)) {
      patches[0] = patch_inside(w, &at);
      for (int p = 1; p < (int)kImagePixels; ++p) {
        patches[p] = (ImagePatch){patches[p - 1].first + step, patches[0].stride};
      }
      step_on(c, in, kImagePixels, &at);
    } else {
      place_one_by_one(c, in, pixels, scratch, patches, &at);
    }
    float* to = out + first * (size_t)c->channels_out;
    int channel = 0;
    for (; channel + (kImageBlocks - 1) * kLanes < c->channels_out;
         channel += kImageBlocks * kLanes) {
      convolve_tile(c, patches, pixels, channel, kImageBlocks, to);
    }
    if (channel < c->channels_out) convolve_tile(c, patches, pixels, channel, 1, to);
  }
}

#endif  // BCD_IMAGE_H_
