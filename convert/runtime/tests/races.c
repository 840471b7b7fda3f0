// Plays the files that it is given in two threads at once, each with delegates of its own that
// have threads of their own. Built with the thread sanitizer by `make races`.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void run_file(const uint8_t* data, size_t size, char* options[3]);

enum { kThreads = 2, kRounds = 6, kMaxSize = 1 << 20 };

typedef struct {
  char** paths;
  int count;
} Files;

static void* play(void* argument) {
  const Files* files = argument;
  uint8_t* data = malloc(kMaxSize);
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < files->count; ++i) {
      FILE* file = fopen(files->paths[i], "rb");
      if (file == NULL) abort();
      const size_t size = fread(data, 1, kMaxSize, file);
      fclose(file);
      run_file(data, size,
               (char*[]){"2", round % 3 == 0 ? "reference" : "auto", round % 2 ? "off" : "on"});
    }
  }
  free(data);
  return NULL;
}

int main(int count, char** arguments) {
  pthread_t threads[kThreads];
  Files files = {arguments + 1, count - 1};
  for (int i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, play, &files);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  printf("%d files, %d times in each of %d threads\n", files.count, kRounds, kThreads);
  return 0;
}
