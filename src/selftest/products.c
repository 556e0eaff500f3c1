/* The products over random patterns: sizes around the widths of vectors, several column
 * blocks, every index width, gaps between features, guards after every output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../real.h"
#include "selftest.h"

#if defined(SNN_REAL_F32)
static const double EPSILON = 0x1p-23;
#else
static const double EPSILON = 0x1p-52;
#endif

enum { GUARD = 16 };
static const real GUARD_VALUE = 12345;

static const int32_t BATCHES[] = {0,  1,  2,  3,  4,  7,  8,  9,  15,  16,  17,
                                  31, 33, 63, 64, 65, 96, 127, 128, 129, 257};
enum { N_BATCHES = sizeof BATCHES / sizeof BATCHES[0] };

typedef struct shape {
    int32_t rows, cols, width, bytes;
    double density;
} shape;

static const shape SHAPES[] = {
    {0, 5, 5, 1, 0.5},    {5, 0, 4, 1, 0.5},   {1, 1, 1, 1, 1},     {3, 4, 4, 4, 1},
    {17, 33, 8, 1, 0.3},  {40, 20, 64, 2, 0.2}, {40, 70, 32, 4, 0.1}, {7, 9, 9, 2, 0},
    {33, 300, 256, 1, 0.1}, {90, 90, 128, 1, 0.4},
    {2100, 12, 5, 1, 0.6}, /* several chunks of rows */
};
enum { N_SHAPES = sizeof SHAPES / sizeof SHAPES[0] };

typedef struct matrix { /* feature-major activations with a guard */
    int64_t n, batch, ld;
    real *at;
} matrix;

static void *room(size_t n, size_t each)
{
    void *p = malloc(n * each + 1);
    if (!p)
        abort();
    return p;
}

static matrix matrix_new(int64_t n, int64_t batch, int fill)
{
    matrix m = {n, batch, batch + selftest_below(4), NULL};
    if (m.ld == 0)
        m.ld = 1;
    /* nothing beyond the last sample of the last feature belongs to the matrix */
    const size_t size = n ? (size_t)((n - 1) * m.ld + batch) : 0;
    m.at = room(size + (fill ? 0 : GUARD), sizeof(real));
    for (size_t i = 0; i < size; i++)
        m.at[i] = fill ? (real)selftest_signed() : (real)NAN;
    for (size_t i = size; !fill && i < size + GUARD; i++)
        m.at[i] = GUARD_VALUE;
    /* what lies between features is not to be used */
    for (int64_t j = 0; fill && j + 1 < n; j++)
        for (int64_t b = batch; b < m.ld; b++)
            m.at[j * m.ld + b] = (real)NAN;
    return m;
}

static int guard_broken(const matrix *m)
{
    const size_t size = m->n ? (size_t)((m->n - 1) * m->ld + m->batch) : 0;
    for (size_t i = 0; i < GUARD; i++)
        if (m->at[size + i] != GUARD_VALUE)
            return 1;
    for (int64_t j = 0; j + 1 < m->n; j++)
        for (int64_t b = m->batch; b < m->ld; b++)
            if (!isnan(m->at[j * m->ld + b]))
                return 1;
    return 0;
}

static real get(const matrix *m, int64_t j, int64_t b) { return m->at[j * m->ld + b]; }

typedef struct pattern {
    snn_layout layout;
    int32_t *indptr, *row, *col;
    void *columns;
} pattern;

static pattern pattern_new(shape s)
{
    pattern p = {.layout = {.n_rows = s.rows, .n_cols = s.cols, .block_width = s.width,
                            .n_blocks = (s.cols + s.width - 1) / s.width,
                            .index_bytes = s.bytes}};
    const size_t most = (size_t)s.rows * (size_t)s.cols;
    p.indptr = room((size_t)p.layout.n_blocks * (size_t)s.rows + 1, sizeof(int32_t));
    p.row = room(most, sizeof(int32_t));
    p.col = room(most, sizeof(int32_t));
    p.columns = room(most, (size_t)s.bytes);
    int32_t k = 0, segment = 0;
    p.indptr[0] = 0;
    for (int32_t block = 0; block < p.layout.n_blocks; block++)
        for (int32_t i = 0; i < s.rows; i++) {
            for (int32_t j = 0; j < s.width && block * s.width + j < s.cols; j++) {
                /* some rows and columns stay empty */
                if (i % 5 == 3 || j % 7 == 5 || fabs(selftest_signed()) >= s.density)
                    continue;
                p.row[k] = i;
                p.col[k] = block * s.width + j;
                if (s.bytes == 1)
                    ((uint8_t *)p.columns)[k] = (uint8_t)j;
                else if (s.bytes == 2)
                    ((uint16_t *)p.columns)[k] = (uint16_t)j;
                else
                    ((int32_t *)p.columns)[k] = j;
                k++;
            }
            p.indptr[++segment] = k;
        }
    p.layout.nnz = k;
    p.layout.indptr = p.indptr;
    p.layout.columns = p.columns;
    return p;
}

