#include "passes/fuse.h"

#include <stdlib.h>
#include <string.h>

#include "ops/operators.h"
#include "passes/fuse_codegen.h"

enum {
  kMaxStageConvolutions = kMaxStripConvolutions,
  // Grouping looks at all pairs of steps; a network has a few hundred.
  kMaxFusedSteps = 4096,
};

// ---- Grouping ----

// A stage under construction. It is named after the step in whose place it is executed, so the
// order of the names is the order of the stages.
typedef struct {
  bool is_open;  // can take more steps
  size_t pixels;
  int channels;
  int steps, convolutions;
  int position;  // among all stages, once they are listed
  int split;     // where the second half of a concatenation begins; 0 if there is none
} Draft;

// Whether a step needs more of its input than the pixels and channels that it writes.
static bool needs_all_pixels(const Step* step) {
  switch (step->op->fusion) {
    case kFusesPointwise:
    case kFusesQuantize:
    case kFusesSum:
    case kFusesConcatenation:
      return false;
    default:
      return true;
  }
}

static bool is_fusable(const Step* step) {
  const Fusion fusion = step->op->fusion;
  const bool needs_what_is_near = fusion == kFusesConvolution || fusion == kFusesPool;
  if (needs_all_pixels(step) && !needs_what_is_near) return false;
  if (fusion != kFusesConvolution) return true;
  const Convolution* c = step_convolution(step);
  return c->groups == 1 && c->output == kOutputFloat;
}

static Draft draft_alone(const Graph* graph, const Step* step) {
  const Value* value = space_of(graph, step);
  Draft draft = {
      .is_open = is_fusable(step),
      .pixels = rows_of(value),
      .channels = value->dims[value->rank - 1],
      .steps = 1,
      .convolutions = step->op->fusion == kFusesConvolution,
  };
  return draft;
}

// Whether a step of the stages (after, before) reads what a step of stage `from` writes; one
// that needs all pixels of its input counts even in the last of them.
static bool is_read_between(const Graph* graph, int known, int from, int before) {
  for (int i = 0; i <= known; ++i) {
    const Step* reader = &graph->steps[i];
    if (reader->stage <= from || reader->stage > before) continue;
    if (reader->stage == before && !needs_all_pixels(reader)) continue;
    for (int k = 0; k < reader->input_count; ++k) {
      const Step* producer = producer_of(graph, reader->inputs[k]);
      if (producer != NULL && producer->stage == from) return true;
    }
  }
  return false;
}

// Whether all that stage `late` reads is there when stage `early` runs.
static bool could_run_at(const Graph* graph, int known, int late, int early) {
  for (int i = 0; i <= known; ++i) {
    const Step* reader = &graph->steps[i];
    if (reader->stage != late) continue;
    for (int k = 0; k < reader->input_count; ++k) {
      const Step* producer = producer_of(graph, reader->inputs[k]);
      if (producer == NULL || producer->stage == late) continue;
      if (needs_all_pixels(reader) ? producer->stage >= early : producer->stage > early)
        return false;
    }
  }
  return true;
}

static void rename_stage(Graph* graph, int known, int from, int to) {
  for (int i = 0; i <= known; ++i) {
    if (graph->steps[i].stage == from) graph->steps[i].stage = to;
  }
}

static bool have_one_space(const Draft* a, const Draft* b) {
  if (!a->is_open || !b->is_open || a->pixels != b->pixels || a->channels != b->channels) {
    return false;
  }
  if (a->steps + b->steps > kMaxStageSteps ||
      a->convolutions + b->convolutions > kMaxStageConvolutions) {
    return false;
  }
  // Channel tiles begin anew at a split; a convolution can only be cut at whole tiles.
  if (a->split != 0 && b->split != 0 && a->split != b->split) return false;
  if (a->split % kTileChannels != 0 && b->convolutions > 0) return false;
  return b->split % kTileChannels == 0 || a->convolutions == 0;
}

