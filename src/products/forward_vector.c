/* y = act(W x + bias) of a few samples, one after another. A unit is a group of rows, and
 * goes through the column blocks in order. */
#include "cut.h"

/* Vectors in an average row of a block, from which on it is long. */
enum { LONG_VECTORS = 2 };
/* Samples that take less time one by one than together in a vector of the batch; two of
 * short rows do not. */
enum { MOST_SAMPLES = 2 };
/* Bytes of a group's values: what the first sample has read, the next finds in a
 * second-level cache. */
static const int64_t GROUP_BYTES = 1 << 18;

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    int64_t batch;
    const real *values, *bias;
    int relu;
    int brief;
    const real *x; /* sample after sample */
    real *y;
    int64_t groups, taken;
} job;

static void one_sample(const job *j, int64_t sample, int64_t begin, int64_t end)
{
    const snn_layout *w = j->w;
    const real *x = j->x + sample * w->n_cols;
    real *y = j->y + sample * w->n_rows;
    for (int64_t block = 0; block < w->n_blocks; block++) {
        const tile t = tile_at(w, j->values, block, begin, end - begin);
        j->k->spmv(&t, j->brief, block == 0, j->relu && block == w->n_blocks - 1,
                   x + block_start(w, block), j->bias ? j->bias + begin : NULL, y + begin);
    }
}

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    for (int64_t group; (group = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = row_cut(j->w, group, j->groups);
        const int64_t end = row_cut(j->w, group + 1, j->groups);
        for (int64_t sample = 0; sample < j->batch; sample++)
            one_sample(j, sample, begin, end);
    }
}

static int is_brief(const kernels *k, const snn_layout *w)
{
    return w->nnz < LONG_VECTORS * (int64_t)k->lanes * w->n_rows * w->n_blocks;
}

int SNN_REAL(snn_suits_vector)(const kernels *k, const snn_layout *w, int64_t batch)
{
    return batch == 1 || (batch <= MOST_SAMPLES && !is_brief(k, w));
}

int SNN_REAL(snn_forward_vector)(const kernels *k, const snn_layout *w, int64_t batch,
                                 const real *values, const real *bias, int relu,
                                 const real *x, int64_t ldx, real *y, int64_t ldy)
{
    const int copy_x = ldx != 1, copy_y = ldy != 1;
    const int64_t n_cols = w->n_cols, n_rows = w->n_rows;
    const int threads = threads_for(w, batch);
    job j = {.k = k, .w = w, .batch = batch, .values = values, .bias = bias, .relu = relu,
             .x = x, .y = y, .brief = is_brief(k, w),
             .groups = groups_for(n_rows, 1, threads)};
    if (batch > 1)
        j.groups = max64(j.groups, w->nnz * (int64_t)sizeof(real) / GROUP_BYTES + 1);
    real *room = NULL;
    if (copy_x || copy_y) {
        room = snn_malloc((size_t)(n_cols + n_rows) * (size_t)batch * sizeof(real));
        if (!room)
            return SNN_NO_MEMORY;
    }
    if (copy_x) {
        for (int64_t c = 0; c < n_cols; c++)
            for (int64_t sample = 0; sample < batch; sample++)
                room[sample * n_cols + c] = x[c * ldx + sample];
        j.x = room;
    }
    if (copy_y)
        j.y = room + n_cols * batch;
    snn_parallel(threads, task, &j);
    if (copy_y)
        for (int64_t i = 0; i < n_rows; i++)
            for (int64_t sample = 0; sample < batch; sample++)
                y[i * ldy + sample] = j.y[sample * n_rows + i];
    snn_free(room);
    return SNN_OK;
}
