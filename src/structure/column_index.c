/* The connections of a layout by column: a counting sort of the slots. Within a column
 * block the slots lie in the order of the rows, so each column's rows come sorted. */
#include "sparsenn.h"

#include <string.h>

#include "columns.h"

static inline int64_t column_of(const snn_layout *w, int64_t base, int64_t k) {
    return base + get_column(w->columns, w->index_bytes, k);
}

void snn_index_columns(const snn_layout *w, int32_t row_bytes, int32_t *restrict start,
                       void *restrict rows, int32_t *restrict slots) {
    const int64_t n_rows = w->n_rows, n_cols = w->n_cols;
    memset(start, 0, ((size_t)n_cols + 1) * sizeof *start);
    for (int64_t b = 0; b < w->n_blocks; b++) {
        const int64_t base = b * w->block_width;
        for (int64_t k = w->indptr[b * n_rows]; k < w->indptr[(b + 1) * n_rows]; k++)
            start[column_of(w, base, k) + 1]++;
    }
    for (int64_t j = 0; j < n_cols; j++) start[j + 1] += start[j];

    /* start[j] serves as the cursor of column j and so ends one column too far. */
    for (int64_t b = 0; b < w->n_blocks; b++) {
        const int64_t base = b * w->block_width;
        const int32_t *indptr = w->indptr + b * n_rows;
        for (int64_t i = 0; i < n_rows; i++) {
            for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
                const int64_t at = start[column_of(w, base, k)]++;
                put_column(rows, row_bytes, at, (int32_t)i);
                slots[at] = (int32_t)k;
            }
        }
    }
    for (int64_t j = n_cols; j > 0; j--) start[j] = start[j - 1];
    start[0] = 0;
}

int64_t snn_column_starts(const snn_column_index *w, int64_t n_columns,
                          const int32_t *columns, int32_t *restrict start) {
    int64_t total = 0;
    for (int64_t u = 0; u < n_columns; u++) {
        const int64_t j = columns[u];
        if (j < (u ? (int64_t)columns[u - 1] + 1 : 0) || j >= w->n_cols) return -1 - u;
        start[u] = (int32_t)total;
        total += w->start[j + 1] - w->start[j];
    }
    start[n_columns] = (int32_t)total;
    return total;
}
