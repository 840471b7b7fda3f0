#include "passes/fuse_codegen.h"

#include <stdlib.h>
#include <string.h>

#include "ops/operators.h"

// The state of the translation of one segment.
typedef struct {
  Graph* graph;
  const Stage* stage;
  Program* program;
  Segment* segment;
  int held;         // the value in the register, or kNoValue
  bool is_flushed;  // no denormal numbers are in it: an operation computed them away
  int* slots;       // of each of the graph's values, or -1
} Translation;

static const Value* value_at(const Translation* t, int index) {
  return &t->graph->values[index];
}

static const Step* step_at(const Translation* t, int position) {
  return &t->graph->steps[t->stage->steps[position]];
}

// Halves of a concatenation are the concatenation itself, in their segment.
static int operand_value(const Translation* t, const Step* step, int k) {
  return root_of(t->graph, step->inputs[k]);
}

static const Elementwise* elementwise_of(const Step* step) {
  return step->op->fusion == kFusesPointwise ? step->state : NULL;
}

static const float* constant_of(const Step* step, int k) {
  const Elementwise* e = elementwise_of(step);
  return e == NULL ? NULL : e->constants[k];
}

static int channels_of(const Value* value) { return value->dims[value->rank - 1]; }

static bool is_in_segment(const Translation* t, const Step* step) {
  if (step->op->fusion == kFusesConcatenation) return false;
  const Value* spanned = space_of(t->graph, step);
  return step->base <= t->segment->from && step->base + channels_of(spanned) >= t->segment->to;
}

static bool commutes(const Step* step) {
  const Elementwise* e = elementwise_of(step);
  return e != NULL && (e->kind == kElementwiseAdd || e->kind == kElementwiseMultiply);
}

static bool is_adding(const Step* step) {
  const Elementwise* e = elementwise_of(step);
  return e != NULL && e->kind == kElementwiseAdd;
}

// ---- Who reads what ----

typedef struct {
  int count;
  int position, operand;  // of the first
} Uses;

static Uses uses_after(const Translation* t, int position, int value) {
  Uses uses = {0};
  for (int i = position + 1; i < t->stage->count; ++i) {
    const Step* reader = step_at(t, i);
    if (!is_in_segment(t, reader)) continue;
    for (int k = 0; k < reader->input_count; ++k) {
      if (constant_of(reader, k) != NULL || reader->inputs[k] == kNoValue ||
          operand_value(t, reader, k) != value) {
        continue;
      }
      if (uses.count++ == 0) {
        uses.position = i;
        uses.operand = k;
      }
    }
  }
  return uses;
}

// Whether a convolution's or a pool's result is computed where it is added, or else used.
static bool is_deferred(const Translation* t, int position) {
  const Step* step = step_at(t, position);
  if (step->op->fusion != kFusesConvolution && step->op->fusion != kFusesPool) return false;
  const Value* value = value_at(t, step->output);
  if (!value->is_local || value->part_of != kNoValue) return false;
  const Uses uses = uses_after(t, position, step->output);
  if (uses.count != 1) return false;
  const Step* reader = step_at(t, uses.position);
  if (is_adding(reader)) return true;
  return uses.operand == 0 &&
         (elementwise_of(reader) == NULL || constant_of(reader, 1) != NULL);
}

// The position of the deferred step that computes an operand, or -1.
static int deferred_operand(const Translation* t, const Step* step, int k) {
  if (constant_of(step, k) != NULL) return -1;
  for (int i = 0; i < t->stage->count; ++i) {
    if (step_at(t, i)->output == step->inputs[k] && step_at(t, i)->stage == step->stage) {
      return is_deferred(t, i) ? i : -1;
    }
  }
  return -1;
}

// Whether the step after takes the value of this one from the register.
static bool is_handed_over(const Translation* t, int position, int value) {
  const Uses uses = uses_after(t, position, value);
  if (uses.count != 1) return false;
  for (int i = position + 1; i < uses.position; ++i) {
    if (is_in_segment(t, step_at(t, i)) && !is_deferred(t, i)) return false;
  }
  return uses.operand == 0 || (uses.operand == 1 && commutes(step_at(t, uses.position)));
}

// ---- Instructions ----

static PlannedOp* emit(Translation* t, RowCode code) {
  Program* program = t->program;
  PlannedOp* planned = &program->ops[program->count++];
  planned->op.code = code;
  return planned;
}

static int convolution_index(Translation* t, const Step* step) {
  Program* program = t->program;
  Segment* segment = t->segment;
  const int index = (int)(step - t->graph->steps);
  int found = 0;
  while (found < program->convolution_count && program->convolutions[found].step != index) {
    ++found;
  }
  if (found == program->convolution_count) {
    program->convolutions[program->convolution_count++] =
        (StageConvolution){.convolution = step_convolution(step),
                           .step = index,
                           .packed = step->inputs[0],
                           .base = step->base};
  }
  for (int i = 0; i < segment->convolutions; ++i) {
    if (segment->of[i] == found) return i;
  }
  segment->of[segment->convolutions] = found;
  return segment->convolutions++;
}

