// What an operator that only moves values does, from its shapes and constants alone.
#ifndef BCD_MOVE_TABLE_H_
#define BCD_MOVE_TABLE_H_

#include "graph.h"

enum { kZeroUnit = -1, kMaxMoveOptions = 5 };

// A tensor, whether in the runtime's view of it or in a graph's.
typedef struct {
  int type, rank;
  int dims[kMaxRank];
  const int32_t* integers;  // of an int32 constant
  size_t count;
} Shape;

typedef enum { kAffine, kJoin, kReshape, kPick } Kind;

// Output coordinate x of an axis comes from input coordinate begin + step x, a zero if that
// lies outside; or a join of inputs along an axis; or the same values in the same order; or a
// pick of coordinates of one axis.
typedef struct {
  Kind kind;
  int begin[kMaxRank], step[kMaxRank];
  int axis;
  const int32_t* picked;
  size_t picks;
  Shape out;
} Movement;

// What is moved is counted in units: one word of packed signs, or the kWordBits floats that
// become one.
int moved_unit(int type);

// The input that is moved, or the first of them; the others are constants that say how.
int moved_input(int builtin_code);

// The operator's options that matter here, in the order in which the runtime stores them.
int move_options(int builtin_code);

// False if the operator is none of the cases that are moved here.
bool read_movement(int builtin_code, const int* options, int output_index, const Shape* in,
                   int inputs, Movement* m);

bool leaves_samples(const Movement* m, const Shape* in);

// For each of the `count` units of a sample of the output, the unit of the inputs that comes
// there, counted on from one input to the next, or kZeroUnit.
void fill_table(const Movement* m, const Shape* in, int inputs, int samples, size_t count,
                int32_t* table);

#endif  // BCD_MOVE_TABLE_H_
