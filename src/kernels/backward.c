/* dX = W^T dY and dW = sddmm(dY, X) for one tile, apart or in one pass.
 *
 *     dx_panel[col(k), :] += v[k] * dy[i, :]               for rows i in order
 *     dvalues[k] (+)= sum over samples of dy[i, :] * x_panel[col(k), :]
 *
 * The caller owns the block's dx_panel and the slots. dy[i] stays in registers for the
 * row's slots; four slots are reduced together. One body serves all three entry points,
 * so that they agree to the last bit. */
#include "kernels_decl.h"

enum { GROUP = 4 };

INLINE void rows(const int nv, const int index_bytes, const int want_dx, const int want_dw,
                 const TILE *t, int first, const real *restrict dy, int64_t lddy,
                 const real *restrict x_panel, real *restrict dx_panel,
                 real *restrict dvalues)
{
    const real *restrict values = t->values;
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++) {
        const int64_t end = t->indptr[i + 1];
        if (k == end)
            continue;
        vec d[MAX_VECTORS];
        for (int v = 0; v < nv; v++)
            d[v] = load_any(dy + i * lddy + v * LANES);
        for (; k < end; k++) {
            const int64_t at = column(t->columns, index_bytes, k) * (nv * LANES);
            if (want_dw) {
                const real *restrict x = x_panel + at;
                vec sum = d[0] * load(x);
                for (int v = 1; v < nv; v++)
                    sum += d[v] * load(x + v * LANES);
                const real s = lane_sum(sum);
                dvalues[k] = first ? s : dvalues[k] + s;
            }
            if (want_dx) {
                const vec w = splat(values[k]);
                real *restrict dx = dx_panel + at;
                for (int v = 0; v < nv; v++)
                    store(dx + v * LANES, load(dx + v * LANES) + w * d[v]);
            }
        }
    }
}

#define SPMM_T(nv, index_bytes, ...) rows(nv, index_bytes, 1, 0, __VA_ARGS__)
#define SDDMM(nv, index_bytes, ...) rows(nv, index_bytes, 0, 1, __VA_ARGS__)
#define BOTH(nv, index_bytes, ...) rows(nv, index_bytes, 1, 1, __VA_ARGS__)

void KERNEL(spmm_t)(const TILE *t, int nv, const real *restrict dy, int64_t lddy,
                    real *restrict dx_panel)
{
    WITH_CONSTANTS(SPMM_T, nv, t->index_bytes, t, 1, dy, lddy, NULL, dx_panel, NULL)
}

void KERNEL(sddmm)(const TILE *t, int nv, int first, const real *a, int64_t lda,
                   const real *x_panel, real *restrict out)
{
    WITH_CONSTANTS(SDDMM, nv, t->index_bytes, t, first, a, lda, x_panel, NULL, out)
}

void KERNEL(backward)(const TILE *t, int nv, int first, const real *restrict dy,
                      int64_t lddy, const real *restrict x_panel, real *restrict dx_panel,
                      real *restrict dvalues)
{
    WITH_CONSTANTS(BOTH, nv, t->index_bytes, t, first, dy, lddy, x_panel, dx_panel, dvalues)
}
