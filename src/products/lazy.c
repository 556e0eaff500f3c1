/* Lazy SGD: columns of W that a batch does not touch stay behind, and what the steps since
 * would have done to them is applied when they are next needed.
 *
 * A step without gradient is linear: (m, w) = M (m, w) for every connection, with one 2 x 2
 * matrix M for all of them, so that skipped steps are one product of matrices. Values are
 * stored by column; a unit owns a run of columns. */
#include <string.h>

#include "cut.h"

enum {
    PASS_WEIGHT = 4, /* memory-bound: one element weighs as many multiply-adds */
    AHEAD = 4        /* columns that are fetched ahead */
};

typedef struct lazy_job {
    const kernels *k;
    const snn_column_index *w;
    int32_t now;
    const double *power;
    int64_t n;
    const int32_t *columns; /* NULL: all */
    const int32_t *start;
    real lr, mu, weight_decay;
    int nesterov;
    const real *grad; /* NULL: no step */
    int32_t *last;
    real *momentum, *values;
    int64_t groups, taken;
} lazy_job;

static int64_t column_at(const lazy_job *j, int64_t u)
{
    return j->columns ? j->columns[u] : u;
}

static void fetch(const lazy_job *j, int64_t u)
{
    const int64_t c = column_at(j, u), slot = j->w->start[c], end = j->w->start[c + 1];
    for (int64_t e = slot; e < end; e += 64 / (int64_t)sizeof(real)) {
        __builtin_prefetch(j->values + e, 1);
        if (j->momentum)
            __builtin_prefetch(j->momentum + e, 1);
    }
}

static void lazy_task(void *context, int thread)
{
    (void)thread;
    lazy_job *j = context;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t end = cut(j->n, g + 1, j->groups);
        for (int64_t u = cut(j->n, g, j->groups); u < end; u++) {
            if (j->columns && u + AHEAD < end)
                fetch(j, u + AHEAD);
            const int64_t c = column_at(j, u), slot = j->w->start[c];
            const int64_t n = j->w->start[c + 1] - slot;
            real *m = j->momentum ? j->momentum + slot : NULL, *v = j->values + slot;
            const int32_t seen = j->last[c];
            if (seen >= 0 && seen < j->now) { /* again: the array may be in use elsewhere */
                const double *p = j->power + 4 * (int64_t)seen;
                const real power[4] = {(real)p[0], (real)p[1], (real)p[2], (real)p[3]};
                j->k->recur(n, power, m, v);
            }
            if (j->grad)
                j->k->sgd(n, j->lr, j->mu, j->weight_decay, j->nesterov,
                          j->grad + j->start[u], m, v);
            j->last[c] = j->now + (j->grad != NULL);
        }
    }
}

static int run(lazy_job *j)
{
    j->k = SNN_REAL(snn_active)();
    if (!j->k)
        return SNN_BAD_ARGUMENT;
    int64_t work = 0;
    for (int64_t u = 0; u < j->n; u++) {
        const int64_t c = column_at(j, u);
        if (j->last[c] < 0 || j->last[c] > j->now)
            return SNN_BAD_ARGUMENT;
        work += j->w->start[c + 1] - j->w->start[c];
    }
    const int threads = snn_threads_for((double)PASS_WEIGHT * (double)work);
    j->groups = groups_for(j->n, 1, threads);
    snn_parallel(threads, lazy_task, j);
    return SNN_OK;
}

int SNN_REAL(snn_lazy_catch_up)(const snn_column_index *w, int32_t now, const double *power,
                                int64_t n_columns, const int32_t *columns, int32_t *last,
                                real *momentum, real *values)
{
    lazy_job j = {.w = w, .now = now, .power = power, .n = n_columns, .columns = columns,
                  .last = last, .momentum = momentum, .values = values};
    return run(&j);
}

int SNN_REAL(snn_lazy_sgd)(const snn_column_index *w, int32_t now, const double *power,
                           int64_t n_columns, const int32_t *columns, const int32_t *start,
                           real lr, real mu, real weight_decay, int nesterov,
                           const real *grad, int32_t *last, real *momentum, real *values)
{
    lazy_job j = {.w = w, .now = now, .power = power, .n = n_columns, .columns = columns,
                  .start = start, .lr = lr, .mu = mu, .weight_decay = weight_decay,
                  .nesterov = nesterov, .grad = grad, .last = last, .momentum = momentum,
                  .values = values};
    return run(&j);
}

/* ------------------------------------------------------------------ dense gradients */

typedef struct spread_job {
    const snn_column_index *w;
    int64_t n;
    const int32_t *columns, *start;
    const real *values;
    int add;
    real *dense;
    int64_t groups, taken;
} spread_job;

/* Column u, and the zeros up to the next that is given. */
static void spread(const spread_job *j, int64_t u)
{
    const int32_t *slot = j->w->start;
    const int64_t c = j->columns[u], n = slot[c + 1] - slot[c];
    const real *from = j->values + j->start[u];
    real *to = j->dense + slot[c];
    if (j->add) {
        for (int64_t e = 0; e < n; e++)
            to[e] += from[e];
        return;
    }
    const int64_t next = slot[u + 1 < j->n ? j->columns[u + 1] : j->w->n_cols];
    memcpy(to, from, (size_t)n * sizeof(real));
    memset(to + n, 0, (size_t)(next - slot[c + 1]) * sizeof(real));
}

static void spread_task(void *context, int thread)
{
    (void)thread;
    spread_job *j = context;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;)
        for (int64_t u = cut(j->n, g, j->groups); u < cut(j->n, g + 1, j->groups); u++)
            spread(j, u);
}

void SNN_REAL(snn_spread_columns)(const snn_column_index *w, int64_t n_columns,
                                 const int32_t *columns, const int32_t *start,
                                 const real *values, int add, real *dense)
{
    const int64_t nnz = w->start[w->n_cols];
    spread_job j = {.w = w, .n = n_columns, .columns = columns, .start = start,
                    .values = values, .add = add, .dense = dense};
    if (!add) {
        const int64_t first = n_columns ? w->start[columns[0]] : nnz;
        memset(dense, 0, (size_t)first * sizeof(real));
    }
    const int threads = snn_threads_for((double)(add ? start[n_columns] : nnz));
    j.groups = groups_for(n_columns, 1, threads);
    snn_parallel(threads, spread_task, &j);
}
