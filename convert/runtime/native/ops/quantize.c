// LceQuantize: takes the sign of every value and packs 32 channels into a word.
#include <string.h>

#include "ops/operators.h"

// Rows of about this many values are one piece of work.
enum { kValuesPerPiece = 1 << 14 };

static bool prepare(Graph* graph, Step* step, Error* error) {
  const Value* in = step_input(graph, step, 0);
  if (in == NULL) return refuse(error, "it has no input");
  if (in->type != kTfLiteFloat32 && in->type != kTfLiteInt8 && in->type != kTfLiteBool) {
    return refuse(error, "its input is %s, and has to be float32, int8 or bool",
                  type_name(in->type));
  }
  if (in->type == kTfLiteInt8 && (in->zero_point < INT8_MIN || in->zero_point > INT8_MAX)) {
    return refuse(error, "the zero point of its input is %d, which is not an int8",
                  in->zero_point);
  }
  if (!expect_type(step_output(graph, step), "output", kTfLiteInt32, error)) return false;
  int dims[kMaxRank];
  memcpy(dims, in->dims, sizeof(dims));
  dims[in->rank - 1] = (int)words_of(in->dims[in->rank - 1]);
  return set_output(graph, step, in->rank, dims, error);
}

typedef struct {
  size_t rows, rows_per_piece;
  int channels;
  const Kernels* kernels;
  const Value* in;
  const char* from;
  uint32_t* to;
} Job;

static void run_piece(void* argument, size_t piece, int thread) {
  (void)thread;
  const Job* job = argument;
  const size_t first = piece * job->rows_per_piece;
  const size_t left = job->rows - first;
  const size_t rows = left < job->rows_per_piece ? left : job->rows_per_piece;
  const size_t value_bytes = job->in->type == kTfLiteFloat32 ? sizeof(float) : 1;
  const void* from = job->from + first * (size_t)job->channels * value_bytes;
  uint32_t* to = job->to + first * (size_t)words_of(job->channels);
  if (job->in->type == kTfLiteFloat32) {
    job->kernels->quantize_float(from, rows, job->channels, to);
  } else if (job->in->type == kTfLiteInt8) {
    job->kernels->quantize_int8(from, rows, job->channels, job->in->zero_point, to);
  } else {
    quantize_bool(from, rows, job->channels, to);
  }
}

static void run(const Graph* graph, const Step* step) {
  const Value* in = step_input(graph, step, 0);
  Job job = {
      .rows = rows_of(in),
      .channels = in->dims[in->rank - 1],
      .kernels = graph->kernels,
      .in = in,
      .from = value_data(graph, in),
      .to = value_data(graph, step_output(graph, step)),
  };
  job.rows_per_piece = (size_t)(1 + kValuesPerPiece / job.channels);
  const size_t pieces = (job.rows + job.rows_per_piece - 1) / job.rows_per_piece;
  thread_pool_run(graph->pool, run_piece, &job, pieces);
}

const Operator quantize_operator = {
    .name = "LceQuantize",
    .builtin_code = kBuiltinCustom,
    .fusion = kFusesQuantize,
    .inputs = 1,
    .state_bytes = 1,
    .prepare = prepare,
    .run = run,
};