static int count_wrong;
static const char *what_isa;

static void expect(int ok, const char *what, const pattern *p, int64_t batch)
{
    if (ok)
        return;
    if (count_wrong++ < 20)
        printf("%s f%d %s: wrong for %d x %d, blocks of %d, %d-byte columns, batch %d\n",
               what_isa, (int)(8 * sizeof(real)), what, p->layout.n_rows, p->layout.n_cols,
               p->layout.block_width, p->layout.index_bytes, (int)batch);
}

static int near(double actual, double exact, double magnitude, double terms)
{
    return fabs(actual - exact) <= (terms + 4) * EPSILON * magnitude;
}

/* Sum and sum of magnitudes of the terms of each output, in double. */
typedef struct exact {
    double *sum, *magnitude;
} exact;

static exact exact_new(int64_t n)
{
    exact e = {room((size_t)n, sizeof(double)), room((size_t)n, sizeof(double))};
    for (int64_t i = 0; i < n; i++)
        e.sum[i] = e.magnitude[i] = 0;
    return e;
}

static void exact_add(exact *e, int64_t at, double term)
{
    e->sum[at] += term;
    e->magnitude[at] += fabs(term);
}

static void exact_free(exact *e)
{
    free(e->sum);
    free(e->magnitude);
}

static void check_spmm(const pattern *p, int64_t batch, const real *values, const matrix *x)
{
    const int64_t m = p->layout.n_rows;
    for (int variant = 0; variant < 3; variant++) { /* plain, bias, bias and ReLU */
        real *bias = room((size_t)m, sizeof(real));
        for (int64_t i = 0; i < m; i++)
            bias[i] = (real)selftest_signed();
        matrix y = matrix_new(m, batch, 0);
        exact e = exact_new(m * batch);
        for (int64_t i = 0; i < m; i++)
            for (int64_t b = 0; variant && b < batch; b++)
                exact_add(&e, i * batch + b, bias[i]);
        for (int32_t k = 0; k < p->layout.nnz; k++)
            for (int64_t b = 0; b < batch; b++)
                exact_add(&e, p->row[k] * batch + b,
                          (double)values[k] * get(x, p->col[k], b));
        int ok = SNN_REAL(snn_spmm)(&p->layout, batch, values, variant ? bias : NULL,
                                    variant == 2, x->at, x->ld, y.at, y.ld) == SNN_OK;
        for (int64_t i = 0; i < m; i++)
            for (int64_t b = 0; b < batch; b++) {
                const double sum = e.sum[i * batch + b];
                ok &= near(get(&y, i, b), variant == 2 && sum < 0 ? 0 : sum,
                           e.magnitude[i * batch + b], p->layout.n_cols);
            }
        expect(ok && !guard_broken(&y), "spmm", p, batch);
        exact_free(&e);
        free(y.at);
        free(bias);
    }
}

static real *slots_new(int32_t nnz)
{
    real *out = room((size_t)nnz + GUARD, sizeof(real));
    for (int32_t k = 0; k < nnz; k++)
        out[k] = (real)NAN;
    for (int32_t k = nnz; k < nnz + GUARD; k++)
        out[k] = GUARD_VALUE;
    return out;
}

static int slots_guard_broken(const real *out, int32_t nnz)
{
    for (int k = 0; k < GUARD; k++)
        if (out[nnz + k] != GUARD_VALUE)
            return 1;
    return 0;
}

