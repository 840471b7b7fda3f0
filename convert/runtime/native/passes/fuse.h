// Stages: the steps of a graph that are executed together, tile by tile.
//
// Between two binary convolutions a network has a dozen elementwise operators, each of which
// would read and write an activation of the full size. In a fused stage they are applied to a
// tile of a few pixels and channels at a time, which stays in the first-level cache: an
// activation that another stage needs is written once, all others never reach memory. The sign
// that the next convolution wants is taken from the tile too.
//
// A stage is a set of steps whose outputs have the same pixels and channels, its space:
//
//   convolution     of packed words that an earlier stage wrote; several may add up
//   pointwise       ADD, SUB, MUL, PRELU: operands are tiles, activations, or constants
//   quantize        writes the packed signs to memory
//   sum             the first part of a MEAN: adds up the pixels, so many at a time
//   concatenation   two halves of the space, side by side: each half's steps are applied to its
//                   own channels only (`base` is where they begin), and the concatenation
//                   itself vanishes, because both halves write where its output belongs
//
// Every step computes with the same operations in the same order as it does alone, so fusing
// changes no bit.
#ifndef BCD_FUSE_H_
#define BCD_FUSE_H_

#include "graph.h"

// Groups the prepared steps.
bool fuse_steps(Graph* graph, Error* error);
void free_stages(Graph* graph);

enum { kMaxStageSteps = 64 };

#endif  // BCD_FUSE_H_
