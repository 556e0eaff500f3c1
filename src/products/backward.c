/* dx = W^T dy, alone or with dvalues = sddmm(dy, x) in one pass.
 *
 * A tile (column block, chunk of rows) is sorted by column first, so that x[j] and dx[j]
 * stay in registers while dy is gathered from a chunk that the cache holds. A unit (column
 * block) owns its dx and its slots; without dvalues a unit is (column block, panel). Rows
 * and panels come in order, so the bits are those of the products apart. */
#include "by_column.h"

/* Bytes of dy that a chunk of rows gathers: they stay in the second-level cache beside the
 * sorted entries. */
static const int64_t CHUNK_BYTES = 1 << 18;
/* Entries of a column that a chunk should have, so that they outweigh starting it. */
static const int64_t CHUNK_ENTRIES = 16;

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    int64_t batch;
    const real *values;
    gathered dy;
    const real *x;
    int64_t ldx;
    real *dx;
    int64_t lddx;
    real *dvalues; /* NULL: only dx */

    int64_t chunk, panels, units, taken;
    char *scratch;
    size_t scratch_each;
    int64_t max_entries;
} job;

static int64_t chunk_rows(const kernels *k, const snn_layout *w)
{
    const int64_t in_cache =
        CHUNK_BYTES / (panel_width(k) * (int64_t)sizeof(real));
    /* CHUNK_ENTRIES over the density; without rows or nonzeros, infinite or no number */
    const double positions = (double)w->n_rows * (double)w->n_cols;
    const double wanted = (double)CHUNK_ENTRIES * positions / (double)w->nnz;
    if (!(wanted < (double)w->n_rows))
        return w->n_rows;
    return min64(max64(in_cache, (int64_t)wanted), w->n_rows);
}

/* Entries of the fullest tile. */
static int64_t most_entries(const job *j)
{
    const snn_layout *w = j->w;
    int64_t most = 0;
    for (int64_t block = 0; block < w->n_blocks; block++) {
        const int32_t *indptr = w->indptr + block * w->n_rows;
        for (int64_t row = 0; row < w->n_rows; row += j->chunk)
            most = max64(most, (int64_t)indptr[min64(row + j->chunk, w->n_rows)] -
                                   indptr[row]);
    }
    return most;
}

static void one_panel(const job *j, const by_column *sorted, int64_t block, int64_t row,
                      int64_t index)
{
    const panel p = panel_at(j->k, j->batch, index);
    const int64_t start = block_start(j->w, block);
    const SNN_REAL(snn_columns) t = {.n_cols = block_columns(j->w, block),
                                     .start = sorted->start,
                                     .entries = sorted->entries};
    j->k->backward(&t, p.nv, p.last, row == 0, index == 0,
                   gathered_at(&j->dy, j->k, p, row), gathered_ld(&j->dy, j->k, p),
                   j->x ? j->x + start * j->ldx + p.start : NULL, j->ldx,
                   j->dx + start * j->lddx + p.start, j->lddx, sorted->dots);
}

static void tile_of(const job *j, by_column *sorted, int64_t block, int64_t row,
                    int64_t panel_index)
{
    const snn_layout *w = j->w;
    const tile t = tile_at(w, j->values, block, row, min64(j->chunk, w->n_rows - row));
    SNN_REAL(snn_by_column)(&t, block_columns(w, block), sorted);
    if (!j->dvalues) {
        one_panel(j, sorted, block, row, panel_index);
        return;
    }
    for (int64_t p = 0; p < j->panels; p++)
        one_panel(j, sorted, block, row, p);
    const int32_t first = t.indptr[0], n = t.indptr[t.n_rows] - first;
    real *restrict out = j->dvalues + first;
    for (int32_t k = 0; k < n; k++)
        out[k] = sorted->dots[sorted->place[k]];
}

