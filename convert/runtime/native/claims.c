#include "claims.h"

#include <stdlib.h>

// An elementwise operator is worth taking over if it is connected, through nothing but others
// of its kind, to a convolution before it or to a quantization after it. All others stay with
// the runtime, which computes them as well as we could.

typedef struct {
  const Operator* op;  // NULL: not one we could take
  const TfLiteNode* node;
  bool is_claimed;
} Candidate;

static bool look_at_nodes(TfLiteContext* context, const TfLiteIntArray* plan, bool fuses,
                          Candidate* candidates) {
  for (int i = 0; i < plan->size; ++i) {
    TfLiteNode* node;
    TfLiteRegistration* registration;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &registration) !=
        kTfLiteOk) {
      return false;
    }
    Candidate* candidate = &candidates[i];
    const Operator* op = find_operator(registration);
    candidate->node = node;
    if (op == NULL) continue;
    const bool is_ours = op->builtin_code == kBuiltinCustom;
    if (is_ours || (fuses && op->claims(context, node))) candidate->op = op;
    candidate->is_claimed = is_ours;
  }
  return true;
}

// Marks the values that a convolution made, perhaps through elementwise operators.
static void claim_after_convolutions(const TfLiteContext* context, Candidate* candidates,
                                     int count, bool* is_marked) {
  for (int i = 0; i < count; ++i) {
    Candidate* candidate = &candidates[i];
    if (candidate->op == NULL) continue;
    const Fusion fusion = candidate->op->fusion;
    const TfLiteNode* node = candidate->node;
    int marked = 0;
    for (int k = 0; k < node->inputs->size; ++k) {
      const int input = node->inputs->data[k];
      marked += tensor_at(context, input) != NULL && is_marked[input];
    }
    // A concatenation is only of use if it can vanish: both its halves are ours.
    if (fusion == kFusesPointwise && marked > 0) candidate->is_claimed = true;
    if (fusion == kFusesConcatenation && marked == 2) candidate->is_claimed = true;
    if (!candidate->is_claimed || fusion == kFusesQuantize || fusion == kFusesNot) continue;
    for (int k = 0; k < node->outputs->size; ++k) {
      const int output = node->outputs->data[k];
      if (tensor_at(context, output) != NULL) is_marked[output] = true;
    }
  }
}

// Marks the values that a quantization reads, perhaps through elementwise operators.
static void claim_before_quantizations(const TfLiteContext* context, Candidate* candidates,
                                       int count, bool* is_marked) {
  for (int i = count - 1; i >= 0; --i) {
    Candidate* candidate = &candidates[i];
    if (candidate->op == NULL) continue;
    const Fusion fusion = candidate->op->fusion;
    const TfLiteNode* node = candidate->node;
    if (fusion == kFusesPointwise && tensor_at(context, node->outputs->data[0]) != NULL &&
        is_marked[node->outputs->data[0]]) {
      candidate->is_claimed = true;
    } else if (fusion != kFusesQuantize) {
      continue;
    }
    for (int k = 0; k < node->inputs->size; ++k) {
      const int input = node->inputs->data[k];
      if (tensor_at(context, input) != NULL) is_marked[input] = true;
    }
  }
}

TfLiteIntArray* claim_nodes(TfLiteContext* context, const TfLiteIntArray* plan, bool fuses) {
  const size_t count = (size_t)plan->size;
  TfLiteIntArray* nodes = malloc(sizeof(*nodes) + count * sizeof(int));
  Candidate* candidates = calloc(count + 1, sizeof(*candidates));
  bool* after = calloc(context->tensors_size + 1, sizeof(bool));
  bool* before = calloc(context->tensors_size + 1, sizeof(bool));
  if (nodes == NULL || candidates == NULL || after == NULL || before == NULL ||
      !look_at_nodes(context, plan, fuses, candidates)) {
    free(nodes);
    nodes = NULL;
  } else {
    claim_after_convolutions(context, candidates, plan->size, after);
    claim_before_quantizations(context, candidates, plan->size, before);
    nodes->size = 0;
    for (int i = 0; i < plan->size; ++i) {
      if (candidates[i].is_claimed) nodes->data[nodes->size++] = plan->data[i];
    }
  }
  free(candidates);
  free(after);
  free(before);
  return nodes;
}
