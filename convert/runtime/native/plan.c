#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "float_mode.h"
#include "operators.h"
#include "stage.h"

enum { kAlignment = 64 };

static size_t align(size_t bytes) {
  return (bytes + kAlignment - 1) & ~(size_t)(kAlignment - 1);
}

static const Operator* const kOperators[] = {
    &quantize_operator, &dequantize_operator, &bconv2d_operator, &bmaxpool2d_operator,
    &add_operator,      &multiply_operator,   &prelu_operator,   &concatenation_operator,
};

const Operator* find_operator(const TfLiteRegistration* registration) {
  const char* name = registration->custom_name;
  for (size_t i = 0; i < sizeof(kOperators) / sizeof(kOperators[0]); ++i) {
    const Operator* op = kOperators[i];
    if (op->builtin_code != registration->builtin_code) continue;
    if (op->builtin_code != kBuiltinCustom) return op;
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

static bool connect_step(Plan* plan, int index, const TfLiteNode* node,
                         const TfLiteDelegateParams* params, int* value_of_tensor,
                         Error* error) {
  Step* step = &plan->steps[index];
  const size_t tensors = plan->context->tensors_size;
  if (node->inputs->size != step->op->inputs || node->outputs->size != 1) {
    return refuse(error, "it has %d inputs and %d outputs, and has to have %d and 1",
                  node->inputs->size, node->outputs->size, step->op->inputs);
  }
  for (int i = 0; i < node->inputs->size; ++i) {
    const int tensor = node->inputs->data[i];
    step->inputs[i] = kNoValue;
    if (tensor == -1) continue;
    if (tensor < 0 || (size_t)tensor >= tensors) {
      return refuse(error, "input %d is tensor %d, and the file has %zu", i, tensor, tensors);
    }
    step->inputs[i] = value_of(plan, value_of_tensor, tensor);
  }
  const int tensor = node->outputs->data[0];
  if (tensor < 0 || (size_t)tensor >= tensors) {
    return refuse(error, "its output is tensor %d, and the file has %zu", tensor, tensors);
  }
  // One writer, and before every reader: memory is laid out by that order.
  if (value_of_tensor[tensor] != kNoValue || contains(params->input_tensors, tensor)) {
    return refuse(error,
                  "its output, tensor %d, is also written or read by an operator before it",
                  tensor);
  }
  step->output = value_of(plan, value_of_tensor, tensor);
  Value* output = &plan->values[step->output];
  output->producer = index;
  output->is_internal = !contains(params->output_tensors, tensor);
  return true;
}

static bool read_node(Plan* plan, int index, int node_index, const TfLiteDelegateParams* params,
                      int* value_of_tensor, Error* error) {
  Step* step = &plan->steps[index];
  TfLiteNode* node;
  TfLiteRegistration* registration;
  step->node = node_index;
  if (plan->context->GetNodeAndRegistration(plan->context, node_index, &node, &registration) !=
      kTfLiteOk) {
    return refuse(error, "the runtime does not show it");
  }
  step->op = find_operator(registration);
  if (step->op == NULL) return refuse(error, "it is not an operator of this library");
  step->state = calloc(1, step->op->state_bytes);
  if (step->state == NULL) return refuse(error, "out of memory");
  if (step->op->read_options != NULL) {
    if (!step->op->read_options(step->state, node, error)) return false;
  }
  return connect_step(plan, index, node, params, value_of_tensor, error);
}

static void name_culprit(const Plan* plan, const Step* step, Error* error) {
  Error reason = *error;
  const char* name = step->op != NULL ? step->op->name : "operator";
  (void)plan;
  reason.text[sizeof(reason.text) - 64] = '\0';
  refuse(error, "larq-bcd-runtime: %s (operator %d): %s.", name, step->node, reason.text);
}

bool plan_init(Plan* plan, TfLiteContext* context, const TfLiteDelegateParams* params,
               Error* error) {
  const TfLiteIntArray* nodes = params->nodes_to_replace;
  plan->context = context;
  plan->scratch_tensor = -1;
  plan->steps = calloc((size_t)nodes->size, sizeof(*plan->steps));
  plan->values = calloc((size_t)nodes->size * (kMaxInputs + 1), sizeof(*plan->values));
  int* value_of_tensor = malloc(context->tensors_size * sizeof(int));
  bool ok = plan->steps != NULL && plan->values != NULL && value_of_tensor != NULL;
  if (!ok) refuse(error, "larq-bcd-runtime: out of memory");
  for (size_t i = 0; ok && i < context->tensors_size; ++i) value_of_tensor[i] = kNoValue;
  for (int i = 0; ok && i < nodes->size; ++i) {
    plan->step_count = i + 1;
    ok = read_node(plan, i, nodes->data[i], params, value_of_tensor, error);
    if (!ok) name_culprit(plan, &plan->steps[i], error);
  }
  free(value_of_tensor);
  return ok;
}

void plan_release(Plan* plan) {
  for (int i = 0; i < plan->step_count; ++i) {
    Step* step = &plan->steps[i];
    if (step->state != NULL && step->op->release != NULL) step->op->release(step->state);
    free(step->state);
  }
  free(plan->steps);
  free(plan->values);
  free_stages(plan);
}

// ---- Shapes ----

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
    if (dims[i] < 1 || __builtin_mul_overflow(bytes, (size_t)dims[i], &bytes) ||
        bytes > PTRDIFF_MAX / 2) {
      return refuse(error, "dimension %d of tensor %d is %d, which cannot be", i, value->tensor,
                    dims[i]);
    }
  }
  value->bytes = bytes;
  return true;
}

