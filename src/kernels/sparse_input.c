/* A sparse batch meets columns of W: what one column, or one sample, adds.
 *
 *     y[s, r] += v[e] x[k]        for entries e of a column, at row r, and nonzeros k of
 *     v[e] = sum_k dy[s, r] x[k]  the column, in sample s
 *
 * Activations are sample-major. Every sum is a chain of multiply-adds in ascending order of
 * columns, or of samples, that begins with 0 or the bias: the same bits for one sample at a
 * time as for four, and for any way to store W. Owns y, or v. */
#include "kernels_decl.h"

enum { AHEAD = 8 }; /* nonzeros of which the columns are fetched early */

/* Row of entry e; without rows the column is full. */
INLINE int64_t row_of(const int bytes, const void *rows, int64_t e)
{
    return bytes == 0   ? e
           : bytes == 1 ? ((const uint8_t *)rows)[e]
           : bytes == 2 ? ((const uint16_t *)rows)[e]
                        : ((const int32_t *)rows)[e];
}

#define WITH_ROWS(bytes, function, ...)                                                    \
    switch (bytes) {                                                                       \
    case 0: function(0, __VA_ARGS__); break;                                               \
    case 1: function(1, __VA_ARGS__); break;                                               \
    case 2: function(2, __VA_ARGS__); break;                                               \
    default: function(4, __VA_ARGS__); break;                                              \
    }

/* ------------------------------------------------------------------ forward */

INLINE void add_1(const int bytes, int64_t n, const void *rows, int64_t row,
                  const real *restrict v, real x, real *restrict y)
{
    for (int64_t e = 0; e < n; e++)
        y[row_of(bytes, rows, e) - row] += v[e] * x;
}

INLINE void add_4(const int bytes, int64_t n, const void *rows, int64_t row,
                  const real *restrict v, const real *x, real *restrict y0,
                  real *restrict y1, real *restrict y2, real *restrict y3)
{
    const real x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
    for (int64_t e = 0; e < n; e++) {
        const int64_t r = row_of(bytes, rows, e) - row;
        const real w = v[e];
        y0[r] += w * x0;
        y1[r] += w * x1;
        y2[r] += w * x2;
        y3[r] += w * x3;
    }
}

/* A sample that has the column twice must not be in one run of four. */
INLINE int distinct(const int32_t *s)
{
    return s[0] != s[1] && s[1] != s[2] && s[2] != s[3];
}

INLINE void add_rows(const int bytes, int64_t n, const void *rows, int64_t row,
                     const real *v, int64_t n_samples, const int32_t *samples,
                     const real *x, real *y, int64_t ldy)
{
    int64_t k = 0;
    while (k < n_samples)
        if (k + 4 <= n_samples && distinct(samples + k)) {
            add_4(bytes, n, rows, row, v, x + k, y + samples[k] * ldy,
                  y + samples[k + 1] * ldy, y + samples[k + 2] * ldy,
                  y + samples[k + 3] * ldy);
            k += 4;
        } else {
            add_1(bytes, n, rows, row, v, x[k], y + samples[k] * ldy);
            k++;
        }
}

void KERNEL(add_column)(int64_t n, int row_bytes, const void *rows, int64_t row,
                        const real *v, int64_t n_samples, const int32_t *samples,
                        const real *x, real *y, int64_t ldy)
{
    WITH_ROWS(row_bytes, add_rows, n, rows, row, v, n_samples, samples, x, y, ldy)
}

INLINE void fetch(const snn_column_index *w, const real *values, int64_t j)
{
    const char *v = (const char *)(values + w->start[j]);
    const char *const v_end = (const char *)(values + w->start[j + 1]);
    for (; v < v_end; v += 64)
        __builtin_prefetch(v);
    const char *r = (const char *)w->rows + (int64_t)w->start[j] * w->row_bytes;
    const char *const r_end = (const char *)w->rows + (int64_t)w->start[j + 1] * w->row_bytes;
    for (; r < r_end; r += 64)
        __builtin_prefetch(r);
}

