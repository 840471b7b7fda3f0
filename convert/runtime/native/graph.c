#include "graph.h"

#include <stdlib.h>
#include <string.h>

// ---- Values and steps ----

const TfLiteTensor* tensor_at(const TfLiteContext* context, int index) {
  return index >= 0 && (size_t)index < context->tensors_size ? &context->tensors[index] : NULL;
}

const Value* step_input(const Graph* graph, const Step* step, int index) {
  const int value = step->inputs[index];
  return value == kNoValue ? NULL : &graph->values[value];
}

const Value* step_output(const Graph* graph, const Step* step) {
  return &graph->values[step->output];
}

size_t rows_of(const Value* value) {
  size_t rows = 1;
  for (int i = 0; i + 1 < value->rank; ++i) rows *= (size_t)value->dims[i];
  return rows;
}

bool spans_input(const Step* step) {
  return step->op->fusion == kFusesQuantize || step->op->fusion == kFusesSum;
}

const Value* space_of(const Graph* graph, const Step* step) {
  return spans_input(step) ? step_input(graph, step, 0) : step_output(graph, step);
}

const Step* producer_of(const Graph* graph, int value) {
  if (value == kNoValue) return NULL;
  value = graph->values[value].view.root;
  if (graph->values[value].producer < 0) return NULL;
  return &graph->steps[graph->values[value].producer];
}

int root_of(const Graph* graph, int value) {
  while (graph->values[value].part_of != kNoValue) value = graph->values[value].part_of;
  return value;
}

// ---- Types and shapes ----

const char* type_name(int type) {
  switch (type) {
    case kTfLiteFloat32:
      return "float32";
    case kTfLiteInt32:
      return "int32";
    case kTfLiteUInt8:
      return "uint8";
    case kTfLiteBool:
      return "bool";
    case kTfLiteInt8:
      return "int8";
    default:
      return "of an unsupported type";
  }
}

size_t type_bytes(int type) {
  switch (type) {
    case kTfLiteFloat32:
    case kTfLiteInt32:
      return 4;
    case kTfLiteBool:
    case kTfLiteInt8:
      return 1;
    default:
      return 0;
  }
}

bool expect_type(const Value* value, const char* role, int type, Error* error) {
  if (value->type == type) return true;
  return refuse(error, "its %s is %s, and has to be %s", role, type_name(value->type),
                type_name(type));
}

bool expect_rank(const Value* value, const char* role, int rank, Error* error) {
  if (value->rank == rank) return true;
  return refuse(error, "its %s has %d dimensions, and has to have %d", role, value->rank, rank);
}

// The kernels count up to a size, and some lanes beyond it.
enum { kMaxSize = 1 << 30 };

bool set_shape(Value* value, int rank, const int* dims, Error* error) {
  if (rank < 1 || rank > kMaxRank) {
    return refuse(error, "tensor %d has %d dimensions, and 1 to %d are supported",
                  value->tensor, rank, kMaxRank);
  }
  size_t bytes = type_bytes(value->type);
  if (bytes == 0) {
    return refuse(error, "tensor %d is of type %d, which no LCE operator uses", value->tensor,
                  value->type);
  }
  value->rank = rank;
  for (int i = 0; i < rank; ++i) {
    value->dims[i] = dims[i];
    if (dims[i] < 1 || dims[i] > kMaxSize ||
        __builtin_mul_overflow(bytes, (size_t)dims[i], &bytes) || bytes > PTRDIFF_MAX / 2) {
      return refuse(error, "dimension %d of tensor %d is %d, which cannot be", i, value->tensor,
                    dims[i]);
    }
  }
  value->bytes = bytes;
  value->samples = rank > 1 ? dims[0] : 1;
  return true;
}

bool set_output(Graph* graph, const Step* step, int rank, const int* dims, Error* error) {
  Value* output = &graph->values[step->output];
  if (!set_shape(output, rank, dims, error)) return false;
  if (output->is_internal) return true;
  TfLiteIntArray* shape = malloc(sizeof(*shape) + (size_t)rank * sizeof(int));
  if (shape == NULL) return refuse(error, "out of memory");
  shape->size = rank;
  memcpy(shape->data, dims, (size_t)rank * sizeof(int));
  TfLiteContext* context = graph->context;
  if (context->ResizeTensor(context, &context->tensors[output->tensor], shape) != kTfLiteOk) {
    return refuse(error, "the runtime does not give its output %zu bytes", output->bytes);
  }
  return true;
}

void name_culprit(const Step* step, Error* error) {
  Error reason = *error;
  const char* name = step->op != NULL ? step->op->name : "operator";
  reason.text[sizeof(reason.text) - 64] = '\0';
  refuse(error, "larq-bcd-runtime: %s (operator %d): %s.", name, step->node, reason.text);
}

// ---- Memory ----

void reserve_thread_scratch(Graph* graph, size_t bytes) {
  const size_t aligned = align_scratch(bytes);
  if (aligned > graph->thread_scratch) graph->thread_scratch = aligned;
}

void* thread_scratch(const Graph* graph, int thread) {
  char* base = graph->context->tensors[graph->scratch_tensor].data;
  return base + graph->thread_scratch * (size_t)thread;
}

void* value_data(const Graph* graph, const Value* value) {
  if (!value->is_internal) return graph->context->tensors[value->tensor].data;
  char* base = graph->context->tensors[graph->scratch_tensor].data;
  return base + value->offset;
}
