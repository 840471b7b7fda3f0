// CONV_2D of TensorFlow Lite over an image of few channels, in floats: what binary networks
// begin with. The runtime's kernels are made for many channels. Computed in the order of
// LiteRT's XNNPACK, see reference.c. posix_memalign is POSIX's.
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "ops/operators.h"

enum { kInput = 0, kFilter = 1, kBias = 2, kMargins = 1 };
enum { kFileSame = 1, kFileValid = 2 };
// Of more channels the runtime computes at least as fast.
enum { kMaxImageChannels = 3 };
enum { kPixelsPerPiece = 240, kLineBytes = 64 };

// How the runtime stores the options.
typedef struct {
  int padding, stride_width, stride_height, activation, dilation_width, dilation_height;
} Parameters;

typedef struct {
  ImageConvolution convolution;
  int padding;
  float *bias, *packed;  // owned; the convolution points to them
} Conv2d;

static bool is_image(const TfLiteTensor* tensor) {
  return tensor != NULL && tensor->type == kTfLiteFloat32 && tensor->dims != NULL &&
         tensor->dims->size == 4;
}

// Whether a filter is small enough. From one channel to one the runtime sums up in another
// order.
static bool is_small(const int* dims) {
  const int channels_out = dims[0], window_height = dims[1], window_width = dims[2];
  const int channels = dims[3];
  return channels >= 1 && channels <= kMaxImageChannels && (channels > 1 || channels_out > 1) &&
         window_height >= 1 && window_height <= kMaxImageDepth && window_width >= 1 &&
         window_width <= kMaxImageDepth / window_height / channels;
}

static bool is_stride(int stride) { return stride >= 1 && stride <= kMaxWindow; }

static bool claims(const TfLiteContext* context, const TfLiteNode* node) {
  const Parameters* p = node->builtin_data;
  if (p == NULL || node->outputs->size != 1 || node->inputs->size < 2 ||
      node->inputs->size > 3 || p->dilation_width != 1 || p->dilation_height != 1 ||
      !is_stride(p->stride_height) || !is_stride(p->stride_width) ||
      (p->padding != kFileSame && p->padding != kFileValid)) {
    return false;
  }
  bool has_bounds;
  Bounds bounds;
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[kInput]);
  const TfLiteTensor* filter = tensor_at(context, node->inputs->data[kFilter]);
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  return read_bounds(p->activation, &has_bounds, &bounds) && is_image(in) && is_image(filter) &&
         is_image(out) && in->allocation_type != kTfLiteMmapRo &&
         filter->allocation_type == kTfLiteMmapRo &&
         filter->dims->data[3] == in->dims->data[3] && is_small(filter->dims->data) &&
         has_constant_bias(context, node, kBias, filter->dims->data[0]);
}

static bool read_options(void* opaque, const TfLiteNode* node, Error* error) {
  Conv2d* state = opaque;
  ImageConvolution* c = &state->convolution;
  Window* w = &c->window;
  const Parameters* p = node->builtin_data;
  if (p == NULL) return refuse(error, "it has no options");
  if (!is_stride(p->stride_height) || !is_stride(p->stride_width)) {
    return refuse(error, "its strides are %d and %d, and have to be within 1 and %d",
                  p->stride_height, p->stride_width, kMaxWindow);
  }
  w->stride_height = p->stride_height;
  w->stride_width = p->stride_width;
  w->dilation_height = w->dilation_width = 1;
  state->padding = p->padding == kFileSame ? kPaddingSame : kPaddingValid;
  return read_bounds(p->activation, &c->has_bounds, &c->bounds) ||
         refuse(error, "its activation is not known");
}

static void release(void* opaque) {
  Conv2d* state = opaque;
  free(state->bias);
  free(state->packed);
  state->bias = state->packed = NULL;
}

static bool pack(Conv2d* state, Error* error) {
  ImageConvolution* c = &state->convolution;
  const size_t depth = (size_t)image_depth(c), channels = (size_t)c->channels_out;
  const size_t bytes = (channels + kLanes - 1) / kLanes * kLanes * depth * sizeof(float);
  void* packed = NULL;
  if (posix_memalign(&packed, kLineBytes, bytes) != 0) return refuse(error, "out of memory");
  c->packed = state->packed = packed;
  memset(packed, 0, bytes);
  for (size_t o = 0; o < channels; ++o) {
    float* to = state->packed + o / kLanes * depth * kLanes + o % kLanes;
    for (size_t k = 0; k < depth; ++k) to[k * kLanes] = c->filter[o * depth + k];
  }
  return true;
}