INLINE void samples_rows(const int bytes, const snn_column_index *w, int64_t n_samples,
                         const int32_t *indptr, const int32_t *indices, const real *x,
                         const real *values, real *y, int64_t ldy)
{
    const int64_t last = indptr[n_samples];
    for (int64_t s = 0; s < n_samples; s++)
        for (int64_t k = indptr[s]; k < indptr[s + 1]; k++) {
            if (k + AHEAD < last)
                fetch(w, values, indices[k + AHEAD]);
            const int64_t first = w->start[indices[k]];
            add_1(bytes, w->start[indices[k] + 1] - first,
                  (const char *)w->rows + first * bytes, 0, values + first, x[k],
                  y + s * ldy);
        }
}

void KERNEL(add_samples)(const snn_column_index *w, int64_t n_samples,
                         const int32_t *indptr, const int32_t *indices, const real *x,
                         const real *values, real *y, int64_t ldy)
{
    WITH_ROWS(w->row_bytes, samples_rows, w, n_samples, indptr, indices, x, values, y, ldy)
}

/* ------------------------------------------------------------------ gradient */

/* Up to four samples at once. The first product is added to 0, so that all are contracted
 * alike. */
INLINE void dot_some(const int bytes, const int count, const int first, int64_t n,
                     const void *rows, const int32_t *samples, const real *x,
                     const real *dy, int64_t lddy, real *restrict v)
{
    const real *restrict y0 = dy + samples[0] * lddy;
    const real *restrict y1 = count > 1 ? dy + samples[1] * lddy : y0;
    const real *restrict y2 = count > 2 ? dy + samples[2] * lddy : y0;
    const real *restrict y3 = count > 3 ? dy + samples[3] * lddy : y0;
    const real x0 = x[0], x1 = count > 1 ? x[1] : 0, x2 = count > 2 ? x[2] : 0;
    const real x3 = count > 3 ? x[3] : 0;
    for (int64_t e = 0; e < n; e++) {
        const int64_t r = row_of(bytes, rows, e);
        real sum = (first ? 0 : v[e]) + y0[r] * x0;
        if (count > 1)
            sum += y1[r] * x1;
        if (count > 2)
            sum += y2[r] * x2;
        if (count > 3)
            sum += y3[r] * x3;
        v[e] = sum;
    }
}

INLINE void dot_rows(const int bytes, int64_t n, const void *rows, int64_t n_samples,
                     const int32_t *s, const real *x, const real *dy, int64_t lddy, real *v)
{
    switch (n_samples) {
    case 0: return;
    case 1: dot_some(bytes, 1, 1, n, rows, s, x, dy, lddy, v); return;
    case 2: dot_some(bytes, 2, 1, n, rows, s, x, dy, lddy, v); return;
    case 3: dot_some(bytes, 3, 1, n, rows, s, x, dy, lddy, v); return;
    default: dot_some(bytes, 4, 1, n, rows, s, x, dy, lddy, v);
    }
    int64_t k = 4;
    for (; k + 4 <= n_samples; k += 4)
        dot_some(bytes, 4, 0, n, rows, s + k, x + k, dy, lddy, v);
    switch (n_samples - k) {
    case 1: dot_some(bytes, 1, 0, n, rows, s + k, x + k, dy, lddy, v); break;
    case 2: dot_some(bytes, 2, 0, n, rows, s + k, x + k, dy, lddy, v); break;
    case 3: dot_some(bytes, 3, 0, n, rows, s + k, x + k, dy, lddy, v); break;
    default: break;
    }
}

void KERNEL(dot_column)(int64_t n, int row_bytes, const void *rows, int64_t n_samples,
                        const int32_t *samples, const real *x, const real *dy,
                        int64_t lddy, real *v)
{
    WITH_ROWS(row_bytes, dot_rows, n, rows, n_samples, samples, x, dy, lddy, v)
}
