/* y = act(W x + bias): panels of samples times groups of rows over the threads. A unit
 * (panel, group) packs each column block of x and adds it to its rows of y, so that every
 * y is summed by one thread, block after block. */
#include "cut.h"

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    int64_t batch;
    const real *values, *bias;
    int relu;
    const real *x;
    int64_t ldx;
    real *y;
    int64_t ldy;

    int64_t panels, groups, taken;
    char *scratch;
    size_t scratch_each;
} job;

static void unit(const job *j, int64_t index, real *packed, real *chunk)
{
    const kernels *k = j->k;
    const snn_layout *w = j->w;
    const panel p = panel_at(k, j->batch, index % j->panels);
    const int64_t group = index / j->panels;
    const int64_t begin = row_cut(w->n_rows, group, j->groups);
    const int64_t end = row_cut(w->n_rows, group + 1, j->groups);
    real *y = j->y + p.start;

    for (int64_t block = 0; block < w->n_blocks; block++) {
        const int first = block == 0;
        const int relu = j->relu && block == w->n_blocks - 1;
        k->pack(block_columns(w, block), p.width, p.nv,
                j->x + block_start(w, block) * j->ldx + p.start, j->ldx, packed);
        if (!p.ragged) {
            const tile t = tile_at(w, j->values, block, begin, end - begin);
            k->spmm(&t, p.nv, first, relu, packed, j->bias ? j->bias + begin : NULL,
                    y + begin * j->ldy, j->ldy);
            continue;
        }
        for (int64_t row = begin; row < end; row += CHUNK) {
            const int64_t n = min64(CHUNK, end - row);
            const tile t = tile_at(w, j->values, block, row, n);
            if (!first)
                k->pack(n, p.width, p.nv, y + row * j->ldy, j->ldy, chunk);
            k->spmm(&t, p.nv, first, relu, packed, j->bias ? j->bias + row : NULL, chunk,
                    (int64_t)p.nv * k->lanes);
            k->unpack(n, p.width, p.nv, chunk, y + row * j->ldy, j->ldy);
        }
    }
}

static void task(void *context, int thread)
{
    job *j = context;
    real *chunk = (real *)(void *)(j->scratch + (size_t)thread * j->scratch_each);
    real *packed = chunk + CHUNK * panel_width(j->k);
    for (int64_t u; (u = snn_next_unit(&j->taken, j->panels * j->groups)) >= 0;)
        unit(j, u, packed, chunk);
}

/* One sample: groups of rows over the threads; x and y contiguous in scratch if they are
 * not. */
static void vector_task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const snn_layout *w = j->w;
    for (int64_t group; (group = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = row_cut(w->n_rows, group, j->groups);
        const int64_t end = row_cut(w->n_rows, group + 1, j->groups);
        for (int64_t block = 0; block < w->n_blocks; block++) {
            const tile t = tile_at(w, j->values, block, begin, end - begin);
            j->k->spmv(&t, block == 0, j->relu && block == w->n_blocks - 1,
                       j->x + block_start(w, block), j->bias ? j->bias + begin : NULL,
                       j->y + begin);
        }
    }
}

static int run_vector(job *j, int threads)
{
    const snn_layout *w = j->w;
    const int copy_x = j->ldx != 1, copy_y = j->ldy != 1;
    real *y = j->y;
    real *scratch = NULL;
    if (copy_x || copy_y) {
        scratch = snn_scratch_new(((size_t)w->n_cols + (size_t)w->n_rows) * sizeof(real));
        if (!scratch)
            return SNN_NO_MEMORY;
        if (copy_x) {
            for (int64_t c = 0; c < w->n_cols; c++)
                scratch[c] = j->x[c * j->ldx];
            j->x = scratch;
        }
        if (copy_y)
            j->y = scratch + w->n_cols;
    }
    j->groups = row_groups(w->n_rows, 1, threads);
    snn_parallel(threads, vector_task, j);
    if (copy_y)
        for (int64_t i = 0; i < w->n_rows; i++)
            y[i * j->ldy] = j->y[i];
    snn_scratch_free(scratch);
    return SNN_OK;
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
                       const real *bias, int activation, const real *x, int64_t ldx, real *y,
                       int64_t ldy)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k || (activation != SNN_IDENTITY && activation != SNN_RELU))
        return SNN_BAD_ARGUMENT;
    if (batch == 0 || w->n_rows == 0)
        return SNN_OK;
    job j = {.k = k, .w = w, .batch = batch, .values = values, .bias = bias,
             .relu = activation == SNN_RELU, .x = x, .ldx = ldx, .y = y, .ldy = ldy};
    if (w->n_blocks == 0) {
        only_bias(&j);
        return SNN_OK;
    }
    const int threads = snn_threads_for((double)w->nnz * (double)batch);
    if (batch == 1)
        return run_vector(&j, threads);

    j.panels = panel_count(k, batch);
    j.groups = row_groups(w->n_rows, j.panels, threads);
    const int64_t rows = CHUNK + min64(w->block_width, w->n_cols);
    j.scratch_each = aligned_bytes(rows * panel_width(k));
    j.scratch = snn_scratch_new(j.scratch_each * (size_t)threads);
    if (!j.scratch)
        return SNN_NO_MEMORY;
    snn_parallel(threads, task, &j);
    snn_scratch_free(j.scratch);
    return SNN_OK;
}
