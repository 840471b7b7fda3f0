// CONCATENATION of TensorFlow Lite along the last axis: the two halves of a block that doubles
// its channels. In a fused stage it costs nothing, see passes/fuse.h; alone it copies.
#include <string.h>

#include "ops/operators.h"

typedef struct {
  int axis;
} Concatenation;

enum { kNoActivation = 0 };

// How the runtime stores the options.
typedef struct {
  int axis;
  int activation;
} Parameters;

static bool claims(const TfLiteContext* context, const TfLiteNode* node) {
  const Parameters* parameters = node->builtin_data;
  if (parameters == NULL || parameters->activation != kNoActivation ||
      node->inputs->size != 2 || node->outputs->size != 1) {
    return false;
  }
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (out == NULL || out->type != kTfLiteFloat32 || out->dims == NULL || out->dims->size < 2 ||
      out->dims->size > kMaxRank) {
    return false;
  }
  for (int i = 0; i < 2; ++i) {
    const TfLiteTensor* in = tensor_at(context, node->inputs->data[i]);
    if (in == NULL || in->type != kTfLiteFloat32 || in->dims == NULL ||
        in->dims->size != out->dims->size || in->allocation_type == kTfLiteMmapRo) {
      return false;
    }
  }
  return parameters->axis == -1 || parameters->axis == out->dims->size - 1;
}

static bool read_options(void* opaque, const TfLiteNode* node, Error* error) {
  if (node->builtin_data == NULL) return refuse(error, "it has no options");
  ((Concatenation*)opaque)->axis = ((const Parameters*)node->builtin_data)->axis;
  return true;
}

static bool prepare(Graph* graph, Step* step, Error* error) {
  const Value* a = step_input(graph, step, 0);
  const Value* b = step_input(graph, step, 1);
  if (a == NULL || b == NULL) return refuse(error, "it lacks an operand");
  const int axis = ((Concatenation*)step->state)->axis;
  if (a->type != kTfLiteFloat32 || b->type != kTfLiteFloat32 || a->rank != b->rank ||
      (axis != -1 && axis != a->rank - 1) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return refuse(error, "it does not join two float32 tensors along their last axis");
  }
  int dims[kMaxRank];
  memcpy(dims, a->dims, sizeof(dims));
  const int last = a->rank - 1;
  if (memcmp(a->dims, b->dims, (size_t)last * sizeof(int)) != 0 ||
      __builtin_add_overflow(a->dims[last], b->dims[last], &dims[last])) {
    return refuse(error, "its operands differ in shape");
  }
  return set_output(graph, step, a->rank, dims, error);
}

static void run(const Graph* graph, const Step* step) {
  const Value* out = step_output(graph, step);
  const size_t row = (size_t)out->dims[out->rank - 1];
  float* to = value_data(graph, out);
  for (int i = 0; i < 2; ++i) {
    const Value* in = step_input(graph, step, i);
    const size_t part = (size_t)in->dims[in->rank - 1];
    const float* from = value_data(graph, in);
    for (size_t r = 0; r < rows_of(in); ++r) {
      memcpy(to + r * row, from + r * part, part * sizeof(float));
    }
    to += part;
  }
}

const Operator concatenation_operator = {
    .name = "CONCATENATION",
    .builtin_code = kBuiltinConcatenation,
    .fusion = kFusesConcatenation,
    .inputs = 2,
    .state_bytes = sizeof(Concatenation),
    .claims = claims,
    .read_options = read_options,
    .prepare = prepare,
    .run = run,
};
