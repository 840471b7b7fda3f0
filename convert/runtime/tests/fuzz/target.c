// The target of the coverage-guided fuzzer: reads a .tflite file as carefully as the library
// has to, and plays the runtime's part for the delegate. Every tensor is an allocation of its
// own, of exactly its size, so that the address sanitizer sees each byte beyond it.
//
// Built with the library's sources and libFuzzer by `make fuzz`.
#include "target.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                              void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);
char* bcd_describe(const TfLiteDelegate* delegate);
void bcd_free(char* text);

enum { kMaxTensors = 200, kMaxNodes = 60, kMaxCodes = 60, kSpare = 8, kMaxBytes = 1 << 21 };
enum { kMaxWork = 1 << 24, kOptions = 8 };

// ---- The file ----

typedef struct {
  const uint8_t* data;
  size_t size;
} Bytes;

static uint32_t read_u(Bytes file, size_t at, int width) {
  uint32_t value = 0;
  if (at > file.size || (size_t)width > file.size - at) return 0;
  memcpy(&value, file.data + at, (size_t)width);
  return value;
}

// Where a field of a table lies, 0 if it is absent.
static size_t field(Bytes file, size_t table, int number) {
  const size_t vtable = table - (size_t)(int64_t)(int32_t)read_u(file, table, 4);
  if (table == 0 || vtable >= file.size ||
      4u + 2u * (unsigned)number >= read_u(file, vtable, 2)) {
    return 0;
  }
  const uint32_t offset = read_u(file, vtable + 4 + 2 * (size_t)number, 2);
  return offset == 0 ? 0 : table + offset;
}

static uint32_t scalar(Bytes file, size_t table, int number, int width) {
  const size_t at = field(file, table, number);
  return at == 0 ? 0 : read_u(file, at, width);
}

static size_t target(Bytes file, size_t table, int number) {
  const size_t at = field(file, table, number);
  return at == 0 ? 0 : at + read_u(file, at, 4);
}

// The elements of a vector, none if it does not lie in the file.
static size_t vector(Bytes file, size_t table, int number, size_t width, uint32_t* count) {
  const size_t at = target(file, table, number);
  *count = at == 0 ? 0 : read_u(file, at, 4);
  if (at + 4 > file.size || *count > (file.size - at - 4) / width) *count = 0;
  return at + 4;
}

static size_t element(Bytes file, size_t elements, uint32_t index) {
  const size_t at = elements + 4 * (size_t)index;
  return at + read_u(file, at, 4);
}

static TfLiteIntArray* integers(Bytes file, size_t table, int number, uint32_t limit) {
  uint32_t count;
  const size_t at = vector(file, table, number, 4, &count);
  if (count > limit) count = limit;
  TfLiteIntArray* array = malloc(sizeof(*array) + count * sizeof(int));
  array->size = (int)count;
  for (uint32_t i = 0; i < count; ++i) array->data[i] = (int)read_u(file, at + 4 * i, 4);
  return array;
}

// ---- The runtime ----

typedef struct {
  TfLiteNode node;
  TfLiteRegistration registration;
  char name[32];
  int options[kOptions];
  void* custom;
  int stretch;  // that has claimed it, from 1; or 0
} Node;

// What the delegate executes in one go.
typedef struct {
  TfLiteRegistration kernel;
  TfLiteDelegateParams params;
  TfLiteNode node;
} Stretch;

typedef struct {
  TfLiteContext context;  // first: it is what the delegate passes back
  TfLiteTensor tensors[kMaxTensors + kSpare];
  Node nodes[kMaxNodes];
  int node_count;
  TfLiteIntArray *plan, *outputs;
  Hooks hooks;
  Stretch stretches[kMaxNodes];
  int stretch_count;
} Runtime;

static int type_of_schema(int type) {
  switch (type) {
    case 0:
      return kTfLiteFloat32;
    case 2:
      return kTfLiteInt32;
    case 3:
      return kTfLiteUInt8;
    case 6:
      return kTfLiteBool;
    case 9:
      return kTfLiteInt8;
    default:
      return 4;
  }
}

