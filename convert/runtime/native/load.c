#include "load.h"

#include <stdlib.h>
#include <string.h>

#include "registry.h"

// ---- Connections ----

static bool contains(const TfLiteIntArray* array, int item) {
  for (int i = 0; i < array->size; ++i) {
    if (array->data[i] == item) return true;
  }
  return false;
}

static int value_of(Graph* graph, int* value_of_tensor, int tensor) {
  if (value_of_tensor[tensor] == kNoValue) {
    Value* value = &graph->values[graph->value_count];
    value->tensor = tensor;
    value->producer = -1;
    value_of_tensor[tensor] = graph->value_count++;
  }
  return value_of_tensor[tensor];
}

static bool connect_inputs(Graph* graph, Step* step, const TfLiteNode* node,
                           int* value_of_tensor, Error* error) {
  const size_t tensors = graph->context->tensors_size;
  const bool takes_any = step->op->inputs == kAnyInputs;
  step->input_count = node->inputs->size;
  if (takes_any ? step->input_count < 1 || step->input_count > kMaxInputs
                : step->input_count != step->op->inputs) {
    return refuse(error, "it has %d inputs, and has to have %d", node->inputs->size,
                  takes_any ? kMaxInputs : step->op->inputs);
  }
  for (int i = 0; i < node->inputs->size; ++i) {
    const int tensor = node->inputs->data[i];
    step->file_inputs[i] = kNoValue;
    if (tensor == -1) continue;
    if (tensor < 0 || (size_t)tensor >= tensors) {
      return refuse(error, "input %d is tensor %d, and the file has %zu", i, tensor, tensors);
    }
    step->file_inputs[i] = value_of(graph, value_of_tensor, tensor);
    if (step->op->fusion == kFusesConvolution && i > 0) {
      graph->values[step->file_inputs[i]].is_parameter = true;
    }
  }
  return true;
}

static bool connect_output(Graph* graph, int index, const TfLiteNode* node,
                           const TfLiteDelegateParams* params, int* value_of_tensor,
                           Error* error) {
  Step* step = &graph->steps[index];
  const size_t tensors = graph->context->tensors_size;
  if (node->outputs->size != 1 && step->op->builtin_code != kBuiltinSplit) {
    return refuse(error, "it has %d outputs, and has to have 1", node->outputs->size);
  }
  const int tensor = node->outputs->data[step->output_index];
  if (tensor < 0 || (size_t)tensor >= tensors) {
    return refuse(error, "its output is tensor %d, and the file has %zu", tensor, tensors);
  }
  // One writer, and before every reader: memory is laid out by that order.
  if (value_of_tensor[tensor] != kNoValue || contains(params->input_tensors, tensor)) {
    return refuse(error,
                  "its output, tensor %d, is also written or read by an operator before it",
                  tensor);
  }
  step->file_output = value_of(graph, value_of_tensor, tensor);
  Value* output = &graph->values[step->file_output];
  output->producer = index;
  output->is_internal = !contains(params->output_tensors, tensor);
  return true;
}

typedef struct {
  TfLiteNode* node;
  TfLiteRegistration* registration;
} Shown;

// Adds a step with its options and inputs. It has its node before it can fail, for the message.
static Step* add_step(Graph* graph, const Operator* op, int node_index, const TfLiteNode* node,
                      int* value_of_tensor, Error* error) {
  Step* step = &graph->steps[graph->step_count++];
  step->node = node_index;
  step->op = op;
  step->state = calloc(1, op->state_bytes);
  if (step->state == NULL) {
    refuse(error, "out of memory");
    return NULL;
  }
  if (op->read_options != NULL && !op->read_options(step->state, node, error)) return NULL;
  return connect_inputs(graph, step, node, value_of_tensor, error) ? step : NULL;
}

// The value that a step leaves to the next one of its node.
static int leave_value(Graph* graph, const Step* step) {
  Value* value = &graph->values[graph->value_count];
  value->tensor = -1;
  value->type = kTfLiteFloat32;
  value->is_internal = true;
  value->producer = (int)(step - graph->steps);
  return graph->value_count++;
}

