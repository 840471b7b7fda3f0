#include "work.h"

#include <stdlib.h>
#include <string.h>

#include "operators.h"
#include "stage.h"

enum {
  // One slot of tile memory, 4 kB: with the patches of a panel, a few fill the first-level
  // cache.
  kSlotValues = 1024,
  kConvolutionTilePixels = kSlotValues / kTileChannels,
  kPointwiseTileChannels = 256,
  kPanelBytes = 24 * 1024,
  kMaxPanel = 64,
  // With several threads a stage is cut into at least this many pieces per thread.
  kPiecesPerThread = 3,
  // Weights up to this size stay in the first-level cache, whatever the order of the tiles.
  kCachedWeightBytes = 32 * 1024,
  kLineBytes = 64,
};

typedef enum { kNowhere, kConstant, kMemory, kSlot } PlaceKind;

// Where values lie: `base` is the stage channel of the first, `stride` the number of values, or
// of words, from one pixel to the next.
typedef struct {
  PlaceKind kind;
  int value;  // kMemory, as an index
  int slot;   // kSlot
  int base;
  size_t stride;
  char* data;  // kMemory, kConstant
} Place;

typedef enum { kConvolve, kAdd, kMultiply, kActivate, kQuantize } WorkKind;
enum { kA = 0, kB = 1, kShortcut = 1, kShift = 2, kSlopes = 3, kRise = 4, kOperands = 5 };

struct Work {
  WorkKind kind;
  int from, to;  // stage channels that it covers
  Place operands[kOperands];
  Place output;
  bool has_bounds;
  Bounds bounds;
  // kConvolve
  const Convolution* convolution;
  int packed;           // the value that it reads
  size_t panel_offset;  // of its panel in the scratch memory of a thread
  // Whether the only reader of the output is in this stage, so that it can be folded into it.
  bool is_foldable;
};
typedef struct Work Work;

static size_t align_line(size_t bytes) {
  return (bytes + kLineBytes - 1) & ~(size_t)(kLineBytes - 1);
}

static int round_up(size_t value, int multiple) {
  return (int)((value + (size_t)multiple - 1) / (size_t)multiple) * multiple;
}

// ---- Building ----

static Place place_of(const Plan* plan, const Stage* stage, int value_index) {
  const int root = root_of(plan, value_index);
  const Value* value = &plan->values[root];
  Place place = {.kind = kMemory, .value = root};
  place.stride = (size_t)value->dims[value->rank - 1];
  if (value->producer >= 0) place.base = plan->steps[value->producer].base;
  if (value->is_local) {
    place.kind = kSlot;
    place.slot = plan->steps[plan->values[value_index].producer].slot;
    place.stride = (size_t)stage->tile_channels;
  }
  return place;
}

static Place input_place(const Plan* plan, const Stage* stage, const Step* step, int index) {
  if (step->op->fusion == kFusesPointwise) {
    const float* constant = ((const Elementwise*)step->state)->constants[index];
    if (constant != NULL) {
      const Place place = {
          .kind = kConstant, .base = step->base, .data = (char*)(uintptr_t)constant};
      return place;
    }
  }
  Place place = place_of(plan, stage, step->inputs[index]);
  const Step* producer = producer_of(plan, step->inputs[index]);
  // What another stage wrote has its own channels; here it belongs where the step's do.
  if (producer == NULL || producer->stage != step->stage) place.base = step->base;
  return place;
}

static bool is_same_slot(const Place* a, const Place* b) {
  return a->kind == kSlot && b->kind == kSlot && a->slot == b->slot;
}

// Whether `earlier` is an addition whose result only `reader` will read.
static bool can_fold(const Work* earlier, WorkKind kind, const Work* reader,
                     const Place* read) {
  return earlier->kind == kind && earlier->is_foldable && !earlier->has_bounds &&
         earlier->from == reader->from && earlier->to == reader->to &&
         is_same_slot(&earlier->output, read);
}

// Folding goes by neighbours only: nothing happens between the two that could change what the
// first one read. Each function returns how many works are left before the new one.

