// LceBMaxPool2d: the maximum over a window of packed values.
#include "ops/operators.h"

enum { kPixelsPerPiece = 256 };

typedef struct {
  Window window;
  int padding;
} MaxPool;

static bool read_options(void* opaque, const TfLiteNode* node, Error* error) {
  MaxPool* state = opaque;
  Window* w = &state->window;
  w->dilation_height = w->dilation_width = 1;
  return read_option(node, "padding", kPaddingSame, kPaddingValid, &state->padding, error) &&
         read_option(node, "stride_height", 1, kMaxWindow, &w->stride_height, error) &&
         read_option(node, "stride_width", 1, kMaxWindow, &w->stride_width, error) &&
         read_option(node, "filter_height", 1, kMaxWindow, &w->window_height, error) &&
         read_option(node, "filter_width", 1, kMaxWindow, &w->window_width, error);
}

static bool prepare(Graph* graph, Step* step, Error* error) {
  MaxPool* state = step->state;
  Window* w = &state->window;
  const Value* in = step_input(graph, step, 0);
  if (in == NULL) return refuse(error, "it has no input");
  if (!expect_type(in, "input", kTfLiteInt32, error) || !expect_rank(in, "input", 4, error) ||
      !expect_type(step_output(graph, step), "output", kTfLiteInt32, error)) {
    return false;
  }
  w->batch = in->dims[0];
  w->in_height = in->dims[1];
  w->in_width = in->dims[2];
  w->in_words = in->dims[3];
  if (!slide_window(w, (Padding)state->padding, error)) return false;
  const int dims[] = {w->batch, w->out_height, w->out_width, w->in_words};
  return set_output(graph, step, 4, dims, error);
}

typedef struct {
  const Window* window;
  const uint32_t* from;
  uint32_t* to;
} Job;

static void run_piece(void* argument, size_t piece, int thread) {
  (void)thread;
  const Job* job = argument;
  const size_t pixels = window_pixels(job->window);
  const size_t first = piece * kPixelsPerPiece;
  const size_t last = pixels - first < kPixelsPerPiece ? pixels : first + kPixelsPerPiece;
  max_pool(job->window, job->from, job->to, first, last);
}

static void run(const Graph* graph, const Step* step) {
  const MaxPool* state = step->state;
  Job job = {&state->window, value_data(graph, step_input(graph, step, 0)),
             value_data(graph, step_output(graph, step))};
  const size_t pixels = window_pixels(&state->window);
  thread_pool_run(graph->pool, run_piece, &job,
                  (pixels + kPixelsPerPiece - 1) / kPixelsPerPiece);
}

const Operator bmaxpool2d_operator = {
    .name = "LceBMaxPool2d",
    .builtin_code = kBuiltinCustom,
    .fusion = kFusesNot,
    .inputs = 1,
    .state_bytes = sizeof(MaxPool),
    .read_options = read_options,
    .prepare = prepare,
    .run = run,
};
