/* Events: one active feature of one sample meets its column of W.
 *
 * Scalar on purpose: gathers and scatters of vectors are slower than loads and stores of
 * single reals on the machines measured. The rows of a column are distinct, so that four
 * additions can be under way at once. */
#include "kernels_decl.h"

enum {
    AHEAD = 4, /* cache lines of the next column that are asked for */
    SOON = 8   /* events ahead whose activation is: samples of one feature lie together */
};

#define ENTRIES SNN_REAL(snn_entries)

INLINE void four_rows(const int row_bytes, const void *rows, int64_t e, int64_t *row)
{
    if (row_bytes == 1) {
        uint32_t packed;
        memcpy(&packed, (const uint8_t *)rows + e, sizeof packed);
        for (int i = 0; i < 4; i++)
            row[i] = packed >> 8 * i & 255;
    } else if (row_bytes == 2) {
        uint64_t packed;
        memcpy(&packed, (const uint16_t *)rows + e, sizeof packed);
        for (int i = 0; i < 4; i++)
            row[i] = (int64_t)(packed >> 16 * i & 65535);
    } else {
        for (int i = 0; i < 4; i++)
            row[i] = ((const int32_t *)rows)[e + i];
    }
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "rows are unpacked in little-endian order"
#endif
}

INLINE real value(const ENTRIES *w, const int indexed, int64_t e)
{
    return indexed ? w->values[w->slots[e]] : w->values[e - w->base];
}

