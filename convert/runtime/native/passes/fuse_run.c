#include "passes/fuse_run.h"

#include <stdlib.h>
#include <string.h>

#include "ops/operators.h"
#include "passes/fuse_codegen.h"

enum {
  // For the patches, which are read tile by tile while the weights of a strip are read anew for
  // every panel.
  kPanelBytes = 40 * 1024,
  kMaxPanel = 240,
  kSlotBytes = kMaxTilePixels * kTileChannels * (int)sizeof(float),
  // What beginning a panel costs, in pixels: the weights are read once more.
  kPanelCost = 2,
  kLineBytes = 64,
};

_Static_assert(kPanelStep % kSumPixels == 0, "sums would cross from panel to panel");

static size_t align_line(size_t bytes) {
  return (bytes + kLineBytes - 1) & ~(size_t)(kLineBytes - 1);
}

static size_t panel_bytes(const Convolution* c, int pixels) {
  return align_line((size_t)pixels * sizeof(PanelPixel) + patches_bytes(c, pixels));
}

// How many pixels the busiest thread computes.
static size_t longest_share(size_t pixels, size_t panel, int threads) {
  const size_t panels = (pixels + panel - 1) / panel;
  size_t longest = 0, first = 0;
  for (int i = 0; i < threads; ++i) {
    const size_t end = share_end(panels, i, threads);
    const size_t last_pixel = end * panel < pixels ? end * panel : pixels;
    const size_t share = last_pixel - first * panel + (end - first) * kPanelCost;
    if (end > first && share > longest) longest = share;
    first = end;
  }
  return longest;
}

static int choose_panel(const Graph* graph, const Stage* stage) {
  const Program* program = stage->program;
  size_t bytes_per_pixel = 0;
  for (int i = 0; i < program->convolution_count; ++i) {
    const Convolution* c = program->convolutions[i].convolution;
    const size_t patch = patches_bytes(c, 1) - patches_bytes(c, 0);
    bytes_per_pixel += align_line(sizeof(PanelPixel) + patch);
  }
  size_t largest = kMaxPanel;
  if (bytes_per_pixel > 0 && kPanelBytes / bytes_per_pixel < largest) {
    largest = (kPanelBytes / bytes_per_pixel + kPanelStep - 1) / kPanelStep * kPanelStep;
  }
  if (largest < kPanelStep) largest = kPanelStep;
  const int threads = thread_pool_size(graph->pool);
  if (threads == 1) return (int)largest;
  size_t best = largest;
  for (size_t panel = kPanelStep; panel < largest; panel += kPanelStep) {
    if (longest_share(stage->pixels, panel, threads) <
        longest_share(stage->pixels, best, threads)) {
      best = panel;
    }
  }
  return (int)best;
}

static void size_panel(Graph* graph, Stage* stage) {
  Program* program = stage->program;
  program->panel_pixels = choose_panel(graph, stage);
  program->ops_offset = 0;
  size_t bytes = align_line(((size_t)program->longest + 1) * sizeof(RowOp));
  program->slots_offset = bytes;
  bytes += (size_t)program->slots * kSlotBytes;
  for (int i = 0; i < program->convolution_count; ++i) {
    StageConvolution* c = &program->convolutions[i];
    c->panel_offset = bytes;
    bytes += panel_bytes(c->convolution, program->panel_pixels);
  }
  for (int i = 0; i < program->count; ++i) {
    PlannedOp* op = &program->ops[i];
    if (op->pool == NULL) continue;
    op->indices_offset = bytes;
    bytes += align_line((size_t)program->panel_pixels * sizeof(uint32_t));
  }
  if (program->sample_pixels == 0) program->sample_pixels = stage->pixels;
  reserve_thread_scratch(graph, bytes);
}

bool size_panels(Graph* graph, Error* error) {
  (void)error;
  for (int s = 0; s < graph->stage_count; ++s) {
    if (graph->stages[s].is_fused) size_panel(graph, &graph->stages[s]);
  }
  return true;
}

// ---- Execution ----

typedef struct {
  const Graph* graph;
  const Stage* stage;
} Job;

// The pixels of one piece of work.
typedef struct {
  size_t first, sample;
  size_t first_sum;  // among those of all samples
  int pixels;
} Panel;

static void place_pool(const PlannedOp* op, const Panel* panel, uint32_t* indices) {
  const Window* w = op->pool;
  const size_t width = (size_t)w->out_width, height = (size_t)w->out_height;
  size_t x = panel->first % width, y = panel->first / width % height;
  size_t n = panel->first / width / height;
  for (int p = 0; p < panel->pixels; ++p) {
    const size_t row = n * (size_t)w->in_height + 2 * y;
    indices[p] = (uint32_t)((row * (size_t)w->in_width + 2 * x) * op->op.right);
    if (++x == width) {
      x = 0;
      if (++y == height) {
        y = 0;
        ++n;
      }
    }
  }
}

