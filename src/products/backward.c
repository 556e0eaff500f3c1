/* dx = W^T dy and dvalues = sddmm(dy, x).
 *
 *   dx:      a unit (column block, panel) owns the block's dx and takes all rows in order
 *   dvalues: a unit (column block, group of rows) owns its slots and takes all panels in
 *            order
 *   both:    a unit (column block) does both in one pass
 *
 * In each, an output is summed by one thread in the same order, so the bits agree. */
#include "cut.h"

#include <string.h>

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    int64_t batch;
    const real *values;
    const real *dy;
    int64_t lddy;
    const real *x; /* NULL: no dvalues */
    int64_t ldx;
    real *dx; /* NULL: no dx */
    int64_t lddx;
    real *dvalues;

    int64_t panels, groups, units, taken;
    char *scratch;
    size_t scratch_each;
} job;

typedef struct buffers {
    real *chunk, *x, *dx;
} buffers;

static buffers buffers_of(const job *j, int thread)
{
    const int64_t width = panel_width(j->k);
    const int64_t columns = min64(j->w->block_width, j->w->n_cols);
    buffers s;
    s.chunk = (real *)(void *)(j->scratch + (size_t)thread * j->scratch_each);
    s.x = s.chunk + CHUNK * width;
    s.dx = s.x + (j->x ? columns * width : 0);
    return s;
}

/* One tile: rows begin .. end of a block, one panel. */
static void pass(const job *j, const buffers *s, int64_t block, int64_t begin, int64_t end,
                 panel p, int first)
{
    const kernels *k = j->k;
    const int64_t step = p.ragged ? CHUNK : end - begin;
    for (int64_t row = begin; row < end; row += step) {
        const int64_t n = min64(step, end - row);
        const tile t = tile_at(j->w, j->values, block, row, n);
        const real *dy = j->dy + row * j->lddy + p.start;
        int64_t lddy = j->lddy;
        if (p.ragged) {
            k->pack(n, p.width, p.nv, dy, lddy, s->chunk);
            dy = s->chunk;
            lddy = (int64_t)p.nv * k->lanes;
        }
        if (j->dx && j->x)
            k->backward(&t, p.nv, first, dy, lddy, s->x, s->dx, j->dvalues);
        else if (j->dx)
            k->spmm_t(&t, p.nv, dy, lddy, s->dx);
        else
            k->sddmm(&t, p.nv, first, dy, lddy, s->x, j->dvalues);
    }
}

static void block_panel(const job *j, const buffers *s, int64_t block, int64_t begin,
                        int64_t end, int64_t index)
{
    const kernels *k = j->k;
    const panel p = panel_at(k, j->batch, index);
    const int64_t columns = block_columns(j->w, block);
    const int64_t start = block_start(j->w, block);
    if (j->x)
        k->pack(columns, p.width, p.nv, j->x + start * j->ldx + p.start, j->ldx, s->x);
    if (j->dx)
        memset(s->dx, 0, (size_t)(columns * p.nv * k->lanes) * sizeof(real));
    pass(j, s, block, begin, end, p, index == 0);
    if (j->dx)
        k->unpack(columns, p.width, p.nv, s->dx, j->dx + start * j->lddx + p.start, j->lddx);
}

static void task(void *context, int thread)
{
    job *j = context;
    const int64_t n_rows = j->w->n_rows;
    const buffers s = buffers_of(j, thread);
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        if (!j->x) {
            block_panel(j, &s, u / j->panels, 0, n_rows, u % j->panels);
            continue;
        }
        const int64_t block = u / j->groups, group = u % j->groups;
        const int64_t begin = row_cut(n_rows, group, j->groups);
        const int64_t end = row_cut(n_rows, group + 1, j->groups);
        for (int64_t p = 0; p < j->panels; p++)
            block_panel(j, &s, block, begin, end, p);
    }
}

/* One sample. */
static void vector_task(void *context, int thread)
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
        if (j->x)
            j->k->outer(&t, j->dy, j->x + start, j->dvalues);
    }
}

static void gather(int64_t n, const real *from, int64_t stride, real *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i * stride];
}

