#include "passes/elide_moves.h"

#include <stdlib.h>
#include <string.h>

#include "ops/moves.h"
#include "ops/operators.h"

// What is known of all the readers of a value.
typedef struct {
  int count;
  bool accept_views;        // each looks its input up in a map
  bool accept_repetitions;  // each is an addition, pixel by pixel
} Readers;

// Not if a move made several samples of what is one to the map.
static bool counts_samples(const Value* value) { return value->samples == value->dims[0]; }

static bool accepts_view(const Graph* graph, const Readers* readers, const Step* step, int k) {
  const Value* in = step_input(graph, step, k);
  switch (step->op->fusion) {
    case kFusesMove: {
      const int first = moved_input(step->op->builtin_code);
      return k == first || (k > first && step->op->builtin_code == kBuiltinConcatenation);
    }
    case kFusesConvolution:
      return k == 0 && counts_samples(in);
    case kFusesQuantize:
      return in->type == kTfLiteFloat32 && counts_samples(in) &&
             readers[step->output].accept_views;
    default:
      return false;
  }
}

// Of a value for each pixel: one for all pixels of a sample is not repeated, too.
static bool accepts_repetition(const Graph* graph, const Step* step, int k) {
  return step->op->fusion == kFusesPointwise &&
         ((const Elementwise*)step->state)->kind == kElementwiseAdd &&
         rows_of(step_input(graph, step, k)) == rows_of(step_output(graph, step));
}

static void look_at_readers(const Graph* graph, Readers* readers) {
  for (int i = 0; i < graph->value_count; ++i) {
    const bool is_internal = graph->values[i].is_internal;
    readers[i] = (Readers){.accept_views = is_internal, .accept_repetitions = is_internal};
  }
  // A reader stands after its value, so what reads the reader's output is known.
  for (int i = graph->step_count - 1; i >= 0; --i) {
    const Step* step = &graph->steps[i];
    for (int k = 0; k < step->input_count; ++k) {
      if (step->inputs[k] == kNoValue) continue;
      Readers* of = &readers[step->inputs[k]];
      ++of->count;
      of->accept_views &= accepts_view(graph, readers, step, k);
      of->accept_repetitions &= accepts_repetition(graph, step, k);
    }
  }
}

static void absorb(Step* step) {
  step->is_absorbed = true;
  for (int k = 0; k < step->input_count; ++k) step->inputs[k] = kNoValue;
}

// ---- Moves ----

// The one value that all moved inputs are views of, or kNoValue.
static int common_root(const Graph* graph, const Step* step, int first, int inputs) {
  const int root = graph->values[step->inputs[first]].view.root;
  for (int k = first + 1; k < first + inputs; ++k) {
    if (graph->values[step->inputs[k]].view.root != root) return kNoValue;
  }
  return root;
}

// Rewrites the table of a move from units of its inputs to units of their root.
static void compose(const Graph* graph, Step* step, int first, int inputs) {
  int32_t* table = ((Move*)step->state)->table;
  const Value* out = step_output(graph, step);
  const size_t count = units_of(out) / (size_t)out->samples;
  for (size_t u = 0; u < count; ++u) {
    if (table[u] == kZeroUnit) continue;
    for (int k = first; k < first + inputs; ++k) {
      const Value* in = step_input(graph, step, k);
      const int32_t units = (int32_t)(units_of(in) / (size_t)in->samples);
      if (table[u] < units) {
        if (in->view.map != NULL) table[u] = in->view.map[table[u]];
        break;
      }
      table[u] -= units;
    }
  }
}

// The convolution whose result a move cuts, if nothing else reads it.
static Step* cropped_convolution(Graph* graph, const Readers* readers, const Step* step) {
  const int in = step->inputs[0];
  const int producer = graph->values[in].producer;
  if (!((const Move*)step->state)->crops || readers[in].count != 1 || producer < 0 ||
      !graph->values[in].is_internal || graph->values[in].view.root != in) {
    return NULL;
  }
  Step* convolution = &graph->steps[producer];
  return convolution->op->fusion == kFusesConvolution ? convolution : NULL;
}

static void resolve_move(Graph* graph, const Readers* readers, Step* step) {
  Move* state = step->state;
  Step* convolution = cropped_convolution(graph, readers, step);
  Value* out = &graph->values[step->output];
  if (convolution != NULL) {
    crop_convolution(convolution, state->begin[1], state->begin[2], out->dims[1], out->dims[2]);
    convolution->output = step->output;
    out->producer = (int)(convolution - graph->steps);
    absorb(step);
    return;
  }
  const int first = moved_input(step->op->builtin_code);
  const bool joins = step->op->builtin_code == kBuiltinConcatenation;
  const int inputs = joins ? step->input_count : 1;
  const int root = common_root(graph, step, first, inputs);
  if (root == kNoValue || !readers[step->output].accept_views) return;
  compose(graph, step, first, inputs);
  out->view = (View){.root = root, .map = state->table};
  absorb(step);
}

