#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "float_mode.h"
#include "guard.h"
#include "layout.h"
#include "operators.h"
#include "profile.h"
#include "stage.h"
#include "views.h"

static const Operator* const kOperators[] = {
    &quantize_operator,
    &dequantize_operator,
    &bconv2d_operator,
    &bmaxpool2d_operator,
    // Of several that could do the same the first does.
    &add_operator,
    &add_n_operator,
    &vector_subtract_operator,
    &subtract_operator,
    &multiply_operator,
    &prelu_operator,
    &average_pool_operator,
    &mean_operator,
    &fully_connected_operator,
    &concatenation_operator,
    &join_operator,
    &slice_operator,
    &strided_slice_operator,
    &pad_operator,
    &vector_split_operator,
    &split_operator,
    &vector_reshape_operator,
    &reshape_operator,
    &gather_operator,
};

const Operator* find_operator(const TfLiteContext* context, const TfLiteNode* node,
                              const TfLiteRegistration* registration) {
  const char* name = registration->custom_name;
  for (size_t i = 0; i < sizeof(kOperators) / sizeof(kOperators[0]); ++i) {
    const Operator* op = kOperators[i];
    if (op->builtin_code != registration->builtin_code) continue;
    if (op->builtin_code != kBuiltinCustom) {
      if (op->claims(context, node)) return op;
      continue;
    }
    if (name != NULL && strcmp(op->name, name) == 0) return op;
  }
  return NULL;
}

const TfLiteTensor* tensor_at(const TfLiteContext* context, int index) {
  return index >= 0 && (size_t)index < context->tensors_size ? &context->tensors[index] : NULL;
}

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

static size_t type_bytes(int type) {
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

const Value* step_input(const Plan* plan, const Step* step, int index) {
  const int value = step->inputs[index];
  return value == kNoValue ? NULL : &plan->values[value];
}

const Value* step_output(const Plan* plan, const Step* step) {
  return &plan->values[step->output];
}

// ---- Connections ----

static bool contains(const TfLiteIntArray* array, int item) {
  for (int i = 0; i < array->size; ++i) {
    if (array->data[i] == item) return true;
  }
  return false;
}

static int value_of(Plan* plan, int* value_of_tensor, int tensor) {
  if (value_of_tensor[tensor] == kNoValue) {
    Value* value = &plan->values[plan->value_count];
    value->tensor = tensor;
    value->producer = -1;
    value_of_tensor[tensor] = plan->value_count++;
  }
  return value_of_tensor[tensor];
}

static bool connect_inputs(Plan* plan, Step* step, const TfLiteNode* node, int* value_of_tensor,
                           Error* error) {
  const size_t tensors = plan->context->tensors_size;
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
    step->file_inputs[i] = value_of(plan, value_of_tensor, tensor);
    if (step->op->fusion == kFusesConvolution && i > 0) {
      plan->values[step->file_inputs[i]].is_parameter = true;
    }
  }
  return true;
}

static bool connect_output(Plan* plan, int index, const TfLiteNode* node,
                           const TfLiteDelegateParams* params, int* value_of_tensor,
                           Error* error) {
  Step* step = &plan->steps[index];
  const size_t tensors = plan->context->tensors_size;
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
  step->file_output = value_of(plan, value_of_tensor, tensor);
  Value* output = &plan->values[step->file_output];
  output->producer = index;
  output->is_internal = !contains(params->output_tensors, tensor);
  return true;
}

typedef struct {
  TfLiteNode* node;
  TfLiteRegistration* registration;
} Shown;

// Adds a step with its options and inputs. It has its node before it can fail, for the message.
static Step* add_step(Plan* plan, const Operator* op, int node_index, const TfLiteNode* node,
                      int* value_of_tensor, Error* error) {
  Step* step = &plan->steps[plan->step_count++];
  step->node = node_index;
  step->op = op;
  step->state = calloc(1, op->state_bytes);
  if (step->state == NULL) {
    refuse(error, "out of memory");
    return NULL;
  }
  if (op->read_options != NULL && !op->read_options(step->state, node, error)) return NULL;
  return connect_inputs(plan, step, node, value_of_tensor, error) ? step : NULL;
}

// The value that a step leaves to the next one of its node.
static int leave_value(Plan* plan, const Step* step) {
  Value* value = &plan->values[plan->value_count];
  value->tensor = -1;
  value->type = kTfLiteFloat32;
  value->is_internal = true;
  value->producer = (int)(step - plan->steps);
  return plan->value_count++;
}

