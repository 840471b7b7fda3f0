// MEAN of TensorFlow Lite over the height and width of an image: the statistics that contextual
// thresholds follow, and the end of a network.
//
// It is two steps. The first adds up kSumPixels pixels at a time, which a fused stage does
// while their values are in registers, so that nothing is read for it; the second adds up these
// sums and divides. Both add one after the other, from zero on. The runtimes have orders of
// their own: LCE adds up all pixels one after the other, and versions of XNNPACK differ.
#include "ops/operators.h"

typedef struct {
  bool keeps_dims;
  size_t pixels;  // of a sample
} Mean;

// How the runtime stores the options, a bool.
static bool keeps_dims(const TfLiteNode* node) {
  return *(const uint8_t*)node->builtin_data != 0;
}

static bool are_height_and_width(const int32_t* axes) {
  const int a = axes[0] < 0 ? axes[0] + 4 : axes[0], b = axes[1] < 0 ? axes[1] + 4 : axes[1];
  return (a == 1 && b == 2) || (a == 2 && b == 1);
}

static bool claims(const TfLiteContext* context, const TfLiteNode* node) {
  if (node->builtin_data == NULL || node->inputs->size != 2 || node->outputs->size != 1) {
    return false;
  }
  const TfLiteTensor* in = tensor_at(context, node->inputs->data[0]);
  const TfLiteTensor* axes = tensor_at(context, node->inputs->data[1]);
  const TfLiteTensor* out = tensor_at(context, node->outputs->data[0]);
  if (in == NULL || axes == NULL || !is_vector_of_samples(out) || in->type != kTfLiteFloat32 ||
      in->allocation_type == kTfLiteMmapRo || in->dims == NULL || in->dims->size != 4) {
    return false;
  }
  const int32_t* integers = integers_of(axes, 2);
  return integers != NULL && are_height_and_width(integers) &&
         out->dims->size == (keeps_dims(node) ? 4 : 2) &&
         out->dims->data[0] == in->dims->data[0] && last_of(out->dims) == last_of(in->dims);
}

static bool read_options(void* state, const TfLiteNode* node, Error* error) {
  if (node->builtin_data == NULL) return refuse(error, "it has no options");
  ((Mean*)state)->keeps_dims = keeps_dims(node);
  return true;
}

// ---- The sums ----

static bool prepare_sums(Graph* graph, Step* step, Error* error) {
  const Value* in = step_input(graph, step, 0);
  const Value* axes = step_input(graph, step, 1);
  if (in == NULL || axes == NULL) return refuse(error, "it has no input or no axes");
  if (!expect_type(in, "input", kTfLiteFloat32, error) || !expect_rank(in, "input", 4, error) ||
      !expect_type(axes, "axes", kTfLiteInt32, error)) {
    return false;
  }
  if (axes->constant == NULL || axes->bytes != 2 * sizeof(int32_t) ||
      !are_height_and_width(axes->constant)) {
    return refuse(error, "its axes are not height and width");
  }
  const size_t pixels = rows_of(in) / (size_t)in->dims[0];
  const size_t sums = (pixels - 1) / kSumPixels + 1;
  if (sums > INT32_MAX) return refuse(error, "its input has %zu pixels", pixels);
  return set_output(graph, step, 3, (int[]){in->dims[0], (int)sums, in->dims[3]}, error);
}

typedef struct {
  const Kernels* kernels;
  size_t pixels, sums;  // of a sample
  int channels;
  const float* from;
  float* to;
} SumJob;

static void sum_piece(void* argument, size_t piece, int thread) {
  (void)thread;
  const SumJob* job = argument;
  const size_t channels = (size_t)job->channels;
  const size_t first = piece % job->sums * kSumPixels, left = job->pixels - first;
  job->kernels->sum(job->from + (piece / job->sums * job->pixels + first) * channels,
                    left < kSumPixels ? left : kSumPixels, job->channels, 0, job->channels,
                    job->to + piece * channels);
}

static void run_sums(const Graph* graph, const Step* step) {
  const Value *in = step_input(graph, step, 0), *out = step_output(graph, step);
  SumJob job = {.kernels = graph->kernels,
                .pixels = rows_of(in) / (size_t)in->dims[0],
                .sums = (size_t)out->dims[1],
                .channels = in->dims[3],
                .from = value_data(graph, in),
                .to = value_data(graph, out)};
  thread_pool_run(graph->pool, sum_piece, &job, rows_of(out));
}

static const Operator sums_operator = {
    .name = "MEAN",
    .builtin_code = kBuiltinMean,
    .fusion = kFusesSum,
    .inputs = 2,
    .state_bytes = 1,
    .prepare = prepare_sums,
    .run = run_sums,
};

// ---- The mean ----

static bool prepare(Graph* graph, Step* step, Error* error) {
  Mean* state = step->state;
  const Value* sums = step_input(graph, step, 0);
  // The step before has checked the image.
  const Value* image = &graph->values[graph->steps[sums->producer].file_inputs[0]];
  state->pixels = rows_of(image) / (size_t)image->dims[0];
  if (!expect_type(step_output(graph, step), "output", kTfLiteFloat32, error)) return false;
  const int samples = sums->dims[0], channels = sums->dims[2];
  if (state->keeps_dims) {
    return set_output(graph, step, 4, (int[]){samples, 1, 1, channels}, error);
  }
  return set_output(graph, step, 2, (int[]){samples, channels}, error);
}

typedef struct {
  const Kernels* kernels;
  size_t sums, pixels, pieces;  // of a sample
  int channels, share;          // of a piece
  const float* from;
  float* to;
} Job;

static void run_piece(void* argument, size_t piece, int thread) {
  (void)thread;
  const Job* job = argument;
  const size_t sample = piece / job->pieces, channels = (size_t)job->channels;
  const int first = (int)(piece % job->pieces) * job->share, left = job->channels - first;
  const int last = left < job->share ? job->channels : first + job->share;
  float* to = job->to + sample * channels;
  job->kernels->sum(job->from + sample * job->sums * channels, job->sums, job->channels, first,
                    last, to);
  for (int c = first; c < last; ++c) to[c] /= (float)job->pixels;
}

static void run(const Graph* graph, const Step* step) {
  const Value* in = step_input(graph, step, 0);
  Job job = {.kernels = graph->kernels,
             .sums = (size_t)in->dims[1],
             .pixels = ((const Mean*)step->state)->pixels,
             .channels = in->dims[2],
             .share = in->dims[2],
             .from = value_data(graph, in),
             .to = value_data(graph, step_output(graph, step))};
  if (in->bytes / sizeof(float) >= kWorthThreads) {
    job.share = share_of_channels(graph, job.channels, kLanes);
  }
  job.pieces = (size_t)(job.channels - 1) / (size_t)job.share + 1;
  thread_pool_run(graph->pool, run_piece, &job, (size_t)in->dims[0] * job.pieces);
}

const Operator mean_operator = {
    .name = "MEAN",
    .before = &sums_operator,
    .builtin_code = kBuiltinMean,
    .fusion = kFusesAlone,
    .inputs = 2,
    .state_bytes = sizeof(Mean),
    .claims = claims,
    .read_options = read_options,
    .prepare = prepare,
    .run = run,
};
