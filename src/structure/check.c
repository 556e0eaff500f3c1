/* Is this a pattern? Arrays may hold anything: indptr is proved sound as a whole before
 * any column is read through it. O(rows + nnz), no memory. */
#include "sparsenn.h"

/* Row pointers alone: start, order, end. */
static int check_indptr(int64_t n, int32_t nnz, const int32_t *indptr, int64_t *at) {
    *at = 0;
    if (indptr[0] != 0) return SNN_INDPTR_START;
    for (int64_t i = 0; i < n; i++) {
        if (indptr[i + 1] < indptr[i]) {
            *at = i + 1;
            return SNN_INDPTR_ORDER;
        }
    }
    *at = n;
    if (indptr[n] != nnz) return SNN_INDPTR_END;
    return SNN_VALID;
}

int snn_csr_check(int32_t n_rows, int32_t n_cols, int32_t nnz, const int32_t *indptr,
                  const int32_t *indices, int64_t *at) {
    int violation = check_indptr(n_rows, nnz, indptr, at);
    if (violation) return violation;
    for (int64_t i = 0; i < n_rows; i++) {
        int32_t previous = -1;
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
            int32_t column = indices[k];
            *at = k;
            if (column < 0 || column >= n_cols) return SNN_COLUMN_RANGE;
            if (column <= previous) return SNN_COLUMN_ORDER;
            previous = column;
        }
    }
    return SNN_VALID;
}

/* Columns of one segment, all below `width` and increasing. */
#define DEFINE_SEGMENT_CHECK(bytes, type)                                              \
    static int check_segment_##bytes(const type *columns, int64_t begin, int64_t end,  \
                                     int64_t width, int64_t *at) {                     \
        int64_t previous = -1;                                                         \
        for (int64_t k = begin; k < end; k++) {                                        \
            int64_t column = columns[k];                                               \
            *at = k;                                                                   \
            if (column < 0 || column >= width) return SNN_COLUMN_RANGE;                \
            if (column <= previous) return SNN_COLUMN_ORDER;                           \
            previous = column;                                                         \
        }                                                                              \
        return SNN_VALID;                                                              \
    }
DEFINE_SEGMENT_CHECK(1, uint8_t)
DEFINE_SEGMENT_CHECK(2, uint16_t)
DEFINE_SEGMENT_CHECK(4, int32_t)

int snn_layout_check(const snn_layout *layout, int64_t *at) {
    int64_t n_rows = layout->n_rows;
    int64_t n_segments = n_rows * layout->n_blocks;
    const int32_t *indptr = layout->indptr;
    const void *columns = layout->columns;
    int violation = check_indptr(n_segments, layout->nnz, indptr, at);
    if (violation) return violation;
    for (int64_t b = 0; b < layout->n_blocks; b++) {
        int64_t width = layout->n_cols - b * layout->block_width;
        if (width > layout->block_width) width = layout->block_width;
        for (int64_t i = b * n_rows; i < (b + 1) * n_rows; i++) {
            int64_t begin = indptr[i], end = indptr[i + 1];
            if (layout->index_bytes == 1)
                violation = check_segment_1(columns, begin, end, width, at);
            else if (layout->index_bytes == 2)
                violation = check_segment_2(columns, begin, end, width, at);
            else
                violation = check_segment_4(columns, begin, end, width, at);
            if (violation) return violation;
        }
    }
    return SNN_VALID;
}
