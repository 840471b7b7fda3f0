// A clock that only moves forward. clock_gettime is POSIX's, so a file that includes this
// defines _POSIX_C_SOURCE before its first header.
#ifndef BCD_CLOCK_H_
#define BCD_CLOCK_H_

#include <stdint.h>
#include <time.h>

static inline uint64_t now(void) {  // in nanoseconds
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#endif  // BCD_CLOCK_H_
