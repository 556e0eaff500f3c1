/* CSR of the transpose by one counting sort: rows are visited in order, so the columns of
 * the output come sorted. O(rows + columns + nnz), no memory of its own. */
#include "sparsenn.h"

#include <string.h>

int snn_csr_transpose(int32_t n_rows, int32_t n_cols, const int32_t *indptr,
                      const int32_t *indices, int32_t *restrict indptr_t,
                      int32_t *restrict indices_t, int32_t *restrict source) {
    memset(indptr_t, 0, ((size_t)n_cols + 1) * sizeof *indptr_t);
    for (int64_t k = 0; k < indptr[n_rows]; k++) indptr_t[indices[k] + (int64_t)1]++;
    for (int64_t j = 0; j < n_cols; j++) indptr_t[j + 1] += indptr_t[j];

    /* indptr_t[j] serves as the cursor of column j and so ends one column too far. */
    for (int64_t i = 0; i < n_rows; i++) {
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
            int64_t at = indptr_t[indices[k]]++;
            indices_t[at] = (int32_t)i;
            if (source) source[at] = (int32_t)k;
        }
    }
    for (int64_t j = n_cols; j > 0; j--) indptr_t[j] = indptr_t[j - 1];
    indptr_t[0] = 0;
    return SNN_OK;
}
