/* A layout's positions by column within tiles: a counting sort of each tile. O(nnz), once
 * for each pattern. */
#include "sparsenn.h"

#include <string.h>

#include "../threads.h"

/* Entries of a column in a tile that outweigh starting it. */
static const double ENTRIES = 16;
/* Fewer rows than these are in the cache anyway. */
enum { FEWEST_ROWS = 64 };

int32_t snn_column_order_chunk(const snn_layout *w) {
    const double positions = (double)w->n_rows * (double)w->n_cols;
    int64_t rows = FEWEST_ROWS;
    while (rows < w->n_rows && (double)rows * (double)w->nnz < ENTRIES * positions) rows *= 2;
    return (int32_t)(rows < w->n_rows ? rows : w->n_rows > 0 ? w->n_rows : 1);
}

typedef struct job {
    const snn_layout *w;
    int32_t chunk_rows, row_bytes;
    int32_t *start, *next; /* next: n_cols, each block its own part */
    void *rows;
    int64_t taken;
} job;

#define SORT(column_type, row_type, name)                                                  \
    static void name(const int32_t *restrict indptr, const column_type *restrict columns,  \
                     int32_t n_rows, int32_t n_cols, int32_t *restrict start,              \
                     int32_t *restrict next, row_type *restrict rows) {                    \
        memset(next, 0, (size_t)n_cols * sizeof *next);                                    \
        for (int32_t k = indptr[0]; k < indptr[n_rows]; k++) next[columns[k]]++;           \
        int32_t at = indptr[0];                                                            \
        for (int32_t j = 0; j < n_cols; j++) {                                             \
            const int32_t count = next[j];                                                 \
            start[j] = next[j] = at;                                                       \
            at += count;                                                                   \
        }                                                                                  \
        for (int32_t i = 0; i < n_rows; i++)                                               \
            for (int32_t k = indptr[i]; k < indptr[i + 1]; k++)                            \
                rows[next[columns[k]]++] = (row_type)i;                                    \
    }

SORT(uint8_t, uint8_t, sort_1_1)
SORT(uint8_t, uint16_t, sort_1_2)
SORT(uint8_t, int32_t, sort_1_4)
SORT(uint16_t, uint8_t, sort_2_1)
SORT(uint16_t, uint16_t, sort_2_2)
SORT(uint16_t, int32_t, sort_2_4)
SORT(int32_t, uint8_t, sort_4_1)
SORT(int32_t, uint16_t, sort_4_2)
SORT(int32_t, int32_t, sort_4_4)

static void sort_tile(const job *j, int64_t block, int32_t first_row) {
    const snn_layout *w = j->w;
    const int64_t base = block * w->block_width;
    const int32_t n_cols =
        (int32_t)(w->n_cols - base < w->block_width ? w->n_cols - base : w->block_width);
    const int32_t left = w->n_rows - first_row;
    const int32_t n_rows = left < j->chunk_rows ? left : j->chunk_rows;
    const int32_t *indptr = w->indptr + block * w->n_rows + first_row;
    int32_t *start = j->start + (int64_t)(first_row / j->chunk_rows) * w->n_cols + base;
    int32_t *next = j->next + base;
#define WITH(column_bytes, row_bytes)                                                      \
    case 10 * column_bytes + row_bytes:                                                    \
        sort_##column_bytes##_##row_bytes(indptr, w->columns, n_rows, n_cols, start, next, \
                                          j->rows);                                        \
        break
    switch (10 * w->index_bytes + j->row_bytes) {
        WITH(1, 1);
        WITH(1, 2);
        WITH(1, 4);
        WITH(2, 1);
        WITH(2, 2);
        WITH(2, 4);
        WITH(4, 1);
        WITH(4, 2);
        WITH(4, 4);
    default: __builtin_unreachable();
    }
#undef WITH
}

static void task(void *context, int thread) {
    (void)thread;
    job *j = context;
    for (int64_t block; (block = snn_next_unit(&j->taken, j->w->n_blocks)) >= 0;) {
        int64_t row = 0;
        do
            sort_tile(j, block, (int32_t)row);
        while ((row += j->chunk_rows) < j->w->n_rows);
    }
}

int snn_order_columns(const snn_layout *w, int32_t chunk_rows, int32_t row_bytes,
                      int32_t *start, void *rows) {
    job j = {.w = w, .chunk_rows = chunk_rows, .row_bytes = row_bytes, .start = start,
             .rows = rows};
    j.next = snn_malloc((size_t)w->n_cols * sizeof *j.next);
    if (!j.next) return SNN_NO_MEMORY;
    snn_parallel(snn_threads_for((double)w->nnz), task, &j);
    snn_free(j.next);
    return SNN_OK;
}