static size_t type_size(int type) {
  return type == kTfLiteFloat32 || type == kTfLiteInt32 ? 4 : type == 4 ? 8 : 1;
}

// 0 if it is not worth allocating.
static size_t tensor_bytes(const TfLiteTensor* tensor) {
  size_t bytes = type_size(tensor->type);
  for (int i = 0; i < tensor->dims->size; ++i) {
    if (tensor->dims->data[i] < 1) return 0;
    bytes *= (size_t)tensor->dims->data[i];
    if (bytes > kMaxBytes) return 0;
  }
  return bytes;
}

static TfLiteStatus get_plan(TfLiteContext* context, TfLiteIntArray** plan) {
  *plan = ((Runtime*)context)->plan;
  return kTfLiteOk;
}

static TfLiteStatus get_node(TfLiteContext* context, int index, TfLiteNode** node,
                             TfLiteRegistration** registration) {
  Node* found = &((Runtime*)context)->nodes[index];
  *node = &found->node;
  *registration = &found->registration;
  return kTfLiteOk;
}

static TfLiteStatus resize(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* dims) {
  if (((Runtime*)context)->hooks.fails()) {
    free(dims);
    return kTfLiteError;
  }
  free(tensor->dims);
  tensor->dims = dims;
  return kTfLiteOk;
}

static TfLiteStatus add_tensors(TfLiteContext* context, int count, int* first) {
  if (context->tensors_size + (size_t)count > kMaxTensors + kSpare ||
      ((Runtime*)context)->hooks.fails()) {
    return kTfLiteError;
  }
  *first = (int)context->tensors_size;
  for (int i = 0; i < count; ++i) {
    context->tensors[context->tensors_size++].dims = calloc(1, sizeof(TfLiteIntArray));
  }
  return kTfLiteOk;
}

static void report(TfLiteContext* context, const char* format, ...) {
  (void)context;
  (void)format;
}

static int contains(const TfLiteIntArray* array, int item) {
  for (int i = 0; i < array->size; ++i) {
    if (array->data[i] == item) return 1;
  }
  return 0;
}

// What the nodes of a stretch read, or write, on the border to all others.
static TfLiteIntArray* border(const Runtime* runtime, int stretch, int of_inputs) {
  const size_t tensors = runtime->context.tensors_size;
  TfLiteIntArray* array = malloc(sizeof(*array) + tensors * sizeof(int));
  array->size = 0;
  for (int t = 0; t < (int)tensors; ++t) {
    int claimed_reads = 0, claimed_writes = 0;
    int others_read = contains(runtime->outputs, t);
    for (int i = 0; i < runtime->node_count; ++i) {
      const Node* node = &runtime->nodes[i];
      const int reads = contains(node->node.inputs, t);
      if (node->stretch == stretch) claimed_writes |= contains(node->node.outputs, t);
      *(node->stretch == stretch ? &claimed_reads : &others_read) |= reads;
    }
    const int is_on_border =
        of_inputs ? claimed_reads && !claimed_writes : claimed_writes && others_read;
    if (is_on_border) array->data[array->size++] = t;
  }
  return array;
}

static TfLiteStatus replace_nodes(TfLiteContext* context, TfLiteRegistration registration,
                                  const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
  Runtime* runtime = (Runtime*)context;
  TfLiteIntArray* claimed = malloc(sizeof(*claimed) + (size_t)nodes->size * sizeof(int));
  memcpy(claimed, nodes, sizeof(*claimed) + (size_t)nodes->size * sizeof(int));
  Stretch* stretch = &runtime->stretches[runtime->stretch_count++];
  const int number = runtime->stretch_count;
  for (int i = 0; i < nodes->size; ++i) runtime->nodes[nodes->data[i]].stretch = number;
  stretch->kernel = registration;
  stretch->params = (TfLiteDelegateParams){delegate, claimed, border(runtime, number, 1),
                                           border(runtime, number, 0)};
  return kTfLiteOk;
}

// ---- Loading ----