static void task(void *context, int thread)
{
    job *j = context;
    const snn_layout *w = j->w;
    by_column sorted = SNN_REAL(snn_by_column_at)(
        j->scratch + (size_t)thread * j->scratch_each, min64(w->block_width, w->n_cols),
        j->max_entries, j->dvalues != NULL);
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        const int64_t block = j->dvalues ? u : u / j->panels;
        int64_t row = 0;
        do
            tile_of(j, &sorted, block, row, u % j->panels);
        while ((row += j->chunk) < w->n_rows);
    }
}

static int run(job *j, const real *dy, int64_t lddy, int threads)
{
    const snn_layout *w = j->w;
    const int status =
        SNN_REAL(snn_gather)(j->k, w->n_rows, j->batch, w->nnz, dy, lddy, threads, &j->dy);
    if (status != SNN_OK)
        return status;
    j->chunk = max64(chunk_rows(j->k, w), 1);
    j->max_entries = most_entries(j);
    j->panels = panel_count(j->k, j->batch);
    j->units = w->n_blocks * (j->dvalues ? 1 : j->panels);
    j->scratch_each = SNN_REAL(snn_by_column_bytes)(
        min64(w->block_width, w->n_cols), j->max_entries, j->dvalues != NULL);
    j->scratch = snn_malloc(j->scratch_each * (size_t)threads);
    if (!j->scratch) {
        snn_free(j->dy.scratch);
        return SNN_NO_MEMORY;
    }
    snn_parallel(threads, task, j);
    snn_free(j->scratch);
    snn_free(j->dy.scratch);
    return SNN_OK;
}

int SNN_REAL(snn_spmm_t)(const snn_layout *w, int64_t batch, const real *values,
                         const real *dy, int64_t lddy, real *dx, int64_t lddx)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k)
        return SNN_BAD_ARGUMENT;
    if (batch == 0 || w->n_cols == 0)
        return SNN_OK;
    if (batch == 1)
        return SNN_REAL(snn_backward_vector)(k, w, values, dy, lddy, NULL, 1, dx, lddx,
                                             NULL);
    const int threads = threads_for(w, batch);
    if (batch <= (int64_t)k->scatter_vectors * k->lanes)
        return SNN_REAL(snn_backward_narrow)(k, w, batch, values, dy, lddy, NULL, 1, dx,
                                             lddx, NULL, threads);
    job j = {.k = k, .w = w, .batch = batch, .values = values, .dx = dx, .lddx = lddx};
    return run(&j, dy, lddy, threads);
}

int SNN_REAL(snn_spmm_backward)(const snn_layout *w, int64_t batch, const real *values,
                                const real *dy, int64_t lddy, const real *x, int64_t ldx,
                                real *dx, int64_t lddx, real *dvalues)
{
    const kernels *k = SNN_REAL(snn_active)();
    const int threads = threads_for(w, 2 * batch);
    if (!k)
        return SNN_BAD_ARGUMENT;
    /* Too few blocks to go round: apart, the products cut finer and give the same bits. */
    if (batch == 0 || w->nnz == 0 || (batch > 1 && w->n_blocks < threads)) {
        const int status = SNN_REAL(snn_spmm_t)(w, batch, values, dy, lddy, dx, lddx);
        if (status != SNN_OK)
            return status;
        return SNN_REAL(snn_sddmm)(w, batch, dy, lddy, x, ldx, dvalues);
    }
    if (batch == 1)
        return SNN_REAL(snn_backward_vector)(k, w, values, dy, lddy, x, ldx, dx, lddx,
                                             dvalues);
    if (batch <= (int64_t)k->scatter_vectors * k->lanes)
        return SNN_REAL(snn_backward_narrow)(k, w, batch, values, dy, lddy, x, ldx, dx,
                                             lddx, dvalues, threads);
    job j = {.k = k, .w = w, .batch = batch, .values = values, .x = x, .ldx = ldx, .dx = dx,
             .lddx = lddx, .dvalues = dvalues};
    return run(&j, dy, lddy, threads);
}
