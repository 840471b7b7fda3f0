// ADD, ADD_N, SUB, MUL and PRELU of TensorFlow Lite, where they stand beside LCE's operators:
// taken over so that they are computed while a convolution's result is in the cache, see
// stage.h. Only the cases that trained networks contain: float32, and a second operand that has
// the same shape, or is one constant per channel, or one for all, or one value per channel of
// each sample.
#include <stdlib.h>
#include <string.h>

#include "ops/operators.h"

typedef struct {
  Elementwise elementwise;  // first: the passes read it
  float* spread;            // a constant for all channels, once per channel
} State;

static bool read_activation(const TfLiteNode* node, Elementwise* e) {
  if (node->builtin_data == NULL) return false;
  // The parameters of ADD, SUB and MUL begin with the activation.
  return read_bounds(*(const int*)node->builtin_data, &e->has_bounds, &e->bounds);
}

static bool read_add(void* state, const TfLiteNode* node, Error* error) {
  Elementwise* e = state;
  e->kind = kElementwiseAdd;
  return read_activation(node, e) || refuse(error, "its activation is not known");
}

static bool read_add_n(void* state, const TfLiteNode* node, Error* error) {
  (void)node;
  (void)error;
  ((Elementwise*)state)->kind = kElementwiseAdd;
  return true;
}

static bool read_subtract(void* state, const TfLiteNode* node, Error* error) {
  Elementwise* e = state;
  e->kind = kElementwiseSubtract;
  return read_activation(node, e) || refuse(error, "its activation is not known");
}

static bool read_multiply(void* state, const TfLiteNode* node, Error* error) {
  Elementwise* e = state;
  e->kind = kElementwiseMultiply;
  return read_activation(node, e) || refuse(error, "its activation is not known");
}

static bool read_prelu(void* state, const TfLiteNode* node, Error* error) {
  (void)node;
  (void)error;
  ((Elementwise*)state)->kind = kElementwisePrelu;
  return true;
}

// ---- Claims, on the shapes that the file states ----

static bool same_shape(const TfLiteTensor* a, const TfLiteTensor* b) {
  return a->dims->size == b->dims->size &&
         memcmp(a->dims->data, b->dims->data, (size_t)a->dims->size * sizeof(int)) == 0;
}

static bool is_per_channel(const TfLiteTensor* constant, const TfLiteTensor* out) {
  if (constant->allocation_type != kTfLiteMmapRo || constant->dims->size > out->dims->size) {
    return false;
  }
  for (int i = 0; i + 1 < constant->dims->size; ++i) {
    if (constant->dims->data[i] != 1) return false;
  }
  if (constant->dims->size == 0) return false;
  const int last = constant->dims->data[constant->dims->size - 1];
  return last == 1 || last == out->dims->data[out->dims->size - 1];
}

// One value per channel for all pixels of a sample: N, 1, .., 1, C or, of one sample, just C.
static bool is_per_sample(int rank, const int* dims, int out_rank, const int* out_dims) {
  if (rank < 1 || rank > out_rank || dims[rank - 1] != out_dims[out_rank - 1]) return false;
  for (int i = 0; i + 1 < rank; ++i) {
    const bool is_batch = i == 0 && rank == out_rank && dims[0] == out_dims[0];
    if (dims[i] != 1 && !is_batch) return false;
  }
  return true;
}

static bool claims_elementwise(const TfLiteContext* context, const TfLiteNode* node) {
  if (node->inputs->size != 2 || node->outputs->size != 1) return false;
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (out == NULL || out->type != kTfLiteFloat32 || out->dims == NULL || out->dims->size < 2 ||
      out->dims->size > kMaxRank) {
    return false;
  }
  int varying = 0;
  for (int i = 0; i < 2; ++i) {
    const TfLiteTensor* in = tensor_at(context, node->inputs->data[i]);
    if (in == NULL || in->type != kTfLiteFloat32 || in->dims == NULL) return false;
    if (in->allocation_type != kTfLiteMmapRo && same_shape(in, out)) {
      ++varying;
    } else if (in->allocation_type == kTfLiteMmapRo) {
      if (!is_per_channel(in, out)) return false;
    } else if (!is_per_sample(in->dims->size, in->dims->data, out->dims->size,
                              out->dims->data)) {
      return false;
    }
  }
  return varying > 0;
}

static bool claims_add_n(const TfLiteContext* context, const TfLiteNode* node) {
  const int inputs = node->inputs->size;
  if (inputs < 2 || inputs > kMaxInputs || node->outputs->size != 1) return false;
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (out == NULL || out->type != kTfLiteFloat32 || out->dims == NULL || out->dims->size < 2 ||
      out->dims->size > kMaxRank) {
    return false;
  }
  for (int i = 0; i < inputs; ++i) {
    const TfLiteTensor* in = tensor_at(context, node->inputs->data[i]);
    if (in == NULL || in->type != kTfLiteFloat32 || in->dims == NULL ||
        in->allocation_type == kTfLiteMmapRo || !same_shape(in, out)) {
      return false;
    }
  }
  return true;
}