// ---- Quantizations ----

static int add_packed_value(Graph* graph, const Value* floats, int producer) {
  const int index = graph->value_count++;
  Value* packed = &graph->values[index];
  *packed = *floats;
  packed->tensor = -1;
  packed->type = kTfLiteInt32;
  packed->dims[packed->rank - 1] = (int)words_of(packed->dims[packed->rank - 1]);
  packed->bytes = rows_of(packed) * (size_t)packed->dims[packed->rank - 1] * sizeof(uint32_t);
  packed->is_internal = true;
  packed->producer = producer;
  packed->view = (View){.root = index, .map = NULL};
  return index;
}

// `packed` holds the value with the signs of each value, once there is one.
static void resolve_quantize(Graph* graph, const Readers* readers, int index, int* packed) {
  Step* step = &graph->steps[index];
  const Value* in = step_input(graph, step, 0);
  if (in->type != kTfLiteFloat32) return;
  const int32_t* map = in->view.map;
  const int root = in->view.root, output = step->output;
  if (packed[root] != kNoValue && readers[output].accept_views) {
    graph->values[output].view = (View){.root = packed[root], .map = map};
    absorb(step);
    return;
  }
  if (map != NULL || in->view.root != step->inputs[0]) {
    step->inputs[0] = root;
    step->output = add_packed_value(graph, &graph->values[root], index);
    graph->values[output].view = (View){.root = step->output, .map = map};
  }
  if (packed[root] == kNoValue) packed[root] = step->output;
}

// ---- Readers ----

static void resolve_convolution(Graph* graph, Step* step) {
  const Value* in = step_input(graph, step, 0);
  const Value* root = &graph->values[in->view.root];
  step->inputs[0] = in->view.root;
  if (in->view.map == NULL) return;
  redirect_convolution(step, in->view.map, root);
}

// An elementwise operator reads the first half of a value repeated by a concatenation; that it
// has less channels tells to read them again.
static void resolve_repetition(Graph* graph, const Readers* readers, Step* step) {
  const Value* in = step_input(graph, step, 0);
  if (step->inputs[0] != step->inputs[1] || in->dims[in->rank - 1] % kLanes != 0 ||
      !readers[step->output].accept_repetitions) {
    return;
  }
  graph->values[step->output].view.root = graph->values[step->inputs[0]].view.root;
  absorb(step);
}

static void resolve_operands(Graph* graph, Step* step) {
  for (int k = 0; k < step->input_count; ++k) {
    step->inputs[k] = graph->values[step->inputs[k]].view.root;
  }
}

// Only convolutions of images read it.
static void resolve_pad(Graph* graph, Step* step) {
  if (!step_output(graph, step)->is_internal) return;
  for (int i = 0; i < graph->step_count; ++i) {
    Step* reader = &graph->steps[i];
    if (reader->inputs[0] == step->output) take_unpadded(graph, reader, step);
  }
  absorb(step);
}

bool elide_moves(Graph* graph, Error* error) {
  if (!graph->fuses) return true;
  Readers* readers = malloc((size_t)graph->value_count * sizeof(*readers));
  int* packed = malloc((size_t)graph->value_count * sizeof(*packed));
  if (readers == NULL || packed == NULL) {
    free(readers);
    free(packed);
    return refuse(error, "larq-bcd-runtime: out of memory");
  }
  look_at_readers(graph, readers);
  for (int i = 0; i < graph->value_count; ++i) packed[i] = kNoValue;
  for (int i = 0; i < graph->step_count; ++i) {
    Step* step = &graph->steps[i];
    switch (step->op->fusion) {
      case kFusesMove:
        resolve_move(graph, readers, step);
        break;
      case kFusesQuantize:
        resolve_quantize(graph, readers, i, packed);
        break;
      case kFusesConcatenation:
        resolve_repetition(graph, readers, step);
        break;
      case kFusesPointwise:
        resolve_operands(graph, step);
        break;
      case kFusesPad:
        resolve_pad(graph, step);
        break;
      case kFusesConvolution:  // below
      case kFusesPool:
      case kFusesSum:
      case kFusesNot:
      case kFusesImage:
      case kFusesAlone:
        break;
    }
  }
  // When it is known what is cut off their results.
  for (int i = 0; i < graph->step_count; ++i) {
    Step* step = &graph->steps[i];
    if (step->op->fusion == kFusesConvolution) resolve_convolution(graph, step);
  }
  free(readers);
  free(packed);
  return true;
}
