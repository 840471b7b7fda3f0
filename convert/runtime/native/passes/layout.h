// Where the values of a graph lie in the memory that the runtime gives it.
#ifndef BCD_LAYOUT_H_
#define BCD_LAYOUT_H_

#include "graph.h"

// Gives every value that stays inside its place, and asks the runtime for the memory.
bool lay_out(Graph* graph, Error* error);

#endif  // BCD_LAYOUT_H_
