/* y = act(W x + bias) of one sample. A unit is a group of rows, and goes through the column
 * blocks in order. */
#include "cut.h"

/* Vectors in an average row of a block, from which on it is long. */
enum { LONG_VECTORS = 2 };

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    const real *values, *bias;
    int relu;
    int brief;
    const real *x;
    real *y;
    int64_t groups, taken;
} job;

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const snn_layout *w = j->w;
    for (int64_t group; (group = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = row_cut(w, group, j->groups);
        const int64_t end = row_cut(w, group + 1, j->groups);
        for (int64_t block = 0; block < w->n_blocks; block++) {
            const tile t = tile_at(w, j->values, block, begin, end - begin);
            j->k->spmv(&t, j->brief, block == 0, j->relu && block == w->n_blocks - 1,
                       j->x + block_start(w, block), j->bias ? j->bias + begin : NULL,
                       j->y + begin);
        }
    }
}

int SNN_REAL(snn_forward_vector)(const kernels *k, const snn_layout *w, const real *values,
                                 const real *bias, int relu, const real *x, int64_t ldx,
                                 real *y, int64_t ldy)
{
    const int copy_x = ldx != 1, copy_y = ldy != 1;
    const int threads = threads_for(w, 1);
    const int64_t segments = (int64_t)w->n_rows * w->n_blocks;
    job j = {.k = k, .w = w, .values = values, .bias = bias, .relu = relu, .x = x, .y = y,
             .brief = w->nnz < LONG_VECTORS * k->lanes * segments,
             .groups = groups_for(w->n_rows, 1, threads)};
    real *room = NULL;
    if (copy_x || copy_y) {
        room = snn_malloc(((size_t)w->n_cols + (size_t)w->n_rows) * sizeof(real));
        if (!room)
            return SNN_NO_MEMORY;
    }
    if (copy_x) {
        for (int64_t c = 0; c < w->n_cols; c++)
            room[c] = x[c * ldx];
        j.x = room;
    }
    if (copy_y)
        j.y = room + w->n_cols;
    snn_parallel(threads, task, &j);
    if (copy_y)
        for (int64_t i = 0; i < w->n_rows; i++)
            y[i * ldy] = j.y[i];
    snn_free(room);
    return SNN_OK;
}
