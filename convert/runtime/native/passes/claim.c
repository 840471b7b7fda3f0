#include "passes/claim.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"

// Which operators of the runtime are worth taking over:
//
//   - elementwise ones that are connected, through nothing but others of their kind, to a
//     convolution before or to a quantization after;
//   - averages and repetitions that only such elementwise ones read;
//   - means, and fully connected layers and what stands beside them in a contextual embedding,
//     that compute with a convolution's result or towards a quantization: between stages, what
//     the runtime executes costs more than they do;
//   - convolutions of images, for whose few channels the runtime's kernels are not made, and
//     the padding that only such ones read;
//   - moves whose results only quantizations, convolutions and other such moves read, and the
//     cut of a convolution's result.
//
// All others stay with the runtime, which computes them as well as we could.

typedef struct {
  const Operator* op;  // NULL: not one we could take
  const TfLiteNode* node;
  bool is_claimed;
  int stretch;  // of a claimed one; of any other, of the last claimed one before it
} Candidate;

// What is known of a tensor.
typedef struct {
  bool is_result;  // a convolution made it, perhaps through elementwise operators
  bool is_signed;  // a quantization reads it, perhaps through elementwise operators
  int producer;    // candidate, or -1
  // The latter three: claimed ones.
  int readers, pointwise_readers, moving_readers, image_readers;
} Tensor;

typedef struct {
  Candidate* candidates;
  int count;
  Tensor* tensors;
  size_t tensor_count;
} Survey;

static Tensor* tensor_of(const Survey* survey, int index) {
  return index >= 0 && (size_t)index < survey->tensor_count ? &survey->tensors[index] : NULL;
}

// Of an operator of several outputs the first, NULL if it has none.
static Tensor* output_of(const Survey* survey, const TfLiteNode* node) {
  return node->outputs->size > 0 ? tensor_of(survey, node->outputs->data[0]) : NULL;
}

static bool look_at_nodes(TfLiteContext* context, const TfLiteIntArray* execution_plan,
                          Survey* survey) {
  for (size_t i = 0; i < survey->tensor_count; ++i) survey->tensors[i].producer = -1;
  for (int i = 0; i < execution_plan->size; ++i) {
    TfLiteNode* node;
    TfLiteRegistration* registration;
    if (context->GetNodeAndRegistration(context, execution_plan->data[i], &node,
                                        &registration) != kTfLiteOk) {
      return false;
    }
    Candidate* candidate = &survey->candidates[i];
    candidate->node = node;
    for (int k = 0; k < node->inputs->size; ++k) {
      Tensor* in = tensor_of(survey, node->inputs->data[k]);
      if (in != NULL) ++in->readers;
    }
    for (int k = 0; k < node->outputs->size; ++k) {
      Tensor* out = tensor_of(survey, node->outputs->data[k]);
      if (out != NULL) out->producer = i;
    }
    const bool is_ours = registration->builtin_code == kBuiltinCustom;
    const Operator* op = find_operator(context, node, registration);
    candidate->op = op;
    candidate->is_claimed = op != NULL && is_ours;
  }
  return true;
}

// ---- Rules ----

static bool all_pointwise(const Survey* survey, const TfLiteNode* node) {
  const Tensor* out = output_of(survey, node);
  return out != NULL && out->readers > 0 && out->pointwise_readers == out->readers;
}

// Some outputs may have no readers at all.
static bool all_moving(const Survey* survey, const TfLiteNode* node) {
  int readers = 0;
  for (int k = 0; k < node->outputs->size; ++k) {
    const Tensor* out = tensor_of(survey, node->outputs->data[k]);
    if (out == NULL || out->moving_readers != out->readers) return false;
    readers += out->readers;
  }
  return readers > 0;
}

static bool cuts_convolution(const Survey* survey, const TfLiteNode* node) {
  const Tensor* in = tensor_of(survey, node->inputs->data[0]);
  if (in == NULL || in->producer < 0 || in->readers != 1) return false;
  const Candidate* producer = &survey->candidates[in->producer];
  return producer->is_claimed && producer->op->fusion == kFusesConvolution;
}

