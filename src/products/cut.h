/* How the drivers cut work: panels of samples, tiles of rows in a column block. */
#ifndef SNN_CUT_H
#define SNN_CUT_H

#include <stddef.h>

#include "../kernels/kernels.h"
#include "../scratch.h"
#include "../threads.h"

typedef SNN_REAL(snn_kernels) kernels;
typedef SNN_REAL(snn_tile) tile;

/* Rows that a ragged panel's copy of dY or Y holds at a time. */
enum { CHUNK = 256 };

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Samples of the widest panel. */
static inline int64_t panel_width(const kernels *k)
{
    return (int64_t)k->lanes * k->max_vectors;
}

static inline int64_t panel_count(const kernels *k, int64_t batch)
{
    return (batch + panel_width(k) - 1) / panel_width(k);
}

typedef struct panel {
    int64_t start, width; /* samples */
    int nv;               /* vectors, a width that the kernels have */
    int ragged;           /* width is not nv whole vectors */
} panel;

static inline panel panel_at(const kernels *k, int64_t batch, int64_t index)
{
    panel p;
    p.start = index * panel_width(k);
    p.width = min64(panel_width(k), batch - p.start);
    const int needed = (int)((p.width + k->lanes - 1) / k->lanes);
    p.nv = needed == 5 ? 6 : needed == 7 ? 8 : needed;
    p.ragged = p.width != (int64_t)p.nv * k->lanes;
    return p;
}

static inline int64_t block_start(const snn_layout *w, int64_t block)
{
    return block * w->block_width;
}

static inline int64_t block_columns(const snn_layout *w, int64_t block)
{
    return min64(w->block_width, w->n_cols - block_start(w, block));
}

static inline tile tile_at(const snn_layout *w, const real *values, int64_t block,
                           int64_t row, int64_t n_rows)
{
    tile t;
    t.n_rows = n_rows;
    t.index_bytes = w->index_bytes;
    t.indptr = w->indptr + block * w->n_rows + row;
    t.columns = w->columns;
    t.values = values;
    return t;
}

/* Rows row_cut(n, g, groups) .. row_cut(n, g + 1, groups) are group g's. */
static inline int64_t row_cut(int64_t n_rows, int64_t group, int64_t groups)
{
    return n_rows * group / groups;
}

/* Groups of rows so that `others` times groups keeps every thread busy. */
static inline int64_t row_groups(int64_t n_rows, int64_t others, int threads)
{
    if (threads == 1)
        return 1;
    const int64_t wanted = (4 * (int64_t)threads + others - 1) / max64(others, 1);
    return max64(1, min64(wanted, n_rows));
}

/* Bytes of n reals, rounded up so that what follows is aligned. */
static inline size_t aligned_bytes(int64_t n)
{
    return ((size_t)n * sizeof(real) + 63) / 64 * 64;
}

#endif