// Takes over what the runtime knows of a tensor. A tensor that a step writes gets its shape
// from the step; what the file says of it is only used where an operator asks for it.
static bool load_value(Plan* plan, Value* value, Error* error) {
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
  if (!set_shape(value, tensor->dims->size, tensor->dims->data, error)) return false;
  if (tensor->allocation_type != kTfLiteMmapRo) return true;
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

// ---- Memory ----

static bool has_place(const Value* value) {
  return value->is_internal && !value->is_local && value->part_of == kNoValue;
}

static void note_readers(Plan* plan) {
  for (int i = 0; i < plan->value_count; ++i) plan->values[i].last_reader = -1;
  for (int s = 0; s < plan->stage_count; ++s) {
    for (int i = 0; i < plan->stages[s].count; ++i) {
      const Step* step = &plan->steps[plan->stages[s].steps[i]];
      for (int k = 0; k < step->op->inputs; ++k) {
        if (step->inputs[k] != kNoValue) plan->values[step->inputs[k]].last_reader = s;
      }
    }
  }
}

// Values that are alive at the same time must not overlap; all that a stage reads or writes is
// alive throughout it. Each takes the first gap between those alive that is large enough;
// `alive` is kept in order of their offsets.
static bool lay_out(Plan* plan, size_t first_offset, Error* error) {
  int* alive = malloc((size_t)plan->value_count * sizeof(int));
  if (alive == NULL) return refuse(error, "larq-bcd-runtime: out of memory");
  int count = 0;
  plan->scratch_bytes = first_offset;
  note_readers(plan);
  for (int s = 0; s < plan->stage_count; ++s) {
    int kept = 0;
    for (int i = 0; i < count; ++i) {
      if (plan->values[alive[i]].last_reader >= s) alive[kept++] = alive[i];
    }
    count = kept;
    for (int i = 0; i < plan->stages[s].count; ++i) {
      const int index = plan->steps[plan->stages[s].steps[i]].output;
      Value* value = &plan->values[index];
      if (!has_place(value)) continue;
      size_t offset = first_offset;
      int at = 0;
      for (; at < count; ++at) {
        const Value* other = &plan->values[alive[at]];
        if (offset + value->bytes <= other->offset) break;
        offset = align(other->offset + other->bytes);
      }
      memmove(&alive[at + 1], &alive[at], (size_t)(count - at) * sizeof(int));
      alive[at] = index;
      ++count;
      value->offset = offset;
      if (offset + value->bytes > plan->scratch_bytes) {
        plan->scratch_bytes = offset + value->bytes;
      }
    }
  }
  free(alive);
  if (plan->scratch_bytes > INT32_MAX) {
    return refuse(error,
                  "larq-bcd-runtime: the activations between operators need %zu bytes, "
                  "more than 2 GiB: use a smaller batch",
                  plan->scratch_bytes);
  }
  return true;
}

static bool allocate_scratch(Plan* plan, TfLiteNode* node, Error* error) {
  TfLiteContext* context = plan->context;
  if (plan->scratch_tensor < 0 &&
      context->AddTensors(context, 1, &plan->scratch_tensor) != kTfLiteOk) {
    return refuse(error, "larq-bcd-runtime: the runtime does not add a tensor");
  }
  TfLiteIntArray* temporaries = malloc(sizeof(*temporaries) + sizeof(int));
  TfLiteIntArray* shape = malloc(sizeof(*shape) + sizeof(int));
  if (temporaries == NULL || shape == NULL) {
    free(temporaries);
    free(shape);
    return refuse(error, "larq-bcd-runtime: out of memory");
  }
  temporaries->size = shape->size = 1;
  temporaries->data[0] = plan->scratch_tensor;
  free(node->temporaries);
  node->temporaries = temporaries;
  // An empty tensor would get no address.
  shape->data[0] = plan->scratch_bytes > 0 ? (int)plan->scratch_bytes : 1;
  TfLiteTensor* scratch = &context->tensors[plan->scratch_tensor];
  scratch->type = kTfLiteInt8;
  scratch->allocation_type = kTfLiteArenaRw;
  if (context->ResizeTensor(context, scratch, shape) != kTfLiteOk) {
    return refuse(error,
                  "larq-bcd-runtime: the runtime does not give %zu bytes of scratch "
                  "memory",
                  plan->scratch_bytes);
  }
  return true;
}

void reserve_thread_scratch(Plan* plan, size_t bytes) {
  if (align(bytes) > plan->thread_scratch) plan->thread_scratch = align(bytes);
}

void* thread_scratch(const Plan* plan, int thread) {
  char* base = plan->context->tensors[plan->scratch_tensor].data;
  return base + plan->thread_scratch * (size_t)thread;
}

void* value_data(const Plan* plan, const Value* value) {
  if (!value->is_internal) return plan->context->tensors[value->tensor].data;
  char* base = plan->context->tensors[plan->scratch_tensor].data;
  return base + value->offset;
}

bool plan_prepare(Plan* plan, TfLiteNode* node, Error* error) {
  plan->thread_scratch = 0;
  for (int i = 0; i < plan->step_count; ++i) {
    Step* step = &plan->steps[i];
    bool ok = true;
    for (int k = 0; ok && k < step->op->inputs; ++k) {
      const int value = step->inputs[k];
      if (value == kNoValue || plan->values[value].producer >= 0) continue;
      ok = load_value(plan, &plan->values[value], error);
    }
    ok = ok && load_value(plan, &plan->values[step->output], error) &&
         step->op->prepare(plan, step, error);
    if (!ok) {
      name_culprit(plan, step, error);
      return false;
    }
  }
  if (!form_stages(plan)) return refuse(error, "larq-bcd-runtime: out of memory");
  const size_t first_offset = plan->thread_scratch * (size_t)thread_pool_size(plan->pool);
  return lay_out(plan, first_offset, error) && allocate_scratch(plan, node, error);
}

bool plan_run(Plan* plan, Error* error) {
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
  for (int i = 0; i < plan->stage_count; ++i) run_stage(plan, &plan->stages[i]);
  set_float_mode(callers);
  return true;
}
