// A stretch of the file's graph that the delegate executes in place of the runtime: its
// operators in order, the values between them, and one block of memory for all that nobody
// outside needs to see. What all passes and operators share; plan.h has the order of the
// passes.
#ifndef BCD_GRAPH_H_
#define BCD_GRAPH_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "kernels/kernels.h"
#include "tflite_abi.h"
#include "threads.h"

enum { kMaxRank = 8, kMaxInputs = 8, kNoValue = -1 };

// Where the units of a value lie if it is but another value's, moved: see passes/elide_moves.h.
// Unit u of one of its samples is unit map[u] of the root's.
typedef struct {
  int root;            // a value; itself if it has its own place
  const int32_t* map;  // NULL: nothing is moved
} View;

// A tensor as one preparation sees it. The runtime keeps only the tensors that enter or leave
// the stretch; a value that stays inside has its place in the graph's scratch memory.
typedef struct {
  int tensor;  // index in the context, -1 if the file has none for it
  const char* name;
  int type;
  int rank;
  int dims[kMaxRank];
  size_t bytes;
  float scale;
  int32_t zero_point;
  const void* constant;  // the data, if it is part of the file
  bool is_parameter;     // of a convolution
  const void* fill;      // of a parameter that the file has as a FILL: each of its words
  void* filled;          // and all of them; owned
  bool is_loaded;        // by this preparation
  int samples;           // of a batch, which are stored, and moved, alike
  View view;
  bool is_internal;
  int producer;     // step, or -1
  int last_reader;  // stage; only of an internal value
  bool is_local;    // exists within its stage only
  int part_of;      // the concatenation in whose place it is written, or kNoValue
  size_t offset;    // in the scratch memory; only of an internal value
} Value;

typedef struct Graph Graph;
typedef struct Step Step;

// The operators' numbers in the schema of TensorFlow Lite.
enum {
  kBuiltinAdd = 0,
  kBuiltinAveragePool2d = 1,
  kBuiltinConcatenation = 2,
  kBuiltinConv2d = 3,
  kBuiltinFullyConnected = 9,
  kBuiltinMul = 18,
  kBuiltinReshape = 22,
  kBuiltinCustom = 32,
  kBuiltinPad = 34,
  kBuiltinGather = 36,
  kBuiltinMean = 40,
  kBuiltinSub = 41,
  kBuiltinStridedSlice = 45,
  kBuiltinSplit = 49,
  kBuiltinPrelu = 54,
  kBuiltinSlice = 65,
  kBuiltinFill = 94,
  kBuiltinAddN = 106
};

// What an operator can be in a fused stage, see passes/fuse.h.
typedef enum {
  kFusesNot,
  kFusesConvolution,
  kFusesPointwise,
  kFusesQuantize,
  kFusesSum,
  kFusesConcatenation,
  kFusesPool,
  kFusesMove,   // vanishes, see passes/elide_moves.h
  kFusesPad,    // vanishes before convolutions of images
  kFusesAlone,  // not at all, and is taken over so that it does not cut a stretch
  kFusesImage,  // not at all: a convolution of images
} Fusion;

enum { kAnyInputs = -1 };  // 1 to kMaxInputs

// An operator of the file. Its functions check everything they read from the file.
typedef struct Operator {
  const char* name;  // of a custom operator, the one in the file
  // A step that is executed before it, on the same inputs; what that writes, floats that no
  // tensor of the file stands for, takes the place of the first one. Mostly NULL.
  const struct Operator* before;
  int builtin_code;
  Fusion fusion;
  int inputs;
  size_t state_bytes;
  // Whether this node is one of the cases that are worth taking over from the runtime. NULL if
  // all are: those that the runtime does not have.
  bool (*claims)(const TfLiteContext* context, const TfLiteNode* node);
  // NULL if the operator has no options.
  bool (*read_options)(void* state, const TfLiteNode* node, Error* error);
  // Sets type and shape of the output with set_output, and computes what a run needs.
  bool (*prepare)(Graph* graph, Step* step, Error* error);
  // NULL if it runs in stages only.
  void (*run)(const Graph* graph, const Step* step);
  // Frees what prepare allocated, so that it can be called again; NULL if nothing.
  void (*release)(void* state);
} Operator;

struct Step {
  const Operator* op;
  int node;  // index in the file's subgraph, for messages
  int input_count;
  int inputs[kMaxInputs];  // values, or kNoValue
  int output;
  int output_index;  // of the file's operator; all but SPLIT have one output
  // Inputs and output as the file has them; elide_moves replaces those above.
  int file_inputs[kMaxInputs], file_output;
  bool is_absorbed;  // not executed: others do its work
  void* state;

  // Its place in the stages, see passes/fuse.h.
  int stage;  // index of the step that the stage is named after
  int base;   // the stage's channel in which the output's first channel lies
};

// Steps that are executed together; alone in its stage, a step runs as an operator.
typedef struct {
  int* steps;  // in the order of execution; points into Graph.stage_steps
  int count;
  // Of a fused stage only.
  bool is_fused;
  size_t pixels;
  int channels;
  struct Program* program;     // see passes/fuse_codegen.h
  uint64_t runs, nanoseconds;  // if the graph is timed
} Stage;

struct Graph {
  TfLiteContext* context;
  TfLiteNode* node;  // what the runtime has in its place, while that is prepared
  const Kernels* kernels;
  ThreadPool* pool;
  Step* steps;
  int step_count;
  Value* values;
  int value_count, file_value_count;  // further ones come from elide_moves
  bool fuses, is_timed;
  bool is_prepared;     // only then it can run, or be described
  size_t filled_bytes;  // of all parameters
  Stage* stages;
  int* stage_steps;
  int stage_count;
  int scratch_tensor;     // index in the context, -1 before the first preparation
  size_t thread_scratch;  // bytes that a step may use in each thread
  size_t scratch_bytes;
};

// ---- Values and steps ----

const TfLiteTensor* tensor_at(const TfLiteContext* context, int index);  // NULL if out of range
const Value* step_input(const Graph* graph, const Step* step, int index);
const Value* step_output(const Graph* graph, const Step* step);
// All dimensions but the last, multiplied.
size_t rows_of(const Value* value);
// Whether a step's space is that of its input, of which it writes something else: signs, sums.
bool spans_input(const Step* step);
// The value whose pixels and channels are the step's space.
const Value* space_of(const Graph* graph, const Step* step);
// The step that writes a value, NULL if it comes from outside the graph.
const Step* producer_of(const Graph* graph, int value);
// The value in whose place this one is written: itself, or the concatenation that it is half
// of.
int root_of(const Graph* graph, int value);

// ---- Types and shapes ----

const char* type_name(int type);
size_t type_bytes(int type);  // 0 if no value here has this type
bool expect_type(const Value* value, const char* role, int type, Error* error);
bool expect_rank(const Value* value, const char* role, int rank, Error* error);
bool set_shape(Value* value, int rank, const int* dims, Error* error);
// For a step's prepare: the shape of what it writes, also for the runtime.
bool set_output(Graph* graph, const Step* step, int rank, const int* dims, Error* error);
// Puts the operator's name and number before the reason.
void name_culprit(const Step* step, Error* error);

// ---- Memory ----

// Up to the next line of the cache.
static inline size_t align_scratch(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

void* value_data(const Graph* graph, const Value* value);
// `bytes` of the calling thread's own, 64-byte aligned; reserved while the graph is prepared.
void reserve_thread_scratch(Graph* graph, size_t bytes);
void* thread_scratch(const Graph* graph, int thread);

#endif  // BCD_GRAPH_H_
