// Runs a file on one input, by LiteRT's own library of C and this runtime's.
//
//     cc run.c -o run -L LITERT -l LiteRt -Wl,-rpath,LITERT -ldl
//     ./run liblarq_bcd.so model.tflite <images.bin >logits.bin
//
// LITERT is the folder of the Python package ai_edge_litert, 2.3. No header comes with it:
// these are the declarations of what is used. Each call returns 0, or LiteRT's number of an
// error.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Object* Handle;  // of whatever LiteRT makes
typedef struct {
  uint64_t words[32];  // more than it has; what a tensor is, which is only handed on
} TensorType;
typedef int CreateDelegate(void*, Handle environment, Handle accelerator, Handle, Handle*);
enum { kCpu = 1, kRead = 0, kWrite = 1 };

int LiteRtCreateEnvironment(int count, const void* options, Handle* environment);
int LiteRtCreateAccelerator(Handle*);
int LiteRtSetAcceleratorGetName(Handle, int (*)(Handle, const char** name));
int LiteRtSetAcceleratorGetVersion(Handle, int (*)(Handle, int version[3]));
int LiteRtSetAcceleratorGetHardwareSupport(Handle, int (*)(Handle, int* hardware));
int LiteRtSetDelegateFunction(Handle, CreateDelegate*, void (*)(void*, Handle wrapper));
int LiteRtWrapDelegate(void* delegate, void (*destroy)(void* delegate), Handle* wrapper);
void LiteRtDestroyDelegateWrapper(Handle wrapper);
int LiteRtRegisterAccelerator(Handle environment, Handle, void* data, void (*)(void* data));
int LiteRtCreateOptions(Handle*);
int LiteRtSetOptionsHardwareAccelerators(Handle options, int hardware);
int LiteRtCreateModelFromFile(Handle environment, const char* path, Handle* file);
int LiteRtCreateCompiledModel(Handle environment, Handle file, Handle options, Handle* model);
int LiteRtGetModelSubgraph(Handle file, size_t index, Handle* graph);
int LiteRtGetSubgraphInput(Handle graph, size_t index, Handle* tensor);
int LiteRtGetSubgraphOutput(Handle graph, size_t index, Handle* tensor);
int LiteRtGetRankedTensorType(Handle tensor, TensorType*);
int LiteRtGetCompiledModelInputBufferRequirements(Handle model, size_t, size_t, Handle*);
int LiteRtGetCompiledModelOutputBufferRequirements(Handle model, size_t, size_t, Handle*);
int LiteRtCreateManagedTensorBufferFromRequirements(Handle environment, const TensorType*,
                                                    Handle requirements, Handle* buffer);
int LiteRtGetTensorBufferPackedSize(Handle buffer, size_t* bytes);
int LiteRtLockTensorBuffer(Handle buffer, void** data, int mode);
int LiteRtUnlockTensorBuffer(Handle buffer);
int LiteRtRunCompiledModel(Handle model, size_t signature, size_t inputs, Handle* input,
                           size_t outputs, Handle* output);

// ---- The runtime's library, as an accelerator of LiteRT ----

static void* (*plugin_create)(char** keys, char** values, size_t count,
                              void (*report)(const char* message));
static void (*plugin_destroy)(void* delegate);

static void report(const char* message) { fprintf(stderr, "%s\n", message); }

static int create_delegate(void* context, Handle environment, Handle accelerator,
                           Handle options, Handle* wrapper) {
  (void)context, (void)environment, (void)accelerator, (void)options;
  char *keys[] = {"num_threads"}, *values[] = {"2"};
  void* delegate = plugin_create(keys, values, 1, report);
  return delegate == NULL ? 1 : LiteRtWrapDelegate(delegate, plugin_destroy, wrapper);
}

static void destroy_delegate(void* context, Handle wrapper) {
  (void)context;
  LiteRtDestroyDelegateWrapper(wrapper);
}

static int name(Handle accelerator, const char** text) {
  (void)accelerator;
  *text = "larq_bcd";
  return 0;
}

static int version(Handle accelerator, int numbers[3]) {
  (void)accelerator;
  numbers[0] = 1, numbers[1] = 0, numbers[2] = 0;
  return 0;
}

static int hardware(Handle accelerator, int* kinds) {
  (void)accelerator;
  *kinds = kCpu;
  return 0;
}

// ---- A run ----

static void require(int is_so, const char* what) {
  if (is_so) return;
  fprintf(stderr, "run: failed: %s\n", what);
  exit(1);
}
#define OK(call) require((call) == 0, #call)

int main(int count, char** arguments) {
  require(count == 3, "usage: run liblarq_bcd.so model.tflite <images.bin >logits.bin");
  void* library = dlopen(arguments[1], RTLD_NOW);
  require(library != NULL, arguments[1]);
  *(void**)&plugin_create = dlsym(library, "tflite_plugin_create_delegate");
  *(void**)&plugin_destroy = dlsym(library, "tflite_plugin_destroy_delegate");

  Handle environment, accelerator, options, file, model;
  OK(LiteRtCreateEnvironment(0, NULL, &environment));
  OK(LiteRtCreateAccelerator(&accelerator));
  OK(LiteRtSetAcceleratorGetName(accelerator, name));
  OK(LiteRtSetAcceleratorGetVersion(accelerator, version));
  OK(LiteRtSetAcceleratorGetHardwareSupport(accelerator, hardware));
  OK(LiteRtSetDelegateFunction(accelerator, create_delegate, destroy_delegate));
  OK(LiteRtRegisterAccelerator(environment, accelerator, NULL, NULL));
  OK(LiteRtCreateOptions(&options));
  OK(LiteRtSetOptionsHardwareAccelerators(options, kCpu));
  OK(LiteRtCreateModelFromFile(environment, arguments[2], &file));
  OK(LiteRtCreateCompiledModel(environment, file, options, &model));

  Handle graph, tensor, needs, input, output;
  TensorType type;
  OK(LiteRtGetModelSubgraph(file, 0, &graph));
  OK(LiteRtGetSubgraphInput(graph, 0, &tensor));
  OK(LiteRtGetRankedTensorType(tensor, &type));
  OK(LiteRtGetCompiledModelInputBufferRequirements(model, 0, 0, &needs));
  OK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &input));
  OK(LiteRtGetSubgraphOutput(graph, 0, &tensor));
  OK(LiteRtGetRankedTensorType(tensor, &type));
  OK(LiteRtGetCompiledModelOutputBufferRequirements(model, 0, 0, &needs));
  OK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &output));

  void* data;
  size_t bytes;
  OK(LiteRtGetTensorBufferPackedSize(input, &bytes));
  OK(LiteRtLockTensorBuffer(input, &data, kWrite));
  require(fread(data, 1, bytes, stdin) == bytes, "reading the input");
  OK(LiteRtUnlockTensorBuffer(input));
  OK(LiteRtRunCompiledModel(model, 0, 1, &input, 1, &output));
  OK(LiteRtGetTensorBufferPackedSize(output, &bytes));
  OK(LiteRtLockTensorBuffer(output, &data, kRead));
  require(fwrite(data, 1, bytes, stdout) == bytes, "writing the output");
  OK(LiteRtUnlockTensorBuffer(output));
  return 0;  // a program that goes on calls the LiteRtDestroy... of each handle
}