static bool read_node(Graph* graph, int node_index, const Shown* shown, int output,
                      const TfLiteDelegateParams* params, int* value_of_tensor, Error* error) {
  const TfLiteNode* node = shown->node;
  const Operator* op = find_operator(graph->context, node, shown->registration);
  if (op == NULL) {
    graph->steps[graph->step_count++].node = node_index;
    return refuse(error, "it is not an operator of this library");
  }
  int left = kNoValue;
  if (op->before != NULL) {
    Step* before = add_step(graph, op->before, node_index, node, value_of_tensor, error);
    if (before == NULL) return false;
    left = before->file_output = leave_value(graph, before);
  }
  Step* step = add_step(graph, op, node_index, node, value_of_tensor, error);
  if (step == NULL) return false;
  if (left != kNoValue) step->file_inputs[0] = left;
  step->output_index = output;
  return connect_output(graph, (int)(step - graph->steps), node, params, value_of_tensor,
                        error);
}

// What a FILL of constants writes into each word of its output, NULL if it is none.
static const void* filling(const TfLiteContext* context, const Shown* shown) {
  const TfLiteNode* node = shown->node;
  if (shown->registration->builtin_code != kBuiltinFill || node->inputs->size != 2 ||
      node->outputs->size != 1) {
    return NULL;
  }
  const TfLiteTensor* dims = tensor_at(context, node->inputs->data[0]);
  const TfLiteTensor* value = tensor_at(context, node->inputs->data[1]);
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (dims == NULL || value == NULL || out == NULL || dims->allocation_type != kTfLiteMmapRo ||
      value->allocation_type != kTfLiteMmapRo) {
    return NULL;
  }
  const bool is_word = out->type == kTfLiteInt32 || out->type == kTfLiteFloat32;
  if (!is_word || value->type != out->type || value->data == NULL ||
      value->bytes != sizeof(int32_t) || (uintptr_t)value->data % sizeof(int32_t) != 0) {
    return NULL;
  }
  return value->data;
}

// TensorFlow's converter writes a large constant whose values are all the same as a FILL, as of
// a network that has not been trained. Finds those that are parameters of a convolution.
static void find_fills(Graph* graph, const int* value_of_tensor) {
  TfLiteContext* context = graph->context;
  TfLiteIntArray* nodes = NULL;
  if (context->GetExecutionPlan(context, &nodes) != kTfLiteOk || nodes == NULL) return;
  for (int i = 0; i < nodes->size; ++i) {
    Shown shown = {NULL, NULL};
    if (context->GetNodeAndRegistration(context, nodes->data[i], &shown.node,
                                        &shown.registration) != kTfLiteOk) {
      continue;
    }
    const void* fill = filling(context, &shown);
    if (fill == NULL) continue;
    const int value = value_of_tensor[shown.node->outputs->data[0]];
    if (value != kNoValue && graph->values[value].is_parameter)
      graph->values[value].fill = fill;
  }
}

// One for each output, and one that may stand before them; 0 if an operator cannot be seen.
static size_t count_steps(TfLiteContext* context, const TfLiteIntArray* nodes, Shown* shown) {
  size_t steps = 0;
  for (int i = 0; i < nodes->size; ++i) {
    if (context->GetNodeAndRegistration(context, nodes->data[i], &shown[i].node,
                                        &shown[i].registration) != kTfLiteOk) {
      return 0;
    }
    steps += (size_t)shown[i].node->outputs->size + 1;
  }
  return steps;
}

bool read_graph(Graph* graph, TfLiteContext* context, const TfLiteDelegateParams* params,
                Error* error) {
  const TfLiteIntArray* nodes = params->nodes_to_replace;
  graph->context = context;
  graph->scratch_tensor = -1;
  Shown* shown = calloc((size_t)nodes->size + 1, sizeof(*shown));
  int* value_of_tensor = malloc(context->tensors_size * sizeof(int));
  const size_t steps = shown == NULL ? 0 : count_steps(context, nodes, shown);
  graph->steps = calloc(steps, sizeof(*graph->steps));
  // Inputs, an output, and what elide_moves may add.
  graph->values = calloc(steps * (kMaxInputs + 2), sizeof(*graph->values));
  bool ok =
      steps > 0 && graph->steps != NULL && graph->values != NULL && value_of_tensor != NULL;
  if (!ok) refuse(error, "larq-bcd-runtime: out of memory, or operators that are not shown");
  for (size_t i = 0; ok && i < context->tensors_size; ++i) value_of_tensor[i] = kNoValue;
  for (int i = 0; ok && i < nodes->size; ++i) {
    for (int output = 0; ok && output < shown[i].node->outputs->size; ++output) {
      ok = read_node(graph, nodes->data[i], &shown[i], output, params, value_of_tensor, error);
      if (!ok) name_culprit(&graph->steps[graph->step_count - 1], error);
    }
  }
  if (ok) find_fills(graph, value_of_tensor);
  graph->file_value_count = graph->value_count;
  free(shown);
  free(value_of_tensor);
  return ok;
}

