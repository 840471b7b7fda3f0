// The external delegate: what the runtime loads, and calls.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "load.h"
#include "passes/claim.h"
#include "plan.h"

#define EXPORT __attribute__((visibility("default")))

enum { kMaxThreads = 64 };

typedef struct Kernel Kernel;

typedef struct {
  TfLiteDelegate base;  // first: the runtime passes this address back
  const Kernels* kernels;
  bool wants_fusion;
  int threads;  // 0: as many as the interpreter was asked for
  ThreadPool* pool;
  bool wants_profile;
  Kernel* first;  // of those that are alive, in the order of the graph
} Delegate;

struct Kernel {
  Graph graph;
  Error error;  // not empty if the nodes were refused
  Delegate* delegate;
  Kernel* next;
};

// Guards the pool and the kernels of every delegate: several interpreters may be built on one
// at once, and it may be destroyed while one of them is.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// The reference kernels have no tiles to fuse.
static bool fuses(const Delegate* delegate) {
  return delegate->wants_fusion && delegate->kernels->is_tiled;
}

// ---- Kernel: one stretch of the graph ----

static void* kernel_init(TfLiteContext* context, const char* buffer, size_t length) {
  (void)length;
  const TfLiteDelegateParams* params = (const TfLiteDelegateParams*)(const void*)buffer;
  Delegate* delegate = (Delegate*)(void*)params->delegate;
  Kernel* kernel = calloc(1, sizeof(*kernel));
  if (kernel == NULL) return NULL;
  kernel->graph.kernels = delegate->kernels;
  kernel->graph.fuses = fuses(delegate);
  kernel->graph.is_timed = delegate->wants_profile;
  kernel->delegate = delegate;
  pthread_mutex_lock(&lock);
  kernel->graph.pool = delegate->pool;
  Kernel** last = &delegate->first;
  while (*last != NULL) last = &(*last)->next;
  *last = kernel;
  pthread_mutex_unlock(&lock);
  // An error cannot be returned from here: the preparation reports it.
  read_graph(&kernel->graph, context, params, &kernel->error);
  return kernel;
}

static void kernel_free(TfLiteContext* context, void* user_data) {
  (void)context;
  Kernel* kernel = user_data;
  if (kernel == NULL) return;
  pthread_mutex_lock(&lock);
  if (kernel->delegate != NULL) {
    Kernel** place = &kernel->delegate->first;
    while (*place != kernel) place = &(*place)->next;
    *place = kernel->next;
  }
  pthread_mutex_unlock(&lock);
  plan_release(&kernel->graph);
  free(kernel);
}

static TfLiteStatus report(TfLiteContext* context, const Error* error) {
  context->ReportError(context, "%s", error->text);
  return kTfLiteError;
}

static TfLiteStatus kernel_prepare(TfLiteContext* context, TfLiteNode* node) {
  Kernel* kernel = node->user_data;
  Error error = {""};
  if (kernel == NULL) {
    refuse(&error, "larq-bcd-runtime: out of memory");
    return report(context, &error);
  }
  if (kernel->error.text[0] != '\0') return report(context, &kernel->error);
  if (!plan_prepare(&kernel->graph, node, &error)) return report(context, &error);
  return kTfLiteOk;
}

static TfLiteStatus kernel_invoke(TfLiteContext* context, TfLiteNode* node) {
  Kernel* kernel = node->user_data;
  Error error = {""};
  if (!plan_run(&kernel->graph, &error)) return report(context, &error);
  return kTfLiteOk;
}

// ---- Delegate ----

static TfLiteStatus replace_stretch(TfLiteContext* context, TfLiteDelegate* base,
                                    const Claims* claims, int stretch) {
  TfLiteIntArray* nodes = malloc(sizeof(*nodes) + (size_t)claims->count * sizeof(int));
  if (nodes == NULL) return kTfLiteError;
  nodes->size = 0;
  for (int i = 0; i < claims->count; ++i) {
    const Claim* claim = &claims->nodes[i];
    if (claim->stretch == stretch) nodes->data[nodes->size++] = claim->node;
  }
  TfLiteStatus status = kTfLiteOk;
  if (nodes->size > 0) {
    const TfLiteRegistration registration = {
        .init = kernel_init,
        .free = kernel_free,
        .prepare = kernel_prepare,
        .invoke = kernel_invoke,
        .custom_name = "LarqBcd",
        .version = 1,
    };
    status = context->ReplaceNodeSubsetsWithDelegateKernels(context, registration, nodes, base);
  }
  free(nodes);
  return status;
}

// Of all interpreters on one delegate, the first one's number of threads counts.
static bool start_threads(Delegate* delegate, const TfLiteContext* context, Error* error) {
  int threads = delegate->threads > 0 ? delegate->threads : context->recommended_num_threads;
  if (threads < 1) threads = 1;  // -1 where the interpreter was not told
  if (threads > kMaxThreads) threads = kMaxThreads;
  pthread_mutex_lock(&lock);
  if (delegate->pool == NULL) delegate->pool = thread_pool_create(threads);
  const bool has_started = delegate->pool != NULL;
  pthread_mutex_unlock(&lock);
  return has_started ||
         refuse(error, "larq-bcd-runtime: %d threads cannot be started", threads);
}