static int count_results(const Survey* survey, const TfLiteNode* node) {
  int results = 0;
  for (int k = 0; k < node->inputs->size; ++k) {
    const Tensor* in = tensor_of(survey, node->inputs->data[k]);
    results += in != NULL && in->is_result;
  }
  return results;
}

static bool is_worth_it(const Survey* survey, const Candidate* candidate) {
  const TfLiteNode* node = candidate->node;
  const Tensor* out = output_of(survey, node);
  switch (candidate->op->fusion) {
    case kFusesPointwise:
    case kFusesAlone:
      return count_results(survey, node) > 0 || (out != NULL && out->is_signed);
    case kFusesPool:
      return all_pointwise(survey, node);
    case kFusesConcatenation:
      // Of use only if it can vanish: both its halves are ours, or are the same.
      if (node->inputs->data[0] == node->inputs->data[1]) return all_pointwise(survey, node);
      return count_results(survey, node) == 2;
    case kFusesMove:
      return all_moving(survey, node) || cuts_convolution(survey, node);
    case kFusesPad:
      return out != NULL && out->readers > 0 && out->image_readers == out->readers;
    case kFusesImage:
      return true;
    default:
      return false;
  }
}

static bool claim_if_worth_it(const Survey* survey, Candidate* candidate) {
  if (candidate->op == NULL || candidate->is_claimed) return false;
  candidate->is_claimed = is_worth_it(survey, candidate);
  return candidate->is_claimed;
}

// Claims what is worth it, marks results, and returns whether there was something to claim.
static bool claim_onwards(const Survey* survey) {
  bool has_changed = false;
  for (int i = 0; i < survey->count; ++i) {
    Candidate* candidate = &survey->candidates[i];
    has_changed |= claim_if_worth_it(survey, candidate);
    if (!candidate->is_claimed) continue;
    const Fusion fusion = candidate->op->fusion;
    bool is_result = fusion == kFusesConvolution || fusion == kFusesConcatenation ||
                     fusion == kFusesPointwise;
    const bool passes_on = fusion == kFusesMove || fusion == kFusesAlone;
    for (int k = 0; passes_on && k < candidate->node->inputs->size; ++k) {
      const Tensor* in = tensor_of(survey, candidate->node->inputs->data[k]);
      is_result |= in != NULL && in->is_result;
    }
    for (int k = 0; is_result && k < candidate->node->outputs->size; ++k) {
      Tensor* out = tensor_of(survey, candidate->node->outputs->data[k]);
      if (out != NULL) out->is_result = true;
    }
  }
  return has_changed;
}

// The same, counting the claimed readers and marking what quantizations read.
static bool claim_backwards(const Survey* survey) {
  bool has_changed = false;
  for (size_t i = 0; i < survey->tensor_count; ++i) {
    Tensor* tensor = &survey->tensors[i];
    tensor->pointwise_readers = tensor->moving_readers = tensor->image_readers = 0;
  }
  for (int i = survey->count - 1; i >= 0; --i) {
    Candidate* candidate = &survey->candidates[i];
    has_changed |= claim_if_worth_it(survey, candidate);
    if (!candidate->is_claimed) continue;
    const Fusion fusion = candidate->op->fusion;
    const Tensor* out = output_of(survey, candidate->node);
    const bool passes_on =
        fusion == kFusesPointwise || fusion == kFusesMove || fusion == kFusesAlone;
    for (int k = 0; k < candidate->node->inputs->size; ++k) {
      Tensor* in = tensor_of(survey, candidate->node->inputs->data[k]);
      if (in == NULL) continue;
      in->pointwise_readers += fusion == kFusesPointwise;
      in->moving_readers += fusion == kFusesQuantize || fusion == kFusesMove ||
                            (fusion == kFusesConvolution && k == 0);
      in->image_readers += fusion == kFusesImage && k == 0;
      in->is_signed |= fusion == kFusesQuantize || (passes_on && out != NULL && out->is_signed);
    }
  }
  return has_changed;
}

// Nothing where no operator is this library's own.
static void claim(const Survey* survey) {
  bool has_own = false;
  for (int i = 0; i < survey->count; ++i) has_own |= survey->candidates[i].is_claimed;
  if (!has_own) return;
  // One claim may make another worth it, before or after.
  for (bool has_changed = true; has_changed;) {
    has_changed = claim_onwards(survey);
    has_changed |= claim_backwards(survey);
  }
}

