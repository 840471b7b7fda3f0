#include "ops/operators.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/flexbuffer.h"

bool read_option(const TfLiteNode* node, const char* key, int low, int high, int* value,
                 Error* error) {
  const int bytes = node->custom_initial_data_size;
  const size_t size = bytes > 0 ? (size_t)bytes : 0;
  int64_t wide;
  switch (flex_map_integer(node->custom_initial_data, size, key, &wide)) {
    case kFlexMissing:
      return refuse(error, "its option %s is missing", key);
    case kFlexNotAnInteger:
      return refuse(error, "its option %s is not an integer", key);
    case kFlexMalformed:
      return refuse(error, "its options are damaged: they are not a FlexBuffer map");
    case kFlexFound:
      break;
  }
  if (wide < low || wide > high) {
    return refuse(error, "its option %s is %lld, and has to be within %d and %d", key,
                  (long long)wide, low, high);
  }
  *value = (int)wide;
  return true;
}

static bool slide_axis(const char* axis, int in, int window, int stride, int dilation,
                       Padding padding, int* out, int* pad, Error* error) {
  const int64_t reach = (int64_t)(window - 1) * dilation + 1;
  if (reach > INT32_MAX) {
    return refuse(error, "its dilated window is %lld pixels %s", (long long)reach, axis);
  }
  if (padding == kPaddingValid) {
    if (reach > in) {
      return refuse(error, "its window is %lld pixels %s, and its input only %d",
                    (long long)reach, axis, in);
    }
    *out = (int)((in - reach) / stride + 1);
    *pad = 0;
    return true;
  }
  *out = (int)(((int64_t)in + stride - 1) / stride);
  const int64_t missing = (int64_t)(*out - 1) * stride + reach - in;
  *pad = missing > 0 ? (int)(missing / 2) : 0;
  return true;
}

bool slide_window(Window* w, Padding padding, Error* error) {
  return slide_axis("high", w->in_height, w->window_height, w->stride_height,
                    w->dilation_height, padding, &w->out_height, &w->pad_top, error) &&
         slide_axis("wide", w->in_width, w->window_width, w->stride_width, w->dilation_width,
                    padding, &w->out_width, &w->pad_left, error);
}

bool read_bounds(int activation, bool* has_bounds, Bounds* bounds) {
  enum { kNoActivation = 0, kRelu = 1, kReluN1To1 = 2, kRelu6 = 3 };
  *has_bounds = activation != kNoActivation;
  bounds->low = activation == kReluN1To1 ? -1.0f : 0.0f;
  bounds->high = activation == kRelu6 ? 6.0f : activation == kReluN1To1 ? 1.0f : HUGE_VALF;
  return activation >= kNoActivation && activation <= kRelu6;
}

float* copy_bias(const Value* bias, int channels, Error* error) {
  if (bias != NULL && (bias->type != kTfLiteFloat32 || bias->constant == NULL ||
                       bias->bytes != (size_t)channels * sizeof(float))) {
    refuse(error, "its bias is not one constant for each of %d channels", channels);
    return NULL;
  }
  float* copy = calloc((size_t)channels + kLanes, sizeof(float));
  if (copy == NULL) {
    refuse(error, "out of memory");
  } else if (bias != NULL) {
    memcpy(copy, bias->constant, bias->bytes);
  }
  return copy;
}

bool has_constant_bias(const TfLiteContext* context, const TfLiteNode* node, int index,
                       int channels) {
  if (node->inputs->size <= index || node->inputs->data[index] == -1) return true;
  const TfLiteTensor* bias = tensor_at(context, node->inputs->data[index]);
  return bias != NULL && bias->type == kTfLiteFloat32 &&
         bias->allocation_type == kTfLiteMmapRo && bias->dims != NULL &&
         bias->dims->size == 1 && bias->dims->data[0] == channels;
}

bool is_vector_of_samples(const TfLiteTensor* tensor) {
  if (tensor == NULL || tensor->type != kTfLiteFloat32 || tensor->dims == NULL ||
      tensor->dims->size < 2 || tensor->dims->size > kMaxRank ||
      tensor->allocation_type == kTfLiteMmapRo) {
    return false;
  }
  for (int i = 1; i + 1 < tensor->dims->size; ++i) {
    if (tensor->dims->data[i] != 1) return false;
  }
  return tensor->dims->data[0] >= 1 && last_of(tensor->dims) >= 1;
}

const int32_t* integers_of(const TfLiteTensor* tensor, int count) {
  if (tensor->dims == NULL || tensor->dims->size > 1) return NULL;
  const int values = tensor->dims->size == 0 ? 1 : tensor->dims->data[0];
  const bool is_right = tensor->type == kTfLiteInt32 &&
                        tensor->allocation_type == kTfLiteMmapRo && values == count &&
                        tensor->data != NULL &&
                        tensor->bytes >= (size_t)count * sizeof(int32_t) &&
                        (uintptr_t)tensor->data % sizeof(int32_t) == 0;
  return is_right ? tensor->data : NULL;
}

int share_of_channels(const Graph* graph, int channels, int unit) {
  const int threads = thread_pool_size(graph->pool);
  const int share = (channels - 1) / threads + 1;
  return ((share - 1) / unit + 1) * unit;
}