static void check_backward(const pattern *p, int64_t batch, const real *values,
                           const matrix *x)
{
    const int64_t m = p->layout.n_rows, n = p->layout.n_cols;
    const int32_t nnz = p->layout.nnz;
    matrix dy = matrix_new(m, batch, 1), dx = matrix_new(n, batch, 0);
    matrix both_dx = dx;
    both_dx.at = room((size_t)(n * dx.ld) + GUARD, sizeof(real));
    memcpy(both_dx.at, dx.at,
           ((size_t)(n ? (n - 1) * dx.ld + batch : 0) + GUARD) * sizeof(real));
    real *dw = slots_new(nnz), *both_dw = slots_new(nnz);
    exact e = exact_new(n * batch), f = exact_new(nnz);
    for (int32_t k = 0; k < nnz; k++)
        for (int64_t b = 0; b < batch; b++) {
            exact_add(&e, p->col[k] * batch + b,
                      (double)values[k] * get(&dy, p->row[k], b));
            exact_add(&f, k, (double)get(&dy, p->row[k], b) * get(x, p->col[k], b));
        }

    snn_column_order o = {.chunk_rows = snn_column_order_chunk(&p->layout)};
    if (batch % 2 && o.chunk_rows > 3) /* several chunks, of a few rows */
        o.chunk_rows = 3;
    o.row_bytes = o.chunk_rows > 256 || batch % 3 == 2 ? 4 : batch % 3 ? 2 : 1;
    int32_t *start = room((size_t)(p->layout.n_rows / o.chunk_rows + 1) * (size_t)n,
                          sizeof(int32_t));
    void *rows = room((size_t)nnz, (size_t)o.row_bytes);
    if (snn_order_columns(&p->layout, o.chunk_rows, o.row_bytes, start, rows) != SNN_OK)
        abort();
    o.start = start;
    o.rows = rows;

    int ok = SNN_REAL(snn_spmm_t)(&p->layout, &o, batch, values, dy.at, dy.ld, dx.at,
                                  dx.ld) == SNN_OK;
    for (int64_t j = 0; j < n; j++)
        for (int64_t b = 0; b < batch; b++)
            ok &= near(get(&dx, j, b), e.sum[j * batch + b], e.magnitude[j * batch + b],
                       (double)m);
    expect(ok && !guard_broken(&dx), "spmm_t", p, batch);

    ok = SNN_REAL(snn_sddmm)(&p->layout, batch, dy.at, dy.ld, x->at, x->ld, dw) == SNN_OK;
    for (int32_t k = 0; k < nnz; k++)
        ok &= near(dw[k], f.sum[k], f.magnitude[k], (double)batch);
    expect(ok && !slots_guard_broken(dw, nnz), "sddmm", p, batch);

    ok = SNN_REAL(snn_spmm_backward)(&p->layout, &o, batch, values, dy.at, dy.ld, x->at, x->ld,
                                     both_dx.at, both_dx.ld, both_dw) == SNN_OK;
    ok &= !guard_broken(&both_dx) && !slots_guard_broken(both_dw, nnz);
    for (int64_t j = 0; j < n; j++)
        ok &= memcmp(dx.at + j * dx.ld, both_dx.at + j * dx.ld,
                     (size_t)batch * sizeof(real)) == 0;
    ok &= memcmp(dw, both_dw, (size_t)nnz * sizeof(real)) == 0;
    expect(ok, "spmm_backward", p, batch);

    exact_free(&e);
    exact_free(&f);
    free(start);
    free(rows);
    free(dw);
    free(both_dw);
    free(dy.at);
    free(dx.at);
    free(both_dx.at);
}

int SNN_REAL(selftest_products)(const char *isa)
{
    count_wrong = 0;
    what_isa = isa;
    for (int s = 0; s < N_SHAPES; s++)
        for (int b = 0; b < N_BATCHES; b++) {
            pattern p = pattern_new(SHAPES[s]);
            real *values = room((size_t)p.layout.nnz, sizeof(real));
            for (int32_t k = 0; k < p.layout.nnz; k++)
                values[k] = k % 11 == 0 ? 0 : (real)selftest_signed();
            matrix x = matrix_new(p.layout.n_cols, BATCHES[b], 1);
            snn_set_num_threads(1 + b % 3);
            check_spmm(&p, BATCHES[b], values, &x);
            check_backward(&p, BATCHES[b], values, &x);
            free(x.at);
            free(values);
            free(p.indptr);
            free(p.row);
            free(p.col);
            free(p.columns);
        }
    return count_wrong;
}