static void load_tensors(Runtime* runtime, Bytes file, size_t model, size_t graph) {
  uint32_t count, buffers;
  const size_t tables = vector(file, graph, 0, 4, &count);
  const size_t buffer_tables = vector(file, model, 4, 4, &buffers);
  if (count > kMaxTensors) count = kMaxTensors;
  runtime->context.tensors_size = count;
  for (uint32_t i = 0; i < count; ++i) {
    const size_t table = element(file, tables, i);
    TfLiteTensor* tensor = &runtime->tensors[i];
    tensor->type = type_of_schema((int)scalar(file, table, 1, 1));
    tensor->dims = integers(file, table, 0, 10);
    tensor->name = "tensor";
    tensor->allocation_type = kTfLiteArenaRw;
    const size_t quantization = target(file, table, 4);
    uint32_t scales, points, bytes = 0;
    const size_t scale = vector(file, quantization, 2, 4, &scales);
    const size_t point = vector(file, quantization, 3, 8, &points);
    if (scales > 0) memcpy(&tensor->scale, &(uint32_t){read_u(file, scale, 4)}, 4);
    if (points > 0) tensor->zero_point = (int32_t)read_u(file, point, 4);
    const uint32_t buffer = scalar(file, table, 2, 4);
    const size_t data =
        buffer < buffers ? vector(file, element(file, buffer_tables, buffer), 0, 1, &bytes) : 0;
    if (bytes == 0) continue;
    tensor->allocation_type = kTfLiteMmapRo;
    tensor->bytes = bytes;
    tensor->data = malloc(bytes);
    memcpy(tensor->data, file.data + data, bytes);
  }
}

// The options as the runtime stores them: of most operators the schema's fields in order.
static void load_options(Node* node, Bytes file, size_t table) {
  const size_t options = target(file, table, 4);
  const int code = node->registration.builtin_code;
  for (int i = 0; i < kOptions; ++i) node->options[i] = (int)scalar(file, options, i, 4);
  if (code == 0 || code == 18) node->options[0] = (int)scalar(file, options, 0, 1);
  if (code == 9) {
    for (int i = 0; i < 3; ++i) node->options[i] = (int)scalar(file, options, i, 1);
  }
  if (code == 40 || code == 41) node->options[0] = (int)scalar(file, options, 0, 1);
  if (code == 2) node->options[1] = (int)scalar(file, options, 1, 1);
  if (code == 1) {
    node->options[0] = scalar(file, options, 0, 1) == 0 ? 1 : 2;
    node->options[5] = (int)scalar(file, options, 5, 1);
  }
  if (code == 3) {
    node->options[0] = scalar(file, options, 0, 1) == 0 ? 1 : 2;
    node->options[3] = (int)scalar(file, options, 3, 1);
    for (int i = 4; i < 6; ++i) node->options[i] += field(file, options, i) == 0;
  }
  node->node.builtin_data = node->options;
}

static void load_nodes(Runtime* runtime, Bytes file, size_t model, size_t graph) {
  uint32_t count, codes;
  const size_t tables = vector(file, graph, 3, 4, &count);
  const size_t code_tables = vector(file, model, 1, 4, &codes);
  if (count > kMaxNodes) count = kMaxNodes;
  runtime->node_count = (int)count;
  runtime->plan = malloc(sizeof(TfLiteIntArray) + count * sizeof(int));
  runtime->plan->size = (int)count;
  for (uint32_t i = 0; i < count; ++i) {
    Node* node = &runtime->nodes[i];
    const size_t table = element(file, tables, i);
    const uint32_t index = scalar(file, table, 0, 4);
    runtime->plan->data[i] = (int)i;
    node->node.inputs = integers(file, table, 1, 12);
    node->node.outputs = integers(file, table, 2, 12);
    node->registration.builtin_code = 127;
    if (index < codes) {
      const size_t code = element(file, code_tables, index);
      const uint32_t old = scalar(file, code, 0, 1), builtin = scalar(file, code, 3, 4);
      node->registration.builtin_code = (int)(builtin > old ? builtin : old);
      uint32_t length;
      const size_t name = vector(file, code, 1, 1, &length);
      if (length >= sizeof(node->name)) length = sizeof(node->name) - 1;
      if (length > 0) memcpy(node->name, file.data + name, length);
      node->registration.custom_name = node->name;
    }
    load_options(node, file, table);
    uint32_t bytes;
    const size_t custom = vector(file, table, 5, 1, &bytes);
    if (bytes == 0) continue;
    node->custom = malloc(bytes);
    memcpy(node->custom, file.data + custom, bytes);
    node->node.custom_initial_data = node->custom;
    node->node.custom_initial_data_size = (int)bytes;
  }
}

