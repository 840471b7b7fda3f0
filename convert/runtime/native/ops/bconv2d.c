// LceBconv2d: the convolution of packed activations with packed weights. The equations stand at
// the head of reference.c. posix_memalign is POSIX's: Android has C11's aligned_alloc since
// version 9 only.
#define _POSIX_C_SOURCE 200809L

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/move_table.h"
#include "ops/operators.h"

enum { kNoActivation = 0, kRelu = 1, kReluN1To1 = 2, kRelu6 = 3 };
enum { kInput = 0, kFilter = 1, kMultiplier = 2, kBias = 3, kThreshold = 4, kInputs = 5 };

// What the words of a panel's patches may take of the first-level cache, before they are
// encoded; the weights need the rest.
enum { kPatchBytes = 16 * 1024, kMaxPanelPixels = 60 };
enum { kReferencePixelsPerPiece = 16, kLineBytes = 64 };

typedef struct {
  Convolution convolution;
  int channels_in, padding, pad_values, activation;
  size_t pixels_per_piece;
  // Owned; the convolution points into them.
  float *multiplier, *count_multiplier, *bias, *scale;
  int32_t *threshold, *tap_sums;
  uint32_t* packed;
} Bconv2d;

static bool read_options(void* opaque, const TfLiteNode* node, Error* error) {
  Bconv2d* state = opaque;
  Window* w = &state->convolution.window;
  return read_option(node, "channels_in", 1, kMaxCount, &state->channels_in, error) &&
         read_option(node, "padding", kPaddingSame, kPaddingValid, &state->padding, error) &&
         read_option(node, "pad_values", 0, 1, &state->pad_values, error) &&
         read_option(node, "fused_activation_function", kNoActivation, kRelu6,
                     &state->activation, error) &&
         read_option(node, "stride_height", 1, kMaxWindow, &w->stride_height, error) &&
         read_option(node, "stride_width", 1, kMaxWindow, &w->stride_width, error) &&
         read_option(node, "dilation_height_factor", 1, kMaxWindow, &w->dilation_height,
                     error) &&
         read_option(node, "dilation_width_factor", 1, kMaxWindow, &w->dilation_width, error);
}

static void release(void* opaque) {
  Bconv2d* state = opaque;
  free(state->multiplier);
  free(state->count_multiplier);
  free(state->bias);
  free(state->scale);
  free(state->threshold);
  free(state->tap_sums);
  free(state->packed);
  state->multiplier = state->count_multiplier = state->bias = state->scale = NULL;
  state->threshold = state->tap_sums = NULL;
  state->packed = NULL;
}

// ---- Checks ----

static bool check_channels(Bconv2d* state, const Value* filter, Error* error) {
  Convolution* c = &state->convolution;
  const int filter_words = filter->dims[3];
  const int words = (int)words_of(state->channels_in);
  if (words != c->window.in_words) {
    return refuse(error, "its channels_in is %d, which is %d words of 32, and its input has %d",
                  state->channels_in, words, c->window.in_words);
  }
  if (words % filter_words != 0) {
    return refuse(error, "its input has %d words of 32 channels, and its filter %d", words,
                  filter_words);
  }
  c->groups = words / filter_words;
  if (c->groups > 1 && state->channels_in % (c->groups * kWordBits) != 0) {
    return refuse(error,
                  "its %d groups share %d input channels, and each has to have a "
                  "multiple of 32",
                  c->groups, state->channels_in);
  }
  if (c->channels_out % c->groups != 0) {
    return refuse(error, "its %d groups share %d output channels", c->groups, c->channels_out);
  }
  c->group_channels_in = state->channels_in / c->groups;
  c->group_channels_out = c->channels_out / c->groups;
  c->group_words = filter_words;
  // dims multiply to the bytes of the filter, so this cannot overflow before it is compared.
  const int64_t bits = (int64_t)filter->dims[1] * filter->dims[2] * filter_words * kWordBits;
  if (bits > kMaxCount) {
    return refuse(error, "its window holds %lld bits, and at most %d are supported",
                  (long long)bits, kMaxCount);
  }
  return true;
}

