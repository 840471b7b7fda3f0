#include "ops/moves.h"

#include <stdlib.h>
#include <string.h>

#include "ops/move_table.h"

// ---- Claims ----

static bool shape_of_tensor(const TfLiteTensor* tensor, Shape* shape) {
  if (tensor == NULL || tensor->dims == NULL || tensor->dims->size > kMaxRank) return false;
  shape->type = tensor->type;
  shape->rank = tensor->dims->size;
  shape->integers = NULL;
  int64_t count = 1;
  for (int i = 0; i < shape->rank; ++i) {
    shape->dims[i] = tensor->dims->data[i];
    if (shape->dims[i] < 1) return false;
    count *= shape->dims[i];
    if (count > INT32_MAX) return false;
  }
  shape->count = (size_t)count;
  if (tensor->allocation_type == kTfLiteMmapRo && tensor->type == kTfLiteInt32 &&
      tensor->data != NULL && tensor->bytes >= shape->count * sizeof(int32_t) &&
      (uintptr_t)tensor->data % sizeof(int32_t) == 0) {
    shape->integers = tensor->data;
  }
  return true;
}

static bool claims_as(int builtin_code, const TfLiteContext* context, const TfLiteNode* node) {
  const int inputs = node->inputs->size;
  Shape in[kMaxInputs], out;
  if (inputs < 1 || inputs > kMaxInputs) return false;
  for (int k = 0; k < inputs; ++k) {
    if (!shape_of_tensor(tensor_at(context, node->inputs->data[k]), &in[k])) return false;
  }
  if (node->builtin_data == NULL && move_options(builtin_code) > 0) return false;
  const bool is_split = builtin_code == kBuiltinSplit;
  if (node->outputs->size < 1 || (node->outputs->size > 1 && !is_split)) return false;
  for (int k = 0; k < node->outputs->size; ++k) {
    Movement m;
    if (!read_movement(builtin_code, node->builtin_data, k, in, inputs, &m) ||
        !shape_of_tensor(tensor_at(context, node->outputs->data[k]), &out)) {
      return false;
    }
    // A row of values is that of one sample, whose image has been made flat.
    const Shape* moved = &in[moved_input(builtin_code)];
    if (moved->rank > 1 && moved->dims[0] > 1 && !leaves_samples(&m, moved)) return false;
    // Options that are not known here show in the shape.
    if (out.type != m.out.type || out.rank != m.out.rank ||
        memcmp(out.dims, m.out.dims, (size_t)out.rank * sizeof(int)) != 0) {
      return false;
    }
  }
  return true;
}

// ---- Preparation ----

size_t units_of(const Value* value) {
  return value->bytes / (sizeof(float) * (size_t)moved_unit(value->type));
}

size_t unit_bytes(const Value* value) {
  return sizeof(float) * (size_t)moved_unit(value->type);
}

// The claim was on the file's shapes, and a resize may have made them larger.
static bool shape_of_value(const Value* value, Shape* shape, Error* error) {
  shape->type = value->type;
  shape->rank = value->rank;
  memcpy(shape->dims, value->dims, sizeof(shape->dims));
  shape->count = value->bytes / sizeof(int32_t);
  shape->integers = value->type == kTfLiteInt32 ? value->constant : NULL;
  return shape->count <= INT32_MAX ||
         refuse(error,
                "its input has %zu values, and at most %d can be moved: use a smaller "
                "batch",
                shape->count, INT32_MAX);
}

static bool read_options_of(int builtin_code, Move* state, const TfLiteNode* node,
                            Error* error) {
  const int count = move_options(builtin_code);
  if (count == 0) return true;
  if (node->builtin_data == NULL) return refuse(error, "it has no options");
  memcpy(state->options, node->builtin_data, (size_t)count * sizeof(int));
  return true;
}

static void release(void* opaque) {
  Move* state = opaque;
  free(state->table);
  state->table = NULL;
}

static bool crops_images(const Movement* m, const Shape* in) {
  if (m->kind != kAffine || in->rank != 4) return false;
  for (int i = 0; i < 4; ++i) {
    const int spare = in->dims[i] - m->out.dims[i];
    if (m->step[i] != 1 || m->begin[i] < 0 || m->begin[i] > spare) return false;
    if ((i == 0 || i == 3) && spare != 0) return false;
  }
  return true;
}

// A table of more would be a quarter of a gigabyte, which a small file must not cost.
enum { kMaxUnits = 1 << 26 };