static int fold_into_activation(const Work* works, int count, Work* work) {
  if (count == 0 || !can_fold(&works[count - 1], kAdd, work, &work->operands[kA])) return count;
  const Work* last = &works[--count];
  const Place *a = &last->operands[kA], *b = &last->operands[kB];
  if (a->kind != kConstant && b->kind != kConstant) {
    work->operands[kA] = *a;
    work->operands[kShortcut] = *b;
    return count;
  }
  work->operands[kShift] = a->kind == kConstant ? *a : *b;
  work->operands[kA] = a->kind == kConstant ? *b : *a;
  if (count == 0 || !can_fold(&works[count - 1], kAdd, work, &work->operands[kA])) return count;
  last = &works[--count];
  work->operands[kA] = last->operands[kA];
  work->operands[kShortcut] = last->operands[kB];
  return count;
}

static int fold_activation(const Work* works, int count, Work* work) {
  if (count == 0 || work->has_bounds) return count;
  const Work* last = &works[count - 1];
  for (int k = 0; k < 2; ++k) {
    if (!can_fold(last, kActivate, work, &work->operands[k])) continue;
    if (last->operands[kRise].kind != kNowhere) continue;
    Work activation = *last;
    activation.operands[kRise] = work->operands[1 - k];
    activation.output = work->output;
    activation.is_foldable = false;
    *work = activation;
    return count - 1;
  }
  return count;
}

static int fold_into_quantization(const Work* works, int count, Work* work) {
  if (count == 0 || !can_fold(&works[count - 1], kAdd, work, &work->operands[kA])) return count;
  const Work* last = &works[--count];
  work->operands[kA] = last->operands[kA];
  work->operands[kB] = last->operands[kB];
  return count;
}

static int add_pointwise(const Plan* plan, const Stage* stage, const Step* step, Work* works,
                         int count, Work work) {
  const Elementwise* e = step->state;
  const Place first = input_place(plan, stage, step, 0);
  const Place second = input_place(plan, stage, step, 1);
  work.operands[kA] = first;
  work.has_bounds = e->kind != kElementwisePrelu && e->has_bounds;
  work.bounds = e->bounds;
  if (e->kind == kElementwisePrelu) {
    work.kind = kActivate;
    work.operands[kSlopes] = second;
    count = fold_into_activation(works, count, &work);
  } else {
    work.kind = e->kind == kElementwiseAdd ? kAdd : kMultiply;
    work.operands[kB] = second;
    if (work.kind == kAdd) count = fold_activation(works, count, &work);
  }
  works[count] = work;
  return count + 1;
}

static int add_work(const Plan* plan, const Stage* stage, const Step* step, Work* works,
                    int count) {
  const bool is_quantize = step->op->fusion == kFusesQuantize;
  const Value* output = step_output(plan, step);
  const Value* spanned = is_quantize ? step_input(plan, step, 0) : output;
  Work work = {
      .from = step->base,
      .to = step->base + spanned->dims[spanned->rank - 1],
      .output = place_of(plan, stage, step->output),
      .is_foldable = output->is_local && output->reads == 1 && output->part_of == kNoValue,
  };
  switch (step->op->fusion) {
    case kFusesConvolution:
      work.kind = kConvolve;
      work.convolution = step_convolution(step);
      work.packed = step->inputs[0];
      break;
    case kFusesPointwise:
      return add_pointwise(plan, stage, step, works, count, work);
    case kFusesQuantize:
      work.kind = kQuantize;
      work.operands[kA] = input_place(plan, stage, step, 0);
      count = fold_into_quantization(works, count, &work);
      break;
    case kFusesConcatenation:  // its halves are written in its place
    case kFusesNot:
      return count;
  }
  works[count] = work;
  return count + 1;
}

static size_t panel_bytes(const Convolution* c, int pixels) {
  const size_t patch = needs_patches(c) ? (size_t)convolution_depth(c) * sizeof(uint32_t) : 0;
  return align_line((size_t)pixels * (sizeof(PanelPixel) + patch));
}

static void size_panel(const Plan* plan, Stage* stage) {
  size_t bytes_per_pixel = 0, weight_bytes = 0;
  for (int i = 0; i < stage->work_count; ++i) {
    const Convolution* c = stage->works[i].convolution;
    if (c == NULL) continue;
    bytes_per_pixel += panel_bytes(c, 1);
    weight_bytes += (size_t)convolution_depth(c) * (size_t)c->channels_out * sizeof(uint32_t);
  }
  size_t pixels = kMaxPanel;
  if (bytes_per_pixel > 0 && kPanelBytes / bytes_per_pixel < pixels) {
    pixels = kPanelBytes / bytes_per_pixel;
  }
  const int threads = thread_pool_size(plan->pool);
  if (threads > 1) {
    const size_t pieces = (size_t)threads * kPiecesPerThread;
    const size_t share = (stage->pixels + pieces - 1) / pieces;
    if (share < pixels) pixels = share;
  }
  stage->panel_pixels = pixels < kTilePixels ? kTilePixels : round_up(pixels, kTilePixels);
  stage->takes_pixels_first = weight_bytes <= kCachedWeightBytes;
}

