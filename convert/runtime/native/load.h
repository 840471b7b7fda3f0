// Takes over what the runtime knows of a stretch.
#ifndef BCD_LOAD_H_
#define BCD_LOAD_H_

#include "graph.h"

// Reads the nodes' options and connections. Called where the runtime allows to look at nodes.
bool read_graph(Graph* graph, TfLiteContext* context, const TfLiteDelegateParams* params,
                Error* error);

// The first pass, also after a resize: types, shapes and constants, as the file has them.
bool load_values(Graph* graph, Error* error);

#endif  // BCD_LOAD_H_
