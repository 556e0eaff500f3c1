/* Candidates in a tile of scores: of the products of a factor with weights that are drawn
 * on the way, those above a threshold. A thread owns groups of rows and compresses each in
 * its place while the cache holds it; then the rows move together. */
#include <string.h>

#include "cut.h"
#include "virtual.h"

enum { CHUNK = 1024 }; /* columns; a multiple of 64 */

/* Work per entry, in multiply-adds of a product. */
static const double ENTRY_WEIGHT = 4, DRAW_WEIGHT = 24;

typedef struct job {
    const kernels *k;
    const SNN_REAL(snn_virtual) *w; /* or NULL */
    int kind;
    int64_t row, column, n_rows, n_cols;
    real threshold;
    real *tile;
    int32_t *columns, *counts;
    int64_t groups, taken;
    int wrong;
} job;

/* NaN, which is above nothing, where the mask's bits are 0. */
static void leave_out_dead(const job *j, int64_t row, int64_t begin, int64_t n, real *x)
{
    const uint64_t *words =
        j->w->mask + (j->row + row) * j->w->words + (j->column + begin) / 64;
    for (int64_t i = 0; i < n; i += 64) {
        uint64_t dead = ~words[i / 64];
        if (n - i < 64)
            dead &= ((uint64_t)1 << (n - i)) - 1;
        for (; dead; dead &= dead - 1)
            x[i + __builtin_ctzll(dead)] = (real)__builtin_nan("");
    }
}

static int score(const job *j, int64_t row)
{
    const SNN_REAL(snn_virtual) *s = j->w;
    int finite = 1;
    real w[CHUNK];
    for (int64_t begin = 0; begin < j->n_cols; begin += CHUNK) {
        const int64_t n = min64(CHUNK, j->n_cols - begin);
        real *x = j->tile + row * j->n_cols + begin;
        if (s)
            draw_law(j->k, &s->stream, s->law, s->scale,
                     (j->row + row) * s->n_cols + j->column + begin, NULL, n, w);
        finite &= j->k->score(n, j->kind, s ? w : NULL, x);
        if (s && s->mask)
            leave_out_dead(j, row, begin, n, x);
    }
    return finite;
}

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    int finite = 1;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t end = cut(j->n_rows, g + 1, j->groups);
        for (int64_t i = cut(j->n_rows, g, j->groups); i < end; i++) {
            finite &= score(j, i);
            j->counts[i] = (int32_t)j->k->above(j->n_cols, j->threshold, 0,
                                                j->tile + i * j->n_cols,
                                                j->columns + i * j->n_cols);
        }
    }
    if (!finite)
        __atomic_store_n(&j->wrong, 1, __ATOMIC_RELAXED);
}

int SNN_REAL(snn_score_above)(const SNN_REAL(snn_virtual) *w, int kind, int64_t row,
                              int64_t column, int64_t n_rows, int64_t n_cols,
                              real threshold, real *scores, int32_t *columns,
                              int32_t *counts, int64_t *total, int *finite)
{
    job j = {.k = SNN_REAL(snn_active)(), .w = w, .kind = kind, .row = row,
             .column = column, .n_rows = n_rows, .n_cols = n_cols,
             .threshold = threshold, .tile = scores, .columns = columns, .counts = counts};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    const double weight = w ? DRAW_WEIGHT : ENTRY_WEIGHT;
    const int threads = snn_threads_for(weight * (double)n_rows * (double)n_cols);
    j.groups = groups_for(n_rows, 1, threads);
    snn_parallel(threads, task, &j);
    *total = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        memmove(scores + *total, scores + i * n_cols, (size_t)counts[i] * sizeof *scores);
        memmove(columns + *total, columns + i * n_cols,
                (size_t)counts[i] * sizeof *columns);
        *total += counts[i];
    }
    *finite = !j.wrong;
    return SNN_OK;
}
