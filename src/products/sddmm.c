/* out = sddmm(a, x). A unit (column block, group of rows) owns its slots and goes through
 * the panels of the batch in order. */
#include "cut.h"

#include <string.h>

typedef struct job {
    const kernels *k;
    const snn_layout *w;
    int64_t batch;
    const real *a;
    int64_t lda;
    gathered x;
    real *out;
    int64_t groups, taken;
} job;

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const kernels *k = j->k;
    const snn_layout *w = j->w;
    const int64_t panels = panel_count(k, j->batch);
    for (int64_t u; (u = snn_next_unit(&j->taken, w->n_blocks * j->groups)) >= 0;) {
        const int64_t block = u / j->groups;
        const int64_t begin = cut(w->n_rows, u % j->groups, j->groups);
        const int64_t end = cut(w->n_rows, u % j->groups + 1, j->groups);
        const tile t = tile_at(w, NULL, block, begin, end - begin);
        for (int64_t i = 0; i < panels; i++) {
            const panel p = panel_at(k, j->batch, i);
            k->sddmm(&t, p.nv, p.last, i == 0, j->a + begin * j->lda + p.start, j->lda,
                     gathered_at(&j->x, k, p, block_start(w, block)),
                     gathered_ld(&j->x, k, p), j->out);
        }
    }
}

int SNN_REAL(snn_sddmm)(const snn_layout *w, int64_t batch, const real *a, int64_t lda,
                        const real *x, int64_t ldx, real *out)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k)
        return SNN_BAD_ARGUMENT;
    if (w->nnz == 0)
        return SNN_OK;
    if (batch == 0) {
        memset(out, 0, (size_t)w->nnz * sizeof(real));
        return SNN_OK;
    }
    if (batch == 1)
        return SNN_REAL(snn_backward_vector)(k, w, NULL, a, lda, x, ldx, NULL, 1, out);
    const int threads = threads_for(w, batch);
    job j = {.k = k, .w = w, .batch = batch, .a = a, .lda = lda, .out = out,
             .groups = groups_for(w->n_rows, w->n_blocks, threads)};
    const int status =
        SNN_REAL(snn_gather)(k, w->n_cols, batch, w->nnz, x, ldx, threads, &j.x);
    if (status != SNN_OK)
        return status;
    snn_parallel(threads, task, &j);
    snn_free(j.x.scratch);
    return SNN_OK;
}
