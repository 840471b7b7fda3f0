// Plays the files that it is given in two threads at once: first on one delegate, on which both
// build their interpreters at the same time and whose threads they share, then each with
// delegates of its own. Built with the thread sanitizer by `make races`.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "target.h"

enum { kThreads = 2, kRounds = 6, kMaxSize = 1 << 20 };

typedef struct {
  char** paths;
  int count;
  pthread_barrier_t begin, end;
  TfLiteDelegate* shared;
} Files;

static size_t read_file(const char* path, uint8_t* data) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) abort();
  const size_t size = fread(data, 1, kMaxSize, file);
  fclose(file);
  return size;
}

static TfLiteDelegate* delegate_of(int round) {
  return create_delegate(
      (char*[]){"2", round % 3 == 0 ? "reference" : "auto", round % 2 ? "off" : "on"});
}

static void* play(void* argument) {
  Files* files = argument;
  uint8_t* data = malloc(kMaxSize);
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < files->count; ++i) {
      const size_t size = read_file(files->paths[i], data);
      const int is_last = pthread_barrier_wait(&files->begin) != 0;
      if (is_last) files->shared = delegate_of(round);
      pthread_barrier_wait(&files->end);
      run_file(data, size, files->shared, (Hooks){never_fails, pass});
      pthread_barrier_wait(&files->begin);
      if (is_last) destroy_delegate(files->shared);
      TfLiteDelegate* own = delegate_of(round);
      run_file(data, size, own, (Hooks){never_fails, describe});
      destroy_delegate(own);
    }
  }
  free(data);
  return NULL;
}

int main(int count, char** arguments) {
  pthread_t threads[kThreads];
  Files files = {.paths = arguments + 1, .count = count - 1};
  pthread_barrier_init(&files.begin, NULL, kThreads);
  pthread_barrier_init(&files.end, NULL, kThreads);
  for (int i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, play, &files);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  printf("%d files, %d times in each of %d threads\n", files.count, kRounds, kThreads);
  return 0;
}
