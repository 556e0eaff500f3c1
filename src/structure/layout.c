/* Canonical CSR <-> column-blocked storage. Both directions are two passes over the
 * segments: count, then copy runs. O(nnz + rows * blocks), no memory of their own. */
#include "sparsenn.h"

#include <string.h>

#include "columns.h"

/* First slot past the run, from k on, of columns below `limit`. */
static inline int64_t run_end(const int32_t *indices, int64_t k, int64_t end,
                              int64_t limit) {
    while (k < end && indices[k] < limit) k++;
    return k;
}

int snn_csr_to_layout(int32_t n_rows, int32_t n_cols, const int32_t *indptr,
                      const int32_t *indices, int32_t block_width, int32_t index_bytes,
                      int32_t *restrict indptr_out, void *restrict columns_out,
                      int32_t *restrict source) {
    int64_t n_blocks = n_cols ? (n_cols - 1) / block_width + 1 : 0;
    memset(indptr_out, 0, ((size_t)(n_blocks * n_rows) + 1) * sizeof *indptr_out);

    for (int64_t i = 0; i < n_rows; i++) {
        for (int64_t k = indptr[i]; k < indptr[i + 1];) {
            int64_t b = indices[k] / block_width;
            int64_t stop = run_end(indices, k, indptr[i + 1], (b + 1) * block_width);
            indptr_out[b * n_rows + i + 1] = (int32_t)(stop - k);
            k = stop;
        }
    }
    for (int64_t j = 0; j < n_blocks * n_rows; j++) indptr_out[j + 1] += indptr_out[j];

    for (int64_t i = 0; i < n_rows; i++) {
        for (int64_t k = indptr[i]; k < indptr[i + 1];) {
            int64_t b = indices[k] / block_width;
            int64_t base = b * block_width;
            int64_t stop = run_end(indices, k, indptr[i + 1], base + block_width);
            int64_t slot = indptr_out[b * n_rows + i];
            for (; k < stop; k++, slot++) {
                put_column(columns_out, index_bytes, slot, (int32_t)(indices[k] - base));
                if (source) source[slot] = (int32_t)k;
            }
        }
    }
    return SNN_OK;
}

int snn_layout_to_csr(const snn_layout *layout, int32_t *restrict indptr,
                      int32_t *restrict indices, int32_t *restrict slot) {
    int64_t n_rows = layout->n_rows;
    memset(indptr, 0, ((size_t)n_rows + 1) * sizeof *indptr);

    for (int64_t b = 0; b < layout->n_blocks; b++) {
        const int32_t *segment = layout->indptr + b * n_rows;
        for (int64_t i = 0; i < n_rows; i++) indptr[i + 1] += segment[i + 1] - segment[i];
    }
    for (int64_t i = 0; i < n_rows; i++) indptr[i + 1] += indptr[i];

    /* indptr[i] serves as the cursor of row i and so ends one row too far. */
    for (int64_t b = 0; b < layout->n_blocks; b++) {
        const int32_t *segment = layout->indptr + b * n_rows;
        int32_t base = (int32_t)(b * layout->block_width);
        for (int64_t i = 0; i < n_rows; i++) {
            int64_t at = indptr[i];
            for (int64_t k = segment[i]; k < segment[i + 1]; k++, at++) {
                indices[at] = base + get_column(layout->columns, layout->index_bytes, k);
                if (slot) slot[at] = (int32_t)k;
            }
            indptr[i] = (int32_t)at;
        }
    }
    for (int64_t i = n_rows; i > 0; i--) indptr[i] = indptr[i - 1];
    indptr[0] = 0;
    return SNN_OK;
}

void snn_layout_positions(const snn_layout *layout, int32_t *restrict rows,
                          int32_t *restrict cols) {
    int64_t n_rows = layout->n_rows;
    for (int64_t b = 0; b < layout->n_blocks; b++) {
        const int32_t *segment = layout->indptr + b * n_rows;
        int32_t base = (int32_t)(b * layout->block_width);
        for (int64_t i = 0; i < n_rows; i++) {
            for (int64_t k = segment[i]; k < segment[i + 1]; k++) {
                if (rows) rows[k] = (int32_t)i;
                if (cols) cols[k] = base + get_column(layout->columns, layout->index_bytes, k);
            }
        }
    }
}

void snn_layout_find(const snn_layout *layout, int64_t n, const int32_t *rows,
                     const int32_t *cols, uint8_t *restrict found) {
    const void *columns = layout->columns;
    const int index_bytes = layout->index_bytes;
    for (int64_t i = 0; i < n; i++) {
        const int64_t b = cols[i] / layout->block_width;
        const int32_t *at = layout->indptr + b * layout->n_rows + rows[i];
        const int32_t column = (int32_t)(cols[i] - b * layout->block_width);
        int64_t k = at[0], end = at[1];
        while (k < end) {
            const int64_t middle = k + (end - k) / 2;
            if (get_column(columns, index_bytes, middle) < column)
                k = middle + 1;
            else
                end = middle;
        }
        found[i] = k < at[1] && get_column(columns, index_bytes, k) == column;
    }
}