static void reserve_scratch(Plan* plan, Stage* stage) {
  size_t bytes = (size_t)stage->slots * kSlotValues * sizeof(float);
  for (int i = 0; i < stage->work_count; ++i) {
    Work* work = &stage->works[i];
    if (work->convolution == NULL) continue;
    work->panel_offset = bytes;
    bytes += panel_bytes(work->convolution, stage->panel_pixels);
  }
  reserve_thread_scratch(plan, bytes);
}

static void size_tiles(const Plan* plan, Stage* stage) {
  stage->tile_channels = kTileChannels;
  stage->tile_pixels = kConvolutionTilePixels;
  for (int i = 0; i < stage->count; ++i) {
    if (plan->steps[stage->steps[i]].op->fusion == kFusesConvolution) return;
  }
  const int channels = round_up((size_t)stage->channels, kWordBits);
  stage->tile_channels = channels < kPointwiseTileChannels ? channels : kPointwiseTileChannels;
  stage->tile_pixels = kSlotValues / stage->tile_channels;
}

bool build_works(Plan* plan, Stage* stage) {
  stage->works = calloc((size_t)stage->count, sizeof(*stage->works));
  if (stage->works == NULL) return false;
  size_tiles(plan, stage);
  for (int i = 0; i < stage->count; ++i) {
    stage->work_count =
        add_work(plan, stage, &plan->steps[stage->steps[i]], stage->works, stage->work_count);
  }
  size_panel(plan, stage);
  reserve_scratch(plan, stage);
  return true;
}

// ---- Execution ----

// A tile: the panel's pixels [pixel, pixel + pixels), and stage channels [from, from +
// channels).
typedef struct {
  size_t pixel;  // of the whole batch
  int pixels, from, channels;
} Tile;

static inline char* address(const Place* place, const Tile* tile, char* slots,
                            int values_per_word) {
  if (place->kind == kSlot) {
    return slots + (size_t)place->slot * kSlotValues * sizeof(float);
  }
  const size_t channel = (size_t)((tile->from - place->base) / values_per_word);
  return place->data + (tile->pixel * place->stride + channel) * sizeof(float);
}

static inline Operand operand(const Work* work, int index, const Tile* tile, char* slots) {
  const Place* place = &work->operands[index];
  Operand result = {NULL, place->stride};
  if (place->kind != kNowhere) {
    result.data = (const float*)(const void*)address(place, tile, slots, 1);
  }
  return result;
}

static void run_work(const Kernels* kernels, const Work* work, const Tile* tile, int at,
                     char* scratch) {
  const int values_per_word = work->kind == kQuantize ? kWordBits : 1;
  void* out = address(&work->output, tile, scratch, values_per_word);
  const size_t stride = work->output.stride;
  const int pixels = tile->pixels, channels = tile->channels;
  const Operand a = operand(work, kA, tile, scratch), b = operand(work, kB, tile, scratch);
  const Bounds* bounds = work->has_bounds ? &work->bounds : NULL;
  switch (work->kind) {
    case kConvolve: {
      const PanelPixel* panel = (const PanelPixel*)(const void*)(scratch + work->panel_offset);
      kernels->convolve_floats(work->convolution, panel + at, pixels, tile->from - work->from,
                               channels, out, stride);
      break;
    }
    case kAdd:
      kernels->add(a, b, bounds, pixels, channels, out, stride);
      break;
    case kMultiply:
      kernels->multiply(a, b, bounds, pixels, channels, out, stride);
      break;
    case kActivate:
      kernels->activate(a, b, operand(work, kShift, tile, scratch),
                        operand(work, kSlopes, tile, scratch),
                        operand(work, kRise, tile, scratch), pixels, channels, out, stride);
      break;
    case kQuantize:
      kernels->quantize(a, b, pixels, channels, out, stride);
      break;
  }
}

