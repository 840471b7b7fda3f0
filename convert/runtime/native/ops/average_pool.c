// AVERAGE_POOL_2D of TensorFlow Lite with a window of 2x2 that stays within the image: the
// shortcut of a block that halves its images. In a fused stage its result need not be stored.
#include <math.h>

#include "ops/operators.h"

enum { kSize = 2, kNoActivation = 0, kFileSame = 1, kFileValid = 2 };

// How the runtime stores the options.
typedef struct {
  int padding, stride_width, stride_height, filter_width, filter_height, activation;
} Parameters;

typedef struct {
  Window window;
  bool pads_odd_images;
} AveragePool;

static bool claims(const TfLiteContext* context, const TfLiteNode* node) {
  const Parameters* p = node->builtin_data;
  if (p == NULL || node->inputs->size != 1 || node->outputs->size != 1) return false;
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[0]);
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (in == NULL || out == NULL || in->type != kTfLiteFloat32 || out->type != kTfLiteFloat32 ||
      in->dims == NULL || in->dims->size != 4 || in->allocation_type == kTfLiteMmapRo) {
    return false;
  }
  const bool is_whole = in->dims->data[1] % kSize == 0 && in->dims->data[2] % kSize == 0;
  return p->filter_width == kSize && p->filter_height == kSize && p->stride_width == kSize &&
         p->stride_height == kSize && p->activation == kNoActivation &&
         (p->padding == kFileValid || (p->padding == kFileSame && is_whole));
}

static bool read_options(void* state, const TfLiteNode* node, Error* error) {
  if (node->builtin_data == NULL) return refuse(error, "it has no options");
  ((AveragePool*)state)->pads_odd_images =
      ((const Parameters*)node->builtin_data)->padding == kFileSame;
  return true;
}

static bool prepare(Graph* graph, Step* step, Error* error) {
  Window* w = &((AveragePool*)step->state)->window;
  const Value* in = step_input(graph, step, 0);
  if (in == NULL) return refuse(error, "it has no input");
  if (!expect_type(in, "input", kTfLiteFloat32, error) || !expect_rank(in, "input", 4, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return false;
  }
  const bool is_whole = in->dims[1] % kSize == 0 && in->dims[2] % kSize == 0;
  if (((const AveragePool*)step->state)->pads_odd_images && !is_whole) {
    return refuse(error, "its input is %d pixels high and %d wide, which is not even",
                  in->dims[1], in->dims[2]);
  }
  // A stage finds the pixels by 32-bit indices.
  if (in->bytes / sizeof(float) > UINT32_MAX) {
    return refuse(error,
                  "its input has %zu values, and at most %u can be averaged: use a smaller "
                  "batch",
                  in->bytes / sizeof(float), UINT32_MAX);
  }
  *w = (Window){.batch = in->dims[0],
                .in_height = in->dims[1],
                .in_width = in->dims[2],
                .window_height = kSize,
                .window_width = kSize,
                .stride_height = kSize,
                .stride_width = kSize,
                .dilation_height = 1,
                .dilation_width = 1};
  if (!slide_window(w, kPaddingValid, error)) return false;
  const int dims[] = {w->batch, w->out_height, w->out_width, in->dims[3]};
  return set_output(graph, step, 4, dims, error);
}

const Window* step_pool(const Step* step) { return &((const AveragePool*)step->state)->window; }

const Operator average_pool_operator = {
    .name = "AVERAGE_POOL_2D",
    .builtin_code = kBuiltinAveragePool2d,
    .fusion = kFusesPool,
    .inputs = 1,
    .state_bytes = sizeof(AveragePool),
    .claims = claims,
    .read_options = read_options,
    .prepare = prepare,
};
