/* dW = sddmm(A, X) for one tile.
 *
 *     out[k] (+)= sum over the panel of a[i, :] * x[col(k), :]
 *
 * Owns the tile's slots. a[i] stays in registers for the row's slots, and out is written
 * in order. */
#include "dots.h"
#include "kernels_decl.h"

INLINE void sddmm_rows(const int nv, const int index_bytes, const TILE *t, int last,
                       int first, const real *restrict a, int64_t lda,
                       const real *restrict x, int64_t ldx, real *restrict out)
{
    const void *columns = t->columns;
    int64_t k = t->indptr[0];
    dots d = {.first = k, .n = 0};
    for (int64_t i = 0; i < t->n_rows; i++) {
        const int64_t end = t->indptr[i + 1];
        if (k == end)
            continue;
        vec ai[MAX_VECTORS];
        load_row(nv, ai, a + i * lda, last);
        while (k < end) {
            const int64_t room = DOTS - d.n;
            const int64_t stop = end - k < room ? end : k + room;
            const int64_t shift = d.n - k;
            d.n += (int)(stop - k);
            for (; k < stop; k++) {
                const real *restrict xk = x + column(columns, index_bytes, k) * ldx;
                vec sum = {0};
                for (int v = 0; v < nv; v++)
                    sum += ai[v] * load_any(xk + v * LANES);
                d.sums[k + shift] = sum;
            }
            if (d.n == DOTS)
                dots_flush(&d, first, out);
        }
    }
    dots_flush(&d, first, out);
}

#define ROWS(index_bytes, nv, ...) sddmm_rows(nv, index_bytes, __VA_ARGS__)
#define BODY(nv, t, ...) WITH_INDEX((t)->index_bytes, ROWS, nv, t, __VA_ARGS__)

void KERNEL(sddmm)(const TILE *t, int nv, int last, int first, const real *a, int64_t lda,
                   const real *x, int64_t ldx, real *restrict out)
{
    WITH_WIDTH(nv, BODY, t, last, first, a, lda, x, ldx, out)
}
