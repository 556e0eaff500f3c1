/* The products for one sample: no packing, several scalar accumulators.
 *
 *     spmv:   y[i] = act(start[i] + sum_k v[k] x[col(k)])   owns y of its rows
 *     spmv_t: dx[col(k)] += v[k] dy[i]                      owns dx of its block
 *     outer:  out[k] = a[i] x[col(k)]                       owns its slots */
#include "kernels_decl.h"

enum { SUMS = 8 };

INLINE void spmv_rows(const int index_bytes, const TILE *t, int first,
                      int relu, const real *restrict x, const real *restrict bias,
                      real *restrict y)
{
    const real *restrict values = t->values;
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++) {
        real sum[SUMS] = {0};
        const int64_t end = t->indptr[i + 1];
        for (; k + SUMS <= end; k += SUMS)
            for (int s = 0; s < SUMS; s++)
                sum[s] += values[k + s] * x[column(t->columns, index_bytes, k + s)];
        for (; k < end; k++)
            sum[0] += values[k] * x[column(t->columns, index_bytes, k)];
        const real start = !first ? y[i] : bias ? bias[i] : 0;
        const real total = start + (((sum[0] + sum[1]) + (sum[2] + sum[3])) +
                                    ((sum[4] + sum[5]) + (sum[6] + sum[7])));
        y[i] = relu && total < 0 ? 0 : total;
    }
}

INLINE void spmv_t_rows(const int index_bytes, const TILE *t,
                        const real *restrict dy, real *restrict dx)
{
    const real *restrict values = t->values;
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++)
        for (const int64_t end = t->indptr[i + 1]; k < end; k++)
            dx[column(t->columns, index_bytes, k)] += values[k] * dy[i];
}

INLINE void outer_rows(const int index_bytes, const TILE *t, const real *a,
                       const real *x, real *restrict out)
{
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++)
        for (const int64_t end = t->indptr[i + 1]; k < end; k++)
            out[k] = a[i] * x[column(t->columns, index_bytes, k)];
}

void KERNEL(spmv)(const TILE *t, int first, int relu, const real *restrict x,
                  const real *restrict bias, real *restrict y)
{
    WITH_INDEX(t->index_bytes, spmv_rows, t, first, relu, x, bias, y);
}

void KERNEL(spmv_t)(const TILE *t, const real *restrict dy, real *restrict dx)
{
    WITH_INDEX(t->index_bytes, spmv_t_rows, t, dy, dx);
}

void KERNEL(outer)(const TILE *t, const real *a, const real *x, real *restrict out)
{
    WITH_INDEX(t->index_bytes, outer_rows, t, a, x, out);
}