static void join_stages(Graph* graph, Draft* drafts, int known, int early, int late) {
  if (!have_one_space(&drafts[early], &drafts[late])) return;
  int from, to;
  if (could_run_at(graph, known, late, early)) {
    from = late, to = early;
  } else if (!is_read_between(graph, known, early, late)) {
    from = early, to = late;
  } else {
    return;
  }
  rename_stage(graph, known, from, to);
  drafts[to].steps += drafts[from].steps;
  drafts[to].convolutions += drafts[from].convolutions;
  drafts[from].steps = 0;
  if (drafts[to].split == 0) drafts[to].split = drafts[from].split;
}

static bool spans_stage(const Graph* graph, const Draft* drafts, const Step* step) {
  const Value* value = step_output(graph, step);
  return step->base == 0 && value->dims[value->rank - 1] == drafts[step->stage].channels;
}

// Whether an operand lies pixel by pixel and channel by channel where the output does, and is
// not read again and again.
static bool is_read_here(const Graph* graph, const Step* step, int index) {
  const Value* in = step_input(graph, step, index);
  const Value* out = step_output(graph, step);
  return spans_input(step) || in->bytes == out->bytes;
}

static void join_producers(Graph* graph, Draft* drafts, int index) {
  Step* step = &graph->steps[index];
  for (int k = 0; k < step->input_count; ++k) {
    const Step* producer = producer_of(graph, step->inputs[k]);
    if (producer == NULL || producer->stage == step->stage) continue;
    if (!is_read_here(graph, step, k) || !spans_stage(graph, drafts, producer)) continue;
    const int a = producer->stage, b = step->stage;
    join_stages(graph, drafts, index, a < b ? a : b, a < b ? b : a);
  }
}

// A half of a concatenation can be written in place if only its own stage reads it.
static bool is_private(const Graph* graph, int concatenation, int value) {
  const int stage = producer_of(graph, value)->stage;
  if (!graph->values[value].is_internal) return false;
  for (int i = 0; i < graph->step_count; ++i) {
    const Step* reader = &graph->steps[i];
    for (int k = 0; k < reader->input_count; ++k) {
      const int in = reader->inputs[k];
      if (in == kNoValue || graph->values[in].view.root != value || i == concatenation)
        continue;
      if (i > concatenation || reader->stage != stage) return false;
    }
  }
  return true;
}

static void join_halves(Graph* graph, Draft* drafts, int index) {
  Step* step = &graph->steps[index];
  const Step *first = producer_of(graph, step->inputs[0]),
             *second = producer_of(graph, step->inputs[1]);
  if (first == NULL || second == NULL || first->stage == second->stage) return;
  const int a = first->stage, b = second->stage;
  const Draft *left = &drafts[a], *right = &drafts[b];
  if (!left->is_open || !right->is_open || left->split != 0 || right->split != 0 ||
      left->pixels != right->pixels || left->channels % kWordBits != 0 ||
      left->steps + right->steps + 1 > kMaxStageSteps ||
      left->convolutions + right->convolutions > kMaxStageConvolutions ||
      !spans_stage(graph, drafts, first) || !spans_stage(graph, drafts, second) ||
      !is_private(graph, index, step->inputs[0]) ||
      !is_private(graph, index, step->inputs[1]) || is_read_between(graph, index, a, index) ||
      is_read_between(graph, index, b, index)) {
    return;
  }
  Draft* joined = &drafts[index];
  joined->is_open = true;
  joined->split = left->channels;
  joined->steps += left->steps + right->steps;
  joined->convolutions = left->convolutions + right->convolutions;
  graph->values[step->inputs[0]].part_of = step->output;
  graph->values[step->inputs[1]].part_of = step->output;
  for (int i = 0; i < index; ++i) {
    if (graph->steps[i].stage == b) graph->steps[i].base = joined->split;
  }
  rename_stage(graph, index, a, index);
  rename_stage(graph, index, b, index);
  drafts[a].steps = drafts[b].steps = 0;
}

