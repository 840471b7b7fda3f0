// RESHAPE, SPLIT and SUB of TensorFlow Lite where they stand in a contextual embedding: on one
// vector per sample, which becomes one of an image of one pixel, is split into thresholds, and
// is taken from a constant.
#include <string.h>

#include "ops/operators.h"

enum { kNoActivation = 0 };

static bool have_same_vectors(const TfLiteTensor* a, const TfLiteTensor* b) {
  return is_vector_of_samples(a) && is_vector_of_samples(b) &&
         a->dims->data[0] == b->dims->data[0] && last_of(a->dims) == last_of(b->dims);
}

// ---- RESHAPE ----

// The new shape's size; -1 there leaves it to the others.
static int new_size(const int32_t* shape, int i, int rank, int samples, int channels) {
  if (shape[i] != -1) return shape[i];
  return i == 0 ? samples : i == rank - 1 ? channels : 1;
}

static bool claims_reshape(const TfLiteContext* context, const TfLiteNode* node) {
  if (node->inputs->size != 2 || node->outputs->size != 1) return false;
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[0]);
  const TfLiteTensor* shape = tensor_at(context, node->inputs->data[1]);
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (!have_same_vectors(in, out) || shape == NULL) return false;
  const int rank = out->dims->size;
  const int32_t* sizes = integers_of(shape, rank);
  if (sizes == NULL) return false;
  for (int i = 0; i < rank; ++i) {
    if (new_size(sizes, i, rank, in->dims->data[0], last_of(in->dims)) != out->dims->data[i]) {
      return false;
    }
  }
  return true;
}

static bool prepare_reshape(Graph* graph, Step* step, Error* error) {
  const Value* in = step_input(graph, step, 0);
  const Value* shape = step_input(graph, step, 1);
  if (in == NULL || shape == NULL) return refuse(error, "it has no input or no shape");
  if (!expect_type(in, "input", kTfLiteFloat32, error) ||
      !expect_type(shape, "shape", kTfLiteInt32, error) ||
      !expect_rank(shape, "shape", 1, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return false;
  }
  const int rank = shape->dims[0], samples = in->dims[0], channels = in->dims[in->rank - 1];
  if (shape->constant == NULL || rank < 2 || rank > kMaxRank ||
      rows_of(in) != (size_t)samples) {
    return refuse(error, "it does not give one vector of each sample a constant shape");
  }
  int dims[kMaxRank];
  for (int i = 0; i < rank; ++i) {
    dims[i] = new_size(shape->constant, i, rank, samples, channels);
    const int expected = i == 0 ? samples : i == rank - 1 ? channels : 1;
    if (dims[i] != expected) {
      return refuse(error, "size %d of its new shape is %d, and of its input's vectors %d", i,
                    dims[i], expected);
    }
  }
  return set_output(graph, step, rank, dims, error);
}

static void run_reshape(const Graph* graph, const Step* step) {
  const Value* in = step_input(graph, step, 0);
  memcpy(value_data(graph, step_output(graph, step)), value_data(graph, in), in->bytes);
}

const Operator vector_reshape_operator = {
    .name = "RESHAPE",
    .builtin_code = kBuiltinReshape,
    .fusion = kFusesAlone,
    .inputs = 2,
    .state_bytes = 1,
    .claims = claims_reshape,
    .prepare = prepare_reshape,
    .run = run_reshape,
};

// ---- SPLIT ----

// Where a part of a vector lies.
typedef struct {
  int parts, part;
} VectorPart;

static bool claims_split(const TfLiteContext* context, const TfLiteNode* node) {
  const int parts = node->outputs->size;
  if (node->builtin_data == NULL || node->inputs->size != 2 || parts < 1) return false;
  const TfLiteTensor* axis = tensor_at(context, node->inputs->data[0]);
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[1]);
  if (axis == NULL || !is_vector_of_samples(in)) return false;
  const int32_t* along = integers_of(axis, 1);
  const int rank = in->dims->size, channels = last_of(in->dims);
  if (along == NULL || (*along != rank - 1 && *along != -1) || channels % parts != 0) {
    return false;
  }
  for (int k = 0; k < parts; ++k) {
    const TfLiteTensor* out = tensor_at(context, node->outputs->data[k]);
    if (!is_vector_of_samples(out) || out->dims->size != rank ||
        out->dims->data[0] != in->dims->data[0] || last_of(out->dims) != channels / parts) {
      return false;
    }
  }
  return true;
}

