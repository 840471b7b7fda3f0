// Executes the programs of fused stages, panel by panel.
#ifndef BCD_FUSE_RUN_H_
#define BCD_FUSE_RUN_H_

#include "graph.h"

// Chooses the size of the panels of every fused stage, and reserves their scratch memory.
bool size_panels(Graph* graph, Error* error);
void run_program(const Graph* graph, const Stage* stage);

#endif  // BCD_FUSE_RUN_H_
