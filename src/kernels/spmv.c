/* The products for one sample: no packing, and every value and column is read once, so that
 * memory sets the pace. Several slots of a row are multiplied at once, in the lanes of a
 * vector.
 *
 *     spmv:   y[i] = act(start[i] + sum_k v[k] x[col(k)])   owns y of its rows
 *     spmv_t: dx[col(k)] += v[k] dy[i]                      owns dx of its block
 *     outer:  out[k] = a[i] x[col(k)]                       owns its slots */
#include "kernels_decl.h"

/* Slots ahead of the sums that are fetched: what a page away the processor does not see
 * coming by itself. */
enum { AHEAD = 512 };

INLINE void fetch_ahead(const int index_bytes, const void *columns, const real *values,
                        int64_t k)
{
    __builtin_prefetch((const char *)values + (k + AHEAD) * (int64_t)sizeof(real));
    __builtin_prefetch((const char *)columns + (k + AHEAD) * index_bytes);
}

INLINE real start_of(int64_t i, int first, const real *bias, const real *y)
{
    return !first ? y[i] : bias ? bias[i] : 0;
}

#if defined(SNN_ISA_X86_64_V4)

typedef unsigned lane_mask;

#define ALL_LANES ((1u << LANES) - 1)

/* The first n <= LANES. */
INLINE lane_mask lanes_below(int64_t n) { return (1u << n) - 1; }

INLINE int lanes_left(int64_t n) { return n < LANES ? (int)n : LANES; }

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

INLINE vec keep(lane_mask m, vec v)
{
#if defined(SNN_REAL_F32)
    return (vec)_mm512_maskz_mov_ps((__mmask16)m, (__m512)v);
#else
    return (vec)_mm512_maskz_mov_pd((__mmask8)m, (__m512d)v);
#endif
}

INLINE vec load_lanes(lane_mask m, const real *p)
{
#if defined(SNN_REAL_F32)
    return (vec)_mm512_maskz_loadu_ps((__mmask16)m, p);
#else
    return (vec)_mm512_maskz_loadu_pd((__mmask8)m, p);
#endif
}

INLINE real sum_of_lanes(vec v)
{
#if defined(SNN_REAL_F32)
    return _mm512_reduce_add_ps((__m512)v);
#else
    return _mm512_reduce_add_pd((__m512d)v);
#endif
}

/* Sums of lanes of a short row k .. end: one or two vectors from its first slot. */
INLINE vec short_row(const int index_bytes, const TILE *t, int64_t k, int64_t end,
                     const real *x)
{
    vec sum = {0};
    for (; k < end; k += LANES) {
        const lane_mask m = lanes_below(lanes_left(end - k));
        sum += load_lanes(m, t->values + k) * gather(index_bytes, t->columns, k, m, x);
    }
    return sum;
}

/* Of long rows, vectors of slots begin at multiples of LANES, whatever the rows: the one in
 * which a row ends and the next begins is gathered once for both. That makes a row's bits
 * depend on its first slot, but not on how the rows are cut into tiles. */
typedef struct straddled {
    int64_t begin, end; /* the tile's slots; no others are touched */
    int64_t k;          /* first slot of the vector */
    vec products;       /* v[k] x[col(k)] */
} straddled;

INLINE void straddle(const int index_bytes, const TILE *t, int64_t k, const real *x,
                     straddled *s)
{
    lane_mask m = ALL_LANES;
    if (__builtin_expect(k < s->begin, 0))
        m -= lanes_below(s->begin - k);
    if (__builtin_expect(s->end - k < LANES, 0))
        m &= lanes_below(s->end - k);
    s->k = k;
    s->products = load_lanes(m, t->values + k) * gather(index_bytes, t->columns, k, m, x);
}

