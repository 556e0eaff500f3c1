/* How many threads, and running them.
 *
 * The number is the value set, else OMP_NUM_THREADS, else the processors that this process
 * may run on, bounded by the CPU quota of its control group. */
#if defined(__linux__)
#define _GNU_SOURCE
#include <sched.h>
#endif

#include "threads.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "sparsenn.h"

/* A region costs some microseconds, which is this many multiply-adds. */
static const double WORK_PER_THREAD = 2e5;

static int chosen; /* by snn_set_num_threads, 0: none */
static int forked; /* this process is a fork: the threads stayed with its parent */

#ifdef _OPENMP

/* Of more threads than these and the processors a product takes no notice: the run time
 * ends the process when the system refuses it one. */
enum { THREADS_WITHOUT_PROCESSORS = 64 };

static int usual_count; /* cached default, 0: not yet looked up */
static int most_count;  /* cached bound, the same */

static int env_threads(void)
{
    const char *text = getenv("OMP_NUM_THREADS");
    const long n = text ? strtol(text, NULL, 10) : 0;
    return n >= 1 && n <= 4096 ? (int)n : 0;
}

static int processors(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    return omp_get_num_procs();
}

/* Processors that the control group's quota is worth, rounded up; 0 if none is set. */
static int quota(void)
{
    double limit = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r"); /* version 2 */
    if (f) {
        if (fscanf(f, "%lf %lf", &limit, &period) != 2) /* "max": no limit */
            limit = 0;
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {
        if (fscanf(f, "%lf", &limit) != 1)
            limit = 0;
        fclose(f);
        if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r"))) {
            if (fscanf(f, "%lf", &period) != 1)
                period = 0;
            fclose(f);
        }
    }
    if (limit <= 0 || period <= 0)
        return 0;
    const double n = limit / period;
    return n < 1 ? 1 : n > 4096 ? 4096 : (int)n + (n > (int)n);
}

static int usual(void)
{
    int n = __atomic_load_n(&usual_count, __ATOMIC_RELAXED);
    if (n == 0) {
        n = env_threads();
        if (n == 0) {
            const int limit = quota();
            n = processors();
            if (limit && limit < n)
                n = limit;
        }
        __atomic_store_n(&usual_count, n, __ATOMIC_RELAXED);
    }
    return n;
}

static int most(void)
{
    int n = __atomic_load_n(&most_count, __ATOMIC_RELAXED);
    if (n == 0) {
        n = processors();
        if (n < THREADS_WITHOUT_PROCESSORS)
            n = THREADS_WITHOUT_PROCESSORS;
        __atomic_store_n(&most_count, n, __ATOMIC_RELAXED);
    }
    return n;
}

int snn_has_openmp(void) { return 1; }

int snn_get_num_threads(void)
{
    if (__atomic_load_n(&forked, __ATOMIC_RELAXED))
        return 1;
    const int n = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    return n ? n : usual();
}

#if defined(__linux__)

enum { CPU_WORDS = CPU_SETSIZE / 64 };

/* Moves this thread if another of its region is on the same processor and one is free. The
 * system wakes a sleeping thread beside the one that woke it, and regions are so short that
 * it may take seconds to notice: two threads then share one processor, and the other one
 * is idle. The set of processors that the thread may run on stays as it was. */
static void spread(uint64_t *taken)
{
    const int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    const uint64_t bit = (uint64_t)1 << cpu % 64;
    if (!(__atomic_fetch_or(&taken[cpu / 64], bit, __ATOMIC_RELAXED) & bit))
        return;
    cpu_set_t allowed, free;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    free = allowed;
    for (int c = 0; c < CPU_SETSIZE; c++)
        if (__atomic_load_n(&taken[c / 64], __ATOMIC_RELAXED) >> c % 64 & 1)
            CPU_CLR(c, &free);
    if (CPU_COUNT(&free) > 0 && sched_setaffinity(0, sizeof free, &free) == 0)
        sched_setaffinity(0, sizeof allowed, &allowed);
}

#else

enum { CPU_WORDS = 1 };

static void spread(uint64_t *taken) { (void)taken; }

#endif

void snn_parallel(int n_threads, void (*task)(void *context, int thread), void *context)
{
    if (n_threads <= 1) { /* no region at all: safe in a forked child */
        task(context, 0);
        return;
    }
    uint64_t processors[CPU_WORDS] = {0};
#pragma omp parallel num_threads(n_threads)
    {
        spread(processors);
        task(context, omp_get_thread_num());
    }
}

#else

static int most(void) { return 1; }

int snn_has_openmp(void) { return 0; }

int snn_get_num_threads(void) { return 1; }

void snn_parallel(int n_threads, void (*task)(void *context, int thread), void *context)
{
    (void)n_threads;
    task(context, 0);
}

#endif

void snn_set_num_threads(int n)
{
    __atomic_store_n(&chosen, n < 1 ? 0 : n, __ATOMIC_RELAXED);
}

void snn_after_fork_in_child(void) { __atomic_store_n(&forked, 1, __ATOMIC_RELAXED); }

int snn_threads_for(double work)
{
    const int wanted = snn_get_num_threads(), n = wanted < most() ? wanted : most();
    const double useful = work / WORK_PER_THREAD;
    return useful < 2 ? 1 : useful < n ? (int)useful : n;
}
