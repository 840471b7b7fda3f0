// Data for kernels, random but the same in every run: for their tests and for their benchmark.
#ifndef BCD_SETUP_H_
#define BCD_SETUP_H_

#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

static uint64_t random_state = 1;

static inline uint32_t random_word(void) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(random_state >> 32);
}

static inline int random_below(int limit) { return (int)(random_word() % (uint32_t)limit); }

// From -2 to 2.
static inline float random_float(void) {
  return (float)(int32_t)random_word() / (float)(1 << 30);
}

// Of exactly its size, so that the address sanitizer sees each byte beyond.
static inline void* allocate(size_t bytes) {
  void* memory = NULL;
  if (posix_memalign(&memory, 64, bytes > 0 ? bytes : 1) != 0) abort();
  return memory;
}

static inline float* random_floats(size_t count) {
  float* floats = allocate(count * sizeof(float));
  for (size_t i = 0; i < count; ++i) floats[i] = random_float();
  return floats;
}

static inline uint32_t* random_words(size_t count) {
  uint32_t* words = allocate(count * sizeof(uint32_t));
  for (size_t i = 0; i < count; ++i) words[i] = random_word();
  return words;
}

// Signs of pixels of so many channels: the bits above the last one are 0.
static inline uint32_t* random_signs(size_t pixels, int channels) {
  const size_t words = (size_t)words_of(channels);
  uint32_t* signs = random_words(pixels * words);
  if (channels % kWordBits == 0) return signs;
  for (size_t p = 1; p <= pixels; ++p) signs[p * words - 1] &= (1u << channels % kWordBits) - 1;
  return signs;
}

// A convolution and all that belongs to it.
typedef struct {
  int batch, size, channels_in, channels_out, window, stride, dilation, groups;
  bool pads, pads_with_zero, has_activation;
  OutputKind output;
} Shape;

typedef struct {
  Convolution convolution;
  uint32_t *input, *filter, *packed;
  float *multiplier, *count_multiplier, *bias, *scale;
  int32_t *threshold, *tap_sums;
  void* scratch;
  size_t pixels, output_bytes;
} Case;

static inline int32_t* sums_of_taps(const Convolution* c) {
  const int taps = c->window.window_height * c->window.window_width;
  int32_t* sums = allocate((size_t)taps * (size_t)c->channels_out * sizeof(int32_t));
  for (int o = 0; o < c->channels_out; ++o) {
    for (int tap = 0; tap < taps; ++tap) {
      const uint32_t* words =
          c->filter + ((size_t)o * (size_t)taps + (size_t)tap) * (size_t)c->group_words;
      int32_t sum = c->group_channels_in;
      for (int k = 0; k < c->group_words; ++k) sum -= 2 * __builtin_popcount(words[k]);
      sums[tap * c->channels_out + o] = sum;
    }
  }
  return sums;
}

static inline Case make_case(Shape s) {
  Case made = {0};
  const int reach = (s.window - 1) * s.dilation + 1, pad = s.pads ? (reach - 1) / 2 : 0;
  const int out = ((s.pads ? s.size : s.size - reach + 1) - 1) / s.stride + 1;
  Convolution* c = &made.convolution;
  c->window = (Window){.batch = s.batch,
                       .in_height = s.size,
                       .in_width = s.size,
                       .in_words = (int)words_of(s.channels_in),
                       .out_height = out,
                       .out_width = out,
                       .window_height = s.window,
                       .window_width = s.window,
                       .stride_height = s.stride,
                       .stride_width = s.stride,
                       .dilation_height = s.dilation,
                       .dilation_width = s.dilation,
                       .pad_top = pad,
                       .pad_left = pad};
  c->groups = s.groups;
  c->group_channels_in = s.channels_in / s.groups;
  c->group_words = (int)words_of(c->group_channels_in);
  c->channels_out = s.channels_out;
  c->group_channels_out = s.channels_out / s.groups;
  c->pads_with_zero = s.pads && s.pads_with_zero;
  c->has_activation = s.has_activation;
  c->output = s.output;
  const int32_t bits = s.window * s.window * c->group_channels_in;
  c->clamp_min = 0;
  c->clamp_max = s.has_activation ? bits : 2 * bits;
  made.pixels = (size_t)s.batch * (size_t)out * (size_t)out;
  made.output_bytes =
      made.pixels * (s.output == kOutputBits
                         ? (size_t)words_of(s.channels_out) * 4
                         : (size_t)s.channels_out * (s.output == kOutputInt8 ? 1 : 4));
  const size_t taps = (size_t)s.window * (size_t)s.window;
  made.input = random_signs((size_t)s.batch * (size_t)s.size * (size_t)s.size, s.channels_in);
  made.filter = random_signs((size_t)s.channels_out * taps, c->group_channels_in);
  const size_t slots = (size_t)s.channels_out + kLanes;
  made.multiplier = random_floats(slots);
  made.bias = random_floats(slots);
  made.scale = random_floats(slots);
  made.count_multiplier = random_floats(slots);
  made.threshold = allocate(slots * sizeof(int32_t));
  for (size_t o = 0; o < slots; ++o) {
    made.count_multiplier[o] = 2 * made.multiplier[o];
    made.threshold[o] = random_below(bits + 1);
  }
  c->filter = made.filter;
  c->multiplier = made.multiplier;
  c->bias = made.bias;
  c->scale = made.scale;
  c->threshold = made.threshold;
  const bool is_whole = c->group_channels_in % kWordBits == 0;
  if (s.output == kOutputFloat && !s.has_activation && is_whole) {
    c->count_multiplier = made.count_multiplier;
  }
  if (c->pads_with_zero) c->tap_sums = made.tap_sums = sums_of_taps(c);
  return made;
}

