// Operators that only move values: slices, paddings, concatenations, rearrangements.
//
// A shift of packed words is a handful of them, and none has to be executed: what is moved
// stays where it is, and the convolution that reads it looks each word up in a map. Whatever
// they do is described by that map alone, so all of them are composed (see
// passes/elide_moves.h), and executed where they must be, by the same few lines.
#ifndef BCD_MOVES_H_
#define BCD_MOVES_H_

#include "ops/move_table.h"

typedef struct {
  int options[kMaxMoveOptions];
  bool crops;  // cuts off rows and columns of images, and does nothing else
  int begin[kMaxRank];
  // Of each unit of one sample of the output, see fill_table. Samples are alike; what crosses
  // them is served in batches of one.
  int32_t* table;
} Move;

// Of a value whose last dimension consists of whole units.
size_t units_of(const Value* value);
size_t unit_bytes(const Value* value);

#endif  // BCD_MOVES_H_