/* The first entry of a column whose row is at least `row`. */
static int64_t lower(const ENTRIES *w, int64_t first, int64_t end, int64_t row)
{
    while (first < end) {
        const int64_t middle = first + (end - first) / 2;
        if (column(w->rows, w->row_bytes, middle) < row)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

INLINE void add_column(const int row_bytes, const int indexed, const ENTRIES *w, int64_t e,
                       int64_t end, real x, real *restrict y)
{
    for (; e + 4 <= end; e += 4) {
        int64_t r[4];
        four_rows(row_bytes, w->rows, e, r);
        const real a = y[r[0]] + value(w, indexed, e) * x;
        const real b = y[r[1]] + value(w, indexed, e + 1) * x;
        const real c = y[r[2]] + value(w, indexed, e + 2) * x;
        const real d = y[r[3]] + value(w, indexed, e + 3) * x;
        y[r[0]] = a;
        y[r[1]] = b;
        y[r[2]] = c;
        y[r[3]] = d;
    }
    for (; e < end; e++)
        y[column(w->rows, row_bytes, e)] += value(w, indexed, e) * x;
}

/* Asks for the columns to come: their beginnings lie anywhere, so that no processor
 * foresees them. */
INLINE void announce(const ENTRIES *w, const int indexed, int64_t j)
{
    const int64_t e = w->start[j], end = w->start[j + 1];
    const char *rows = (const char *)w->rows;
    const int64_t line = 64 / (int64_t)sizeof(real);
    const int64_t until = end < e + AHEAD * line ? end : e + AHEAD * line;
    for (int64_t f = e; f < until; f += 64 / w->row_bytes)
        __builtin_prefetch(rows + f * w->row_bytes);
    if (indexed)
        for (int64_t f = e; f < until; f += 16)
            __builtin_prefetch(w->slots + f);
    else
        for (int64_t f = e; f < until; f += line)
            __builtin_prefetch(w->values + f - w->base);
}

INLINE void add_columns(const int row_bytes, const int indexed, const ENTRIES *w, int64_t n,
                        const int32_t *features, const real *x, int64_t ldx,
                        real *restrict y)
{
    const int whole = w->row_begin == 0 && w->row_end == w->n_rows;
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = features[i];
        if (i + 1 < n)
            announce(w, indexed, features[i + 1]);
        if (i + SOON < n)
            __builtin_prefetch(x + features[i + SOON] * ldx);
        int64_t e = w->start[j], end = w->start[j + 1];
        if (!whole) {
            e = lower(w, e, end, w->row_begin);
            end = lower(w, e, end, w->row_end);
        }
        add_column(row_bytes, indexed, w, e, end, x[j * ldx], y);
    }
}

void KERNEL(event_add)(const ENTRIES *w, int64_t n, const int32_t *features, const real *x,
                       int64_t ldx, real *restrict y)
{
    if (w->slots)
        WITH_INDEX(w->row_bytes, add_columns, 1, w, n, features, x, ldx, y);
    else
        WITH_INDEX(w->row_bytes, add_columns, 0, w, n, features, x, ldx, y);
}

INLINE int64_t place(const ENTRIES *w, const int indexed, int64_t e)
{
    return indexed ? w->slots[e] : e - w->base;
}

/* One column: dvalues += x dy[rows], and the dot of the column with dy. */
INLINE real grad_column(const int row_bytes, const int indexed, const int dx, const int dv,
                        const ENTRIES *w, int64_t e, int64_t end, real x,
                        const real *restrict dy, real *restrict dvalues)
{
    real a = 0, b = 0, c = 0, d = 0;
    for (; e + 4 <= end; e += 4) {
        int64_t r[4];
        four_rows(row_bytes, w->rows, e, r);
        const real g0 = dy[r[0]], g1 = dy[r[1]], g2 = dy[r[2]], g3 = dy[r[3]];
        if (dx) {
            a += value(w, indexed, e) * g0;
            b += value(w, indexed, e + 1) * g1;
            c += value(w, indexed, e + 2) * g2;
            d += value(w, indexed, e + 3) * g3;
            /* one by one, so that the sums are the same bits with and without dvalues */
            IN_REGISTER(a);
            IN_REGISTER(b);
            IN_REGISTER(c);
            IN_REGISTER(d);
        }
        if (dv) {
            dvalues[place(w, indexed, e)] += x * g0;
            dvalues[place(w, indexed, e + 1)] += x * g1;
            dvalues[place(w, indexed, e + 2)] += x * g2;
            dvalues[place(w, indexed, e + 3)] += x * g3;
        }
    }
    for (; e < end; e++) {
        const real g = dy[column(w->rows, row_bytes, e)];
        if (dx)
            a += value(w, indexed, e) * g;
        if (dv)
            dvalues[place(w, indexed, e)] += x * g;
    }
    return (a + b) + (c + d);
}

INLINE void grad_columns(const int row_bytes, const int indexed, const int dx, const int dv,
                         const ENTRIES *w, int64_t n, const int32_t *features,
                         const real *x, int64_t ldx, const real *restrict dy,
                         real *restrict out, int64_t ldout, real *restrict dvalues)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = features[i];
        const real dot = grad_column(row_bytes, indexed, dx, dv, w, w->start[j],
                                     w->start[j + 1], dv ? x[j * ldx] : 0, dy, dvalues);
        if (dx)
            out[j * ldout] = dot;
    }
}

INLINE void grad_events(const int row_bytes, const int indexed, const ENTRIES *w, int64_t n,
                        const int32_t *features, const real *x, int64_t ldx,
                        const real *restrict dy, real *restrict dx, int64_t lddx,
                        real *restrict dvalues)
{
    if (dx && dvalues)
        grad_columns(row_bytes, indexed, 1, 1, w, n, features, x, ldx, dy, dx, lddx, dvalues);
    else if (dx)
        grad_columns(row_bytes, indexed, 1, 0, w, n, features, x, ldx, dy, dx, lddx, dvalues);
    else
        grad_columns(row_bytes, indexed, 0, 1, w, n, features, x, ldx, dy, dx, lddx, dvalues);
}

void KERNEL(event_backward)(const ENTRIES *w, int64_t n, const int32_t *features,
                            const real *x, int64_t ldx, const real *restrict dy,
                            real *restrict dx, int64_t lddx, real *restrict dvalues)
{
    if (w->slots)
        WITH_INDEX(w->row_bytes, grad_events, 1, w, n, features, x, ldx, dy, dx, lddx,
                   dvalues);
    else
        WITH_INDEX(w->row_bytes, grad_events, 0, w, n, features, x, ldx, dy, dx, lddx,
                   dvalues);
}
