#include "describe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "passes/fuse_codegen.h"

void append(Text* text, const char* format, ...) {
  for (;;) {
    const size_t room = text->capacity - text->size;
    va_list arguments;
    va_start(arguments, format);
    const int length =
        vsnprintf(room > 0 ? text->data + text->size : NULL, room, format, arguments);
    va_end(arguments);
    if (length < 0 || text->failed) return;
    if ((size_t)length < room) {
      text->size += (size_t)length;
      return;
    }
    const size_t capacity = 2 * text->capacity + (size_t)length + 1;
    char* data = realloc(text->data, capacity);
    if (data == NULL) {
      text->failed = true;
      return;
    }
    text->data = data;
    text->capacity = capacity;
  }
}

typedef struct {
  size_t read, written;
} Traffic;

static bool writes(const PlannedOp* op) {
  const RowCode code = op->op.code;
  return code == kStore || code == kSum || code == kSign || code == kSignExact;
}

static bool is_first_use(const Program* program, int index) {
  const PlannedOp* op = &program->ops[index];
  for (int i = 0; i < index; ++i) {
    const PlannedOp* other = &program->ops[i];
    if (other->kind == kMemory && other->value == op->value && writes(other) == writes(op)) {
      return false;
    }
  }
  return true;
}

static Traffic traffic_of(const Graph* graph, const Stage* stage) {
  Traffic traffic = {0, 0};
  if (!stage->is_fused) {
    const Step* step = &graph->steps[stage->steps[0]];
    for (int k = 0; k < step->input_count; ++k) {
      const Value* in = step_input(graph, step, k);
      if (in != NULL && in->constant == NULL) traffic.read += in->bytes;
    }
    traffic.written = step_output(graph, step)->bytes;
    return traffic;
  }
  const Program* program = stage->program;
  for (int i = 0; i < program->count; ++i) {
    const PlannedOp* op = &program->ops[i];
    if (op->kind != kMemory || !is_first_use(program, i)) continue;
    const size_t bytes = graph->values[op->value].bytes;
    *(writes(op) ? &traffic.written : &traffic.read) += bytes;
  }
  for (int i = 0; i < program->convolution_count; ++i) {
    traffic.read += graph->values[program->convolutions[i].packed].bytes;
  }
  return traffic;
}

// What an operator of the file reads or writes; constants, and what two steps of one operator
// leave each other, do not count.
static size_t file_bytes(const Graph* graph, int value) {
  if (value == kNoValue || graph->values[value].tensor < 0) return 0;
  return graph->values[value].constant == NULL ? graph->values[value].bytes : 0;
}

static size_t operator_bytes(const Graph* graph) {
  size_t bytes = 0;
  for (int i = 0; i < graph->step_count; ++i) {
    const Step* step = &graph->steps[i];
    if (step->output_index == 0) {  // once for an operator with several outputs
      for (int k = 0; k < step->input_count; ++k) {
        bytes += file_bytes(graph, step->file_inputs[k]);
      }
    }
    bytes += file_bytes(graph, step->file_output);
  }
  return bytes;
}

// The file's operators one after the other, each value alive from the one that writes it to the
// last that reads it; all that enters or leaves the graph is somebody else's.
static size_t largest_live(const Graph* graph, Text* text) {
  int* last = malloc(((size_t)graph->value_count + 1) * sizeof(int));
  if (last == NULL) {
    text->failed = true;
    return 0;
  }
  for (int i = 0; i < graph->step_count; ++i) {
    const Step* step = &graph->steps[i];
    last[step->file_output] = i;
    for (int k = 0; k < step->input_count; ++k) {
      if (step->file_inputs[k] != kNoValue) last[step->file_inputs[k]] = i;
    }
  }
  size_t largest = 0;
  for (int at = 0; at < graph->step_count; ++at) {
    size_t live = 0;
    for (int i = 0; i <= at; ++i) {
      const int index = graph->steps[i].file_output;
      const Value* value = &graph->values[index];
      if (value->is_internal && last[index] >= at) live += file_bytes(graph, index);
    }
    if (live > largest) largest = live;
  }
  free(last);
  return largest;
}

void describe_graph(const Graph* graph, Text* text) {
  append(text, "{\"stages\": [");
  for (int s = 0; s < graph->stage_count; ++s) {
    const Stage* stage = &graph->stages[s];
    append(text, "%s{\"operators\": [", s == 0 ? "" : ", ");
    for (int i = 0; i < stage->count; ++i) {
      const Step* step = &graph->steps[stage->steps[i]];
      append(text, "%s[%d, \"%s\"]", i == 0 ? "" : ", ", step->node, step->op->name);
    }
    const Traffic traffic = traffic_of(graph, stage);
    append(text,
           "], \"runs\": %" PRIu64 ", \"nanoseconds\": %" PRIu64
           ", \"bytes_read\": %zu, \"bytes_written\": %zu}",
           stage->runs, stage->nanoseconds, traffic.read, traffic.written);
  }
  append(text, "], \"operator_bytes\": %zu, \"memory\": %zu, \"largest_live\": %zu}",
         operator_bytes(graph), graph->scratch_bytes, largest_live(graph, text));
}