static TfLiteStatus delegate_prepare(TfLiteContext* context, TfLiteDelegate* base) {
  Delegate* delegate = (Delegate*)base;
  Error error = {""};
  if (!start_threads(delegate, context, &error)) return report(context, &error);
  TfLiteIntArray* execution_plan;
  if (context->GetExecutionPlan(context, &execution_plan) != kTfLiteOk) return kTfLiteError;
  Claims claims;
  TfLiteStatus status = kTfLiteOk;
  if (!claim_nodes(context, execution_plan, fuses(delegate), &claims)) {
    refuse(&error, "larq-bcd-runtime: the runtime does not show its operators");
    status = report(context, &error);
  }
  for (int i = 0; status == kTfLiteOk && i < claims.stretches; ++i) {
    status = replace_stretch(context, base, &claims, i);
  }
  free(claims.nodes);
  return status;
}

static bool set_option(Delegate* delegate, const char* key, const char* value, Error* error) {
  if (strcmp(key, "num_threads") == 0) {
    char* end;
    errno = 0;
    const long threads = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || threads < 1 || threads > kMaxThreads) {
      return refuse(error,
                    "larq-bcd-runtime: num_threads is '%s', and has to be a number from "
                    "1 to %d",
                    value, kMaxThreads);
    }
    delegate->threads = (int)threads;
    return true;
  }
  if (strcmp(key, "kernels") == 0) {
    delegate->kernels = find_kernels(value);
    if (delegate->kernels == NULL) {
      return refuse(error,
                    "larq-bcd-runtime: there are no kernels '%s' for this machine; leave "
                    "the option out, or use reference",
                    value);
    }
    return true;
  }
  if (strcmp(key, "fuse") == 0) {
    delegate->wants_fusion = strcmp(value, "on") == 0;
    if (delegate->wants_fusion || strcmp(value, "off") == 0) return true;
    return refuse(error, "larq-bcd-runtime: fuse is '%s', and has to be on or off", value);
  }
  if (strcmp(key, "profile") == 0) {
    delegate->wants_profile = strcmp(value, "on") == 0;
    if (delegate->wants_profile || strcmp(value, "off") == 0) return true;
    return refuse(error, "larq-bcd-runtime: profile is '%s', and has to be on or off", value);
  }
  return refuse(
      error,
      "larq-bcd-runtime: unknown option '%s'; there are num_threads, kernels, fuse and "
      "profile",
      key);
}

EXPORT TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                                     void (*report_error)(const char*)) {
  Delegate* delegate = calloc(1, sizeof(*delegate));
  if (delegate == NULL) return NULL;
  delegate->kernels = find_kernels("auto");
  delegate->wants_fusion = true;
  delegate->base.data = delegate;
  delegate->base.Prepare = delegate_prepare;
  // Without this flag the runtime prepares all operators first, and fails at ours.
  delegate->base.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  for (size_t i = 0; i < count; ++i) {
    Error error = {""};
    if (!set_option(delegate, keys[i], values[i], &error)) {
      if (report_error != NULL) report_error(error.text);
      free(delegate);
      return NULL;
    }
  }
  return &delegate->base;
}

EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* base) {
  Delegate* delegate = (Delegate*)base;
  if (delegate == NULL) return;
  // A garbage collector may destroy the delegate before the interpreter.
  pthread_mutex_lock(&lock);
  for (Kernel* kernel = delegate->first; kernel != NULL; kernel = kernel->next) {
    kernel->delegate = NULL;
  }
  pthread_mutex_unlock(&lock);
  thread_pool_destroy(delegate->pool);
  free(delegate);
}

// Of each stretch that the delegate executes, in the order of the graph, what describe_graph
// says, as a JSON list; times if it was created with profile=on. A stretch whose preparation
// failed is left out. NULL if there is no memory; free it with bcd_free. Not while an
// interpreter on it is prepared or runs.
EXPORT char* bcd_describe(const TfLiteDelegate* base) {
  Text text = {0};
  append(&text, "[");
  const Delegate* delegate = (const Delegate*)base;
  const char* separator = "";
  pthread_mutex_lock(&lock);
  for (const Kernel* kernel = delegate->first; kernel != NULL; kernel = kernel->next) {
    if (!kernel->graph.is_prepared) continue;
    append(&text, "%s", separator);
    separator = ", ";
    describe_graph(&kernel->graph, &text);
  }
  pthread_mutex_unlock(&lock);
  append(&text, "]");
  if (!text.failed) return text.data;
  free(text.data);
  return NULL;
}

EXPORT void bcd_free(char* text) { free(text); }

// What "auto" means on this machine, for reports.
EXPORT const char* bcd_fastest_kernels(void) { return find_kernels("auto")->name; }