static bool read_node(Plan* plan, int node_index, const Shown* shown, int output,
                      const TfLiteDelegateParams* params, int* value_of_tensor, Error* error) {
  const TfLiteNode* node = shown->node;
  const Operator* op = find_operator(plan->context, node, shown->registration);
  if (op == NULL) {
    plan->steps[plan->step_count++].node = node_index;
    return refuse(error, "it is not an operator of this library");
  }
  int left = kNoValue;
  if (op->before != NULL) {
    Step* before = add_step(plan, op->before, node_index, node, value_of_tensor, error);
    if (before == NULL) return false;
    left = before->file_output = leave_value(plan, before);
  }
  Step* step = add_step(plan, op, node_index, node, value_of_tensor, error);
  if (step == NULL) return false;
  if (left != kNoValue) step->file_inputs[0] = left;
  step->output_index = output;
  return connect_output(plan, (int)(step - plan->steps), node, params, value_of_tensor, error);
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
static void find_fills(Plan* plan, const int* value_of_tensor) {
  TfLiteContext* context = plan->context;
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
    if (value != kNoValue && plan->values[value].is_parameter) plan->values[value].fill = fill;
  }
}

static void name_culprit(const Step* step, Error* error) {
  Error reason = *error;
  const char* name = step->op != NULL ? step->op->name : "operator";
  reason.text[sizeof(reason.text) - 64] = '\0';
  refuse(error, "larq-bcd-runtime: %s (operator %d): %s.", name, step->node, reason.text);
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

bool plan_init(Plan* plan, TfLiteContext* context, const TfLiteDelegateParams* params,
               Error* error) {
  const TfLiteIntArray* nodes = params->nodes_to_replace;
  plan->context = context;
  plan->scratch_tensor = -1;
  Shown* shown = calloc((size_t)nodes->size + 1, sizeof(*shown));
  int* value_of_tensor = malloc(context->tensors_size * sizeof(int));
  const size_t steps = shown == NULL ? 0 : count_steps(context, nodes, shown);
  plan->steps = calloc(steps, sizeof(*plan->steps));
  // Inputs, an output, and what resolve_views may add.
  plan->values = calloc(steps * (kMaxInputs + 2), sizeof(*plan->values));
  bool ok = steps > 0 && plan->steps != NULL && plan->values != NULL && value_of_tensor != NULL;
  if (!ok) refuse(error, "larq-bcd-runtime: out of memory, or operators that are not shown");
  for (size_t i = 0; ok && i < context->tensors_size; ++i) value_of_tensor[i] = kNoValue;
  for (int i = 0; ok && i < nodes->size; ++i) {
    for (int output = 0; ok && output < shown[i].node->outputs->size; ++output) {
      ok = read_node(plan, nodes->data[i], &shown[i], output, params, value_of_tensor, error);
      if (!ok) name_culprit(&plan->steps[plan->step_count - 1], error);
    }
  }
  if (ok) find_fills(plan, value_of_tensor);
  plan->file_value_count = plan->value_count;
  free(shown);
  free(value_of_tensor);
  return ok;
}

void plan_release(Plan* plan) {
  for (int i = 0; i < plan->step_count; ++i) {
    Step* step = &plan->steps[i];
    if (step->state != NULL && step->op->release != NULL) step->op->release(step->state);
    free(step->state);
  }
  for (int i = 0; i < plan->file_value_count; ++i) free(plan->values[i].filled);
  free(plan->steps);
  free(plan->values);
  free_stages(plan);
}

// ---- Shapes ----

// The kernels count up to a size, and some lanes beyond it.
enum { kMaxSize = 1 << 30 };

static bool set_shape(Value* value, int rank, const int* dims, Error* error) {
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

// A FILL takes a few bytes of the file, whatever it asks for. All of a plan may ask for 134
// million binary weights, far more than any network has.
enum { kMaxFilledBytes = 1 << 24 };

static bool fill_value(Plan* plan, Value* value, Error* error) {
  free(value->filled);
  value->filled = NULL;
  if (value->bytes > kMaxFilledBytes - plan->filled_bytes) {
    return refuse(
        error,
        "tensor %d is a FILL of %zu bytes, and all of them may have %d: write it as a "
        "constant",
        value->tensor, value->bytes, kMaxFilledBytes);
  }
  char* filled = malloc(value->bytes);
  if (filled == NULL) return refuse(error, "out of memory");
  plan->filled_bytes += value->bytes;
  for (size_t at = 0; at < value->bytes; at += sizeof(int32_t)) {
    memcpy(filled + at, value->fill, sizeof(int32_t));
  }
  value->constant = value->filled = filled;
  return true;
}

// Takes over what the runtime knows of a tensor. A tensor that a step writes gets its shape
// from the step; what the file says of it is only used where an operator asks for it.
static bool load_value(Plan* plan, Value* value, Error* error) {
  if (value->tensor < 0 || value->is_loaded) return true;
  value->is_loaded = true;
  const TfLiteTensor* tensor = &plan->context->tensors[value->tensor];
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
  if (value->fill != NULL) return fill_value(plan, value, error);
  if (!is_constant) return true;
  if (tensor->data == NULL || tensor->bytes < value->bytes ||
      (uintptr_t)tensor->data % 4 != 0) {
    return refuse(error, "tensor %d needs %zu bytes of the file, aligned to 4, and has %zu",
                  value->tensor, value->bytes, tensor->data == NULL ? 0 : tensor->bytes);
  }
  value->constant = tensor->data;
  return true;
}

bool set_output(Plan* plan, const Step* step, int rank, const int* dims, Error* error) {
  Value* output = &plan->values[step->output];
  if (!set_shape(output, rank, dims, error)) return false;
  if (output->is_internal) return true;
  TfLiteIntArray* shape = malloc(sizeof(*shape) + (size_t)rank * sizeof(int));
  if (shape == NULL) return refuse(error, "out of memory");
  shape->size = rank;
  memcpy(shape->data, dims, (size_t)rank * sizeof(int));
  TfLiteContext* context = plan->context;
  if (context->ResizeTensor(context, &context->tensors[output->tensor], shape) != kTfLiteOk) {
    return refuse(error, "the runtime does not give its output %zu bytes", output->bytes);
  }
  return true;
}

// ---- Preparation and run ----

bool plan_prepare(Plan* plan, TfLiteNode* node, Error* error) {
  plan->is_prepared = false;
  plan->thread_scratch = plan->filled_bytes = 0;
  for (int i = 0; i < plan->file_value_count; ++i) plan->values[i].is_loaded = false;
  reset_views(plan);
  for (int i = 0; i < plan->step_count; ++i) {
    Step* step = &plan->steps[i];
    bool ok = true;
    for (int k = 0; ok && k < step->input_count; ++k) {
      const int value = step->inputs[k];
      if (value == kNoValue || plan->values[value].producer >= 0) continue;
      ok = load_value(plan, &plan->values[value], error);
    }
    ok = ok && load_value(plan, &plan->values[step->output], error) &&
         step->op->prepare(plan, step, error);
    if (!ok) {
      name_culprit(step, error);
      return false;
    }
  }
  if (plan->fuses && !resolve_views(plan)) {
    return refuse(error, "larq-bcd-runtime: out of memory");
  }
  for (int i = 0; i < plan->step_count; ++i) {
    if (plan->steps[i].op->fusion == kFusesConvolution) size_convolution(plan, &plan->steps[i]);
  }
  if (!form_stages(plan)) return refuse(error, "larq-bcd-runtime: out of memory");
  plan->is_prepared = lay_out_plan(plan, node, error);
  return plan->is_prepared;
}

bool plan_run(Plan* plan, Error* error) {
  if (!plan->is_prepared) {
    return refuse(error, "larq-bcd-runtime: its operators have not been prepared");
  }
  // The runtime allocated these after the preparation. Memory that is not what was prepared for
  // must not be touched.
  for (int i = 0; i < plan->value_count; ++i) {
    const Value* value = &plan->values[i];
    if (value->is_internal) continue;
    const TfLiteTensor* tensor = &plan->context->tensors[value->tensor];
    if (tensor->data == NULL || tensor->bytes < value->bytes ||
        (uintptr_t)tensor->data % type_bytes(value->type) != 0) {
      return refuse(error, "larq-bcd-runtime: tensor %d has %zu bytes where %zu were prepared",
                    value->tensor, tensor->data == NULL ? 0 : tensor->bytes, value->bytes);
    }
  }
  const TfLiteTensor* scratch = &plan->context->tensors[plan->scratch_tensor];
  if (scratch->data == NULL || scratch->bytes < plan->scratch_bytes) {
    return refuse(error, "larq-bcd-runtime: the runtime gave no scratch memory");
  }
  const FloatMode callers = float_mode();
  set_float_mode(without_denormals(callers));
  for (int i = 0; i < plan->stage_count; ++i) {
    Stage* stage = &plan->stages[i];
    const uint64_t begin = plan->is_timed ? now() : 0;
    close_values(plan);
    open_values(plan, stage);
    run_stage(plan, stage);
    if (!plan->is_timed) continue;
    ++stage->runs;
    stage->nanoseconds += now() - begin;
  }
  open_all(plan);
  set_float_mode(callers);
  return true;
}