static bool read_parts(void* state, const TfLiteNode* node, Error* error) {
  (void)error;
  ((VectorPart*)state)->parts = node->outputs->size;
  return true;
}

static bool prepare_split(Graph* graph, Step* step, Error* error) {
  VectorPart* state = step->state;
  state->part = step->output_index;
  const Value* axis = step_input(graph, step, 0);
  const Value* in = step_input(graph, step, 1);
  if (axis == NULL || in == NULL) return refuse(error, "it has no axis or no input");
  if (!expect_type(axis, "axis", kTfLiteInt32, error) ||
      !expect_type(in, "input", kTfLiteFloat32, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return false;
  }
  const int last = in->rank - 1;
  const int32_t* along = axis->constant;
  if (along == NULL || axis->bytes != sizeof(int32_t) || (*along != last && *along != -1) ||
      last < 1 || rows_of(in) != (size_t)in->dims[0] || in->dims[last] % state->parts != 0) {
    return refuse(error, "it does not split one vector of each sample evenly");
  }
  int dims[kMaxRank];
  memcpy(dims, in->dims, sizeof(dims));
  dims[last] /= state->parts;
  return set_output(graph, step, in->rank, dims, error);
}

static void run_split(const Graph* graph, const Step* step) {
  const VectorPart* state = step->state;
  const Value* in = step_input(graph, step, 1);
  const size_t channels = (size_t)in->dims[in->rank - 1];
  const size_t width = channels / (size_t)state->parts;
  const float* from = (const float*)value_data(graph, in) + width * (size_t)state->part;
  float* to = value_data(graph, step_output(graph, step));
  for (size_t r = 0; r < rows_of(in); ++r, from += channels, to += width) {
    memcpy(to, from, width * sizeof(float));
  }
}

const Operator vector_split_operator = {
    .name = "SPLIT",
    .builtin_code = kBuiltinSplit,
    .fusion = kFusesAlone,
    .inputs = 2,
    .state_bytes = sizeof(VectorPart),
    .claims = claims_split,
    .read_options = read_parts,
    .prepare = prepare_split,
    .run = run_split,
};

// ---- SUB ----

static bool claims_subtract(const TfLiteContext* context, const TfLiteNode* node) {
  if (node->builtin_data == NULL || node->inputs->size != 2 || node->outputs->size != 1) {
    return false;
  }
  // The parameters of SUB begin with the activation.
  if (*(const int*)node->builtin_data != kNoActivation) return false;
  const TfLiteTensor* from = tensor_at(context, node->inputs->data[0]);
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[1]);
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  return have_same_vectors(in, out) && in->dims->size == out->dims->size && from != NULL &&
         from->type == kTfLiteFloat32 && from->allocation_type == kTfLiteMmapRo &&
         from->dims != NULL && from->dims->size == 1 &&
         from->dims->data[0] == last_of(in->dims);
}

static bool prepare_subtract(Graph* graph, Step* step, Error* error) {
  const Value* from = step_input(graph, step, 0);
  const Value* in = step_input(graph, step, 1);
  if (from == NULL || in == NULL) return refuse(error, "it lacks an operand");
  if (!expect_type(from, "first operand", kTfLiteFloat32, error) ||
      !expect_type(in, "second operand", kTfLiteFloat32, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return false;
  }
  const size_t channels = (size_t)in->dims[in->rank - 1];
  if (from->constant == NULL || from->bytes != channels * sizeof(float)) {
    return refuse(error, "its first operand is not one constant for each channel");
  }
  return set_output(graph, step, in->rank, in->dims, error);
}

static void run_subtract(const Graph* graph, const Step* step) {
  const Value* in = step_input(graph, step, 1);
  const float* constant = step_input(graph, step, 0)->constant;
  const float* from = value_data(graph, in);
  float* to = value_data(graph, step_output(graph, step));
  const size_t channels = (size_t)in->dims[in->rank - 1];
  for (size_t r = 0; r < rows_of(in); ++r, from += channels, to += channels) {
    for (size_t c = 0; c < channels; ++c) to[c] = constant[c] - from[c];
  }
}

const Operator vector_subtract_operator = {
    .name = "SUB",
    .builtin_code = kBuiltinSub,
    .fusion = kFusesAlone,
    .inputs = 2,
    .state_bytes = 1,
    .claims = claims_subtract,
    .prepare = prepare_subtract,
    .run = run_subtract,
};
