/* Candidates for growth in rows of a dense gradient: what lies outside the pattern and
 * above a threshold in magnitude. A thread owns groups of rows and compresses each in its
 * place while the cache holds it; then the rows move together. */
#include <string.h>

#include "../structure/columns.h"
#include "cut.h"

/* Work per entry, in multiply-adds of a product. */
static const double ENTRY_WEIGHT = 4;

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    int64_t first_row, n_rows;
    real threshold;
    real *tile;
    int32_t *columns; /* of the tile's shape */
    int32_t *counts;
    int64_t groups, taken;
} job;

/* NaN is above nothing. */
static void leave_out_active(const job *j, int64_t begin, int64_t end)
{
    const snn_layout *w = j->w;
    for (int64_t b = 0; b < w->n_blocks; b++) {
        const int32_t *indptr = w->indptr + b * w->n_rows + j->first_row;
        for (int64_t i = begin; i < end; i++) {
            real *row = j->tile + i * w->n_cols + b * w->block_width;
            for (int64_t k = indptr[i]; k < indptr[i + 1]; k++)
                row[get_column(w->columns, w->index_bytes, k)] = (real)__builtin_nan("");
        }
    }
}

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const int64_t n_cols = j->w->n_cols;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = cut(j->n_rows, g, j->groups);
        const int64_t end = cut(j->n_rows, g + 1, j->groups);
        leave_out_active(j, begin, end);
        for (int64_t i = begin; i < end; i++)
            j->counts[i] = (int32_t)j->k->above(n_cols, j->threshold, 1,
                                                j->tile + i * n_cols,
                                                j->columns + i * n_cols);
    }
}

int SNN_REAL(snn_above_outside)(const snn_layout *w, int64_t first_row, int64_t n_rows,
                                real threshold, real *rows, int32_t *columns,
                                int32_t *counts, int64_t *total)
{
    job j = {.k = SNN_REAL(snn_active)(), .w = w, .first_row = first_row, .n_rows = n_rows,
             .threshold = threshold, .tile = rows, .columns = columns, .counts = counts};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    const int threads = snn_threads_for(ENTRY_WEIGHT * (double)n_rows * (double)w->n_cols);
    j.groups = groups_for(n_rows, 1, threads);
    snn_parallel(threads, task, &j);
    *total = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        memmove(rows + *total, rows + i * w->n_cols, (size_t)counts[i] * sizeof *rows);
        memmove(columns + *total, columns + i * w->n_cols,
                (size_t)counts[i] * sizeof *columns);
        *total += counts[i];
    }
    return SNN_OK;
}