// LiteRT itself refuses a tensor that is not in the file.
static int is_whole(const Runtime* runtime) {
  const int tensors = (int)runtime->context.tensors_size;
  for (int i = 0; i < runtime->node_count; ++i) {
    const TfLiteNode* node = &runtime->nodes[i].node;
    for (int k = 0; k < node->inputs->size; ++k) {
      if (node->inputs->data[k] < -1 || node->inputs->data[k] >= tensors) return 0;
    }
    for (int k = 0; k < node->outputs->size; ++k) {
      if (node->outputs->data[k] < 0 || node->outputs->data[k] >= tensors) return 0;
    }
  }
  return 1;
}

// ---- Running ----

// A product of what the convolutions touch, so that a case takes no seconds.
static int is_too_much(const Runtime* runtime) {
  size_t work = 1;
  for (size_t i = 0; i < runtime->context.tensors_size; ++i) {
    const TfLiteTensor* tensor = &runtime->tensors[i];
    if (tensor->allocation_type == kTfLiteMmapRo) continue;
    const size_t bytes = tensor_bytes(tensor);
    if (bytes == 0 && tensor->dims->size > 0) return 1;
    work += bytes;
  }
  return work > kMaxWork;
}

static void allocate(TfLiteTensor* tensor) {
  free(tensor->data);
  tensor->bytes = tensor_bytes(tensor);
  tensor->data = NULL;
  void* exact = NULL;
  if (tensor->bytes > 0 && posix_memalign(&exact, 64, tensor->bytes) == 0) {
    tensor->data = exact;
    for (size_t i = 0; i < tensor->bytes; ++i) ((uint8_t*)exact)[i] = (uint8_t)(i * 37 + 5);
  }
}

static void allocate_all(Runtime* runtime, const TfLiteIntArray* tensors) {
  for (int i = 0; i < tensors->size; ++i) {
    TfLiteTensor* tensor = &runtime->tensors[tensors->data[i]];
    if (tensor->allocation_type != kTfLiteMmapRo) allocate(tensor);
  }
}

static int is_written_inside(const Runtime* runtime, int tensor) {
  for (int i = 0; i < runtime->stretch_count; ++i) {
    if (contains(runtime->stretches[i].params.output_tensors, tensor)) return 1;
  }
  return 0;
}

// Of all that comes from outside; what the stretches write follows.
static void double_batch(Runtime* runtime) {
  for (int t = 0; t < (int)runtime->context.tensors_size; ++t) {
    TfLiteTensor* tensor = &runtime->tensors[t];
    int is_input = 0;
    for (int i = 0; i < runtime->stretch_count; ++i) {
      is_input |= contains(runtime->stretches[i].params.input_tensors, t);
    }
    if (!is_input || is_written_inside(runtime, t) ||
        tensor->allocation_type == kTfLiteMmapRo || tensor->dims->size == 0) {
      continue;
    }
    const int samples = tensor->dims->data[0];
    if (samples > 0 && samples < 1000) tensor->dims->data[0] = 2 * samples;
  }
}

static void create_kernels(Runtime* runtime) {
  for (int i = 0; i < runtime->stretch_count; ++i) {
    Stretch* stretch = &runtime->stretches[i];
    stretch->node.user_data =
        stretch->kernel.init(&runtime->context, (const char*)&stretch->params, 0);
  }
}

static void free_kernels(Runtime* runtime) {
  for (int i = 0; i < runtime->stretch_count; ++i) {
    Stretch* stretch = &runtime->stretches[i];
    stretch->kernel.free(&runtime->context, stretch->node.user_data);
    free(stretch->node.temporaries);
  }
}

