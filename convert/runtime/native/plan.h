// What the delegate executes in place of a stretch of the graph: its operators in order, the
// values between them, and one block of memory for all that nobody outside needs to see.
#ifndef BCD_PLAN_H_
#define BCD_PLAN_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "kernels.h"
#include "tflite_abi.h"
#include "threads.h"

enum { kMaxRank = 8, kMaxInputs = 8, kNoValue = -1 };

// Where the units of a value lie if it is but another value's, moved: see views.h. Unit u of
// one of its samples is unit map[u] of the root's.
typedef struct {
  int root;            // a value; itself if it has its own place
  const int32_t* map;  // NULL: nothing is moved
} View;

// A tensor as one preparation sees it. The runtime keeps only the tensors that enter or leave
// the stretch; a value that stays inside has its place in the plan's scratch memory.
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

typedef struct Plan Plan;
typedef struct Step Step;

// The operators' numbers in the schema of TensorFlow Lite.
enum {
  kBuiltinAdd = 0,
  kBuiltinAveragePool2d = 1,
  kBuiltinConcatenation = 2,
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

// What an operator can be in a fused stage, see stage.h.
typedef enum {
  kFusesNot,
  kFusesConvolution,
  kFusesPointwise,
  kFusesQuantize,
  kFusesSum,
  kFusesConcatenation,
  kFusesPool,
  kFusesMove,   // vanishes, see views.h
  kFusesAlone,  // not at all, and is taken over so that it does not cut a stretch
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
  bool (*prepare)(Plan* plan, Step* step, Error* error);
  // NULL if it runs in stages only.
  void (*run)(const Plan* plan, const Step* step);
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
  // Inputs and output as the file has them; resolve_views replaces those above.
  int file_inputs[kMaxInputs], file_output;
  bool is_absorbed;  // not executed: others do its work
  void* state;

  // Its place in the stages, see stage.h.
  int stage;  // index of the step that the stage is named after
  int base;   // the stage's channel in which the output's first channel lies
};

// Steps that are executed together; alone in its stage, a step runs as an operator.
typedef struct {
  int* steps;  // in the order of execution; points into Plan.stage_steps
  int count;
  // Of a fused stage only.
  bool is_fused;
  size_t pixels;
  int channels;
  struct Program* program;     // see program.h
  uint64_t runs, nanoseconds;  // if the plan is timed
} Stage;

struct Plan {
  TfLiteContext* context;
  const Kernels* kernels;
  ThreadPool* pool;
  Step* steps;
  int step_count;
  Value* values;
  int value_count, file_value_count;  // further ones come from resolve_views
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

// The operator of a node, NULL if it is not one of ours or not a case that it claims.
const Operator* find_operator(const TfLiteContext* context, const TfLiteNode* node,
                              const TfLiteRegistration* registration);

// Reads the nodes' options and connections. Called where the runtime allows to look at nodes.
bool plan_init(Plan* plan, TfLiteContext* context, const TfLiteDelegateParams* params,
               Error* error);
// Propagates shapes, prepares the steps and lays out the memory; again after every resize.
bool plan_prepare(Plan* plan, TfLiteNode* node, Error* error);
bool plan_run(Plan* plan, Error* error);
void plan_release(Plan* plan);

// For operators.
const TfLiteTensor* tensor_at(const TfLiteContext* context, int index);  // NULL if out of range
const Value* step_input(const Plan* plan, const Step* step, int index);
const Value* step_output(const Plan* plan, const Step* step);
bool set_output(Plan* plan, const Step* step, int rank, const int* dims, Error* error);
void* value_data(const Plan* plan, const Value* value);
// `bytes` of the calling thread's own, 64-byte aligned; reserved in prepare.
void reserve_thread_scratch(Plan* plan, size_t bytes);
void* thread_scratch(const Plan* plan, int thread);
const char* type_name(int type);
bool expect_type(const Value* value, const char* role, int type, Error* error);
bool expect_rank(const Value* value, const char* role, int rank, Error* error);

#endif  // BCD_PLAN_H_
