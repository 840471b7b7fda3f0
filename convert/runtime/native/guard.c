#include "guard.h"

#ifdef BCD_GUARDS

#include <sanitizer/asan_interface.h>

static char* block(const Graph* graph) {
  return graph->context->tensors[graph->scratch_tensor].data;
}

// What the threads use lies before the values.
static size_t thread_bytes(const Graph* graph) {
  return graph->thread_scratch * (size_t)thread_pool_size(graph->pool);
}

void close_values(const Graph* graph) {
  const size_t begin = thread_bytes(graph);
  ASAN_POISON_MEMORY_REGION(block(graph) + begin, graph->scratch_bytes - begin);
}

static void open_value(const Graph* graph, int index) {
  if (index == kNoValue) return;
  const Value* value = &graph->values[root_of(graph, graph->values[index].view.root)];
  if (!value->is_internal || value->is_local || value->producer < 0) return;
  ASAN_UNPOISON_MEMORY_REGION(block(graph) + value->offset, value->bytes);
}

void open_values(const Graph* graph, const Stage* stage) {
  for (int i = 0; i < stage->count; ++i) {
    const Step* step = &graph->steps[stage->steps[i]];
    for (int k = 0; k < step->input_count; ++k) open_value(graph, step->inputs[k]);
    open_value(graph, step->output);
  }
}

void open_all(const Graph* graph) {
  ASAN_UNPOISON_MEMORY_REGION(block(graph), graph->scratch_bytes);
}

#else

void close_values(const Graph* graph) { (void)graph; }

void open_values(const Graph* graph, const Stage* stage) {
  (void)graph;
  (void)stage;
}

void open_all(const Graph* graph) { (void)graph; }

#endif
