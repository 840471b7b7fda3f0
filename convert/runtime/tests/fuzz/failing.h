// Included before every source of the library by `make sanitize`, so that failures.c decides
// which of its allocations fail.
#ifndef BCD_FAILING_H_
#define BCD_FAILING_H_

#include <pthread.h>
#include <stdlib.h>

void* failing_malloc(size_t bytes);
void* failing_calloc(size_t count, size_t bytes);
void* failing_realloc(void* old, size_t bytes);
int failing_posix_memalign(void** result, size_t alignment, size_t bytes);
int failing_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                           void* (*start)(void*), void* argument);

#define malloc failing_malloc
#define calloc failing_calloc
#define realloc failing_realloc
#define posix_memalign failing_posix_memalign
#define pthread_create failing_pthread_create

#endif  // BCD_FAILING_H_
