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

enum { kMaxRank = 8, kMaxInputs = 5, kNoValue = -1 };

// A tensor as one preparation sees it. The runtime keeps only the tensors that enter or leave
// the stretch; a value that stays inside has its place in the plan's scratch memory.
typedef struct {
  int tensor;  // index in the context
  const char* name;
  int type;
  int rank;
  int dims[kMaxRank];
  size_t bytes;
  float scale;
  int32_t zero_point;
  const void* constant;  // the data, if it is part of the file
  bool is_internal;
  int producer, last_reader;  // steps; only of an internal value
  size_t offset;              // in the scratch memory; only of an internal value
} Value;

typedef struct Plan Plan;
typedef struct Step Step;

// An operator of the file. Its functions check everything they read from the file.
typedef struct {
  const char* name;
  int inputs;
  size_t state_bytes;
  // NULL if the operator has no options.
  bool (*read_options)(void* state, const uint8_t* buffer, size_t size, Error* error);
  // Sets type and shape of the output with set_output, and computes what a run needs.
  bool (*prepare)(Plan* plan, Step* step, Error* error);
  void (*run)(const Plan* plan, const Step* step);
  // Frees what prepare allocated, so that it can be called again; NULL if nothing.
  void (*release)(void* state);
} Operator;

struct Step {
  const Operator* op;
  int node;                // index in the file's subgraph, for messages
  int inputs[kMaxInputs];  // values, or kNoValue
  int output;
  void* state;
};

struct Plan {
  TfLiteContext* context;
  const Kernels* kernels;
  ThreadPool* pool;
  Step* steps;
  int step_count;
  Value* values;
  int value_count;
  int scratch_tensor;     // index in the context, -1 before the first preparation
  size_t thread_scratch;  // bytes that a step may use in each thread
  size_t scratch_bytes;
};

// The operator of that name, NULL if it is not one of ours.
const Operator* find_operator(const char* custom_name);

// Reads the nodes' options and connections. Called where the runtime allows to look at nodes.
bool plan_init(Plan* plan, TfLiteContext* context, const TfLiteDelegateParams* params,
               Error* error);
// Propagates shapes, prepares the steps and lays out the memory; again after every resize.
bool plan_prepare(Plan* plan, TfLiteNode* node, Error* error);
bool plan_run(Plan* plan, Error* error);
void plan_release(Plan* plan);

// For operators.
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