// Channel tiles do not cross from one half of a concatenation to the other.
static int tile_end(const Stage* stage, int from) {
  int end = from + stage->tile_channels;
  if (end > stage->channels) end = stage->channels;
  for (int i = 0; i < stage->work_count; ++i) {
    const int to = stage->works[i].to;
    if (to > from && to < end) end = to;
  }
  return end;
}

static void prefetch_place(const Place* place, const Tile* tile) {
  if (place->kind != kMemory) return;
  const char* data = address(place, tile, NULL, 1);
  for (int p = 0; p < tile->pixels; ++p, data += place->stride * sizeof(float)) {
    for (int c = 0; c < tile->channels; c += kLineBytes / (int)sizeof(float)) {
      __builtin_prefetch(data + (size_t)c * sizeof(float));
    }
  }
}

// Asks for the activations that a tile will read: a tile is too narrow for the processor to
// notice the pattern by itself, and the counting of bits before leaves the time.
static void prefetch_tile(const Stage* stage, const Tile* tile) {
  for (int i = 0; i < stage->work_count; ++i) {
    const Work* work = &stage->works[i];
    if (work->from > tile->from || work->to <= tile->from) continue;
    if (work->kind == kConvolve || work->kind == kQuantize) continue;
    prefetch_place(&work->operands[kA], tile);
    prefetch_place(&work->operands[kB], tile);
  }
}

static void run_tile(const Plan* plan, const Stage* stage, size_t first, int panel, int at,
                     int from, int end, char* scratch) {
  const int left = panel - at;
  const Tile tile = {first + (size_t)at, left < stage->tile_pixels ? left : stage->tile_pixels,
                     from, end - from};
  for (int i = 0; i < stage->work_count; ++i) {
    const Work* work = &stage->works[i];
    if (work->from <= from && work->to >= end)
      run_work(plan->kernels, work, &tile, at, scratch);
  }
}

typedef struct {
  const Plan* plan;
  const Stage* stage;
} Job;

static void run_panel(void* argument, size_t piece, int thread) {
  const Job* job = argument;
  const Plan* plan = job->plan;
  const Stage* stage = job->stage;
  char* scratch = thread_scratch(plan, thread);
  const size_t first = piece * (size_t)stage->panel_pixels;
  const size_t left = stage->pixels - first;
  const int panel = left < (size_t)stage->panel_pixels ? (int)left : stage->panel_pixels;
  for (int i = 0; i < stage->work_count; ++i) {
    const Work* work = &stage->works[i];
    if (work->kind != kConvolve) continue;
    PanelPixel* placed = (PanelPixel*)(void*)(scratch + work->panel_offset);
    plan->kernels->place(work->convolution, value_data(plan, &plan->values[work->packed]),
                         first, panel, placed,
                         (uint32_t*)(void*)(placed + stage->panel_pixels));
  }
  const int step = stage->tile_pixels;
  const Tile whole = {first, panel, 0, stage->channels};
  if (stage->takes_pixels_first) {
    prefetch_tile(stage, &whole);
    for (int at = 0; at < panel; at += step) {
      for (int from = 0, end; from < stage->channels; from = end) {
        end = tile_end(stage, from);
        run_tile(plan, stage, first, panel, at, from, end, scratch);
      }
    }
    return;
  }
  for (int from = 0, end; from < stage->channels; from = end) {
    end = tile_end(stage, from);
    const Tile strip = {first, panel, from, end - from};
    prefetch_tile(stage, &strip);
    for (int at = 0; at < panel; at += step) {
      run_tile(plan, stage, first, panel, at, from, end, scratch);
    }
  }
}

static void find_memory(const Plan* plan, Place* place) {
  if (place->kind == kMemory) place->data = value_data(plan, &plan->values[place->value]);
}

void run_works(const Plan* plan, const Stage* stage) {
  // The runtime may have moved its memory since the last run.
  for (int i = 0; i < stage->work_count; ++i) {
    Work* work = &stage->works[i];
    for (int k = 0; k < kOperands; ++k) find_memory(plan, &work->operands[k]);
    find_memory(plan, &work->output);
  }
  Job job = {plan, stage};
  const size_t pieces =
      (stage->pixels + (size_t)stage->panel_pixels - 1) / (size_t)stage->panel_pixels;
  thread_pool_run(plan->pool, run_panel, &job, pieces);
}