static void place_slot(PlannedOp* op, int slot) {
  op->kind = kSlot;
  op->slot = slot;
  op->op.stride = kTileChannels;
  op->op.is_in_tile = true;
}

static void place_memory(Translation* t, PlannedOp* op, int value, int base) {
  op->kind = kMemory;
  op->value = value;
  op->base = base;
  op->op.stride = (size_t)channels_of(value_at(t, value));
}

// An operand that lies in memory or a slot.
static void emit_row(Translation* t, RowCode set, const Step* step, int k) {
  // The codes of rows and of repeated rows follow each other alike, for setting and adding.
  const float* constant = constant_of(step, k);
  if (constant != NULL) {
    PlannedOp* op = emit(t, set);
    op->kind = kConstant;
    op->constant = constant;
    op->base = step->base;
    return;
  }
  const int index = operand_value(t, step, k);
  const Value* value = value_at(t, index);
  const Value* out = value_at(t, step->output);
  if (t->slots[index] >= 0) {
    place_slot(emit(t, set), t->slots[index]);
    return;
  }
  const bool is_repeated =
      step->op->fusion == kFusesPointwise && channels_of(value) < channels_of(out);
  RowCode code = set;
  if (is_repeated) code = set == kSetRow ? kSetRepeated : kAddRepeated;
  PlannedOp* op = emit(t, code);
  const Step* producer = producer_of(t->graph, index);
  const bool is_here = producer != NULL && producer->stage == step->stage;
  place_memory(t, op, index, is_here ? producer->base : step->base);
  if (is_repeated) {
    op->op.period = channels_of(value);
  } else if (step->op->fusion == kFusesPointwise && rows_of(value) < rows_of(out)) {
    op->is_per_sample = true;
    op->op.stride = 0;
    if (rows_of(value) == 1) return;  // for all samples
    op->row_values = channels_of(value);
    t->program->sample_pixels = rows_of(out) / rows_of(value);
  }
}

static void emit_deferred(Translation* t, const Step* step, RowCode of_counts) {
  const bool is_pool = step->op->fusion == kFusesPool;
  const RowCode of_pool = of_counts == kSetCounts ? kSetPool : kAddPool;
  PlannedOp* op = emit(t, is_pool ? of_pool : of_counts);
  if (!is_pool) {
    op->op.convolution = convolution_index(t, step);
    return;
  }
  place_memory(t, op, step->inputs[0], step->base);
  op->pool = step_pool(step);
  op->op.right = op->op.stride;
  op->op.below = op->op.stride * (size_t)op->pool->in_width;
  op->op.stride = 0;
}

static void set_operand(Translation* t, const Step* step, int k) {
  const int deferred = deferred_operand(t, step, k);
  if (deferred >= 0) {
    emit_deferred(t, step_at(t, deferred), kSetCounts);
  } else {
    emit_row(t, kSetRow, step, k);
  }
  t->is_flushed = deferred >= 0;
}

static void add_operand(Translation* t, const Step* step, int k) {
  const int deferred = deferred_operand(t, step, k);
  if (deferred >= 0) {
    emit_deferred(t, step_at(t, deferred), kAddCounts);
  } else {
    emit_row(t, kAddRow, step, k);
  }
  t->is_flushed = true;
}

static bool is_held(const Translation* t, const Step* step, int k) {
  return t->held != kNoValue && constant_of(step, k) == NULL &&
         operand_value(t, step, k) == t->held;
}

// Brings the first or, where their order does not matter, the second operand into the
// register; returns which.
static int take_first(Translation* t, const Step* step, bool may_swap) {
  if (is_held(t, step, 0)) return 0;
  if (may_swap && is_held(t, step, 1)) return 1;
  set_operand(t, step, 0);
  return 0;
}

static void translate_pointwise(Translation* t, const Step* step) {
  const Elementwise* e = step->state;
  static const RowCode kCodes[] = {[kElementwiseAdd] = kAddRow,
                                   [kElementwiseSubtract] = kSubtractRow,
                                   [kElementwiseMultiply] = kMultiplyRow,
                                   [kElementwisePrelu] = kPreluRow};
  const int taken = take_first(t, step, commutes(step));
  for (int k = 0; k < step->input_count; ++k) {
    if (k == taken) continue;
    if (e->kind == kElementwiseAdd) {
      add_operand(t, step, k);
    } else {
      emit_row(t, kCodes[e->kind], step, k);
      t->is_flushed |= e->kind != kElementwisePrelu;
    }
  }
  if (e->kind != kElementwisePrelu && e->has_bounds) {
    PlannedOp* op = emit(t, kBound);
    op->op.bounds = e->bounds;
  }
}

