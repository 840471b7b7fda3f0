// FULLY_CONNECTED of TensorFlow Lite on one vector per sample: the layers of a contextual
// embedding. Computed in the order of LiteRT's XNNPACK, see reference.c. posix_memalign is
// POSIX's.
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "ops/operators.h"

enum { kInput = 0, kWeights = 1, kBias = 2 };
enum { kLineBytes = 64 };

// How the runtime stores the options.
typedef struct {
  int activation, weights_format;
  bool keeps_dims;
} Parameters;

typedef struct {
  FullyConnected layer;
  bool keeps_dims, has_bounds;
  Bounds bounds;
  float *bias, *packed;  // owned; the layer points to them
} State;

static bool claims(const TfLiteContext* context, const TfLiteNode* node) {
  const Parameters* parameters = node->builtin_data;
  if (parameters == NULL || parameters->weights_format != 0 || node->outputs->size != 1 ||
      node->inputs->size < 2 || node->inputs->size > 3) {
    return false;
  }
  bool has_bounds;
  Bounds bounds;
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[kInput]);
  const TfLiteTensor* weights = tensor_at(context, node->inputs->data[kWeights]);
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (!read_bounds(parameters->activation, &has_bounds, &bounds) || !is_vector_of_samples(in) ||
      !is_vector_of_samples(out) || weights == NULL || weights->type != kTfLiteFloat32 ||
      weights->allocation_type != kTfLiteMmapRo || weights->dims == NULL ||
      weights->dims->size != 2 || weights->dims->data[1] != last_of(in->dims) ||
      weights->dims->data[0] != last_of(out->dims) || in->dims->data[0] != out->dims->data[0]) {
    return false;
  }
  return has_constant_bias(context, node, kBias, last_of(out->dims));
}

static bool read_options(void* opaque, const TfLiteNode* node, Error* error) {
  State* state = opaque;
  const Parameters* parameters = node->builtin_data;
  if (parameters == NULL) return refuse(error, "it has no options");
  state->keeps_dims = *(const uint8_t*)&parameters->keeps_dims != 0;
  return read_bounds(parameters->activation, &state->has_bounds, &state->bounds) ||
         refuse(error, "its activation is not known");
}

static void release(void* opaque) {
  State* state = opaque;
  free(state->bias);
  free(state->packed);
  state->bias = state->packed = NULL;
}

static bool pack(State* state, const float* weights, Error* error) {
  FullyConnected* layer = &state->layer;
  const size_t inputs = (size_t)layer->inputs, outputs = (size_t)layer->outputs;
  const size_t padded = (outputs + kLanes - 1) / kLanes * kLanes;
  void* packed = NULL;
  if (posix_memalign(&packed, kLineBytes, padded * inputs * sizeof(float)) != 0) {
    return refuse(error, "out of memory");
  }
  state->packed = packed;
  layer->packed = packed;
  memset(packed, 0, padded * inputs * sizeof(float));
  for (size_t o = 0; o < outputs; ++o) {
    const size_t first = o / kTileChannels * kTileChannels, rest = padded - first;
    const size_t width = rest < kTileChannels ? rest : kTileChannels;
    float* to = state->packed + first * inputs + o - first;
    for (size_t k = 0; k < inputs; ++k) to[k * width] = weights[o * inputs + k];
  }
  return true;
}

static bool prepare(Graph* graph, Step* step, Error* error) {
  State* state = step->state;
  FullyConnected* layer = &state->layer;
  release(state);
  if (step->input_count < 2 || step->input_count > 3) {
    return refuse(error, "it has %d inputs, and has to have 2 or 3", step->input_count);
  }
  const Value* in = step_input(graph, step, kInput);
  const Value* weights = step_input(graph, step, kWeights);
  const Value* bias = step->input_count > kBias ? step_input(graph, step, kBias) : NULL;
  if (in == NULL || weights == NULL) return refuse(error, "it has no input or no weights");
  if (!expect_type(in, "input", kTfLiteFloat32, error) ||
      !expect_type(weights, "weights", kTfLiteFloat32, error) ||
      !expect_rank(weights, "weights", 2, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) {
    return false;
  }
  const int last = in->rank - 1;
  if (weights->constant == NULL || in->rank < 2 || in->dims[last] != weights->dims[1] ||
      rows_of(in) != (size_t)in->dims[0]) {
    return refuse(error, "its weights are not constants for one vector of each sample");
  }
  layer->inputs = weights->dims[1];
  layer->outputs = weights->dims[0];
  layer->weights = weights->constant;
  layer->bias = state->bias = copy_bias(bias, layer->outputs, error);
  if (state->bias == NULL) return false;
  if (graph->kernels->is_tiled && !pack(state, weights->constant, error)) return false;
  int dims[kMaxRank];
  memcpy(dims, in->dims, sizeof(dims));
  const int rank = state->keeps_dims ? in->rank : 2;
  dims[rank - 1] = layer->outputs;
  return set_output(graph, step, rank, dims, error);
}

typedef struct {
  const Kernels* kernels;
  const State* state;
  size_t rows;
  int share;  // outputs of a piece
  const float* from;
  float* to;
} Job;

static void run_piece(void* argument, size_t piece, int thread) {
  (void)thread;
  const Job* job = argument;
  const FullyConnected* layer = &job->state->layer;
  const int first = (int)piece * job->share, left = layer->outputs - first;
  const int last = left < job->share ? layer->outputs : first + job->share;
  job->kernels->connect(layer, job->from, job->rows, first, last, job->to);
  if (!job->state->has_bounds) return;
  const Bounds* bounds = &job->state->bounds;
  for (size_t r = 0; r < job->rows; ++r) {
    float* row = job->to + r * (size_t)layer->outputs;
    for (int o = first; o < last; ++o) row[o] = within_bounds(bounds, row[o]);
  }
}

static void run(const Graph* graph, const Step* step) {
  const State* state = step->state;
  const Value* in = step_input(graph, step, kInput);
  Job job = {.kernels = graph->kernels,
             .state = state,
             .rows = rows_of(in),
             .share = state->layer.outputs,
             .from = value_data(graph, in),
             .to = value_data(graph, step_output(graph, step))};
  const size_t work = (size_t)state->layer.inputs * (size_t)state->layer.outputs;
  if (work * job.rows >= kWorthThreads) {
    job.share = share_of_channels(graph, state->layer.outputs, kTileChannels);
  }
  thread_pool_run(graph->pool, run_piece, &job,
                  (size_t)(state->layer.outputs - 1) / (size_t)job.share + 1);
}

const Operator fully_connected_operator = {
    .name = "FULLY_CONNECTED",
    .builtin_code = kBuiltinFullyConnected,
    .fusion = kFusesAlone,
    .inputs = kAnyInputs,
    .state_bytes = sizeof(State),
    .claims = claims,
    .read_options = read_options,
    .prepare = prepare,
    .run = run,
    .release = release,
};
