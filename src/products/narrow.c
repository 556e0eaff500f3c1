/* The backward products of a batch of one narrow panel: rows in order, dx written for every
 * nonzero in a scratch panel that the cache holds. A unit is a column block, which owns its
 * dx and its slots. The bits are those of backward.c and sddmm.c. */
#include "cut.h"

#include <string.h>

/* Rows whose values are still in the cache when their slots' products follow. */
enum { CHUNK_ROWS = 512 };

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    panel p;
    const real *values, *dy;
    int64_t lddy;
    gathered x;
    real *dx;
    int64_t lddx;
    real *dvalues; /* NULL: only dx */
    char *scratch;
    size_t scratch_each;
    int64_t taken;
} job;

static void task(void *context, int thread)
{
    job *j = context;
    const kernels *k = j->k;
    const snn_layout *w = j->w;
    const panel p = j->p;
    real *dx = (real *)(void *)(j->scratch + (size_t)thread * j->scratch_each);
    for (int64_t block; (block = snn_next_unit(&j->taken, w->n_blocks)) >= 0;) {
        const int64_t columns = block_columns(w, block), start = block_start(w, block);
        memset(dx, 0, (size_t)(columns * p.nv * k->lanes) * sizeof(real));
        for (int64_t row = 0; row < w->n_rows; row += CHUNK_ROWS) {
            const tile t =
                tile_at(w, j->values, block, row, min64(CHUNK_ROWS, w->n_rows - row));
            k->scatter(&t, p.nv, p.last, j->dy + row * j->lddy, j->lddy, dx);
            if (j->dvalues)
                k->sddmm(&t, p.nv, p.last, 1, j->dy + row * j->lddy, j->lddy,
                         gathered_at(&j->x, k, p, start), gathered_ld(&j->x, k, p),
                         j->dvalues);
        }
        k->unpack(columns, p.nv, p.last, dx, j->dx + start * j->lddx, j->lddx);
    }
}

int SNN_REAL(snn_backward_narrow)(const kernels *k, const snn_layout *w, int64_t batch,
                                  const real *values, const real *dy, int64_t lddy,
                                  const real *x, int64_t ldx, real *dx, int64_t lddx,
                                  real *dvalues, int threads)
{
    job j = {.k = k, .w = w, .p = panel_at(k, batch, 0), .values = values, .dy = dy,
             .lddy = lddy, .dx = dx, .lddx = lddx, .dvalues = dvalues};
    if (dvalues) {
        const int status = SNN_REAL(snn_gather)(k, w->n_cols, batch, w->nnz, x, ldx,
                                                threads, &j.x);
        if (status != SNN_OK)
            return status;
    }
    j.scratch_each = aligned_bytes(min64(w->block_width, w->n_cols) * j.p.nv * k->lanes);
    j.scratch = snn_malloc(j.scratch_each * (size_t)threads);
    if (j.scratch)
        snn_parallel(threads, task, &j);
    snn_free(j.scratch);
    snn_free(j.x.scratch);
    return j.scratch ? SNN_OK : SNN_NO_MEMORY;
}