static bool check_vector(const Value* value, const char* role, int type, int channels,
                         Error* error) {
  if (value == NULL) return refuse(error, "it has no %s", role);
  if (!expect_type(value, role, type, error) || !expect_rank(value, role, 1, error))
    return false;
  if (value->dims[0] != channels) {
    return refuse(error, "its %s has %d values, and its filter %d output channels", role,
                  value->dims[0], channels);
  }
  if (value->constant == NULL) return refuse(error, "its %s is not a constant", role);
  return true;
}

static bool check_inputs(Graph* graph, Step* step, Error* error) {
  Bconv2d* state = step->state;
  Convolution* c = &state->convolution;
  Window* w = &c->window;
  const Value* in = step_input(graph, step, kInput);
  const Value* filter = step_input(graph, step, kFilter);
  const Value* out = step_output(graph, step);
  if (in == NULL || filter == NULL) return refuse(error, "it has no input or no filter");
  if (!expect_type(in, "input", kTfLiteInt32, error) || !expect_rank(in, "input", 4, error) ||
      !expect_type(filter, "filter", kTfLiteInt32, error) ||
      !expect_rank(filter, "filter", 4, error)) {
    return false;
  }
  if (filter->constant == NULL) return refuse(error, "its filter is not a constant");
  w->batch = in->dims[0];
  w->in_height = in->dims[1];
  w->in_width = in->dims[2];
  w->in_words = in->dims[3];
  w->window_height = filter->dims[1];
  w->window_width = filter->dims[2];
  c->channels_out = filter->dims[0];
  c->filter = filter->constant;
  if (!check_channels(state, filter, error)) return false;

  if (out->type == kTfLiteInt32) {
    c->output = kOutputBits;
    return check_vector(step_input(graph, step, kThreshold), "output_threshold", kTfLiteInt32,
                        c->channels_out, error);
  }
  if (out->type != kTfLiteFloat32 && out->type != kTfLiteInt8) {
    return refuse(error, "its output is %s, and has to be float32, int8 or int32",
                  type_name(out->type));
  }
  c->output = out->type == kTfLiteFloat32 ? kOutputFloat : kOutputInt8;
  if (c->output == kOutputInt8 && !(out->scale > 0.0f)) {
    return refuse(error, "its int8 output has the scale %g", (double)out->scale);
  }
  return check_vector(step_input(graph, step, kMultiplier), "post_activation_multiplier",
                      kTfLiteFloat32, c->channels_out, error) &&
         check_vector(step_input(graph, step, kBias), "post_activation_bias", kTfLiteFloat32,
                      c->channels_out, error);
}

// ---- Preparation ----

// The bounds of an activation on K - 2 count, turned into bounds on 2 count.
static void fold_activation(Bconv2d* state) {
  Convolution* c = &state->convolution;
  const int32_t k = c->window.window_height * c->window.window_width * c->group_channels_in;
  int32_t low = -k, high = k;
  if (state->activation == kRelu || state->activation == kRelu6) low = 0;
  if (state->activation == kRelu6 && high > 6) high = 6;
  if (state->activation == kReluN1To1) {
    low = -1;
    high = 1;
  }
  c->has_activation = state->activation != kNoActivation;
  c->clamp_min = k - high;
  c->clamp_max = k - low;
}

// Doubling is exact and moves from the count to its multiplier, unless it overflows, or makes a
// normal number of a denormal one, which counts as zero.
static bool double_multipliers(const float* multiplier, float* doubled, int channels) {
  for (int o = 0; o < channels; ++o) {
    const float size = fabsf(multiplier[o]);
    if (size != 0.0f && !(size >= FLT_MIN && size <= FLT_MAX / 2)) return false;
    doubled[o] = 2 * multiplier[o];
  }
  return true;
}

