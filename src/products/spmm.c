/* y = act(W x + bias). A unit (panel of the batch, group of rows) goes through the column
 * blocks in order, so that every y is summed by one thread, block after block. */
#include "cut.h"

#include <string.h>

/* Bytes of y that a unit adds to, block after block: they stay in a second-level cache. */
static const int64_t GROUP_BYTES = 2 << 20;
/* From so many additions to a y on, it pays to have y in one piece. */
enum { MANY_BLOCKS = 16 };

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    int64_t batch;
    const real *values, *bias;
    int relu;
    gathered x;
    real *y;
    int64_t ldy;
    int64_t panels, groups, taken;
    real *own_y; /* scratch_rows x panel width for each thread, or NULL */
    int64_t scratch_rows;
} job;

/* Rows begin .. end of a panel, block after block. */
static void panel_rows(const job *j, panel p, int64_t begin, int64_t end, real *y,
                       int64_t ldy)
{
    const kernels *k = j->k;
    const snn_layout *w = j->w;
    for (int64_t block = 0; block < w->n_blocks; block++) {
        const tile t = tile_at(w, j->values, block, begin, end - begin);
        k->spmm(&t, p.nv, p.last, block == 0, j->relu && block == w->n_blocks - 1,
                gathered_at(&j->x, k, p, block_start(w, block)),
                gathered_ld(&j->x, k, p), j->bias ? j->bias + begin : NULL, y, ldy);
    }
}

static void task(void *context, int thread)
{
    job *j = context;
    const int64_t width = panel_width(j->k);
    real *own = j->own_y ? j->own_y + thread * j->scratch_rows * width : NULL;
    for (int64_t u; (u = snn_next_unit(&j->taken, j->panels * j->groups)) >= 0;) {
        const panel p = panel_at(j->k, j->batch, u % j->panels);
        const int64_t begin = cut(j->w->n_rows, u / j->panels, j->groups);
        const int64_t end = cut(j->w->n_rows, u / j->panels + 1, j->groups);
        real *y = j->y + begin * j->ldy + p.start;
        if (!own) {
            panel_rows(j, p, begin, end, y, j->ldy);
            continue;
        }
        panel_rows(j, p, begin, end, own, width);
        for (int64_t i = 0; i < end - begin; i++)
            memcpy(y + i * j->ldy, own + i * width, (size_t)p.width * sizeof(real));
    }
}

/* Rows of a panel that lie apart would fall into a few sets of the cache when they are
 * added to again and again: then each thread has a panel of its own. */
static int make_own_y(job *j, int threads)
{
    if (j->ldy <= panel_width(j->k) || j->w->n_blocks < MANY_BLOCKS)
        return SNN_OK;
    j->scratch_rows = (j->w->n_rows + j->groups - 1) / j->groups;
    j->own_y = snn_malloc(sizeof(real) * (size_t)j->scratch_rows *
                          (size_t)panel_width(j->k) * (size_t)threads);
    return j->own_y ? SNN_OK : SNN_NO_MEMORY;
}

/* No columns: y = act(bias). */
static void only_bias(const job *j)
{
    for (int64_t i = 0; i < j->w->n_rows; i++) {
        const real a = j->bias ? j->bias[i] : 0;
        for (int64_t b = 0; b < j->batch; b++)
            j->y[i * j->ldy + b] = j->relu && a < 0 ? 0 : a;
    }
}

int SNN_REAL(snn_spmm)(const snn_layout *w, int64_t batch, const real *values,
                       const real *bias, int activation, const real *x, int64_t ldx,
                       real *y, int64_t ldy)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k || (activation != SNN_IDENTITY && activation != SNN_RELU))
        return SNN_BAD_ARGUMENT;
    if (batch == 0 || w->n_rows == 0)
        return SNN_OK;
    job j = {.k = k, .w = w, .batch = batch, .values = values, .bias = bias,
             .relu = activation == SNN_RELU, .y = y, .ldy = ldy};
    if (w->n_blocks == 0) {
        only_bias(&j);
        return SNN_OK;
    }
    if (SNN_REAL(snn_suits_vector)(k, w, batch))
        return SNN_REAL(snn_forward_vector)(k, w, batch, values, bias, j.relu, x, ldx, y,
                                            ldy);
    const int threads = threads_for(w, batch);

    int status = SNN_REAL(snn_gather)(k, w->n_cols, batch, w->nnz, x, ldx, threads, &j.x);
    if (status != SNN_OK)
        return status;
    j.panels = panel_count(k, batch);
    j.groups = groups_for(w->n_rows, j.panels, threads);
    if (w->n_blocks > 1) {
        const int64_t rows = GROUP_BYTES / (panel_width(k) * (int64_t)sizeof(real));
        j.groups = max64(j.groups, (w->n_rows + rows - 1) / rows);
    }
    status = make_own_y(&j, threads);
    if (status == SNN_OK)
        snn_parallel(threads, task, &j);
    snn_free(j.own_y);
    snn_free(j.x.scratch);
    return status;
}
