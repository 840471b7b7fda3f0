// LceDequantize: unpacks bits into +1 and -1, in the quantization of the output.
#include <string.h>

#include "ops/operators.h"

typedef struct {
  size_t rows;
  int channels;
  int8_t plus_one, minus_one;  // int8 output
} Dequantize;

static bool prepare(Graph* graph, Step* step, Error* error) {
  Dequantize* state = step->state;
  const Value* in = step_input(graph, step, 0);
  const Value* out = step_output(graph, step);
  if (in == NULL) return refuse(error, "it has no input");
  if (!expect_type(in, "input", kTfLiteInt32, error)) return false;
  if (out->type != kTfLiteFloat32 && out->type != kTfLiteInt8 && out->type != kTfLiteBool) {
    return refuse(error, "its output is %s, and has to be float32, int8 or bool",
                  type_name(out->type));
  }
  // Words do not tell how many channels they hold: the file's shape of the output does. Its
  // other dimensions follow the input, so that the batch can be resized.
  if (!expect_rank(out, "output", in->rank, error)) return false;
  state->channels = out->dims[out->rank - 1];
  if (state->channels < 1 || words_of(state->channels) != in->dims[in->rank - 1]) {
    return refuse(error, "its output has %d channels, and its input %d words of 32",
                  state->channels, in->dims[in->rank - 1]);
  }
  state->rows = rows_of(in);
  if (out->type == kTfLiteInt8) {
    if (!(out->scale > 0.0f) || out->zero_point < INT8_MIN || out->zero_point > INT8_MAX) {
      return refuse(error,
                    "its output has scale %g and zero point %d, which is not an int8 "
                    "quantization",
                    (double)out->scale, out->zero_point);
    }
    const float steps = 1.0f / out->scale;  // between 0 and 1, may be infinite
    const int below = steps < 255.0f ? (int)steps : 255;
    const int one = below + (steps - (float)below >= 0.5f);
    state->plus_one =
        (int8_t)(out->zero_point + one < INT8_MAX ? out->zero_point + one : INT8_MAX);
    state->minus_one =
        (int8_t)(out->zero_point - one > INT8_MIN ? out->zero_point - one : INT8_MIN);
  }
  int dims[kMaxRank];
  memcpy(dims, in->dims, sizeof(dims));
  dims[in->rank - 1] = state->channels;
  return set_output(graph, step, in->rank, dims, error);
}

static void run(const Graph* graph, const Step* step) {
  const Dequantize* state = step->state;
  const Value* out = step_output(graph, step);
  const uint32_t* from = value_data(graph, step_input(graph, step, 0));
  void* to = value_data(graph, out);
  if (out->type == kTfLiteFloat32) {
    dequantize_float(from, state->rows, state->channels, to);
  } else if (out->type == kTfLiteInt8) {
    dequantize_int8(from, state->rows, state->channels, state->plus_one, state->minus_one, to);
  } else {
    dequantize_bool(from, state->rows, state->channels, to);
  }
}

const Operator dequantize_operator = {
    .name = "LceDequantize",
    .builtin_code = kBuiltinCustom,
    .fusion = kFusesNot,
    .inputs = 1,
    .state_bytes = sizeof(Dequantize),
    .prepare = prepare,
    .run = run,
};
