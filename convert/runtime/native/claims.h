// Which operators of a graph the delegate takes over.
#ifndef BCD_CLAIMS_H_
#define BCD_CLAIMS_H_

#include "plan.h"

// All of LCE's; with `fuses`, also those of TensorFlow Lite that can be fused with them. The
// caller frees the result; NULL if the runtime does not show its nodes or there is no memory.
TfLiteIntArray* claim_nodes(TfLiteContext* context, const TfLiteIntArray* plan, bool fuses);

#endif  // BCD_CLAIMS_H_