static bool fold_scales(Graph* graph, Step* step, Error* error) {
  Bconv2d* state = step->state;
  Convolution* c = &state->convolution;
  const size_t slots = (size_t)c->channels_out + kLanes;
  if (c->output == kOutputBits) {
    const int32_t* threshold = step_input(graph, step, kThreshold)->constant;
    state->threshold = calloc(slots, sizeof(int32_t));
    if (state->threshold == NULL) return refuse(error, "out of memory");
    for (int o = 0; o < c->channels_out; ++o) {
      const int32_t t = threshold[o];
      state->threshold[o] = t > kMaxCount ? kMaxCount : t < -kMaxCount ? -kMaxCount : t;
    }
    c->threshold = state->threshold;
    return true;
  }
  const Value* out = step_output(graph, step);
  const float* multiplier = step_input(graph, step, kMultiplier)->constant;
  const float* bias = step_input(graph, step, kBias)->constant;
  state->multiplier = calloc(slots, sizeof(float));
  state->bias = calloc(slots, sizeof(float));
  state->scale = calloc(slots, sizeof(float));
  if (state->multiplier == NULL || state->bias == NULL || state->scale == NULL) {
    return refuse(error, "out of memory");
  }
  // In double, and rounded once: LCE does the same, and so must we to give its bits.
  const double k =
      (double)c->window.window_height * c->window.window_width * c->group_channels_in;
  const double scale = c->output == kOutputInt8 ? (double)out->scale : 1.0;
  const double zero_point = c->output == kOutputInt8 ? (double)out->zero_point : 0.0;
  for (int o = 0; o < c->channels_out; ++o) {
    const double m = (double)multiplier[o], b = (double)bias[o];
    state->multiplier[o] = (float)(-m / scale);
    state->bias[o] = (float)((b + k * m) / scale + zero_point);
    state->scale[o] = multiplier[o];
  }
  c->count_multiplier = NULL;
  // Of whole words no count leaves [0, K], so without an activation nothing is clamped.
  const bool is_whole = c->group_channels_in % kWordBits == 0;
  if (c->output == kOutputFloat && !c->has_activation && is_whole) {
    state->count_multiplier = calloc(slots, sizeof(float));
    if (state->count_multiplier == NULL) return refuse(error, "out of memory");
    if (double_multipliers(state->multiplier, state->count_multiplier, c->channels_out)) {
      c->count_multiplier = state->count_multiplier;
    }
  }
  c->multiplier = state->multiplier;
  c->bias = state->bias;
  c->scale = state->scale;
  return true;
}

// The sum of the weights behind each tap of the window, which a border of zeros takes back.
static bool sum_taps(Bconv2d* state, Error* error) {
  Convolution* c = &state->convolution;
  const int taps = c->window.window_height * c->window.window_width;
  state->tap_sums = calloc((size_t)taps * (size_t)c->channels_out, sizeof(int32_t));
  if (state->tap_sums == NULL) return refuse(error, "out of memory");
  const uint32_t* weights = c->filter;
  for (int o = 0; o < c->channels_out; ++o) {
    for (int tap = 0; tap < taps; ++tap) {
      int32_t sum = c->group_channels_in;
      for (int k = 0; k < c->group_words; ++k) sum -= 2 * __builtin_popcount(*weights++);
      state->tap_sums[(size_t)tap * (size_t)c->channels_out + (size_t)o] = sum;
    }
  }
  c->tap_sums = state->tap_sums;
  return true;
}

