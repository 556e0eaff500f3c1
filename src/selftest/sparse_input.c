/* The first layer on CSR batches: unsorted, with duplicates and empty samples, against
 * the three ways in which a weight can be stored. */
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

enum kind { INDEXED, BY_COLUMN, FULL };

static void *room(size_t n, size_t each)
{
    void *p = malloc(n * each + 1);
    if (!p)
        abort();
    return p;
}

static void put(void *at, int32_t bytes, int64_t k, int32_t value)
{
    if (bytes == 1)
        ((uint8_t *)at)[k] = (uint8_t)value;
    else if (bytes == 2)
        ((uint16_t *)at)[k] = (uint16_t)value;
    else
        ((int32_t *)at)[k] = value;
}

typedef struct weight {
    snn_column_index index;
    snn_layout layout;
    int32_t nnz;
    int32_t *slot; /* of each position, -1: none */
    int32_t *indptr, *start, *slots;
    void *columns, *rows;
} weight;

static weight weight_new(int32_t n_rows, int32_t n_cols, int32_t row_bytes, enum kind kind)
{
    weight w = {.index = {.n_rows = n_rows, .n_cols = n_cols, .row_bytes = row_bytes}};
    const int32_t width = 8, blocks = (n_cols + width - 1) / width;
    const size_t most = (size_t)n_rows * (size_t)n_cols;
    w.slot = room(most, sizeof(int32_t));
    w.indptr = room((size_t)blocks * (size_t)n_rows + 1, sizeof(int32_t));
    w.start = room((size_t)n_cols + 1, sizeof(int32_t));
    w.slots = room(most, sizeof(int32_t));
    w.columns = room(most, 1);
    w.rows = room(most, (size_t)row_bytes);
    int32_t *segment = w.indptr;
    *segment = 0;
    for (size_t k = 0; k < most; k++)
        w.slot[k] = kind == FULL ? (int32_t)k : selftest_below(3) ? -1 : 0;
    if (kind == FULL) {
        w.nnz = (int32_t)most;
    } else if (kind == INDEXED) {
        for (int32_t b = 0; b < blocks; b++)
            for (int32_t i = 0; i < n_rows; i++) {
                for (int32_t j = b * width; j < n_cols && j < (b + 1) * width; j++)
                    if (w.slot[i * n_cols + j] >= 0) {
                        ((uint8_t *)w.columns)[w.nnz] = (uint8_t)(j - b * width);
                        w.slot[i * n_cols + j] = w.nnz++;
                    }
                *++segment = w.nnz;
            }
        w.layout = (snn_layout){.n_rows = n_rows, .n_cols = n_cols, .block_width = width,
                                .n_blocks = blocks, .index_bytes = 1, .nnz = w.nnz,
                                .indptr = w.indptr, .columns = w.columns};
        snn_index_columns(&w.layout, row_bytes, w.start, w.rows, w.slots);
        w.index.start = w.start;
        w.index.rows = w.rows;
        w.index.slots = w.slots;
    } else {
        w.start[0] = 0;
        for (int32_t j = 0; j < n_cols; j++) {
            for (int32_t i = 0; i < n_rows; i++)
                if (w.slot[i * n_cols + j] >= 0) {
                    put(w.rows, row_bytes, w.nnz, i);
                    w.slot[i * n_cols + j] = w.nnz++;
                }
            w.start[j + 1] = w.nnz;
        }
        w.index.start = w.start;
        w.index.rows = w.rows;
    }
    return w;
}

static void weight_free(weight *w)
{
    free(w->slot);
    free(w->indptr);
    free(w->start);
    free(w->slots);
    free(w->columns);
    free(w->rows);
}

static real *random_reals(size_t n)
{
    real *a = room(n, sizeof(real));
    for (size_t k = 0; k < n; k++)
        a[k] = (real)selftest_signed();
    return a;
}

/* got against the sum of n terms of at most 1 in magnitude */
static int differs(real got, double want, int32_t n)
{
    return !(fabs((double)got - want) <= (n + 4) * EPSILON * (n + 1));
}

