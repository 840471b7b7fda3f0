// Values that need no place of their own, and steps that need not be executed.
//
//   - What slices, paddings, concatenations and the like make of packed words is the words
//     before, found through a map.
//   - The signs of moved floats are the moved signs of the floats: one LceQuantize serves all
//     that differ in their place only, and the floats are not moved.
//   - Rows and columns that are cut off a convolution's result are not computed.
//   - Zeros around an image are read from nowhere by the convolutions of it, floats or words.
//   - Channels repeated by a concatenation of a value with itself are read again.
#ifndef BCD_ELIDE_MOVES_H_
#define BCD_ELIDE_MOVES_H_

#include "graph.h"

// Of prepared steps; nothing where stages are not fused.
bool elide_moves(Graph* graph, Error* error);

#endif  // BCD_ELIDE_MOVES_H_
