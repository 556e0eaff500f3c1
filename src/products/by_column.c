/* A counting sort: one pass counts the columns, one places the entries. O(entries +
 * n_cols), and cheap beside a product over a batch. */
#include "by_column.h"

#include <string.h>

enum { RUN = 16 };

/* rows[k] = row of the tile's slot k. In runs of fixed length, each cut by the next: a loop
 * over the few slots of a row would be mispredicted at nearly every row's end. */
static void write_rows(const tile *t, int32_t *restrict rows)
{
    const int32_t first = t->indptr[0];
    for (int64_t i = 0; i < t->n_rows; i++) {
        const int32_t end = t->indptr[i + 1] - first;
        for (int32_t k = t->indptr[i] - first; k < end; k += RUN)
            for (int r = 0; r < RUN; r++)
                rows[k + r] = (int32_t)i;
    }
}

#define PLACE(type, name)                                                                  \
    static void name(const tile *t, int64_t n_cols, const type *restrict columns,          \
                     by_column *restrict out)                                              \
    {                                                                                      \
        const int32_t first = t->indptr[0], n = t->indptr[t->n_rows] - first;              \
        int32_t *restrict next = out->start + 1; /* next[j] ends as start[j + 1] */        \
        int32_t *restrict place = out->place;                                              \
        const real *restrict values = t->values + first;                                   \
        SNN_REAL(snn_entry) *restrict entries = out->entries;                              \
        columns += first;                                                                  \
        memset(out->start, 0, (size_t)(n_cols + 1) * sizeof *next);                        \
        for (int32_t k = 0; k < n; k++)                                                    \
            next[columns[k]]++;                                                            \
        int32_t total = 0;                                                                 \
        for (int64_t j = 0; j < n_cols; j++) {                                             \
            const int32_t count = next[j];                                                 \
            next[j] = total;                                                               \
            total += count;                                                                \
        }                                                                                  \
        write_rows(t, place);                                                              \
        for (int32_t k = 0; k < n; k++) {                                                  \
            const int32_t e = next[columns[k]]++;                                          \
            entries[e] = (SNN_REAL(snn_entry)){(real_int)place[k], values[k]};             \
            place[k] = e;                                                                  \
        }                                                                                  \
    }

PLACE(uint8_t, place_1)
PLACE(uint16_t, place_2)
PLACE(int32_t, place_4)

void SNN_REAL(snn_by_column)(const tile *t, int64_t n_cols, by_column *out)
{
    if (t->index_bytes == 1)
        place_1(t, n_cols, t->columns, out);
    else if (t->index_bytes == 2)
        place_2(t, n_cols, t->columns, out);
    else
        place_4(t, n_cols, t->columns, out);
}

static size_t part(int64_t n, size_t each) { return ((size_t)n * each + 63) / 64 * 64; }

size_t SNN_REAL(snn_by_column_bytes)(int64_t n_cols, int64_t entries, int want_dots)
{
    return part(n_cols + 1, sizeof(int32_t)) + part(entries + RUN, sizeof(int32_t)) +
           part(entries, sizeof(SNN_REAL(snn_entry))) +
           (want_dots ? part(entries, sizeof(real)) : 0);
}

by_column SNN_REAL(snn_by_column_at)(char *scratch, int64_t n_cols, int64_t entries,
                                     int want_dots)
{
    by_column s;
    s.entries = (SNN_REAL(snn_entry) *)(void *)scratch;
    scratch += part(entries, sizeof(SNN_REAL(snn_entry)));
    s.start = (int32_t *)(void *)scratch;
    scratch += part(n_cols + 1, sizeof(int32_t));
    s.place = (int32_t *)(void *)scratch;
    scratch += part(entries + RUN, sizeof(int32_t));
    s.dots = want_dots ? (real *)(void *)scratch : NULL;
    return s;
}
