#include "passes/layout.h"

#include <stdlib.h>
#include <string.h>

#include "guard.h"

static bool has_place(const Value* value) {
  return value->is_internal && !value->is_local && value->part_of == kNoValue;
}

static void note_readers(Graph* graph) {
  for (int i = 0; i < graph->value_count; ++i) graph->values[i].last_reader = -1;
  for (int s = 0; s < graph->stage_count; ++s) {
    for (int i = 0; i < graph->stages[s].count; ++i) {
      const Step* step = &graph->steps[graph->stages[s].steps[i]];
      for (int k = 0; k < step->input_count; ++k) {
        if (step->inputs[k] == kNoValue) continue;
        graph->values[graph->values[step->inputs[k]].view.root].last_reader = s;
      }
    }
  }
}

// Values that are alive at the same time must not overlap; all that a stage reads or writes is
// alive throughout it. Each takes the first gap between those alive that is large enough;
// `alive` is kept in order of their offsets.
static bool place_values(Graph* graph, size_t first_offset, Error* error) {
  int* alive = malloc((size_t)graph->value_count * sizeof(int));
  if (alive == NULL) return refuse(error, "larq-bcd-runtime: out of memory");
  int count = 0;
  graph->scratch_bytes = first_offset;
  note_readers(graph);
  for (int s = 0; s < graph->stage_count; ++s) {
    int kept = 0;
    for (int i = 0; i < count; ++i) {
      if (graph->values[alive[i]].last_reader >= s) alive[kept++] = alive[i];
    }
    count = kept;
    for (int i = 0; i < graph->stages[s].count; ++i) {
      const int index = graph->steps[graph->stages[s].steps[i]].output;
      Value* value = &graph->values[index];
      if (!has_place(value)) continue;
      size_t offset = first_offset;
      int at = 0;
      for (; at < count; ++at) {
        const Value* other = &graph->values[alive[at]];
        if (offset + value->bytes + kGuardBytes <= other->offset) break;
        offset = align_scratch(other->offset + other->bytes + kGuardBytes);
      }
      memmove(&alive[at + 1], &alive[at], (size_t)(count - at) * sizeof(int));
      alive[at] = index;
      ++count;
      value->offset = offset;
      if (offset + value->bytes > graph->scratch_bytes) {
        graph->scratch_bytes = offset + value->bytes;
      }
    }
  }
  free(alive);
  if (graph->scratch_bytes > INT32_MAX) {
    return refuse(error,
                  "larq-bcd-runtime: the activations between operators need %zu bytes, "
                  "more than 2 GiB: use a smaller batch",
                  graph->scratch_bytes);
  }
  return true;
}

static bool allocate_scratch(Graph* graph, Error* error) {
  TfLiteNode* node = graph->node;
  TfLiteContext* context = graph->context;
  if (graph->scratch_tensor < 0 &&
      context->AddTensors(context, 1, &graph->scratch_tensor) != kTfLiteOk) {
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
  temporaries->data[0] = graph->scratch_tensor;
  free(node->temporaries);
  node->temporaries = temporaries;
  // An empty tensor would get no address.
  shape->data[0] = graph->scratch_bytes > 0 ? (int)graph->scratch_bytes : 1;
  TfLiteTensor* scratch = &context->tensors[graph->scratch_tensor];
  scratch->type = kTfLiteInt8;
  scratch->allocation_type = kTfLiteArenaRw;
  if (context->ResizeTensor(context, scratch, shape) != kTfLiteOk) {
    return refuse(error,
                  "larq-bcd-runtime: the runtime does not give %zu bytes of scratch "
                  "memory",
                  graph->scratch_bytes);
  }
  return true;
}

bool lay_out(Graph* graph, Error* error) {
  const size_t first_offset = graph->thread_scratch * (size_t)thread_pool_size(graph->pool);
  return place_values(graph, first_offset, error) && allocate_scratch(graph, error);
}