// ---- Values ----

// A FILL takes a few bytes of the file, whatever it asks for. All of a graph may ask for 134
// million binary weights, far more than any network has.
enum { kMaxFilledBytes = 1 << 24 };

static bool fill_value(Graph* graph, Value* value, Error* error) {
  free(value->filled);
  value->filled = NULL;
  if (value->bytes > kMaxFilledBytes - graph->filled_bytes) {
    return refuse(
        error,
        "tensor %d is a FILL of %zu bytes, and all of them may have %d: write it as a "
        "constant",
        value->tensor, value->bytes, kMaxFilledBytes);
  }
  char* filled = malloc(value->bytes);
  if (filled == NULL) return refuse(error, "out of memory");
  graph->filled_bytes += value->bytes;
  for (size_t at = 0; at < value->bytes; at += sizeof(int32_t)) {
    memcpy(filled + at, value->fill, sizeof(int32_t));
  }
  value->constant = value->filled = filled;
  return true;
}

// Takes over what the runtime knows of a tensor. A tensor that a step writes gets its shape
// from the step; what the file says of it is only used where an operator asks for it.
static bool load_value(Graph* graph, Value* value, Error* error) {
  if (value->tensor < 0 || value->is_loaded) return true;
  value->is_loaded = true;
  const TfLiteTensor* tensor = &graph->context->tensors[value->tensor];
  value->name = tensor->name;
  value->type = tensor->type;
  value->scale = tensor->scale;
  value->zero_point = tensor->zero_point;
  value->constant = NULL;
  if (tensor->dims == NULL) return refuse(error, "tensor %d has no shape", value->tensor);
  if (value->producer >= 0) {
    if (tensor->allocation_type == kTfLiteMmapRo) {
      return refuse(error, "its output, tensor %d, is a constant", value->tensor);
    }
    value->rank = tensor->dims->size < kMaxRank ? tensor->dims->size : kMaxRank;
    for (int i = 0; i < value->rank; ++i) value->dims[i] = tensor->dims->data[i];
    return true;
  }
  const bool is_constant = tensor->allocation_type == kTfLiteMmapRo;
  const int one = 1;  // a constant that is a scalar, such as an axis, is a vector of one
  const bool is_scalar = is_constant && tensor->dims->size == 0;
  if (!set_shape(value, is_scalar ? 1 : tensor->dims->size,
                 is_scalar ? &one : tensor->dims->data, error)) {
    return false;
  }
  if (value->fill != NULL) return fill_value(graph, value, error);
  if (!is_constant) return true;
  if (tensor->data == NULL || tensor->bytes < value->bytes ||
      (uintptr_t)tensor->data % 4 != 0) {
    return refuse(error, "tensor %d needs %zu bytes of the file, aligned to 4, and has %zu",
                  value->tensor, value->bytes, tensor->data == NULL ? 0 : tensor->bytes);
  }
  value->constant = tensor->data;
  return true;
}

// Takes everything back to what the file has.
static void reset(Graph* graph) {
  graph->thread_scratch = graph->filled_bytes = 0;
  graph->value_count = graph->file_value_count;
  for (int i = 0; i < graph->value_count; ++i) {
    graph->values[i].view = (View){.root = i, .map = NULL};
    graph->values[i].is_loaded = false;
  }
  for (int i = 0; i < graph->step_count; ++i) {
    Step* step = &graph->steps[i];
    memcpy(step->inputs, step->file_inputs, sizeof(step->inputs));
    step->output = step->file_output;
    step->is_absorbed = false;
    graph->values[step->output].producer = i;
  }
}

bool load_values(Graph* graph, Error* error) {
  reset(graph);
  for (int i = 0; i < graph->step_count; ++i) {
    const Step* step = &graph->steps[i];
    bool ok = true;
    for (int k = 0; ok && k < step->input_count; ++k) {
      const int value = step->inputs[k];
      if (value != kNoValue) ok = load_value(graph, &graph->values[value], error);
    }
    if (!ok || !load_value(graph, &graph->values[step->output], error)) {
      name_culprit(step, error);
      return false;
    }
  }
  return true;
}