/* Sums of lanes of a long row k .. end. */
INLINE vec long_row(const int index_bytes, const TILE *t, int64_t k, int64_t end,
                    const real *x, straddled *s)
{
    if (k == end)
        return (vec){0};
    const lane_mask from = ALL_LANES << k % LANES;
    k -= k % LANES;
    if (k != s->k)
        straddle(index_bytes, t, k, x, s);
    if (end - k <= LANES)
        return keep(from & lanes_below(end - k), s->products);
    vec sum = keep(from, s->products);
    for (k += LANES; k + LANES <= end; k += LANES) {
        fetch_ahead(index_bytes, t->columns, t->values, k);
        sum += load_any(t->values + k) * gather(index_bytes, t->columns, k, ALL_LANES, x);
    }
    if (k < end) {
        straddle(index_bytes, t, k, x, s);
        sum += keep(lanes_below(end - k), s->products);
    }
    return sum;
}

INLINE void spmv_rows(const int index_bytes, const int brief, const TILE *t, int first,
                      int relu, const real *restrict x, const real *restrict bias,
                      real *restrict y)
{
    straddled s = {t->indptr[0], t->indptr[t->n_rows], -1, {0}};
    for (int64_t i = 0; i < t->n_rows; i++) {
        const int64_t k = t->indptr[i], end = t->indptr[i + 1];
        const vec sum = brief ? short_row(index_bytes, t, k, end, x)
                              : long_row(index_bytes, t, k, end, x, &s);
        const real total = start_of(i, first, bias, y) + sum_of_lanes(sum);
        y[i] = relu && total < 0 ? 0 : total;
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

/* x[col(k)], x[col(k + 1)], ...: loads of one lane each, which are never much slower than a
 * gather instruction, and on some processors much faster. */
#define FROM_COLUMN(k, lane) x[column(columns, index_bytes, (k) + (lane))]

INLINE vec gather(const int index_bytes, const void *columns, int64_t k, const real *x)
{
    return (vec){EACH(FROM_COLUMN, k)};
}

INLINE real row_sum(const int index_bytes, const TILE *t, int64_t k, int64_t end,
                     const real *restrict x)
{
    const real *restrict values = t->values;
    const void *columns = t->columns;
    vec sum = {0}, other = {0};
    for (; k + 2 * LANES <= end; k += 2 * LANES) {
        fetch_ahead(index_bytes, columns, values, k);
        sum += load_any(values + k) * gather(index_bytes, columns, k, x);
        other += load_any(values + k + LANES) * gather(index_bytes, columns, k + LANES, x);
    }
    if (k + LANES <= end) {
        sum += load_any(values + k) * gather(index_bytes, columns, k, x);
        k += LANES;
    }
    real rest = 0;
    for (; k < end; k++)
        rest += values[k] * x[column(columns, index_bytes, k)];
    return rest + lane_sum(sum + other);
}

INLINE void spmv_rows(const int index_bytes, const int brief, const TILE *t, int first,
                      int relu, const real *restrict x, const real *restrict bias,
                      real *restrict y)
{
    (void)brief; /* one way for all rows */
    for (int64_t i = 0; i < t->n_rows; i++) {
        const int64_t k = t->indptr[i], end = t->indptr[i + 1];
        const real total =
            start_of(i, first, bias, y) + row_sum(index_bytes, t, k, end, x);
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

void KERNEL(spmv)(const TILE *t, int brief, int first, int relu, const real *restrict x,
                  const real *restrict bias, real *restrict y)
{
    if (brief)
        WITH_INDEX(t->index_bytes, spmv_rows, 1, t, first, relu, x, bias, y);
    else
        WITH_INDEX(t->index_bytes, spmv_rows, 0, t, first, relu, x, bias, y);
}

void KERNEL(spmv_t)(const TILE *t, const real *restrict dy, real *restrict dx)
{
    WITH_INDEX(t->index_bytes, spmv_t_rows, t, dy, dx);
}

void KERNEL(outer)(const TILE *t, const real *a, const real *x, real *restrict out)
{
    WITH_INDEX(t->index_bytes, outer_rows, t, a, x, out);
}
