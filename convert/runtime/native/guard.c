#include "guard.h"

#include "stage.h"

#ifdef BCD_GUARDS

#include <sanitizer/asan_interface.h>

static char* block(const Plan* plan) {
  return plan->context->tensors[plan->scratch_tensor].data;
}

// What the threads use lies before the values.
static size_t thread_bytes(const Plan* plan) {
  return plan->thread_scratch * (size_t)thread_pool_size(plan->pool);
}

void close_values(const Plan* plan) {
  const size_t begin = thread_bytes(plan);
  ASAN_POISON_MEMORY_REGION(block(plan) + begin, plan->scratch_bytes - begin);
}

static void open_value(const Plan* plan, int index) {
  if (index == kNoValue) return;
  const Value* value = &plan->values[root_of(plan, plan->values[index].view.root)];
  if (!value->is_internal || value->is_local || value->producer < 0) return;
  ASAN_UNPOISON_MEMORY_REGION(block(plan) + value->offset, value->bytes);
}

void open_values(const Plan* plan, const Stage* stage) {
  for (int i = 0; i < stage->count; ++i) {
    const Step* step = &plan->steps[stage->steps[i]];
    for (int k = 0; k < step->input_count; ++k) open_value(plan, step->inputs[k]);
    open_value(plan, step->output);
  }
}

void open_all(const Plan* plan) {
  ASAN_UNPOISON_MEMORY_REGION(block(plan), plan->scratch_bytes);
}

#else

void close_values(const Plan* plan) { (void)plan; }

void open_values(const Plan* plan, const Stage* stage) {
  (void)plan;
  (void)stage;
}

void open_all(const Plan* plan) { (void)plan; }

#endif
