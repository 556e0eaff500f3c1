/* The backward products of one sample. A unit is a column block, which owns its dx and its
 * slots; with few blocks, the slots are units of their own, groups of rows. */
#include "cut.h"

#include <string.h>

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    const real *values, *dy, *x;
    real *dx, *dvalues;
    int64_t groups; /* of the rows of a block, as units of slots; 0: none */
    int64_t taken;
} job;

static void slots(const job *j, int64_t block, int64_t begin, int64_t end)
{
    const tile t = tile_at(j->w, NULL, block, begin, end - begin);
    j->k->outer(&t, j->dy + begin, j->x + block_start(j->w, block), j->dvalues);
}

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const snn_layout *w = j->w;
    const int64_t blocks = w->n_blocks;
    for (int64_t u; (u = snn_next_unit(&j->taken, blocks * (1 + j->groups))) >= 0;) {
        if (u >= blocks) {
            const int64_t group = u / blocks - 1;
            slots(j, u % blocks, row_cut(w, group, j->groups),
                  row_cut(w, group + 1, j->groups));
            continue;
        }
        if (j->dx) {
            const tile t = tile_at(w, j->values, u, 0, w->n_rows);
            const int64_t start = block_start(w, u);
            memset(j->dx + start, 0, (size_t)block_columns(w, u) * sizeof(real));
            j->k->spmv_t(&t, j->dy, j->dx + start);
        }
        if (j->dvalues && !j->groups)
            slots(j, u, 0, w->n_rows);
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
    const int threads = threads_for(w, 1);
    job j = {.k = k, .w = w, .values = values, .dvalues = dvalues};
    if (dvalues && w->n_blocks < 4 * threads)
        j.groups = threads > 1 ? groups_for(n_rows, w->n_blocks, threads) : 0;
    j.dy = contiguous(n_rows, dy, lddy, room);
    j.x = contiguous(n_cols, x, ldx, room + n_rows);
    j.dx = !dx || lddx == 1 ? dx : room + n_rows + n_cols;
    snn_parallel(threads, task, &j);
    if (j.dx != dx)
        for (int64_t c = 0; c < n_cols; c++)
            dx[c * lddx] = j.dx[c];
    snn_free(room);
    return SNN_OK;
}