static int ascending(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int check(int32_t batch, int32_t n_rows, int32_t n_cols, int32_t row_bytes,
                 enum kind kind, int relu)
{
    weight w = weight_new(n_rows, n_cols, row_bytes, kind);
    if (kind == INDEXED)
        w.index.layout = &w.layout;
    const size_t cells = (size_t)batch * (size_t)n_cols;
    const int32_t nnz = n_cols ? (int32_t)(cells / 3) : 0;
    int32_t *indptr = room((size_t)batch + 1, sizeof(int32_t));
    int32_t *indices = room((size_t)nnz, sizeof(int32_t));
    indptr[0] = 0;
    for (int32_t b = 0; b < batch; b++) {
        const int32_t left = nnz - indptr[b];
        indptr[b + 1] = b == batch - 1 ? nnz
                                       : indptr[b] + (int32_t)selftest_below(
                                                         (uint32_t)(left / 2 + 1));
    }
    for (int32_t k = 0; k < nnz; k++)
        indices[k] = (int32_t)selftest_below((uint32_t)n_cols);
    if (selftest_below(2)) /* samples may then be walked one by one */
        for (int32_t s = 0; s < batch; s++)
            qsort(indices + indptr[s], (size_t)(indptr[s + 1] - indptr[s]), sizeof(int32_t),
                  ascending);

    int32_t *columns = room((size_t)nnz, sizeof(int32_t));
    int32_t *start = room((size_t)nnz + 1, sizeof(int32_t));
    int32_t *samples = room((size_t)nnz, sizeof(int32_t));
    int32_t *source = room((size_t)nnz, sizeof(int32_t));
    int64_t at;
    int wrong = snn_batch_check(batch, n_cols, nnz, indptr, indices, &at) != SNN_VALID;
    snn_batch_columns b = {.batch = batch, .columns = columns, .start = start,
                           .samples = samples};
    wrong += snn_sort_batch(batch, n_cols, indptr, indices, columns, start, samples, source,
                            &b.n_columns) != SNN_OK;
    if (snn_batch_ascends(batch, indptr, indices)) {
        b.indptr = indptr;
        b.indices = indices;
        b.source = source;
    }

    real *data = random_reals((size_t)nnz), *x = room((size_t)nnz, sizeof(real));
    double *dense = room(cells, sizeof(double));
    memset(dense, 0, cells * sizeof(double));
    for (int32_t s = 0; s < batch; s++)
        for (int32_t k = indptr[s]; k < indptr[s + 1]; k++)
            dense[(size_t)s * (size_t)n_cols + (size_t)indices[k]] += (double)data[k];
    for (int32_t k = 0; k < nnz; k++)
        x[k] = data[source[k]];

    const int64_t ld = batch + 1;
    real *values = random_reals((size_t)w.nnz), *bias = random_reals((size_t)n_rows);
    real *y = random_reals((size_t)(n_rows * ld)), *dy = random_reals((size_t)(n_rows * ld));
    real *dvalues = random_reals((size_t)w.nnz);
    wrong += SNN_REAL(snn_sparse_input)(&w.index, &b, values, x, bias,
                                        relu ? SNN_RELU : SNN_IDENTITY, y, ld) != SNN_OK;
    wrong += SNN_REAL(snn_sparse_input_grad)(&w.index, &b, x, dy, ld, dvalues) != SNN_OK;
    for (int32_t i = 0; i < n_rows; i++)
        for (int32_t s = 0; s < batch; s++) {
            double sum = (double)bias[i];
            for (int32_t j = 0; j < n_cols; j++)
                if (w.slot[i * n_cols + j] >= 0)
                    sum += dense[(size_t)s * (size_t)n_cols + (size_t)j] *
                           (double)values[w.slot[i * n_cols + j]];
            if (relu && sum < 0)
                sum = 0;
            wrong += differs(y[i * ld + s], sum, nnz);
        }
    for (int32_t i = 0; i < n_rows; i++)
        for (int32_t j = 0; j < n_cols; j++) {
            double sum = 0;
            if (w.slot[i * n_cols + j] < 0)
                continue;
            for (int32_t s = 0; s < batch; s++)
                sum += dense[(size_t)s * (size_t)n_cols + (size_t)j] * (double)dy[i * ld + s];
            wrong += differs(dvalues[w.slot[i * n_cols + j]], sum, nnz);
        }
    if (wrong)
        printf("sparse input, kind %d, batch %d, %d x %d: %d wrong\n", (int)kind, (int)batch,
               (int)n_rows, (int)n_cols, wrong);
    void *all[] = {indptr, indices, columns, start, samples, source, data,   x,
                   dense,  values,   bias,  y,       dy,     dvalues};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        free(all[k]);
    weight_free(&w);
    return wrong;
}

int SNN_REAL(selftest_sparse_input)(void)
{
    static const int32_t shapes[][2] = {{0, 5}, {5, 0}, {1, 1},   {3, 17},
                                        {40, 33}, {17, 2500}, {300, 9}};
    static const int32_t batches[] = {0, 1, 2, 15, 16, 33, 70};
    int wrong = 0, flip = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++)
            for (int kind = INDEXED; kind <= FULL; kind++)
                for (int32_t bytes = shapes[s][0] > 256 ? 2 : 1; bytes <= 4; bytes *= 2)
                    for (int threads = 1; threads <= 3; threads += 2) {
                        snn_set_num_threads(threads);
                        wrong += check(batches[b], shapes[s][0], shapes[s][1], bytes,
                                       (enum kind)kind, flip++ & 1);
                    }
    snn_set_num_threads(0);
    printf("sparse input %s\n", wrong ? "WRONG" : "ok");
    return wrong;
}
