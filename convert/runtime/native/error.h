// The one message an operation leaves behind when it refuses.
#ifndef BCD_ERROR_H_
#define BCD_ERROR_H_

#include <stdbool.h>

typedef struct {
  char text[400];
} Error;

// Writes the message and returns false, so that a check reads `return refuse(error, ...)`.
__attribute__((format(printf, 2, 3))) bool refuse(Error* error, const char* format, ...);

#endif  // BCD_ERROR_H_