static bool check_inputs(Graph* graph, Step* step, Error* error) {
  if (step->input_count < 2 || step->input_count > 3) {
    return refuse(error, "it has %d inputs, and has to have 2 or 3", step->input_count);
  }
  const Value* in = step_input(graph, step, kInput);
  const Value* filter = step_input(graph, step, kFilter);
  if (in == NULL || filter == NULL) return refuse(error, "it has no input or no filter");
  if (!expect_type(in, "input", kTfLiteFloat32, error) || !expect_rank(in, "input", 4, error) ||
      !expect_type(filter, "filter", kTfLiteFloat32, error) ||
      !expect_rank(filter, "filter", 4, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return false;
  }
  if (filter->constant == NULL) return refuse(error, "its filter is not a constant");
  if (in->dims[3] != filter->dims[3] || !is_small(filter->dims)) {
    return refuse(error,
                  "its input has %d channels, and its filter is %d high, %d wide and of %d: of "
                  "at most %d channels, %d values together",
                  in->dims[3], filter->dims[1], filter->dims[2], filter->dims[3],
                  kMaxImageChannels, kMaxImageDepth);
  }
  return true;
}

static bool prepare(Graph* graph, Step* step, Error* error) {
  Conv2d* state = step->state;
  ImageConvolution* c = &state->convolution;
  Window* w = &c->window;
  release(state);
  if (!check_inputs(graph, step, error)) return false;
  const Value* in = step_input(graph, step, kInput);
  const Value* filter = step_input(graph, step, kFilter);
  w->batch = in->dims[0];
  w->in_height = in->dims[1];
  w->in_width = in->dims[2];
  w->in_words = in->dims[3];
  w->window_height = filter->dims[1];
  w->window_width = filter->dims[2];
  c->channels_out = filter->dims[0];
  c->filter = filter->constant;
  if (!slide_window(w, (Padding)state->padding, error)) return false;
  const Value* bias = step->input_count > kBias ? step_input(graph, step, kBias) : NULL;
  c->bias = state->bias = copy_bias(bias, c->channels_out, error);
  if (state->bias == NULL || (graph->kernels->is_tiled && !pack(state, error))) return false;
  reserve_thread_scratch(graph, kMaxImagePixels * (size_t)image_depth(c) * sizeof(float));
  const int dims[] = {w->batch, w->out_height, w->out_width, c->channels_out};
  return set_output(graph, step, 4, dims, error);
}

typedef struct {
  const Graph* graph;
  const ImageConvolution* convolution;
  const float* from;
  float* to;
} Job;

static void run_piece(void* argument, size_t piece, int thread) {
  const Job* job = argument;
  const size_t pixels = window_pixels(&job->convolution->window);
  const size_t first = piece * kPixelsPerPiece;
  const size_t last = pixels - first < kPixelsPerPiece ? pixels : first + kPixelsPerPiece;
  job->graph->kernels->convolve_image(job->convolution, job->from, job->to, first, last,
                                      thread_scratch(job->graph, thread));
}

static void run(const Graph* graph, const Step* step) {
  const Conv2d* state = step->state;
  Job job = {graph, &state->convolution, value_data(graph, step_input(graph, step, kInput)),
             value_data(graph, step_output(graph, step))};
  const size_t pixels = window_pixels(&state->convolution.window);
  thread_pool_run(graph->pool, run_piece, &job,
                  (pixels + kPixelsPerPiece - 1) / kPixelsPerPiece);
}

const Operator conv2d_operator = {
    .name = "CONV_2D",
    .builtin_code = kBuiltinConv2d,
    .fusion = kFusesImage,
    .inputs = kAnyInputs,
    .state_bytes = sizeof(Conv2d),
    .claims = claims,
    .read_options = read_options,
    .prepare = prepare,
    .run = run,
    .release = release,
};

// ---- PAD ----

// Rows and columns of zeros around an image.
typedef struct {
  int top, bottom, left, right;
} ImagePad;

// Of a PAD's constant: before and after each dimension.
static bool read_margins(const int32_t* margins, ImagePad* pad) {
  if (margins == NULL) return false;
  for (int i = 0; i < 8; ++i) {
    const bool is_around = i >= 2 && i < 6;
    if (margins[i] < 0 || margins[i] > (is_around ? kMaxWindow : 0)) return false;
  }
  *pad = (ImagePad){margins[2], margins[3], margins[4], margins[5]};
  return true;
}

static const int32_t* margins_of(const TfLiteTensor* tensor) {
  const bool is_right = tensor != NULL && tensor->type == kTfLiteInt32 &&
                        tensor->allocation_type == kTfLiteMmapRo && tensor->data != NULL &&
                        tensor->bytes == 8 * sizeof(int32_t) &&
                        (uintptr_t)tensor->data % sizeof(int32_t) == 0;
  return is_right ? tensor->data : NULL;
}

static bool claims_pad(const TfLiteContext* context, const TfLiteNode* node) {
  if (node->inputs->size != 2 || node->outputs->size != 1) return false;
  ImagePad pad;
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[kInput]);
  return is_image(in) && in->dims->data[3] >= 1 && in->dims->data[3] <= kMaxImageChannels &&
         in->allocation_type != kTfLiteMmapRo &&
         is_image(tensor_at(context, node->outputs->data[0])) &&
         read_margins(margins_of(tensor_at(context, node->inputs->data[kMargins])), &pad);
}

