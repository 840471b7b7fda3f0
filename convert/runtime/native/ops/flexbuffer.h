// Reads the integers of a FlexBuffer map, which is how LCE stores an operator's options.
//
// The public FlexBuffers reader trusts its input: it follows offsets without looking where they
// lead, and it is C++. The options come from a file that anybody may have written, and one
// lookup of an integer by its key is all we need.
#ifndef BCD_FLEXBUFFER_H_
#define BCD_FLEXBUFFER_H_

#include <stddef.h>
#include <stdint.h>

typedef enum {
  kFlexFound,
  kFlexMissing,       // a well-formed map without this key
  kFlexNotAnInteger,  // the key is there, its value is of another type
  kFlexMalformed,     // not a FlexBuffer map, or an offset that leads out of the buffer
} FlexStatus;

FlexStatus flex_map_integer(const uint8_t* buffer, size_t size, const char* key,
                            int64_t* value);

#endif  // BCD_FLEXBUFFER_H_
