// Which operators of a graph the delegate takes over.
#ifndef BCD_CLAIM_H_
#define BCD_CLAIM_H_

#include "graph.h"

typedef struct {
  int node, stretch;
} Claim;

// In the order of the survey. Each stretch, of which some may be empty, can be executed as a
// whole. The runtime would find them itself, but put every node into the earliest; a shortcut
// is of more use beside what reads it.
typedef struct {
  Claim* nodes;
  int count, stretches;
} Claims;

// All of LCE's, and those of TensorFlow Lite that run alone between them; with `fuses`, also
// those that can be fused with them. The caller frees the nodes; false if the runtime does not
// show its own or there is no memory.
bool claim_nodes(TfLiteContext* context, const TfLiteIntArray* execution_plan, bool fuses,
                 Claims* claims);

#endif  // BCD_CLAIM_H_
