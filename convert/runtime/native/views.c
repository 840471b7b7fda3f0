#include "views.h"

#include <stdlib.h>
#include <string.h>

#include "moves.h"
#include "operators.h"

void reset_views(Plan* plan) {
  plan->value_count = plan->file_value_count;
  for (int i = 0; i < plan->value_count; ++i) {
    plan->values[i].view = (View){.root = i, .map = NULL};
  }
  for (int i = 0; i < plan->step_count; ++i) {
    Step* step = &plan->steps[i];
    memcpy(step->inputs, step->file_inputs, sizeof(step->inputs));
    step->output = step->file_output;
    step->is_absorbed = false;
    plan->values[step->output].producer = i;
  }
}

// What is known of all the readers of a value.
typedef struct {
  int count;
  bool accept_views;        // each looks its input up in a map
  bool accept_repetitions;  // each is an addition, pixel by pixel
} Readers;

// Not if a move made several samples of what is one to the map.
static bool counts_samples(const Value* value) { return value->samples == value->dims[0]; }

static bool accepts_view(const Plan* plan, const Readers* readers, const Step* step, int k) {
  const Value* in = step_input(plan, step, k);
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
static bool accepts_repetition(const Plan* plan, const Step* step, int k) {
  return step->op->fusion == kFusesPointwise &&
         ((const Elementwise*)step->state)->kind == kElementwiseAdd &&
         rows_of(step_input(plan, step, k)) == rows_of(step_output(plan, step));
}

static void look_at_readers(const Plan* plan, Readers* readers) {
  for (int i = 0; i < plan->value_count; ++i) {
    const bool is_internal = plan->values[i].is_internal;
    readers[i] = (Readers){.accept_views = is_internal, .accept_repetitions = is_internal};
  }
  // A reader stands after its value, so what reads the reader's output is known.
  for (int i = plan->step_count - 1; i >= 0; --i) {
    const Step* step = &plan->steps[i];
    for (int k = 0; k < step->input_count; ++k) {
      if (step->inputs[k] == kNoValue) continue;
      Readers* of = &readers[step->inputs[k]];
      ++of->count;
      of->accept_views &= accepts_view(plan, readers, step, k);
      of->accept_repetitions &= accepts_repetition(plan, step, k);
    }
  }
}

static void absorb(Step* step) {
  step->is_absorbed = true;
  for (int k = 0; k < step->input_count; ++k) step->inputs[k] = kNoValue;
}

// ---- Moves ----

// The one value that all moved inputs are views of, or kNoValue.
static int common_root(const Plan* plan, const Step* step, int first, int inputs) {
  const int root = plan->values[step->inputs[first]].view.root;
  for (int k = first + 1; k < first + inputs; ++k) {
    if (plan->values[step->inputs[k]].view.root != root) return kNoValue;
  }
  return root;
}

// Rewrites the table of a move from units of its inputs to units of their root.
static void compose(const Plan* plan, Step* step, int first, int inputs) {
  int32_t* table = ((Move*)step->state)->table;
  const Value* out = step_output(plan, step);
  const size_t count = units_of(out) / (size_t)out->samples;
  for (size_t u = 0; u < count; ++u) {
    if (table[u] == kZeroUnit) continue;
    for (int k = first; k < first + inputs; ++k) {
      const Value* in = step_input(plan, step, k);
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
static Step* cropped_convolution(Plan* plan, const Readers* readers, const Step* step) {
  const int in = step->inputs[0];
  const int producer = plan->values[in].producer;
  if (!((const Move*)step->state)->crops || readers[in].count != 1 || producer < 0 ||
      !plan->values[in].is_internal || plan->values[in].view.root != in) {
    return NULL;
  }
  Step* convolution = &plan->steps[producer];
  return convolution->op->fusion == kFusesConvolution ? convolution : NULL;
}

static void resolve_move(Plan* plan, const Readers* readers, Step* step) {
  Move* state = step->state;
  Step* convolution = cropped_convolution(plan, readers, step);
  Value* out = &plan->values[step->output];
  if (convolution != NULL) {
    crop_convolution(convolution, state->begin[1], state->begin[2], out->dims[1], out->dims[2]);
    convolution->output = step->output;
    out->producer = (int)(convolution - plan->steps);
    absorb(step);
    return;
  }
  const int first = moved_input(step->op->builtin_code);
  const bool joins = step->op->builtin_code == kBuiltinConcatenation;
  const int inputs = joins ? step->input_count : 1;
  const int root = common_root(plan, step, first, inputs);
  if (root == kNoValue || !readers[step->output].accept_views) return;
  compose(plan, step, first, inputs);
  out->view = (View){.root = root, .map = state->table};
  absorb(step);
}

// ---- Quantizations ----

static int add_packed_value(Plan* plan, const Value* floats, int producer) {
  const int index = plan->value_count++;
  Value* packed = &plan->values[index];
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
static void resolve_quantize(Plan* plan, const Readers* readers, int index, int* packed) {
  Step* step = &plan->steps[index];
  const Value* in = step_input(plan, step, 0);
  if (in->type != kTfLiteFloat32) return;
  const int32_t* map = in->view.map;
  const int root = in->view.root, output = step->output;
  if (packed[root] != kNoValue && readers[output].accept_views) {
    plan->values[output].view = (View){.root = packed[root], .map = map};
    absorb(step);
    return;
  }
  if (map != NULL || in->view.root != step->inputs[0]) {
    step->inputs[0] = root;
    step->output = add_packed_value(plan, &plan->values[root], index);
    plan->values[output].view = (View){.root = step->output, .map = map};
  }
  if (packed[root] == kNoValue) packed[root] = step->output;
}

// ---- Readers ----

static void resolve_convolution(Plan* plan, Step* step) {
  const Value* in = step_input(plan, step, 0);
  const Value* root = &plan->values[in->view.root];
  step->inputs[0] = in->view.root;
  if (in->view.map == NULL) return;
  redirect_convolution(step, in->view.map, units_of(root) / (size_t)root->samples);
}

// An elementwise operator reads the first half of a value repeated by a concatenation; that it
// has less channels tells to read them again.
static void resolve_repetition(Plan* plan, const Readers* readers, Step* step) {
  const Value* in = step_input(plan, step, 0);
  if (step->inputs[0] != step->inputs[1] || in->dims[in->rank - 1] % kLanes != 0 ||
      !readers[step->output].accept_repetitions) {
    return;
  }
  plan->values[step->output].view.root = plan->values[step->inputs[0]].view.root;
  absorb(step);
}

static void resolve_operands(Plan* plan, Step* step) {
  for (int k = 0; k < step->input_count; ++k) {
    step->inputs[k] = plan->values[step->inputs[k]].view.root;
  }
}

bool resolve_views(Plan* plan) {
  Readers* readers = malloc((size_t)plan->value_count * sizeof(*readers));
  int* packed = malloc((size_t)plan->value_count * sizeof(*packed));
  if (readers == NULL || packed == NULL) {
    free(readers);
    free(packed);
    return false;
  }
  look_at_readers(plan, readers);
  for (int i = 0; i < plan->value_count; ++i) packed[i] = kNoValue;
  for (int i = 0; i < plan->step_count; ++i) {
    Step* step = &plan->steps[i];
    switch (step->op->fusion) {
      case kFusesMove:
        resolve_move(plan, readers, step);
        break;
      case kFusesQuantize:
        resolve_quantize(plan, readers, i, packed);
        break;
      case kFusesConvolution:
        resolve_convolution(plan, step);
        break;
      case kFusesConcatenation:
        resolve_repetition(plan, readers, step);
        break;
      case kFusesPointwise:
        resolve_operands(plan, step);
        break;
      case kFusesPool:
      case kFusesSum:
      case kFusesNot:
      case kFusesAlone:
        break;
    }
  }
  free(readers);
  free(packed);
  return true;
}
