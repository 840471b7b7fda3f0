#include "layout.h"

#include <stdlib.h>
#include <string.h>

#include "guard.h"

enum { kAlignment = 64 };

static size_t align(size_t bytes) {
  return (bytes + kAlignment - 1) & ~(size_t)(kAlignment - 1);
}

static bool has_place(const Value* value) {
  return value->is_internal && !value->is_local && value->part_of == kNoValue;
}

static void note_readers(Plan* plan) {
  for (int i = 0; i < plan->value_count; ++i) plan->values[i].last_reader = -1;
  for (int s = 0; s < plan->stage_count; ++s) {
    for (int i = 0; i < plan->stages[s].count; ++i) {
      const Step* step = &plan->steps[plan->stages[s].steps[i]];
      for (int k = 0; k < step->input_count; ++k) {
        if (step->inputs[k] == kNoValue) continue;
        plan->values[plan->values[step->inputs[k]].view.root].last_reader = s;
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
        if (offset + value->bytes + kGuardBytes <= other->offset) break;
        offset = align(other->offset + other->bytes + kGuardBytes);
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

bool lay_out_plan(Plan* plan, TfLiteNode* node, Error* error) {
  const size_t first_offset = plan->thread_scratch * (size_t)thread_pool_size(plan->pool);
  return lay_out(plan, first_offset, error) && allocate_scratch(plan, node, error);
}
