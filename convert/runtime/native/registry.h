// Which operators there are.
#ifndef BCD_REGISTRY_H_
#define BCD_REGISTRY_H_

#include "graph.h"

// The operator of a node, NULL if it is not one of ours or not a case that it claims.
const Operator* find_operator(const TfLiteContext* context, const TfLiteNode* node,
                              const TfLiteRegistration* registration);

#endif  // BCD_REGISTRY_H_
