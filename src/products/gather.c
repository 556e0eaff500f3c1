/* Activations for gathering: the caller's array, or a packed copy. */
#include "cut.h"

/* Reads of a feature that pay for its copy. */
enum { FEW = 4 };

typedef struct job {
    const kernels *k;
    int64_t n, batch;
    const real *x;
    int64_t ldx;
    real *packed;
    int64_t groups, taken;
} job;

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const kernels *k = j->k;
    const int64_t units = panel_count(k, j->batch) * j->groups;
    for (int64_t u; (u = snn_next_unit(&j->taken, units)) >= 0;) {
        const panel p = panel_at(k, j->batch, u / j->groups);
        const int64_t begin = cut(j->n, u % j->groups, j->groups);
        const int64_t end = cut(j->n, u % j->groups + 1, j->groups);
        k->pack(end - begin, p.nv, p.last, j->x + begin * j->ldx + p.start, j->ldx,
                j->packed + p.start * j->n + begin * p.nv * k->lanes);
    }
}

/* Rows that are whole, aligned vectors can stay where they are, unless they lie so far
 * apart that a panel of them would fall into a few sets of the cache. A copy does not pay
 * either where a feature is read but a few times. */
static int usable(const kernels *k, int64_t n, int64_t batch, int64_t reads, const real *x,
                  int64_t ldx)
{
    const size_t vector = (size_t)k->lanes * sizeof(real);
    return batch % k->lanes == 0 &&
           (reads < FEW * n ||
            ((uintptr_t)x % vector == 0 && (size_t)ldx * sizeof(real) % vector == 0 &&
             ldx <= 2 * panel_width(k)));
}

int SNN_REAL(snn_gather)(const kernels *k, int64_t n, int64_t batch, int64_t reads,
                         const real *x, int64_t ldx, int threads, gathered *out)
{
    if (usable(k, n, batch, reads, x, ldx)) {
        *out = (gathered){.base = x, .ld = ldx, .sample = 1};
        return SNN_OK;
    }
    const int64_t panels = panel_count(k, batch);
    job j = {.k = k, .n = n, .batch = batch, .x = x, .ldx = ldx,
             .groups = groups_for(n, panels, threads)};
    const int64_t samples = (batch + k->lanes - 1) / k->lanes * k->lanes;
    j.packed = snn_malloc((size_t)n * (size_t)samples * sizeof(real));
    if (!j.packed)
        return SNN_NO_MEMORY;
    snn_parallel(threads, task, &j);
    *out = (gathered){.base = j.packed, .sample = n, .scratch = j.packed};
    return SNN_OK;
}
