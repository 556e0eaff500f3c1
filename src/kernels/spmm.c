/* Y = act(W X + bias) for one tile: the rows of `t`, one column block, one panel.
 *
 *     y[i, :] = act(start[i] + sum over slots k of row i of v[k] * panel[col(k), :])
 *
 * Owns y[0 .. n_rows, 0 .. nv * LANES]. The accumulators stay in registers for the whole
 * row; each nonzero costs one broadcast and nv fused multiply-adds from memory. */
#include "kernels_decl.h"

INLINE void spmm_rows(const int nv, const int index_bytes, const TILE *t, int first,
                      int relu, const real *restrict panel, const real *restrict bias,
                      real *restrict y, int64_t ldy)
{
    const real *restrict values = t->values;
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++) {
        vec acc[MAX_VECTORS];
        real *restrict out = y + i * ldy;
        if (first) {
            const vec start = splat(bias ? bias[i] : 0);
            for (int v = 0; v < nv; v++)
                acc[v] = start;
        } else {
            for (int v = 0; v < nv; v++)
                acc[v] = load_any(out + v * LANES);
        }
        for (const int64_t end = t->indptr[i + 1]; k < end; k++) {
            const vec w = splat(values[k]);
            const real *restrict x =
                panel + column(t->columns, index_bytes, k) * (nv * LANES);
            for (int v = 0; v < nv; v++)
                acc[v] += w * load(x + v * LANES);
        }
        for (int v = 0; v < nv; v++)
            store_any(out + v * LANES, relu ? relu_vec(acc[v]) : acc[v]);
    }
}

void KERNEL(spmm)(const TILE *t, int nv, int first, int relu, const real *restrict panel,
                  const real *restrict bias, real *restrict y, int64_t ldy)
{
    WITH_CONSTANTS(spmm_rows, nv, t->index_bytes, t, first, relu, panel, bias, y, ldy)
}