static int run_vector(job *j, int threads)
{
    const snn_layout *w = j->w;
    real *dx = j->dx;
    const int64_t n_rows = w->n_rows, n_cols = w->n_cols;
    real *scratch = snn_scratch_new((size_t)(n_rows + 2 * n_cols) * sizeof(real));
    if (!scratch)
        return SNN_NO_MEMORY;
    if (j->lddy != 1) {
        gather(n_rows, j->dy, j->lddy, scratch);
        j->dy = scratch;
    }
    if (j->x && j->ldx != 1) {
        gather(n_cols, j->x, j->ldx, scratch + n_rows);
        j->x = scratch + n_rows;
    }
    if (dx && j->lddx != 1)
        j->dx = scratch + n_rows + n_cols;
    snn_parallel(threads, vector_task, j);
    if (dx != j->dx)
        for (int64_t c = 0; c < n_cols; c++)
            dx[c * j->lddx] = j->dx[c];
    snn_scratch_free(scratch);
    return SNN_OK;
}

static int run(job *j, int threads)
{
    const snn_layout *w = j->w;
    if (j->batch == 1)
        return run_vector(j, threads);
    j->panels = panel_count(j->k, j->batch);
    j->groups = j->dx ? 1 : row_groups(w->n_rows, w->n_blocks, threads);
    j->units = w->n_blocks * (j->x ? j->groups : j->panels);
    const int64_t columns = min64(w->block_width, w->n_cols);
    const int64_t rows = CHUNK + columns * ((j->x != NULL) + (j->dx != NULL));
    j->scratch_each = aligned_bytes(rows * panel_width(j->k));
    j->scratch = snn_scratch_new(j->scratch_each * (size_t)threads);
    if (!j->scratch)
        return SNN_NO_MEMORY;
    snn_parallel(threads, task, j);
    snn_scratch_free(j->scratch);
    return SNN_OK;
}

static int threads_for(const snn_layout *w, int64_t batch)
{
    return snn_threads_for((double)w->nnz * (double)batch);
}

int SNN_REAL(snn_spmm_t)(const snn_layout *w, int64_t batch, const real *values,
                         const real *dy, int64_t lddy, real *dx, int64_t lddx)
{
    job j = {.k = SNN_REAL(snn_active)(), .w = w, .batch = batch, .values = values,
             .dy = dy, .lddy = lddy, .dx = dx, .lddx = lddx};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    if (batch == 0 || w->n_cols == 0)
        return SNN_OK;
    return run(&j, threads_for(w, batch));
}

int SNN_REAL(snn_sddmm)(const snn_layout *w, int64_t batch, const real *a, int64_t lda,
                        const real *x, int64_t ldx, real *out)
{
    job j = {.k = SNN_REAL(snn_active)(), .w = w, .batch = batch, .dy = a, .lddy = lda,
             .x = x, .ldx = ldx, .dvalues = out};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    if (w->nnz == 0)
        return SNN_OK;
    if (batch == 0) {
        memset(out, 0, (size_t)w->nnz * sizeof(real));
        return SNN_OK;
    }
    return run(&j, threads_for(w, batch));
}

int SNN_REAL(snn_spmm_backward)(const snn_layout *w, int64_t batch, const real *values,
                                const real *dy, int64_t lddy, const real *x, int64_t ldx,
                                real *dx, int64_t lddx, real *dvalues)
{
    const int threads = threads_for(w, 2 * batch);
    /* Too few blocks to go round: each on its own cuts finer, and gives the same bits. */
    if (batch == 0 || w->nnz == 0 || (threads > 1 && w->n_blocks < 2 * threads)) {
        const int status =
            SNN_REAL(snn_spmm_t)(w, batch, values, dy, lddy, dx, lddx);
        if (status != SNN_OK)
            return status;
        return SNN_REAL(snn_sddmm)(w, batch, dy, lddy, x, ldx, dvalues);
    }
    job j = {.k = SNN_REAL(snn_active)(), .w = w, .batch = batch, .values = values,
             .dy = dy, .lddy = lddy, .x = x, .ldx = ldx, .dx = dx, .lddx = lddx,
             .dvalues = dvalues};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    return run(&j, threads);
}