static bool prepare_pad(Graph* graph, Step* step, Error* error) {
  ImagePad* pad = step->state;
  const Value* in = step_input(graph, step, kInput);
  const Value* margins = step_input(graph, step, kMargins);
  if (in == NULL || margins == NULL) return refuse(error, "it has no input or no margins");
  if (!expect_type(in, "input", kTfLiteFloat32, error) || !expect_rank(in, "input", 4, error) ||
      !expect_type(margins, "margins", kTfLiteInt32, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return false;
  }
  if (margins->bytes != 8 * sizeof(int32_t) || !read_margins(margins->constant, pad)) {
    return refuse(error, "its margins are not constants around images");
  }
  const int64_t height = (int64_t)in->dims[1] + pad->top + pad->bottom;
  const int64_t width = (int64_t)in->dims[2] + pad->left + pad->right;
  if (height > INT32_MAX || width > INT32_MAX) {
    return refuse(error, "its output is %lld pixels high and %lld wide", (long long)height,
                  (long long)width);
  }
  const int dims[] = {in->dims[0], (int)height, (int)width, in->dims[3]};
  return set_output(graph, step, 4, dims, error);
}

static void run_pad(const Graph* graph, const Step* step) {
  const ImagePad* pad = step->state;
  const Value *in = step_input(graph, step, kInput), *out = step_output(graph, step);
  const size_t floats = (size_t)in->dims[3], line = (size_t)in->dims[2] * floats;
  const float* from = value_data(graph, in);
  float* to = value_data(graph, out);
  memset(to, 0, out->bytes);
  for (int n = 0; n < in->dims[0];
       ++n, to += (size_t)pad->bottom * (size_t)out->dims[2] * floats) {
    to += (size_t)pad->top * (size_t)out->dims[2] * floats;
    for (int y = 0; y < in->dims[1]; ++y, from += line, to += (size_t)out->dims[2] * floats) {
      memcpy(to + (size_t)pad->left * floats, from, line * sizeof(float));
    }
  }
}

void take_unpadded(const Graph* graph, Step* convolution, const Step* pad) {
  const ImagePad* margins = pad->state;
  const Value* in = step_input(graph, pad, kInput);
  Window* w = &((Conv2d*)convolution->state)->convolution.window;
  w->in_height = in->dims[1];
  w->in_width = in->dims[2];
  w->pad_top += margins->top;
  w->pad_left += margins->left;
  convolution->inputs[kInput] = pad->inputs[kInput];
}

const Operator image_pad_operator = {
    .name = "PAD",
    .builtin_code = kBuiltinPad,
    .fusion = kFusesPad,
    .inputs = 2,
    .state_bytes = sizeof(ImagePad),
    .claims = claims_pad,
    .prepare = prepare_pad,
    .run = run_pad,
};
