/* dX += W^T dY for one tile in the order of its rows: for a batch so narrow that sorting
 * the tile by column would cost more than writing dX for every nonzero.
 *
 *     dx[col(k), :] += v[k] * dy[i, :]        for rows i in order
 *
 * Owns dx, a panel of the block's features, which the first-level cache should hold. The
 * additions are those of backward.c in the same order, so the bits agree. */
#include "kernels_decl.h"

INLINE void scatter_rows(const int nv, const int index_bytes, const TILE *t, int last,
                         const real *restrict dy, int64_t lddy, real *restrict dx)
{
    const real *restrict values = t->values;
    const void *columns = t->columns;
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++) {
        vec d[SCATTER_VECTORS];
        load_row(nv, d, dy + i * lddy, last);
        for (const int64_t end = t->indptr[i + 1]; k < end; k++) {
            real *restrict to = dx + column(columns, index_bytes, k) * (nv * LANES);
            const vec w = splat(values[k]);
            for (int v = 0; v < nv; v++)
                store(to + v * LANES, load(to + v * LANES) + w * d[v]);
        }
    }
}

#define ROWS(index_bytes, nv, ...) scatter_rows(nv, index_bytes, __VA_ARGS__)

void KERNEL(scatter)(const TILE *t, int nv, int last, const real *restrict dy, int64_t lddy,
                     real *restrict dx)
{
    switch (nv) {
    case 1: WITH_INDEX(t->index_bytes, ROWS, 1, t, last, dy, lddy, dx); break;
    case 2: WITH_INDEX(t->index_bytes, ROWS, 2, t, last, dy, lddy, dx); break;
    case 3: WITH_INDEX(t->index_bytes, ROWS, 3, t, last, dy, lddy, dx); break;
    case 4: WITH_INDEX(t->index_bytes, ROWS, 4, t, last, dy, lddy, dx); break;
    default: __builtin_unreachable();
    }
}

/* x[j] = panel[j] */
void KERNEL(unpack)(int64_t n, int nv, int last, const real *restrict panel,
                    real *restrict x, int64_t ldx)
{
    for (int64_t j = 0; j < n; j++) {
        const real *from = panel + j * nv * LANES;
        real *to = x + j * ldx;
        for (int v = 0; v < nv - 1; v++)
            store_any(to + v * LANES, load(from + v * LANES));
        store_part(to + (nv - 1) * LANES, load(from + (nv - 1) * LANES), last);
    }
}
