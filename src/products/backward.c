/* dx = W^T dy, alone or with dvalues = sddmm(dy, x) in one pass.
 *
 * Tiles (column block, chunk of rows) are walked by column, so that x[j] and dx[j] stay in
 * registers while dy is gathered from a chunk that the cache holds. A unit is a group of
 * column blocks, which owns its dx and its slots; without dvalues it is (group, panel).
 * Rows and panels come in order, so the bits are those of the products apart. */
#include "cut.h"

#include <string.h>

/* Between the slots of two threads lies at least a page: what one writes, the processor
 * would else fetch ahead for the other, which took a third of the gain of two threads. */
enum { PAGE_SLOTS = 4096 / sizeof(int32_t) };

static const double DENSE = 0.5;

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    const snn_column_order *order;
    int64_t batch;
    const real *values;
    gathered dy;
    const real *x;
    int64_t ldx;
    real *dx;
    int64_t lddx;
    real *dvalues; /* NULL: only dx */

    int64_t panels, groups, taken;
    int32_t *slots; /* chunk_rows for each thread, slots_each apart */
    int64_t slots_each;
} job;

static void tile_panel(const job *j, int64_t block, int64_t row, int64_t index,
                       int32_t *slot)
{
    const snn_layout *w = j->w;
    const snn_column_order *o = j->order;
    const panel p = panel_at(j->k, j->batch, index);
    const int64_t base = block_start(w, block);
    const int64_t n_rows = min64(o->chunk_rows, w->n_rows - row);
    const int32_t *indptr = w->indptr + block * w->n_rows + row;
    memcpy(slot, indptr, (size_t)n_rows * sizeof *slot);
    const SNN_REAL(snn_columns) t = {.n_cols = block_columns(w, block),
                                     .row_bytes = o->row_bytes,
                                     .start = o->start + row / o->chunk_rows * w->n_cols + base,
                                     .end = indptr[n_rows],
                                     .rows = o->rows,
                                     .values = j->values,
                                     .slot = slot};
    j->k->backward(&t, p.nv, p.last, row == 0, index == 0, gathered_at(&j->dy, j->k, p, row),
                   gathered_ld(&j->dy, j->k, p),
                   j->x ? j->x + base * j->ldx + p.start : NULL, j->ldx,
                   j->dx + base * j->lddx + p.start, j->lddx, j->dvalues);
}

static void task(void *context, int thread)
{
    job *j = context;
    const snn_layout *w = j->w;
    int32_t *slot = j->slots + thread * j->slots_each;
    const int64_t apart = j->dvalues ? 1 : j->panels; /* panels that are units */
    for (int64_t u; (u = snn_next_unit(&j->taken, j->groups * apart)) >= 0;) {
        const int64_t begin = cut(w->n_blocks, u / apart, j->groups);
        const int64_t end = cut(w->n_blocks, u / apart + 1, j->groups);
        const int64_t first = j->dvalues ? 0 : u % apart;
        const int64_t last = j->dvalues ? j->panels : first + 1;
        int64_t row = 0;
        do
            for (int64_t block = begin; block < end; block++)
                for (int64_t p = first; p < last; p++)
                    tile_panel(j, block, row, p, slot);
        while ((row += j->order->chunk_rows) < w->n_rows);
    }
}

static int run(job *j, const real *dy, int64_t lddy, int threads)
{
    const snn_layout *w = j->w;
    const int status =
        SNN_REAL(snn_gather)(j->k, w->n_rows, j->batch, w->nnz, dy, lddy, threads, &j->dy);
    if (status != SNN_OK)
        return status;
    j->panels = panel_count(j->k, j->batch);
    j->groups = groups_for(w->n_blocks, j->dvalues ? 1 : j->panels, threads);
    j->slots_each = j->order->chunk_rows + PAGE_SLOTS;
    j->slots = snn_malloc((size_t)(j->slots_each * threads) * sizeof *j->slots);
    if (j->slots)
        snn_parallel(threads, task, j);
    snn_free(j->slots);
    snn_free(j->dy.scratch);
    return j->slots ? SNN_OK : SNN_NO_MEMORY;
}

int SNN_REAL(snn_spmm_t)(const snn_layout *w, const snn_column_order *order, int64_t batch,
                         const real *values, const real *dy, int64_t lddy, real *dx,
                         int64_t lddx)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k)
        return SNN_BAD_ARGUMENT;
    if (batch == 0 || w->n_cols == 0)
        return SNN_OK;
    if (batch == 1)
        return SNN_REAL(snn_backward_vector)(k, w, values, dy, lddy, NULL, 1, dx, lddx,
                                             NULL);
    job j = {.k = k, .w = w, .order = order, .batch = batch, .values = values, .dx = dx,
             .lddx = lddx};
    return run(&j, dy, lddy, threads_for(w, batch));
}

int SNN_REAL(snn_spmm_backward)(const snn_layout *w, const snn_column_order *order,
                                int64_t batch, const real *values, const real *dy,
                                int64_t lddy, const real *x, int64_t ldx, real *dx,
                                int64_t lddx, real *dvalues)
{
    const kernels *k = SNN_REAL(snn_active)();
    const int threads = threads_for(w, 2 * batch);
    if (!k)
        return SNN_BAD_ARGUMENT;
    /* Too few blocks to go round, or so many entries in a row that its dot products are
     * faster by rows: apart, the products give the same bits. */
    const int dense = (double)w->nnz > DENSE * (double)w->n_rows * (double)w->n_cols;
    if (batch == 0 || w->nnz == 0 || (batch > 1 && (dense || w->n_blocks < threads))) {
        const int status =
            SNN_REAL(snn_spmm_t)(w, order, batch, values, dy, lddy, dx, lddx);
        if (status != SNN_OK)
            return status;
        return SNN_REAL(snn_sddmm)(w, batch, dy, lddy, x, ldx, dvalues);
    }
    if (batch == 1)
        return SNN_REAL(snn_backward_vector)(k, w, values, dy, lddy, x, ldx, dx, lddx,
                                             dvalues);
    job j = {.k = k, .w = w, .order = order, .batch = batch, .values = values, .x = x,
             .ldx = ldx, .dx = dx, .lddx = lddx, .dvalues = dvalues};
    return run(&j, dy, lddy, threads);
}
