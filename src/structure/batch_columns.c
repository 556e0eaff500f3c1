/* A CSR batch by column: a stable radix sort of its nonzeros, which come in the order of
 * their samples. Each pass takes eleven bits, so that time follows the nonzeros and not
 * the features. */
#include "sparsenn.h"

#include <string.h>

enum { BITS = 11, BUCKETS = 1 << BITS };

int snn_batch_check(int32_t batch, int32_t n_cols, int64_t n_indices, const int32_t *indptr,
                    const int32_t *indices, int64_t *at) {
    *at = 0;
    if (indptr[0] != 0) return SNN_INDPTR_START;
    for (int64_t b = 0; b < batch; b++) {
        *at = b + 1;
        if (indptr[b + 1] < indptr[b]) return SNN_INDPTR_ORDER;
    }
    *at = batch;
    if (indptr[batch] > n_indices) return SNN_INDPTR_END;
    for (int64_t k = 0; k < indptr[batch]; k++) {
        *at = k;
        if (indices[k] < 0 || indices[k] >= n_cols) return SNN_COLUMN_RANGE;
    }
    return SNN_VALID;
}

int snn_batch_ascends(int32_t batch, const int32_t *indptr, const int32_t *indices) {
    for (int64_t b = 0; b < batch; b++)
        for (int64_t k = indptr[b] + (int64_t)1; k < indptr[b + 1]; k++)
            if (indices[k] < indices[k - 1]) return 0;
    return 1;
}

/* to = the entries of from, stably sorted by eleven bits of their columns. */
static void pass(int32_t nnz, const int32_t *restrict indices, int shift,
                 const int32_t *restrict from, int32_t *restrict to) {
    int32_t next[BUCKETS] = {0};
    for (int64_t k = 0; k < nnz; k++) next[indices[k] >> shift & (BUCKETS - 1)]++;
    int32_t total = 0;
    for (int64_t d = 0; d < BUCKETS; d++) {
        const int32_t count = next[d];
        next[d] = total;
        total += count;
    }
    for (int64_t k = 0; k < nnz; k++) {
        const int32_t e = from ? from[k] : (int32_t)k;
        to[next[indices[e] >> shift & (BUCKETS - 1)]++] = e;
    }
}

int snn_sort_batch(int32_t batch, int32_t n_cols, const int32_t *indptr,
                   const int32_t *indices, int32_t *restrict columns,
                   int32_t *restrict start, int32_t *restrict samples,
                   int32_t *restrict source, int32_t *n_columns) {
    const int32_t nnz = indptr[batch];
    int passes = 1;
    while ((int64_t)n_cols > (int64_t)1 << BITS * passes) passes++;
    int32_t *other = snn_malloc(((size_t)nnz + 1) * sizeof *other);
    if (!other) return SNN_NO_MEMORY;
    const int32_t *from = NULL;
    for (int p = 0; p < passes; p++) {
        int32_t *to = (passes - p) % 2 ? source : other; /* the last pass fills source */
        pass(nnz, indices, BITS * p, from, to);
        from = to;
    }

    int32_t *sample = other; /* of each entry of the CSR */
    for (int32_t b = 0; b < batch; b++)
        for (int64_t k = indptr[b]; k < indptr[b + 1]; k++) sample[k] = b;
    int32_t n = 0;
    for (int32_t k = 0; k < nnz; k++) {
        const int32_t e = source[k];
        samples[k] = sample[e];
        if (n == 0 || columns[n - 1] != indices[e]) {
            columns[n] = indices[e];
            start[n++] = k;
        }
    }
    start[n] = nnz;
    *n_columns = n;
    snn_free(other);
    return SNN_OK;
}