static bool prepare(Graph* graph, Step* step, Error* error) {
  Move* state = step->state;
  release(state);
  const int first = moved_input(step->op->builtin_code);
  Shape in[kMaxInputs];
  for (int k = 0; k < step->input_count; ++k) {
    const Value* value = step_input(graph, step, k);
    if (value == NULL) return refuse(error, "it lacks an input");
    if (!shape_of_value(value, &in[k], error)) return false;
  }
  Movement m;
  if (!read_movement(step->op->builtin_code, state->options, step->output_index, in,
                     step->input_count, &m)) {
    return refuse(error, "its shapes and options do not fit each other");
  }
  if (!expect_type(step_output(graph, step), "output", m.out.type, error) ||
      !set_output(graph, step, m.out.rank, m.out.dims, error)) {
    return false;
  }
  const int samples = step_input(graph, step, first)->samples;
  const int joined = m.kind == kJoin ? step->input_count : 1;
  for (int k = 0; k < joined; ++k) {
    if (step_input(graph, step, first + k)->samples != samples) {
      return refuse(error, "its inputs differ in the number of samples");
    }
  }
  if (samples > 1 && !leaves_samples(&m, &in[first])) {
    return refuse(error, "it moves values from one sample to another, and there are %d",
                  samples);
  }
  Value* out = &graph->values[step->output];
  out->samples = samples;
  const size_t count = units_of(out) / (size_t)samples;
  if (count > kMaxUnits) return refuse(error, "its output is too large");
  state->table = malloc(count * sizeof(*state->table));
  if (state->table == NULL) return refuse(error, "out of memory");
  fill_table(&m, &in[first], joined, samples, count, state->table);
  state->crops = crops_images(&m, &in[first]);
  memcpy(state->begin, m.begin, sizeof(state->begin));
  return true;
}

// ---- Run ----

// Where a unit of a value lies, NULL if it is a zero.
static const char* unit_address(const Graph* graph, const Value* value, int sample,
                                int32_t unit) {
  const Value* root = &graph->values[value->view.root];
  if (value->view.map != NULL) unit = value->view.map[unit];
  if (unit == kZeroUnit) return NULL;
  const size_t per_sample = units_of(root) / (size_t)root->samples;
  const char* data = value_data(graph, root);
  return data + ((size_t)sample * per_sample + (size_t)unit) * unit_bytes(root);
}

static void run(const Graph* graph, const Step* step) {
  const Move* state = step->state;
  const Value* out = step_output(graph, step);
  const int first = moved_input(step->op->builtin_code);
  const bool joins = step->op->builtin_code == kBuiltinConcatenation;
  const size_t bytes = unit_bytes(out), count = units_of(out) / (size_t)out->samples;
  char* to = value_data(graph, out);
  for (int sample = 0; sample < out->samples; ++sample) {
    for (size_t u = 0; u < count; ++u, to += bytes) {
      int32_t unit = state->table[u];
      int k = first;
      for (; joins && unit != kZeroUnit; ++k) {
        const Value* in = step_input(graph, step, k);
        const int32_t units = (int32_t)(units_of(in) / (size_t)in->samples);
        if (unit < units) break;
        unit -= units;
      }
      const char* from = unit == kZeroUnit
                             ? NULL
                             : unit_address(graph, step_input(graph, step, k), sample, unit);
      if (from == NULL) {
        memset(to, 0, bytes);
      } else {
        memcpy(to, from, bytes);
      }
    }
  }
}

#define BCD_MOVE(variable, file_name, code)                                             \
  static bool claims_##variable(const TfLiteContext* context, const TfLiteNode* node) { \
    return claims_as(code, context, node);                                              \
  }                                                                                     \
  static bool read_##variable(void* state, const TfLiteNode* node, Error* error) {      \
    return read_options_of(code, state, node, error);                                   \
  }                                                                                     \
  const Operator variable##_operator = {                                                \
      .name = file_name,                                                                \
      .builtin_code = code,                                                             \
      .fusion = kFusesMove,                                                             \
      .inputs = kAnyInputs,                                                             \
      .state_bytes = sizeof(Move),                                                      \
      .claims = claims_##variable,                                                      \
      .read_options = read_##variable,                                                  \
      .prepare = prepare,                                                               \
      .run = run,                                                                       \
      .release = release,                                                               \
  };

BCD_MOVE(slice, "SLICE", kBuiltinSlice)
BCD_MOVE(strided_slice, "STRIDED_SLICE", kBuiltinStridedSlice)
BCD_MOVE(pad, "PAD", kBuiltinPad)
BCD_MOVE(split, "SPLIT", kBuiltinSplit)
BCD_MOVE(join, "CONCATENATION", kBuiltinConcatenation)
BCD_MOVE(reshape, "RESHAPE", kBuiltinReshape)
BCD_MOVE(gather, "GATHER", kBuiltinGather)
