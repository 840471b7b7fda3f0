// From a stretch of the file to its results: the order of the passes.
#ifndef BCD_PLAN_H_
#define BCD_PLAN_H_

#include "graph.h"

// Runs the passes over a graph that read_graph has read; again after every resize.
bool plan_prepare(Graph* graph, TfLiteNode* node, Error* error);
bool plan_run(Graph* graph, Error* error);
void plan_release(Graph* graph);

#endif  // BCD_PLAN_H_
