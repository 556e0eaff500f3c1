/* The backward products of one sample: a unit is a column block, which owns its dx and its
 * slots. */
#include "cut.h"

#include <string.h>

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    const real *values, *dy, *x;
    real *dx, *dvalues;
    int64_t taken;
} job;

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const snn_layout *w = j->w;
    for (int64_t block; (block = snn_next_unit(&j->taken, w->n_blocks)) >= 0;) {
        const tile t = tile_at(w, j->values, block, 0, w->n_rows);
        const int64_t start = block_start(w, block);
        if (j->dx) {
            memset(j->dx + start, 0, (size_t)block_columns(w, block) * sizeof(real));
            j->k->spmv_t(&t, j->dy, j->dx + start);
        }
        if (j->dvalues)
            j->k->outer(&t, j->dy, j->x + start, j->dvalues);
    }
}

static const real *contiguous(int64_t n, const real *from, int64_t stride, real *room)
{
    if (!from || stride == 1)
        return from;
    for (int64_t i = 0; i < n; i++)
        room[i] = from[i * stride];
    return room;
}

int SNN_REAL(snn_backward_vector)(const kernels *k, const snn_layout *w, const real *values,
                                  const real *dy, int64_t lddy, const real *x, int64_t ldx,
                                  real *dx, int64_t lddx, real *dvalues)
{
    const int64_t n_rows = w->n_rows, n_cols = w->n_cols;
    real *room = snn_malloc((size_t)(n_rows + 2 * n_cols) * sizeof(real));
    if (!room)
        return SNN_NO_MEMORY;
    job j = {.k = k, .w = w, .values = values, .dvalues = dvalues};
    j.dy = contiguous(n_rows, dy, lddy, room);
    j.x = contiguous(n_cols, x, ldx, room + n_rows);
    j.dx = !dx || lddx == 1 ? dx : room + n_rows + n_cols;
    snn_parallel(threads_for(w, 1), task, &j);
    if (j.dx != dx)
        for (int64_t c = 0; c < n_cols; c++)
            dx[c * lddx] = j.dx[c];
    snn_free(room);
    return SNN_OK;
}
