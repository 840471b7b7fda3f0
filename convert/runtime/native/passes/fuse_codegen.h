// A fused stage as a program that is executed for every pixel, on a strip of its channels.
//
// The program has one register, a row, and reads and writes memory otherwise. Steps are
// translated in order. A result stays in the register for the step after; what others need
// goes to memory, or, if nobody outside the stage reads it, to a slot: a row for each pixel of
// the tile at hand, of the thread's own. A convolution's result is not stored to be added: the
// addition reads the counts.
#ifndef BCD_FUSE_CODEGEN_H_
#define BCD_FUSE_CODEGEN_H_

#include "graph.h"

typedef enum { kNowhere, kConstant, kMemory, kSlot } PlaceKind;

// An instruction whose addresses are not known before it runs.
typedef struct {
  RowOp op;
  PlaceKind kind;
  const float* constant;
  int value;  // kMemory
  int slot;   // kSlot
  int base;   // the stage's channel in which the first one of the value lies
  bool holds_words;
  bool holds_sums;     // a row for every kSumPixels pixels
  bool is_per_sample;  // one row of so many values for all pixels of a sample
  int row_values;
  const Window* pool;
  size_t indices_offset;  // in the scratch memory of a thread, of what a pool needs
} PlannedOp;

// A convolution of a stage.
typedef struct {
  const Convolution* convolution;
  int step, packed;     // its step, and the value that it reads
  int base;             // as in PlannedOp
  size_t panel_offset;  // of its panel in the scratch memory of a thread
} StageConvolution;

// The channels [from, to) of a stage: all, or one half of a concatenation.
typedef struct {
  int from, to;
  int first_op, ops;
  int convolutions;
  int of[kMaxStripConvolutions];  // of the stage's convolutions
} Segment;

enum { kMaxSegments = 2 };

typedef struct Program {
  PlannedOp* ops;
  int count;
  char** data;  // of each instruction: where the value lies that it reads or writes
  Segment segments[kMaxSegments];
  int segment_count;
  StageConvolution convolutions[kMaxStripConvolutions];
  int convolution_count;
  int slots;
  int longest;                      // segment, in instructions
  size_t slots_offset, ops_offset;  // in the scratch memory of a thread
  int panel_pixels;
  // Panels do not cross from one sample to the next, where an operand changes or a sum ends.
  size_t sample_pixels;
} Program;

// Translates every fused stage.
bool generate_programs(Graph* graph, Error* error);
void free_program(Program* program);

#endif  // BCD_FUSE_CODEGEN_H_
