// clock_gettime, in clock.h, is POSIX's.
#define _POSIX_C_SOURCE 200809L

#include "plan.h"

#include <stdlib.h>

#include "clock.h"
#include "float_mode.h"
#include "guard.h"
#include "load.h"
#include "ops/operators.h"
#include "passes/elide_moves.h"
#include "passes/fuse.h"
#include "passes/fuse_codegen.h"
#include "passes/fuse_run.h"
#include "passes/layout.h"

// ---- Passes ----

static bool prepare_steps(Graph* graph, Error* error) {
  for (int i = 0; i < graph->step_count; ++i) {
    Step* step = &graph->steps[i];
    if (step->op->prepare(graph, step, error)) continue;
    name_culprit(step, error);
    return false;
  }
  return true;
}

static bool size_convolutions(Graph* graph, Error* error) {
  (void)error;
  for (int i = 0; i < graph->step_count; ++i) {
    Step* step = &graph->steps[i];
    if (step->op->fusion == kFusesConvolution) size_convolution(graph, step);
  }
  return true;
}

// Before them the delegate claims nodes (passes/claim.h) and reads them (load.h); after them it
// runs what has come of them, stage by stage.
static bool (*const kPasses[])(Graph* graph, Error* error) = {
    load_values,        // types, shapes and constants of the runtime's tensors
    prepare_steps,      // options and shapes are checked, weights packed
    elide_moves,        // what only moves values becomes a map of its readers
    size_convolutions,  // the panels of those that run alone
    fuse_steps,         // steps become stages
    generate_programs,  // fused stages become programs
    size_panels,        // and these get panels
    lay_out,            // all that stays inside gets its place in one block of memory
};

bool plan_prepare(Graph* graph, TfLiteNode* node, Error* error) {
  graph->is_prepared = false;
  graph->node = node;
  for (size_t i = 0; i < sizeof(kPasses) / sizeof(kPasses[0]); ++i) {
    if (!kPasses[i](graph, error)) return false;
  }
  graph->is_prepared = true;
  return true;
}

// ---- Run ----

static void run_stage(const Graph* graph, const Stage* stage) {
  if (stage->is_fused) {
    run_program(graph, stage);
    return;
  }
  const Step* step = &graph->steps[stage->steps[0]];
  step->op->run(graph, step);
}

bool plan_run(Graph* graph, Error* error) {
  if (!graph->is_prepared) {
    return refuse(error, "larq-bcd-runtime: its operators have not been prepared");
  }
  // The runtime allocated these after the preparation. Memory that is not what was prepared for
  // must not be touched.
  for (int i = 0; i < graph->value_count; ++i) {
    const Value* value = &graph->values[i];
    if (value->is_internal) continue;
    const TfLiteTensor* tensor = &graph->context->tensors[value->tensor];
    if (tensor->data == NULL || tensor->bytes < value->bytes ||
        (uintptr_t)tensor->data % type_bytes(value->type) != 0) {
      return refuse(error, "larq-bcd-runtime: tensor %d has %zu bytes where %zu were prepared",
                    value->tensor, tensor->data == NULL ? 0 : tensor->bytes, value->bytes);
    }
  }
  const TfLiteTensor* scratch = &graph->context->tensors[graph->scratch_tensor];
  if (scratch->data == NULL || scratch->bytes < graph->scratch_bytes) {
    return refuse(error, "larq-bcd-runtime: the runtime gave no scratch memory");
  }
  const FloatMode callers = float_mode();
  set_float_mode(without_denormals(callers));
  for (int i = 0; i < graph->stage_count; ++i) {
    Stage* stage = &graph->stages[i];
    const uint64_t begin = graph->is_timed ? now() : 0;
    close_values(graph);
    open_values(graph, stage);
    run_stage(graph, stage);
    if (!graph->is_timed) continue;
    ++stage->runs;
    stage->nanoseconds += now() - begin;
  }
  open_all(graph);
  set_float_mode(callers);
  return true;
}

void plan_release(Graph* graph) {
  for (int i = 0; i < graph->step_count; ++i) {
    Step* step = &graph->steps[i];
    if (step->state != NULL && step->op->release != NULL) step->op->release(step->state);
    free(step->state);
  }
  for (int i = 0; i < graph->file_value_count; ++i) free(graph->values[i].filled);
  free(graph->steps);
  free(graph->values);
  free_stages(graph);
}
