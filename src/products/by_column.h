/* The entries of a tile sorted by column: what the backward products walk. */
#ifndef SNN_BY_COLUMN_H
#define SNN_BY_COLUMN_H

#include "cut.h"

/* Entries start[j] .. start[j + 1] belong to column j of the block, in the order of their
 * rows. Slot k of the tile, counted from its first, became entry place[k]. `dots` has room
 * for one result per entry. */
typedef struct by_column {
    int32_t *start, *place;
    SNN_REAL(snn_entry) *entries;
    real *dots;
} by_column;

void SNN_REAL(snn_by_column)(const tile *t, int64_t n_cols, by_column *out);

/* Its arrays laid out in scratch of that many bytes. */
size_t SNN_REAL(snn_by_column_bytes)(int64_t n_cols, int64_t entries, int want_dots);
by_column SNN_REAL(snn_by_column_at)(char *scratch, int64_t n_cols, int64_t entries,
                                     int want_dots);

#endif
