/* dX = W^T dY and dW = sddmm(dY, X) for one tile that is sorted by column: dX alone or both
 * in one pass.
 *
 *     dx[j, :] (+)= sum over slots k of column j of v[k] * dy[row(k), :]
 *     out[k]   (+)= sum over the panel of dy[row(k), :] * x[j, :]
 *
 * Owns the panel's columns of dx[0 .. n_cols], and the tile's slots of out. x[j] and dx[j]
 * stay in registers, so that both products share the one load of dy. Rows come in order,
 * and a dot product is the same tree as in sddmm.c: the bits do not depend on which kernel
 * computes it. Where the slots themselves are sorted by column, nothing looks them up. */
#include "dots.h"
#include "kernels_decl.h"

INLINE void put_dots(const int sorted, dots *d, const int32_t *place, int first_panel,
                     real *restrict out)
{
    if (sorted)
        dots_flush(d, first_panel, out);
    else
        dots_scatter(d, place, first_panel, out);
}

INLINE void columns_of(const int row_bytes, const int nv, const int want_dots,
                       const int sorted, const COLUMNS *t, int last, int first_rows,
                       int first_panel, const real *restrict dy, int64_t lddy,
                       const real *restrict x, int64_t ldx, real *restrict dx,
                       int64_t lddx, real *restrict out)
{
    const void *rows = t->rows;
    const real *restrict values = t->values;
    int32_t *restrict slot = t->slot;
    int64_t e = t->start[0];
    dots d = {.first = e, .n = 0};
    int32_t place[DOTS];
    for (int64_t j = 0; j < t->n_cols; j++) {
        const int64_t end = j + 1 < t->n_cols ? t->start[j + 1] : t->end;
        if (e == end && !first_rows)
            continue;
        vec xj[MAX_VECTORS], acc[MAX_VECTORS];
        if (want_dots)
            load_row(nv, xj, x + j * ldx, last);
        if (first_rows)
            for (int v = 0; v < nv; v++)
                acc[v] = (vec){0};
        else
            load_row(nv, acc, dx + j * lddx, last);
        while (e < end) {
            int64_t stop = end, shift = 0;
            if (want_dots) {
                const int64_t room = DOTS - d.n;
                stop = end - e < room ? end : e + room;
                shift = d.n - e;
                d.n += (int)(stop - e);
            }
            for (; e < stop; e++) {
                const int64_t row = column(rows, row_bytes, e);
                const real *restrict g = dy + row * lddy;
                const int64_t k = sorted ? e : slot[row]++;
                const vec w = splat(values[k]);
                vec sum = {0};
                for (int v = 0; v < nv; v++) {
                    vec gv = load_any(g + v * LANES);
                    if (want_dots) {
                        IN_REGISTER(gv);
                        sum += gv * xj[v];
                    }
                    acc[v] += w * gv;
                }
                if (want_dots) {
                    d.sums[e + shift] = sum;
                    place[e + shift] = (int32_t)k;
                }
            }
            if (want_dots && d.n == DOTS)
                put_dots(sorted, &d, place, first_panel, out);
        }
        store_row(nv, dx + j * lddx, acc, last);
    }
    if (want_dots)
        put_dots(sorted, &d, place, first_panel, out);
}

#define DX(row_bytes, nv, ...) columns_of(row_bytes, nv, 0, 0, __VA_ARGS__)
#define BOTH(row_bytes, nv, ...) columns_of(row_bytes, nv, 1, 0, __VA_ARGS__)
#define DX_WIDTH(nv, t, ...) WITH_INDEX((t)->row_bytes, DX, nv, t, __VA_ARGS__)
#define BOTH_WIDTH(nv, t, ...) WITH_INDEX((t)->row_bytes, BOTH, nv, t, __VA_ARGS__)
#define DX_SORTED(nv, ...) columns_of(4, nv, 0, 1, __VA_ARGS__)
#define BOTH_SORTED(nv, ...) columns_of(4, nv, 1, 1, __VA_ARGS__)

void KERNEL(backward)(const COLUMNS *t, int nv, int last, int first_rows, int first_panel,
                      const real *dy, int64_t lddy, const real *x, int64_t ldx,
                      real *restrict dx, int64_t lddx, real *restrict out)
{
    if (t->slot && out)
        WITH_WIDTH(nv, BOTH_WIDTH, t, last, first_rows, first_panel, dy, lddy, x, ldx, dx,
                   lddx, out)
    else if (t->slot)
        WITH_WIDTH(nv, DX_WIDTH, t, last, first_rows, first_panel, dy, lddy, x, ldx, dx,
                   lddx, out)
    else if (out)
        WITH_WIDTH(nv, BOTH_SORTED, t, last, first_rows, first_panel, dy, lddy, x, ldx, dx,
                   lddx, out)
    else
        WITH_WIDTH(nv, DX_SORTED, t, last, first_rows, first_panel, dy, lddy, x, ldx, dx,
                   lddx, out)
}
