/* The edit behind every topology change: drop the entries that are not kept, add those of
 * a second CSR, stay sorted. One merge per row, O(rows + nnz + added), no memory. */
#include "sparsenn.h"

int snn_csr_merge(int32_t n_rows, const int32_t *indptr, const int32_t *indices,
                  const uint8_t *keep, const int32_t *added_indptr,
                  const int32_t *added_indices, int32_t *restrict indptr_out,
                  int32_t *restrict indices_out, int32_t *restrict source) {
    int64_t out = 0;
    indptr_out[0] = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        int64_t k = indptr[i], k_end = indptr[i + 1];
        int64_t a = added_indptr[i], a_end = added_indptr[i + 1];
        for (;;) {
            while (k < k_end && !keep[k]) k++;
            if (k == k_end && a == a_end) break;
            if (k < k_end && a < a_end && indices[k] == added_indices[a])
                return SNN_BAD_ARGUMENT;
            if (a == a_end || (k < k_end && indices[k] < added_indices[a])) {
                indices_out[out] = indices[k];
                source[out++] = (int32_t)k++;
            } else {
                indices_out[out] = added_indices[a++];
                source[out++] = -1;
            }
        }
        indptr_out[i + 1] = (int32_t)out;
    }
    return SNN_OK;
}