// What is computed here in another order than the runtime's has to be computed here always.
static void leave_fusible(const Survey* survey) {
  for (int i = 0; i < survey->count; ++i) {
    Candidate* candidate = &survey->candidates[i];
    if (!candidate->is_claimed || candidate->op->builtin_code == kBuiltinCustom) continue;
    const Fusion fusion = candidate->op->fusion;
    candidate->is_claimed = fusion == kFusesAlone || fusion == kFusesImage;
  }
}

// ---- Stretches ----

// The earliest stretch in which a node can be: what is claimed is cut wherever a node of the
// runtime stands between.
static int earliest_stretch(const Survey* survey, const Candidate* candidate) {
  int stretch = 0;
  for (int k = 0; k < candidate->node->inputs->size; ++k) {
    const Tensor* in = tensor_of(survey, candidate->node->inputs->data[k]);
    if (in == NULL || in->producer < 0) continue;
    const Candidate* producer = &survey->candidates[in->producer];
    const int after = producer->stretch + (candidate->is_claimed && !producer->is_claimed);
    if (after > stretch) stretch = after;
  }
  return stretch;
}

// Shortcuts read what is stored anyway, and need not be executed at all beside their readers.
static bool is_shortcut(const Candidate* candidate) {
  return candidate->is_claimed &&
         (candidate->op->fusion == kFusesPool || candidate->op->fusion == kFusesConcatenation);
}

// The first of the stretches whose nodes read it, or its own if the runtime's read it, too.
static int stretch_of_readers(const Survey* survey, int index) {
  const Candidate* candidate = &survey->candidates[index];
  const Tensor* out = output_of(survey, candidate->node);
  int first = INT_MAX, readers = 0;
  if (out == NULL) return candidate->stretch;
  for (int i = index + 1; i < survey->count; ++i) {
    const Candidate* reader = &survey->candidates[i];
    for (int k = 0; k < reader->node->inputs->size; ++k) {
      if (tensor_of(survey, reader->node->inputs->data[k]) != out) continue;
      if (!reader->is_claimed) return candidate->stretch;
      if (reader->stretch < first) first = reader->stretch;
      ++readers;
    }
  }
  return readers > 0 && readers == out->readers ? first : candidate->stretch;
}

static int find_stretches(const Survey* survey) {
  int stretches = 0;
  for (int i = 0; i < survey->count; ++i) {
    Candidate* candidate = &survey->candidates[i];
    candidate->stretch = earliest_stretch(survey, candidate);
    if (candidate->is_claimed && candidate->stretch >= stretches) {
      stretches = candidate->stretch + 1;
    }
  }
  for (int i = survey->count - 1; i >= 0; --i) {
    Candidate* candidate = &survey->candidates[i];
    if (is_shortcut(candidate)) candidate->stretch = stretch_of_readers(survey, i);
  }
  return stretches;
}

bool claim_nodes(TfLiteContext* context, const TfLiteIntArray* execution_plan, bool fuses,
                 Claims* claims) {
  const size_t count = (size_t)execution_plan->size;
  Survey survey = {
      .candidates = calloc(count + 1, sizeof(*survey.candidates)),
      .count = execution_plan->size,
      .tensors = calloc(context->tensors_size + 1, sizeof(*survey.tensors)),
      .tensor_count = context->tensors_size,
  };
  *claims = (Claims){.nodes = malloc((count + 1) * sizeof(*claims->nodes))};
  const bool ok = claims->nodes != NULL && survey.candidates != NULL &&
                  survey.tensors != NULL && look_at_nodes(context, execution_plan, &survey);
  if (ok) {
    claim(&survey);
    if (!fuses) leave_fusible(&survey);
    claims->stretches = find_stretches(&survey);
    for (int i = 0; i < execution_plan->size; ++i) {
      if (!survey.candidates[i].is_claimed) continue;
      claims->nodes[claims->count++] =
          (Claim){.node = execution_plan->data[i], .stretch = survey.candidates[i].stretch};
    }
  }
  free(survey.candidates);
  free(survey.tensors);
  return ok;
}