static void translate_quantize(Translation* t, const Step* step) {
  take_first(t, step, false);
  t->held = operand_value(t, step, 0);
  PlannedOp* op = emit(t, t->is_flushed ? kSign : kSignExact);
  place_memory(t, op, step->output, step->base);
  op->holds_words = true;
}

static void translate_sum(Translation* t, const Step* step) {
  take_first(t, step, false);
  t->held = operand_value(t, step, 0);
  PlannedOp* op = emit(t, kSum);
  place_memory(t, op, step->output, step->base);
  op->holds_sums = true;
  const Value* in = value_at(t, step->inputs[0]);
  t->program->sample_pixels = rows_of(in) / (size_t)in->dims[0];
}

// Stores the result in the register where it will be looked for.
static void keep_result(Translation* t, int position) {
  const Step* step = step_at(t, position);
  const int value = root_of(t->graph, step->output);
  t->held = value;
  if (!value_at(t, value)->is_local) {
    const Step* owner = producer_of(t->graph, value);
    PlannedOp* op = emit(t, kStore);
    place_memory(t, op, value, owner->base);
  } else if (!is_handed_over(t, position, value) && uses_after(t, position, value).count > 0) {
    t->slots[value] = t->program->slots++;
    place_slot(emit(t, kStore), t->slots[value]);
  }
}

static void translate_step(Translation* t, int position) {
  const Step* step = step_at(t, position);
  if (!is_in_segment(t, step) || is_deferred(t, position)) return;
  if (step->op->fusion == kFusesQuantize) {
    translate_quantize(t, step);
    return;
  }
  if (step->op->fusion == kFusesSum) {
    translate_sum(t, step);
    return;
  }
  if (step->op->fusion == kFusesPointwise) {
    translate_pointwise(t, step);
  } else {
    emit_deferred(t, step, kSetCounts);
    t->is_flushed = true;
  }
  keep_result(t, position);
}

static void translate_segment(Graph* graph, const Stage* stage, Segment* segment, int* slots) {
  Program* program = stage->program;
  Translation t = {.graph = graph,
                   .stage = stage,
                   .program = program,
                   .segment = segment,
                   .held = kNoValue,
                   .slots = slots};
  for (int i = 0; i < graph->value_count; ++i) slots[i] = -1;
  segment->first_op = program->count;
  for (int i = 0; i < stage->count; ++i) translate_step(&t, i);
  segment->ops = program->count - segment->first_op;
  if (segment->ops > program->longest) program->longest = segment->ops;
}

static void find_segments(const Graph* graph, const Stage* stage) {
  Program* program = stage->program;
  program->segments[0] = (Segment){.from = 0, .to = stage->channels};
  program->segment_count = 1;
  for (int i = 0; i < stage->count; ++i) {
    const int base = graph->steps[stage->steps[i]].base;
    if (base == 0) continue;
    program->segments[0].to = base;
    program->segments[1] = (Segment){.from = base, .to = stage->channels};
    program->segment_count = 2;
  }
}

// A step becomes at most one instruction for each operand, and one to cut, store or sign.
static bool allocate_ops(const Graph* graph, const Stage* stage) {
  Program* program = stage->program;
  size_t count = 0;
  for (int i = 0; i < stage->count; ++i) {
    count += (size_t)graph->steps[stage->steps[i]].input_count + 2;
  }
  count *= (size_t)program->segment_count;
  program->ops = calloc(count, sizeof(*program->ops));
  program->data = calloc(count, sizeof(*program->data));
  return program->ops != NULL && program->data != NULL;
}

static bool build_program(Graph* graph, Stage* stage) {
  stage->program = calloc(1, sizeof(*stage->program));
  int* slots = malloc((size_t)graph->value_count * sizeof(int));
  bool ok = stage->program != NULL && slots != NULL;
  if (ok) find_segments(graph, stage);
  ok = ok && allocate_ops(graph, stage);
  for (int i = 0; ok && i < stage->program->segment_count; ++i) {
    translate_segment(graph, stage, &stage->program->segments[i], slots);
  }
  free(slots);
  return ok;
}

bool generate_programs(Graph* graph, Error* error) {
  for (int s = 0; s < graph->stage_count; ++s) {
    Stage* stage = &graph->stages[s];
    if (stage->is_fused && !build_program(graph, stage)) {
      return refuse(error, "larq-bcd-runtime: out of memory");
    }
  }
  return true;
}

void free_program(Program* program) {
  if (program == NULL) return;
  free(program->ops);
  free(program->data);
  free(program);
}
