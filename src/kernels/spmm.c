/* Y = act(W X + bias) for one tile: the rows of `t`, one column block, one panel.
 *
 *     y[i, :] = act(start[i] + sum over slots k of row i of v[k] * x[col(k), :])
 *
 * Owns the panel's columns of y[0 .. n_rows]. The accumulators stay in registers for the
 * whole row; each nonzero costs one broadcast and nv fused multiply-adds from memory.
 * Narrow panels keep several sets of accumulators, because one set's additions would wait
 * for each other. */
#include "kernels_decl.h"

INLINE void add_row(const int nv, vec *acc, real value, const real *x)
{
    const vec w = splat(value);
    for (int v = 0; v < nv; v++)
        acc[v] += w * load_any(x + v * LANES);
}

INLINE void spmm_rows(const int nv, const int index_bytes, const TILE *t, int last,
                      int first, int relu, const real *restrict x, int64_t ldx,
                      const real *restrict bias, real *restrict y, int64_t ldy)
{
    enum { MAX_SETS = 4 };
    const int sets = nv == 1 ? 4 : nv <= 3 ? 2 : 1;
    const real *restrict values = t->values;
    const void *columns = t->columns;
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++) {
        const int64_t end = t->indptr[i + 1];
        real *restrict out = y + i * ldy;
        vec acc[MAX_SETS][MAX_VECTORS];
        if (first) {
            const vec start = splat(bias ? bias[i] : 0);
            for (int v = 0; v < nv; v++)
                acc[0][v] = start;
        } else {
            load_row(nv, acc[0], out, last);
        }
        for (int s = 1; s < sets; s++)
            for (int v = 0; v < nv; v++)
                acc[s][v] = (vec){0};
        if (sets > 1)
            for (; k + sets <= end; k += sets)
                for (int s = 0; s < sets; s++)
                    add_row(nv, acc[s], values[k + s],
                            x + column(columns, index_bytes, k + s) * ldx);
        for (; k < end; k++)
            add_row(nv, acc[0], values[k], x + column(columns, index_bytes, k) * ldx);
        for (int s = sets / 2; s > 0; s /= 2)
            for (int u = 0; u < s; u++)
                for (int v = 0; v < nv; v++)
                    acc[u][v] += acc[u + s][v];
        if (relu)
            for (int v = 0; v < nv; v++)
                acc[0][v] = relu_vec(acc[0][v]);
        store_row(nv, out, acc[0], last);
    }
}

#define ROWS(index_bytes, nv, ...) spmm_rows(nv, index_bytes, __VA_ARGS__)
#define BODY(nv, t, ...) WITH_INDEX((t)->index_bytes, ROWS, nv, t, __VA_ARGS__)

void KERNEL(spmm)(const TILE *t, int nv, int last, int first, int relu,
                  const real *restrict x, int64_t ldx, const real *restrict bias,
                  real *restrict y, int64_t ldy)
{
    WITH_WIDTH(nv, BODY, t, last, first, relu, x, ldx, bias, y, ldy)
}