// What only a set of kernels needs; once for each.
static inline void prepare_case(Case* made, const Kernels* kernels, int panel_pixels) {
  Convolution* c = &made->convolution;
  c->image_words =
      (size_t)c->window.in_height * (size_t)c->window.in_width * (size_t)c->window.in_words;
  if (!kernels->is_tiled) return;
  c->patch_words = kernels->patch_words(c);
  c->panel_pixels = panel_pixels;
  c->scratch_bytes = (size_t)panel_pixels * sizeof(PanelPixel) + patches_bytes(c, panel_pixels);
  free(made->packed);
  free(made->scratch);
  made->scratch = allocate(c->scratch_bytes);
  const size_t line = 64, bytes = kernels->packed_words(c) * sizeof(uint32_t);
  made->packed = allocate((bytes + line - 1) / line * line);
  kernels->pack(c, made->packed);
  c->packed = made->packed;
}

static inline void free_case(Case* made) {
  free(made->input);
  free(made->filter);
  free(made->packed);
  free(made->multiplier);
  free(made->count_multiplier);
  free(made->bias);
  free(made->scale);
  free(made->threshold);
  free(made->tap_sums);
  free(made->scratch);
}

// A convolution of images of floats and all that belongs to it.
typedef struct {
  int batch, size, channels_in, channels_out, window, stride, pad;
  bool has_bounds;
} ImageShape;

typedef struct {
  ImageConvolution convolution;
  size_t pixels;
  float *input, *filter, *bias, *packed, *scratch;
} ImageCase;

static inline ImageCase make_image(ImageShape s) {
  const int out = (s.size + 2 * s.pad - s.window) / s.stride + 1;
  ImageCase made = {
      .convolution = {.window = {.batch = s.batch,
                                 .in_height = s.size,
                                 .in_width = s.size,
                                 .in_words = s.channels_in,
                                 .out_height = out,
                                 .out_width = out,
                                 .window_height = s.window,
                                 .window_width = s.window,
                                 .stride_height = s.stride,
                                 .stride_width = s.stride,
                                 .dilation_height = 1,
                                 .dilation_width = 1,
                                 .pad_top = s.pad,
                                 .pad_left = s.pad},
                      .channels_out = s.channels_out,
                      .has_bounds = s.has_bounds,
                      .bounds = {0.0f, 6.0f}},
      .pixels = (size_t)(s.batch * out * out),
  };
  ImageConvolution* c = &made.convolution;
  const size_t depth = (size_t)image_depth(c), channels = (size_t)s.channels_out;
  const size_t padded = (channels + kLanes - 1) / kLanes * kLanes;
  made.input = random_floats((size_t)(s.batch * s.size * s.size * s.channels_in));
  made.filter = random_floats(channels * depth);
  made.bias = random_floats(channels + kLanes);
  made.scratch = random_floats(kMaxImagePixels * depth);
  made.packed = allocate(padded * depth * sizeof(float));
  memset(made.packed, 0, padded * depth * sizeof(float));
  for (size_t o = 0; o < channels; ++o) {
    for (size_t k = 0; k < depth; ++k) {
      made.packed[(o / kLanes * depth + k) * kLanes + o % kLanes] = made.filter[o * depth + k];
    }
  }
  c->filter = made.filter;
  c->bias = made.bias;
  c->packed = made.packed;
  return made;
}

static inline void free_image(ImageCase* made) {
  free(made->input);
  free(made->filter);
  free(made->bias);
  free(made->scratch);
  free(made->packed);
}

#endif  // BCD_SETUP_H_