// The first operand of a PRELU varies, its slopes do not.
static bool claims_prelu(const TfLiteContext* context, const TfLiteNode* node) {
  if (!claims_elementwise(context, node)) return false;
  return tensor_at(context, node->inputs->data[0])->allocation_type != kTfLiteMmapRo &&
         tensor_at(context, node->inputs->data[1])->allocation_type == kTfLiteMmapRo;
}

// ---- Preparation ----

static void release(void* opaque) {
  State* state = opaque;
  free(state->spread);
  state->spread = NULL;
}

// A constant as one value per channel.
static bool prepare_constant(State* state, int index, const Value* value, int channels,
                             Error* error) {
  const size_t count = value->bytes / sizeof(float);
  const float* data = value->constant;
  if (value->type != kTfLiteFloat32 || (count != 1 && count != (size_t)channels)) {
    return refuse(error, "its constant operand has %zu values, and the other %d channels",
                  count, channels);
  }
  if (count == 1 && channels != 1) {
    if (state->spread != NULL) return refuse(error, "both its operands are constants");
    state->spread = malloc((size_t)channels * sizeof(float));
    if (state->spread == NULL) return refuse(error, "out of memory");
    for (int c = 0; c < channels; ++c) state->spread[c] = data[0];
    data = state->spread;
  }
  state->elementwise.constants[index] = data;
  return true;
}

// The operand whose shape is the output's: of those that vary, the one with most values.
static const Value* widest_operand(const Graph* graph, const Step* step) {
  const Value* widest = NULL;
  for (int i = 0; i < step->input_count; ++i) {
    const Value* in = step_input(graph, step, i);
    if (in->constant != NULL) continue;
    if (widest == NULL || in->bytes > widest->bytes) widest = in;
  }
  return widest;
}

static bool check_varying(const Value* in, const Value* widest, Error* error) {
  const bool is_same = in->rank == widest->rank &&
                       memcmp(in->dims, widest->dims, (size_t)in->rank * sizeof(int)) == 0;
  if (is_same || is_per_sample(in->rank, in->dims, widest->rank, widest->dims)) return true;
  return refuse(error, "its operands differ in shape");
}

static bool prepare(Graph* graph, Step* step, Error* error) {
  State* state = step->state;
  Elementwise* e = &state->elementwise;
  release(state);
  for (int i = 0; i < step->input_count; ++i) {
    const Value* in = step_input(graph, step, i);
    e->constants[i] = NULL;
    if (in == NULL) return refuse(error, "it lacks an operand");
    if (!expect_type(in, "operand", kTfLiteFloat32, error)) return false;
  }
  const Value* widest = widest_operand(graph, step);
  if (widest == NULL) return refuse(error, "all its operands are constants");
  if (!expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) return false;
  for (int i = 0; i < step->input_count; ++i) {
    const Value* in = step_input(graph, step, i);
    if (in->constant == NULL
            ? !check_varying(in, widest, error)
            : !prepare_constant(state, i, in, widest->dims[widest->rank - 1], error)) {
      return false;
    }
  }
  return set_output(graph, step, widest->rank, widest->dims, error);
}

const Operator add_operator = {
    .name = "ADD",
    .builtin_code = kBuiltinAdd,
    .fusion = kFusesPointwise,
    .inputs = 2,
    .state_bytes = sizeof(State),
    .claims = claims_elementwise,
    .read_options = read_add,
    .prepare = prepare,
    .release = release,
};

const Operator add_n_operator = {
    .name = "ADD_N",
    .builtin_code = kBuiltinAddN,
    .fusion = kFusesPointwise,
    .inputs = kAnyInputs,
    .state_bytes = sizeof(State),
    .claims = claims_add_n,
    .read_options = read_add_n,
    .prepare = prepare,
    .release = release,
};

const Operator subtract_operator = {
    .name = "SUB",
    .builtin_code = kBuiltinSub,
    .fusion = kFusesPointwise,
    .inputs = 2,
    .state_bytes = sizeof(State),
    .claims = claims_elementwise,
    .read_options = read_subtract,
    .prepare = prepare,
    .release = release,
};

const Operator multiply_operator = {
    .name = "MUL",
    .builtin_code = kBuiltinMul,
    .fusion = kFusesPointwise,
    .inputs = 2,
    .state_bytes = sizeof(State),
    .claims = claims_elementwise,
    .read_options = read_multiply,
    .prepare = prepare,
    .release = release,
};

const Operator prelu_operator = {
    .name = "PRELU",
    .builtin_code = kBuiltinPrelu,
    .fusion = kFusesPointwise,
    .inputs = 2,
    .state_bytes = sizeof(State),
    .claims = claims_prelu,
    .read_options = read_prelu,
    .prepare = prepare,
    .release = release,
};