static void group_steps(Graph* graph, Draft* drafts) {
  for (int i = 0; i < graph->step_count; ++i) {
    Step* step = &graph->steps[i];
    if (step->is_absorbed) continue;
    drafts[i] = draft_alone(graph, step);
    if (!graph->fuses || graph->step_count > kMaxFusedSteps) {
      drafts[i].is_open = false;
    } else if (step->op->fusion == kFusesPointwise || spans_input(step)) {
      join_producers(graph, drafts, i);
    } else if (step->op->fusion == kFusesConcatenation) {
      drafts[i].is_open = false;  // alone, it copies
      join_halves(graph, drafts, i);
    }
  }
}

// ---- Places ----

// A value of a fused stage is local if nobody else reads it; signs and sums always are written,
// because what reads them belongs to another stage.
static void find_local_values(Graph* graph, const Stage* stage) {
  for (int i = 0; i < stage->count; ++i) {
    const Step* step = &graph->steps[stage->steps[i]];
    Value* value = &graph->values[step->output];
    value->is_local = value->is_internal && !spans_input(step);
  }
}

static void find_shared_values(Graph* graph) {
  for (int i = 0; i < graph->step_count; ++i) {
    const Step* reader = &graph->steps[i];
    for (int k = 0; k < reader->input_count; ++k) {
      const Step* producer = producer_of(graph, reader->inputs[k]);
      if (producer == NULL) continue;
      Value* value = &graph->values[graph->values[reader->inputs[k]].view.root];
      if (producer->stage != reader->stage) value->is_local = false;
    }
  }
}

// Lists the steps of every stage, stages in the order of their names.
static void list_stages(Graph* graph, Draft* drafts) {
  int* at = graph->stage_steps;
  graph->stage_count = 0;
  for (int name = 0; name < graph->step_count; ++name) {
    if (drafts[name].steps == 0) continue;
    Stage* stage = &graph->stages[graph->stage_count];
    stage->steps = at;
    stage->pixels = drafts[name].pixels;
    stage->channels = drafts[name].channels;
    at += drafts[name].steps;
    drafts[name].position = graph->stage_count++;
  }
  for (int i = 0; i < graph->step_count; ++i) {
    if (graph->steps[i].is_absorbed) continue;
    Stage* stage = &graph->stages[drafts[graph->steps[i].stage].position];
    stage->steps[stage->count++] = i;
  }
  for (int s = 0; s < graph->stage_count; ++s) {
    Stage* stage = &graph->stages[s];
    stage->is_fused = stage->count > 1 || graph->steps[stage->steps[0]].op->run == NULL;
  }
}

bool fuse_steps(Graph* graph, Error* error) {
  const size_t count = (size_t)graph->step_count;
  free_stages(graph);
  graph->stages = calloc(count, sizeof(*graph->stages));
  graph->stage_steps = calloc(count, sizeof(*graph->stage_steps));
  Draft* drafts = calloc(count, sizeof(*drafts));
  if (graph->stages == NULL || graph->stage_steps == NULL || drafts == NULL) {
    free(drafts);
    return refuse(error, "larq-bcd-runtime: out of memory");
  }
  for (int i = 0; i < graph->value_count; ++i) {
    graph->values[i].part_of = kNoValue;
    graph->values[i].is_local = false;
  }
  for (int i = 0; i < graph->step_count; ++i) {
    graph->steps[i].stage = i;
    graph->steps[i].base = 0;
  }
  group_steps(graph, drafts);
  list_stages(graph, drafts);
  for (int s = 0; s < graph->stage_count; ++s) {
    if (graph->stages[s].is_fused) find_local_values(graph, &graph->stages[s]);
  }
  find_shared_values(graph);
  free(drafts);
  return true;
}

void free_stages(Graph* graph) {
  for (int s = 0; s < graph->stage_count; ++s) free_program(graph->stages[s].program);
  free(graph->stages);
  free(graph->stage_steps);
  graph->stages = NULL;
  graph->stage_steps = NULL;
  graph->stage_count = 0;
}
