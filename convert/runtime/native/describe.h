// What a graph does, and how long its stages took: as JSON, for programs that show it.
#ifndef BCD_DESCRIBE_H_
#define BCD_DESCRIBE_H_

#include "graph.h"

// Text of any length; empty and useless once memory has run out.
typedef struct {
  char* data;
  size_t size, capacity;
  bool failed;
} Text;

void append(Text* text, const char* format, ...) __attribute__((format(printf, 2, 3)));

// {"stages": [{"operators": [[3, "LceBconv2d"], ..], "runs": 1, "nanoseconds": 2, "bytes_read":
// 3, "bytes_written": 4}, ..], "operator_bytes": 5, "memory": 6, "largest_live": 7}
//
// Bytes are those of activations. operator_bytes is what the operators would read and write one
// by one; largest_live what is alive at once then, at most; memory what the graph has for
// everything that stays inside.
//
// The graph has to be prepared.
void describe_graph(const Graph* graph, Text* text);

#endif  // BCD_DESCRIBE_H_