// The instruction for one panel and the strip that begins with a channel.
static RowOp bind(const PlannedOp* planned, char* data, const Panel* panel, int from,
                  char* scratch, const Program* program) {
  RowOp op = planned->op;
  const size_t channel = (size_t)(from - planned->base);
  switch (planned->kind) {
    case kNowhere:
      op.data = scratch;  // not read
      break;
    case kSlot:
      op.data = scratch + program->slots_offset + (size_t)planned->slot * kSlotBytes;
      break;
    case kConstant:
      op.data = (char*)(uintptr_t)(planned->constant + channel);
      break;
    case kMemory:
      op.data = data + (planned->holds_sums ? panel->first_sum : panel->first) * op.stride *
                           sizeof(float);
      if (op.period != 0) {
        op.offset = (int)(channel % (size_t)op.period);
        break;
      }
      if (planned->is_per_sample) {
        op.data += panel->sample * (size_t)planned->row_values * sizeof(float);
      }
      op.data += (planned->holds_words ? channel / kWordBits : channel) * sizeof(float);
      break;
  }
  if (planned->pool != NULL) {
    op.indices = (const uint32_t*)(const void*)(scratch + planned->indices_offset);
  }
  return op;
}

static void run_segment(const Job* job, const Segment* segment, const Panel* panel,
                        char* scratch) {
  const Program* program = job->stage->program;
  RowOp* ops = (RowOp*)(void*)(scratch + program->ops_offset);
  Strip strip = {.pixels = panel->pixels, .convolutions = segment->convolutions};
  for (int from = segment->from; from < segment->to; from += kTileChannels) {
    const int left = segment->to - from;
    strip.channels = left < kTileChannels ? left : kTileChannels;
    for (int i = 0; i < segment->convolutions; ++i) {
      const StageConvolution* c = &program->convolutions[segment->of[i]];
      strip.of[i].convolution = c->convolution;
      strip.of[i].panel = (const PanelPixel*)(const void*)(scratch + c->panel_offset);
      strip.of[i].channel = from - c->base;
    }
    for (int i = 0; i < segment->ops; ++i) {
      const int index = segment->first_op + i;
      ops[i] = bind(&program->ops[index], program->data[index], panel, from, scratch, program);
    }
    job->graph->kernels->run_strip(ops, segment->ops, &strip);
  }
}

static void run_panel(void* argument, size_t piece, int thread) {
  const Job* job = argument;
  const Graph* graph = job->graph;
  const Program* program = job->stage->program;
  char* scratch = thread_scratch(graph, thread);
  const size_t per_panel = (size_t)program->panel_pixels;
  const size_t panels = (program->sample_pixels + per_panel - 1) / per_panel;
  Panel panel = {.sample = piece / panels};
  const size_t at = piece % panels * per_panel, left = program->sample_pixels - at;
  panel.first = panel.sample * program->sample_pixels + at;
  const size_t sums = (program->sample_pixels + kSumPixels - 1) / kSumPixels;
  panel.first_sum = panel.sample * sums + at / kSumPixels;
  panel.pixels = left < per_panel ? (int)left : program->panel_pixels;
  for (int i = 0; i < program->convolution_count; ++i) {
    const StageConvolution* c = &program->convolutions[i];
    PanelPixel* placed = (PanelPixel*)(void*)(scratch + c->panel_offset);
    graph->kernels->place(c->convolution, value_data(graph, &graph->values[c->packed]),
                          panel.first, panel.pixels, placed,
                          (uint32_t*)(void*)(placed + program->panel_pixels));
  }
  for (int i = 0; i < program->count; ++i) {
    const PlannedOp* op = &program->ops[i];
    if (op->pool == NULL) continue;
    place_pool(op, &panel, (uint32_t*)(void*)(scratch + op->indices_offset));
  }
  for (int i = 0; i < program->segment_count; ++i) {
    run_segment(job, &program->segments[i], &panel, scratch);
  }
}

void run_program(const Graph* graph, const Stage* stage) {
  Program* program = stage->program;
  // The runtime may have moved its memory since the last run.
  for (int i = 0; i < program->count; ++i) {
    const PlannedOp* op = &program->ops[i];
    program->data[i] =
        op->kind == kMemory ? value_data(graph, &graph->values[op->value]) : NULL;
  }
  Job job = {graph, stage};
  const size_t per_panel = (size_t)program->panel_pixels;
  const size_t panels = (program->sample_pixels + per_panel - 1) / per_panel;
  thread_pool_run(graph->pool, run_panel, &job,
                  stage->pixels / program->sample_pixels * panels);
}