// All are prepared before the first is invoked, as by LiteRT.
static void run_stretches(Runtime* runtime) {
  TfLiteContext* context = &runtime->context;
  const int count = runtime->stretch_count;
  int is_ready = 1;
  for (int i = 0; i < count && is_ready; ++i) {
    Stretch* stretch = &runtime->stretches[i];
    is_ready =
        stretch->kernel.prepare(context, &stretch->node) == kTfLiteOk && !is_too_much(runtime);
  }
  for (int i = 0; i < count && is_ready; ++i) {
    Stretch* stretch = &runtime->stretches[i];
    allocate_all(runtime, stretch->params.input_tensors);
    allocate_all(runtime, stretch->params.output_tensors);
    allocate_all(runtime, stretch->node.temporaries);
  }
  for (int i = 0; i < 2 * count && is_ready; ++i) {
    Stretch* stretch = &runtime->stretches[i % count];
    stretch->kernel.invoke(context, &stretch->node);
  }
  runtime->hooks.has_prepared(runtime->stretches[0].params.delegate);
}

static void release(Runtime* runtime) {
  for (size_t i = 0; i < runtime->context.tensors_size; ++i) {
    free(runtime->tensors[i].dims);
    free(runtime->tensors[i].data);
  }
  for (int i = 0; i < runtime->node_count; ++i) {
    free(runtime->nodes[i].node.inputs);
    free(runtime->nodes[i].node.outputs);
    free(runtime->nodes[i].custom);
  }
  free(runtime->plan);
  free(runtime->outputs);
  for (int i = 0; i < runtime->stretch_count; ++i) {
    free(runtime->stretches[i].params.nodes_to_replace);
    free(runtime->stretches[i].params.input_tensors);
    free(runtime->stretches[i].params.output_tensors);
  }
  free(runtime);
}

TfLiteDelegate* create_delegate(char* options[3]) {
  return tflite_plugin_create_delegate((char*[]){"num_threads", "kernels", "fuse"}, options, 3,
                                       NULL);
}

void destroy_delegate(TfLiteDelegate* delegate) { tflite_plugin_destroy_delegate(delegate); }

void run_file(const uint8_t* data, size_t size, TfLiteDelegate* delegate, Hooks hooks) {
  const Bytes file = {data, size};
  Runtime* runtime = calloc(1, sizeof(*runtime));
  const size_t model = read_u(file, 0, 4);
  uint32_t graphs;
  const size_t graph_tables = vector(file, model, 2, 4, &graphs);
  const size_t graph = graphs == 0 ? 0 : element(file, graph_tables, 0);
  runtime->context = (TfLiteContext){
      .GetExecutionPlan = get_plan,
      .tensors = runtime->tensors,
      .ResizeTensor = resize,
      .ReportError = report,
      .AddTensors = add_tensors,
      .GetNodeAndRegistration = get_node,
      .ReplaceNodeSubsetsWithDelegateKernels = replace_nodes,
  };
  load_tensors(runtime, file, model, graph);
  load_nodes(runtime, file, model, graph);
  runtime->outputs = integers(file, graph, 2, 100);
  runtime->hooks = hooks;
  if (is_whole(runtime) && delegate->Prepare(&runtime->context, delegate) == kTfLiteOk &&
      runtime->stretch_count > 0) {
    create_kernels(runtime);
    run_stretches(runtime);
    double_batch(runtime);
    run_stretches(runtime);
    free_kernels(runtime);
  }
  release(runtime);
}

int never_fails(void) { return 0; }

void describe(const TfLiteDelegate* delegate) { bcd_free(bcd_describe(delegate)); }

void pass(const TfLiteDelegate* delegate) { (void)delegate; }

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The options follow from the file's own bytes.
  uint32_t choice = 0;
  for (size_t i = 0; i < size; ++i) choice = choice * 31 + data[i];
  TfLiteDelegate* delegate = create_delegate((char*[]){choice % 5 == 0 ? "2" : "1",
                                                       choice % 7 == 0 ? "reference" : "auto",
                                                       choice % 3 == 0 ? "off" : "on"});
  run_file(data, size, delegate, (Hooks){never_fails, describe});
  destroy_delegate(delegate);
  return 0;
}
