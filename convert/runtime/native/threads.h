// A pool of threads that share the pieces of one job.
#ifndef BCD_THREADS_H_
#define BCD_THREADS_H_

#include <stddef.h>

typedef struct ThreadPool ThreadPool;

// Each piece is computed once, by any thread and at any time, so a piece must not depend on
// another. `thread` is below the number of threads.
typedef void (*Piece)(void* job, size_t piece, int thread);

// `threads` counts the calling thread. Returns NULL if the system gives no memory or thread.
ThreadPool* thread_pool_create(int threads);
void thread_pool_destroy(ThreadPool* pool);
int thread_pool_size(const ThreadPool* pool);

// Where the share of a thread ends. Shares lie one after the other, and a thread takes from
// another's only when its own is done. So the same thread computes the same part of an image in
// one layer after the other, and finds in its cache what it wrote there.
size_t share_end(size_t pieces, int thread, int threads);

// Returns when all pieces are done. Two callers of one pool take turns. In a process that was
// forked from the pool's own the caller computes all of them, as it alone was copied.
void thread_pool_run(ThreadPool* pool, Piece piece, void* job, size_t pieces);

#endif  // BCD_THREADS_H_