static bool pack_filter(const Kernels* kernels, Bconv2d* state, Error* error) {
  Convolution* c = &state->convolution;
  // Whole lines of the cache, where the kernels' loads end.
  size_t bytes = kernels->packed_words(c) * sizeof(uint32_t);
  bytes = (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
  void* packed = NULL;
  if (posix_memalign(&packed, kLineBytes, bytes) != 0) return refuse(error, "out of memory");
  state->packed = packed;
  kernels->pack(c, state->packed);
  c->packed = state->packed;
  return true;
}

void size_convolution(Graph* graph, Step* step) {
  Bconv2d* state = step->state;
  Convolution* c = &state->convolution;
  state->pixels_per_piece = kReferencePixelsPerPiece;
  if (!graph->kernels->is_tiled) return;
  const size_t depth = (size_t)convolution_depth(c);
  const size_t threads = (size_t)thread_pool_size(graph->pool);
  const size_t share = (window_pixels(&c->window) + threads - 1) / threads;
  size_t pixels = kPatchBytes / (depth * sizeof(uint32_t));
  if (pixels == 0) pixels = 1;  // of a patch that is larger than the cache
  if (pixels > share) pixels = share;
  if (pixels > kMaxPanelPixels) pixels = kMaxPanelPixels;
  pixels = (pixels + kPanelStep - 1) / kPanelStep * kPanelStep;
  c->panel_pixels = (int)pixels;
  c->scratch_bytes = pixels * sizeof(PanelPixel) + patches_bytes(c, c->panel_pixels);
  reserve_thread_scratch(graph, c->scratch_bytes);
  state->pixels_per_piece = pixels;
}

// Whether each aligned piece of so many words is one in the map, too: all of it zero, or
// consecutive words.
static bool stays_together(const int32_t* map, size_t words, int piece) {
  for (size_t from = 0; from < words; from += (size_t)piece) {
    for (int i = 1; i < piece; ++i) {
      const int32_t expected = map[from] < 0 ? map[from] : map[from] + i;
      if (map[from + (size_t)i] != expected) return false;
    }
  }
  return true;
}

// Whether a map only puts zeros around an image of another size, and where that begins.
static bool is_frame(const int32_t* map, const Window* w, int height, int width, int* top,
                     int* left) {
  const int64_t words = w->in_words, units = (int64_t)w->in_height * w->in_width * words;
  int64_t first = 0;
  while (first < units && map[first] < 0) ++first;
  *top = (int)(first / words / w->in_width);
  *left = (int)(first / words % w->in_width);
  if (*top + (int64_t)height > w->in_height || *left + (int64_t)width > w->in_width)
    return false;
  int32_t next = 0;
  for (int y = 0; y < w->in_height; ++y) {
    for (int x = 0; x < w->in_width; ++x) {
      const bool is_inside = y >= *top && y - *top < height && x >= *left && x - *left < width;
      for (int k = 0; k < words; ++k) {
        if (*map++ != (is_inside ? next++ : kZeroUnit)) return false;
      }
    }
  }
  return true;
}

// Whether all windows of a convolution end within the first rows and columns of its input.
static bool ends_within(const Window* w, int height, int width) {
  const int64_t last_y = (int64_t)(w->out_height - 1) * w->stride_height - w->pad_top +
                         (int64_t)(w->window_height - 1) * w->dilation_height;
  const int64_t last_x = (int64_t)(w->out_width - 1) * w->stride_width - w->pad_left +
                         (int64_t)(w->window_width - 1) * w->dilation_width;
  return last_y < height && last_x < width;
}

// Whether a convolution can do without zeros around its input: they are what is outside of it,
// or lie behind all that it reads.
static bool drops_frame(const Convolution* c, const int32_t* map, const Value* root, int* top,
                        int* left) {
  const Window* w = &c->window;
  if (root->rank != 4 || root->dims[3] != w->in_words || root->samples != root->dims[0]) {
    return false;
  }
  if (!is_frame(map, w, root->dims[1], root->dims[2], top, left)) return false;
  return !c->pads_with_zero ||
         (*top == 0 && *left == 0 && ends_within(w, root->dims[1], root->dims[2]));
}

void redirect_convolution(Step* step, const int32_t* map, const Value* root) {
  Convolution* c = &((Bconv2d*)step->state)->convolution;
  Window* w = &c->window;
  c->image_words = root->bytes / sizeof(uint32_t) / (size_t)root->samples;
  int top, left;
  if (drops_frame(c, map, root, &top, &left)) {
    w->pad_top += top;
    w->pad_left += left;
    w->in_height = root->dims[1];
    w->in_width = root->dims[2];
    return;
  }
  c->map = map;
  // The longest pieces of a pixel that stay together wherever they go.
  const int words = c->group_words;
  const size_t pixels = (size_t)w->in_height * (size_t)w->in_width;
  int run = 1;
  while (words % (2 * run) == 0 && stays_together(map, pixels * (size_t)w->in_words, 2 * run)) {
    run *= 2;
  }
  c->map_run = run;
}

void crop_convolution(Step* step, int top, int left, int height, int width) {
  Window* w = &((Bconv2d*)step->state)->convolution.window;
  w->pad_top -= top * w->stride_height;
  w->pad_left -= left * w->stride_width;
  w->out_height = height;
  w->out_width = width;
}

static bool prepare(Graph* graph, Step* step, Error* error) {
  Bconv2d* state = step->state;
  Convolution* c = &state->convolution;
  release(state);
  if (!check_inputs(graph, step, error) ||
      !slide_window(&c->window, (Padding)state->padding, error)) {
    return false;
  }
  const Kernels* kernels = graph->kernels;
  if (kernels->is_tiled) c->patch_words = kernels->patch_words(c);
  c->pads_with_zero = state->padding == kPaddingSame && state->pad_values == 0;
  fold_activation(state);
  if (!fold_scales(graph, step, error)) return false;
  c->map = NULL;
  c->image_words =
      (size_t)c->window.in_height * (size_t)c->window.in_width * (size_t)c->window.in_words;
  if (kernels->is_tiled) {
    if (!pack_filter(kernels, state, error)) return false;
    if (c->pads_with_zero && !sum_taps(state, error)) return false;
  }
  const int channels =
      c->output == kOutputBits ? (int)words_of(c->channels_out) : c->channels_out;
  const int dims[] = {c->window.batch, c->window.out_height, c->window.out_width, channels};
  return set_output(graph, step, 4, dims, error);
}

const Convolution* step_convolution(const Step* step) {
  return &((const Bconv2d*)step->state)->convolution;
}

// ---- Run ----

typedef struct {
  const Graph* graph;
  const Bconv2d* state;
  const uint32_t* from;
  void* to;
} Job;

static void run_piece(void* argument, size_t piece, int thread) {
  const Job* job = argument;
  const Convolution* c = &job->state->convolution;
  const size_t pixels = window_pixels(&c->window);
  const size_t first = piece * job->state->pixels_per_piece;
  const size_t left = pixels - first;
  const size_t count =
      left < job->state->pixels_per_piece ? left : job->state->pixels_per_piece;
  job->graph->kernels->convolve(c, job->from, job->to, first, first + count,
                                thread_scratch(job->graph, thread));
}

static void run(const Graph* graph, const Step* step) {
  const Bconv2d* state = step->state;
  Job job = {graph, state, value_data(graph, step_input(graph, step, kInput)),
             value_data(graph, step_output(graph, step))};
  const size_t pixels = window_pixels(&state->convolution.window);
  thread_pool_run(graph->pool, run_piece, &job,
                  (pixels + state->pixels_per_piece - 1) / state->pixels_per_piece);
}

const Operator bconv2d_operator = {
    .name = "LceBconv2d",
    .builtin_code = kBuiltinCustom,
    .fusion = kFusesConvolution,
    .inputs = kInputs,
    .state_bytes = sizeof(Bconv2d),
    .read_options = read_options,
    .prepare = prepare,
    .run = run,
    .release = release,
};
