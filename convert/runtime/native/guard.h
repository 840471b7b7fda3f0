// Under the address sanitizer, memory within the runtime's block is closed but for what a stage
// may touch, so that a step beyond a value shows. Otherwise nothing.
#ifndef BCD_GUARD_H_
#define BCD_GUARD_H_

#include "graph.h"

#if defined(__SANITIZE_ADDRESS__)
#define BCD_GUARDS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BCD_GUARDS
#endif
#endif

// Between values; a step of a vector too far does not reach the next one.
#ifdef BCD_GUARDS
enum { kGuardBytes = 64 };
#else
enum { kGuardBytes = 0 };
#endif

void close_values(const Graph* graph);
void open_values(const Graph* graph, const Stage* stage);
void open_all(const Graph* graph);

#endif  // BCD_GUARD_H_
