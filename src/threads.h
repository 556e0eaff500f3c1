/* Parallel regions: the only door to OpenMP. */
#ifndef SNN_THREADS_H
#define SNN_THREADS_H

#include <stdint.h>

/* Threads for that much work (multiply-adds): 1 when a region costs more than it saves. */
int snn_threads_for(double work);

/* Runs task(context, thread) for each thread 0 .. n_threads, this thread among them. */
void snn_parallel(int n_threads, void (*task)(void *context, int thread), void *context);

/* The next of n units, or -1: hands out work among the threads of one region. */
static inline int64_t snn_next_unit(int64_t *taken, int64_t n)
{
    const int64_t unit = __atomic_fetch_add(taken, 1, __ATOMIC_RELAXED);
    return unit < n ? unit : -1;
}

#endif
