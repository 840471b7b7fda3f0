#include "registry.h"

#include <string.h>

#include "ops/operators.h"

static const Operator* const kOperators[] = {
    &quantize_operator,
    &dequantize_operator,
    &bconv2d_operator,
    &bmaxpool2d_operator,
    // Of several that could do the same the first does.
    &add_operator,
    &add_n_operator,
    &vector_subtract_operator,
    &subtract_operator,
    &multiply_operator,
    &prelu_operator,
    &conv2d_operator,
    &average_pool_operator,
    &mean_operator,
    &fully_connected_operator,
    &concatenation_operator,
    &join_operator,
    &slice_operator,
    &strided_slice_operator,
    &image_pad_operator,
    &pad_operator,
    &vector_split_operator,
    &split_operator,
    &vector_reshape_operator,
    &reshape_operator,
    &gather_operator,
};

const Operator* find_operator(const TfLiteContext* context, const TfLiteNode* node,
                              const TfLiteRegistration* registration) {
  const char* name = registration->custom_name;
  for (size_t i = 0; i < sizeof(kOperators) / sizeof(kOperators[0]); ++i) {
    const Operator* op = kOperators[i];
    if (op->builtin_code != registration->builtin_code) continue;
    if (op->builtin_code != kBuiltinCustom) {
      if (op->claims(context, node)) return op;
      continue;
    }
    if (name != NULL && strcmp(op->name, name) == 0) return op;
  }
  return NULL;
}
