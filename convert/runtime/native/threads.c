#include "threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "float_mode.h"

// A worker that has run out of pieces looks for the next job this many times before it sleeps.
// The operators of a network follow each other within microseconds, and waking a sleeping
// thread costs about as much as a small convolution.
enum { kSpins = 4000 };

// What two processors write at the same time lies this far apart: a line of their caches, and
// the neighbor that some of them fetch with it.
enum { kApart = 128 };

// The pieces that one thread takes first.
typedef struct {
  atomic_size_t next;
  size_t end;
  char apart[kApart];
} Share;

struct ThreadPool {
  int threads;
  pid_t process;  // the workers' own
  pthread_t* workers;
  pthread_mutex_t turn;  // held by the caller whose job is running
  pthread_mutex_t lock;  // guards sleeping and the condition variables
  pthread_cond_t posted;
  pthread_cond_t finished;
  int next_worker;
  atomic_uint generation;  // raised for every job, and once to stop
  atomic_bool stop;
  FloatMode mode;  // of the caller
  Piece piece;
  void* job;
  Share* shares;
  char apart[kApart];
  atomic_int busy;  // workers that have not yet finished the current job
};

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// The thread's own share, then what is left of the others'.
static void take_pieces(ThreadPool* pool, int thread) {
  for (int i = 0; i < pool->threads; ++i) {
    Share* share = &pool->shares[(thread + i) % pool->threads];
    for (;;) {
      const size_t piece = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
      if (piece >= share->end) break;
      pool->piece(pool->job, piece, thread);
    }
  }
}

static void* work(void* argument) {
  ThreadPool* pool = argument;
  pthread_mutex_lock(&pool->lock);
  const int thread = pool->next_worker++;
  pthread_mutex_unlock(&pool->lock);
  unsigned seen = 0;
  for (;;) {
    unsigned now = atomic_load_explicit(&pool->generation, memory_order_acquire);
    for (int spin = 0; now == seen && spin < kSpins; ++spin) {
      relax();
      now = atomic_load_explicit(&pool->generation, memory_order_acquire);
    }
    if (now == seen) {
      pthread_mutex_lock(&pool->lock);
      while ((now = atomic_load_explicit(&pool->generation, memory_order_acquire)) == seen) {
        pthread_cond_wait(&pool->posted, &pool->lock);
      }
      pthread_mutex_unlock(&pool->lock);
    }
    seen = now;
    if (atomic_load_explicit(&pool->stop, memory_order_acquire)) return NULL;
    set_float_mode(pool->mode);
    take_pieces(pool, thread);
    if (atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_acq_rel) == 1) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->finished);
      pthread_mutex_unlock(&pool->lock);
    }
  }
}

static void post(ThreadPool* pool) {
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
  pthread_cond_broadcast(&pool->posted);
  pthread_mutex_unlock(&pool->lock);
}

static void stop_workers(ThreadPool* pool, int started) {
  atomic_store_explicit(&pool->stop, true, memory_order_release);
  post(pool);
  for (int i = 0; i < started; ++i) pthread_join(pool->workers[i], NULL);
}

ThreadPool* thread_pool_create(int threads) {
  ThreadPool* pool = calloc(1, sizeof(*pool));
  if (pool == NULL) return NULL;
  pool->threads = threads;
  pool->process = getpid();
  pool->next_worker = 1;
  pool->workers = calloc((size_t)threads, sizeof(*pool->workers));
  pool->shares = calloc((size_t)threads, sizeof(*pool->shares));
  pthread_mutex_init(&pool->turn, NULL);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->posted, NULL);
  pthread_cond_init(&pool->finished, NULL);
  int started = 0;
  if (pool->workers != NULL && pool->shares != NULL) {
    while (started < threads - 1 &&
           pthread_create(&pool->workers[started], NULL, work, pool) == 0) {
      ++started;
    }
  }
  if (pool->workers == NULL || pool->shares == NULL || started < threads - 1) {
    stop_workers(pool, started);
    pool->threads = 1;
    thread_pool_destroy(pool);
    return NULL;
  }
  return pool;
}

// A forked process has none of the workers, and perhaps a lock that one of them held.
static bool has_workers(const ThreadPool* pool) {
  return pool->threads > 1 && pool->process == getpid();
}

static void free_memory(ThreadPool* pool) {
  free(pool->workers);
  free(pool->shares);
  free(pool);
}

void thread_pool_destroy(ThreadPool* pool) {
  if (pool == NULL) return;
  if (pool->process != getpid()) {
    free_memory(pool);
    return;
  }
  if (pool->threads > 1) stop_workers(pool, pool->threads - 1);
  pthread_cond_destroy(&pool->finished);
  pthread_cond_destroy(&pool->posted);
  pthread_mutex_destroy(&pool->lock);
  pthread_mutex_destroy(&pool->turn);
  free_memory(pool);
}

size_t share_end(size_t pieces, int thread, int threads) {
  const size_t each = pieces / (size_t)threads, rest = pieces % (size_t)threads;
  return each * (size_t)(thread + 1) + rest * (size_t)(thread + 1) / (size_t)threads;
}

int thread_pool_size(const ThreadPool* pool) { return pool->threads; }

void thread_pool_run(ThreadPool* pool, Piece piece, void* job, size_t pieces) {
  if (pieces <= 1 || !has_workers(pool)) {
    for (size_t i = 0; i < pieces; ++i) piece(job, i, 0);
    return;
  }
  pthread_mutex_lock(&pool->turn);
  pool->mode = float_mode();
  pool->piece = piece;
  pool->job = job;
  size_t first = 0;
  for (int i = 0; i < pool->threads; ++i) {
    Share* share = &pool->shares[i];
    atomic_store_explicit(&share->next, first, memory_order_relaxed);
    share->end = first = share_end(pieces, i, pool->threads);
  }
  atomic_store_explicit(&pool->busy, pool->threads - 1, memory_order_relaxed);
  post(pool);
  take_pieces(pool, 0);
  for (int spin = 0; spin < kSpins; ++spin) {
    if (atomic_load_explicit(&pool->busy, memory_order_acquire) == 0) break;
    relax();
  }
  pthread_mutex_lock(&pool->lock);
  while (atomic_load_explicit(&pool->busy, memory_order_acquire) != 0) {
    pthread_cond_wait(&pool->finished, &pool->lock);
  }
  pthread_mutex_unlock(&pool->lock);
  pthread_mutex_unlock(&pool->turn);
}
