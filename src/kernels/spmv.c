/* The products for one sample: no packing. With gather instructions a row is a few masked
 * vectors, and the rows' sums are taken together; else several scalar accumulators.
 *
 *     spmv:   y[i] = act(start[i] + sum_k v[k] x[col(k)])   owns y of its rows
 *     spmv_t: dx[col(k)] += v[k] dy[i]                      owns dx of its block
 *     outer:  out[k] = a[i] x[col(k)]                       owns its slots */
#include "kernels_decl.h"

#if defined(SNN_ISA_X86_64_V4)

typedef unsigned lane_mask;

INLINE lane_mask lanes_below(int64_t n)
{
    return n >= LANES ? (1u << LANES) - 1 : (1u << n) - 1;
}

/* x[col(k)], x[col(k + 1)], ... in the lanes of the mask, 0 in the others */
INLINE vec gather(const int index_bytes, const void *columns, int64_t k, lane_mask m,
                  const real *x)
{
    const uint8_t *c1 = (const uint8_t *)columns + k;
    const uint16_t *c2 = (const uint16_t *)columns + k;
    const int32_t *c4 = (const int32_t *)columns + k;
#if defined(SNN_REAL_F32)
    const __mmask16 mask = (__mmask16)m;
    const __m512i at = index_bytes == 1
                           ? _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, c1))
                       : index_bytes == 2
                           ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, c2))
                           : _mm512_maskz_loadu_epi32(mask, c4);
    return (vec)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, at, x, 4);
#else
    const __mmask8 mask = (__mmask8)m;
    const __m256i at = index_bytes == 1
                           ? _mm256_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, c1))
                       : index_bytes == 2
                           ? _mm256_cvtepu16_epi32(_mm_maskz_loadu_epi16(mask, c2))
                           : _mm256_maskz_loadu_epi32(mask, c4);
    return (vec)_mm512_mask_i32gather_pd(_mm512_setzero_pd(), mask, at, x, 8);
#endif
}

INLINE int lanes_left(int64_t n) { return n < LANES ? (int)n : LANES; }

INLINE void spmv_rows(const int index_bytes, const TILE *t, int first, int relu,
                      const real *restrict x, const real *restrict bias, real *restrict y)
{
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i += LANES) {
        const int n = lanes_left(t->n_rows - i);
        vec sums[LANES];
        for (int r = 0; r < n; r++) {
            vec sum = {0};
            for (const int64_t end = t->indptr[i + r + 1]; k < end; k += LANES) {
                const int left = lanes_left(end - k);
                const vec w = load_part(t->values + k, left);
                sum += w * gather(index_bytes, t->columns, k, lanes_below(left), x);
            }
            k = t->indptr[i + r + 1];
            sums[r] = sum;
        }
        for (int r = n; r < LANES; r++)
            sums[r] = (vec){0};
        vec total = lane_sums(sums);
        if (!first)
            total += load_part(y + i, n);
        else if (bias)
            total += load_part(bias + i, n);
        store_part(y + i, relu ? relu_vec(total) : total, n);
    }
}

INLINE void outer_rows(const int index_bytes, const TILE *t, const real *a, const real *x,
                       real *restrict out)
{
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++) {
        const vec ai = splat(a[i]);
        const int64_t end = t->indptr[i + 1];
        for (; k < end; k += LANES) {
            const int left = lanes_left(end - k);
            store_part(out + k,
                       ai * gather(index_bytes, t->columns, k, lanes_below(left), x), left);
        }
        k = end;
    }
}

#else

enum { SUMS = 8 };

INLINE void spmv_rows(const int index_bytes, const TILE *t, int first, int relu,
                      const real *restrict x, const real *restrict bias, real *restrict y)
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

INLINE void outer_rows(const int index_bytes, const TILE *t, const real *a, const real *x,
                       real *restrict out)
{
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++)
        for (const int64_t end = t->indptr[i + 1]; k < end; k++)
            out[k] = a[i] * x[column(t->columns, index_bytes, k)];
}

#endif

INLINE void spmv_t_rows(const int index_bytes, const TILE *t, const real *restrict dy,
                        real *restrict dx)
{
    const real *restrict values = t->values;
    int64_t k = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++)
        for (const int64_t end = t->indptr[i + 1]; k < end; k++)
            dx[column(t->columns, index_bytes, k)] += values[k] * dy[i];
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
