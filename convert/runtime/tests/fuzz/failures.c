// Runs the files that it is given once for each of the allocations that the library makes for
// them, and lets that one fail: memory, threads, and what the runtime is asked for. Whatever
// the library does then, it must not touch what is not there, nor leave anything behind, and
// the file has to run once there is memory again. Built with the sanitizers by `make sanitize`.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target.h"

enum { kMaxSize = 1 << 20, kNone = -1 };

// Only the thread that plays the runtime allocates.
static int allocations, failing = kNone;

static int fails(void) { return allocations++ == failing; }

void* failing_malloc(size_t bytes) { return fails() ? NULL : malloc(bytes); }

void* failing_calloc(size_t count, size_t bytes) {
  return fails() ? NULL : calloc(count, bytes);
}

void* failing_realloc(void* old, size_t bytes) { return fails() ? NULL : realloc(old, bytes); }

int failing_posix_memalign(void** result, size_t alignment, size_t bytes) {
  return fails() ? ENOMEM : posix_memalign(result, alignment, bytes);
}

int failing_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                           void* (*start)(void*), void* argument) {
  return fails() ? EAGAIN : pthread_create(thread, attributes, start, argument);
}

static void run_with_failure(const uint8_t* data, size_t size, char* options[3], int which) {
  allocations = 0;
  failing = which;
  TfLiteDelegate* delegate = create_delegate(options);
  if (delegate == NULL) return;
  run_file(data, size, delegate, (Hooks){fails, describe});
  destroy_delegate(delegate);
}

int main(int count, char** arguments) {
  static char* const kOptions[][3] = {{"1", "auto", "on"},  {"2", "auto", "on"},
                                      {"1", "auto", "off"}, {"1", "avx512bw", "on"},
                                      {"1", "avx2", "on"},  {"1", "reference", "off"}};
  uint8_t* data = malloc(kMaxSize);
  long runs = 0;
  for (int i = 1; i < count; ++i) {
    FILE* file = fopen(arguments[i], "rb");
    if (file == NULL) abort();
    const size_t size = fread(data, 1, kMaxSize, file);
    fclose(file);
    for (size_t k = 0; k < sizeof(kOptions) / sizeof(kOptions[0]); ++k) {
      char* options[3];
      memcpy(options, kOptions[k], sizeof(options));
      run_with_failure(data, size, options, kNone);
      const int all = allocations;
      for (int which = 0; which < all; ++which, ++runs) {
        run_with_failure(data, size, options, which);
      }
    }
  }
  free(data);
  printf("%ld failures in %d files\n", runs, count - 1);
  return runs == 0;
}
