/* How the drivers cut work: panels of the batch, tiles of rows in a column block. */
#ifndef SNN_CUT_H
#define SNN_CUT_H

#include <stddef.h>
#include <string.h>

#include "../kernels/kernels.h"
#include "../threads.h"

typedef SNN_REAL(snn_kernels) kernels;
typedef SNN_REAL(snn_tile) tile;

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Samples of the widest panel. */
static inline int64_t panel_width(const kernels *k)
{
    return (int64_t)k->lanes * k->max_vectors;
}

typedef struct panel {
    int64_t index, start, width; /* samples */
    int nv;                      /* vectors */
    int last;                    /* samples in the last vector */
} panel;

/* Full panels; what remains is one panel of up to four vectors, or four and a second one,
 * so that only some widths have kernels. */
static inline int64_t panel_count(const kernels *k, int64_t batch)
{
    const int64_t full = batch / panel_width(k), rest = batch % panel_width(k);
    return full + (rest > 0) + (rest > panel_width(k) / 2 && rest <= 7 * (int64_t)k->lanes);
}

static inline panel panel_at(const kernels *k, int64_t batch, int64_t index)
{
    const int64_t full = batch / panel_width(k), half = panel_width(k) / 2;
    panel p;
    p.index = index;
    p.start = index * panel_width(k);
    p.width = min64(panel_width(k), batch - p.start);
    if (index > full) { /* the second of what remains */
        p.start = full * panel_width(k) + half;
        p.width = batch - p.start;
    } else if (index == full && panel_count(k, batch) > full + 1) {
        p.width = half;
    }
    p.nv = (int)((p.width + k->lanes - 1) / k->lanes);
    p.last = (int)(p.width - (int64_t)(p.nv - 1) * k->lanes);
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

/* Items cut(n, g, groups) .. cut(n, g + 1, groups) are group g's. */
static inline int64_t cut(int64_t n, int64_t group, int64_t groups)
{
    return n * group / groups;
}

/* Work of rows 0 .. row: their nonzeros, and what each row costs besides. */
static inline int64_t work_before(const snn_layout *w, int64_t row)
{
    enum { ROW = 8 };
    int64_t work = row * ROW;
    for (int64_t s = 0; s < (int64_t)w->n_blocks * w->n_rows; s += w->n_rows)
        work += w->indptr[s + row] - w->indptr[s];
    return work;
}

/* The first row of a group, when groups share the work and not the rows. */
static inline int64_t row_cut(const snn_layout *w, int64_t group, int64_t groups)
{
    int64_t first = 0, last = w->n_rows;
    if (group == 0 || group == groups)
        return group ? last : first;
    const int64_t target = cut(work_before(w, last), group, groups);
    while (first < last) {
        const int64_t middle = (first + last) / 2;
        if (work_before(w, middle) < target)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

/* Groups of n items so that `others` times groups keeps every thread busy. */
static inline int64_t groups_for(int64_t n, int64_t others, int threads)
{
    if (threads == 1)
        return 1;
    const int64_t wanted = (2 * (int64_t)threads + others - 1) / max64(others, 1);
    return max64(1, min64(wanted, n));
}

static inline int threads_for(const snn_layout *w, int64_t batch)
{
    return snn_threads_for((double)w->nnz * (double)batch);
}

/* Bytes of n reals, rounded up so that what follows is aligned. */
static inline size_t aligned_bytes(int64_t n)
{
    return ((size_t)n * sizeof(real) + 63) / 64 * 64;
}

/* Features begin .. end of activations: zeros. */
static inline void zero_features(int64_t begin, int64_t end, int64_t batch, real *x,
                                 int64_t ldx)
{
    if (ldx == batch)
        memset(x + begin * ldx, 0, (size_t)((end - begin) * batch) * sizeof(real));
    else
        for (int64_t j = begin; j < end; j++)
            memset(x + j * ldx, 0, (size_t)batch * sizeof(real));
}

/* From one sample to the next where features are contiguous: never a power of two, which
 * would put the same feature of all samples into a few sets of the cache. */
static inline int64_t apart(int64_t n)
{
    const int64_t line = 64 / (int64_t)sizeof(real);
    return ((n + line - 1) / line | 1) * line;
}

/* Activations as the kernels gather them: the caller's own array where it will do, else a
 * packed copy, panel after panel. */
typedef struct gathered {
    const real *base;
    int64_t ld;     /* 0: a panel's own width */
    int64_t sample; /* reals that each sample before a panel moves its beginning by */
    void *scratch;
} gathered;

/* n features that are read `reads` times in all; SNN_OK or SNN_NO_MEMORY. */
int SNN_REAL(snn_gather)(const kernels *k, int64_t n, int64_t batch, int64_t reads,
                         const real *x, int64_t ldx, int threads, gathered *out);

static inline int64_t gathered_ld(const gathered *g, const kernels *k, panel p)
{
    return g->ld ? g->ld : (int64_t)p.nv * k->lanes;
}

/* Feature `feature` of the panel. */
static inline const real *gathered_at(const gathered *g, const kernels *k, panel p,
                                      int64_t feature)
{
    return g->base + p.start * g->sample + feature * gathered_ld(g, k, p);
}

/* y = act(W x + bias) of a few samples, for layouts that have columns; and whether it is
 * the best way. */
int SNN_REAL(snn_suits_vector)(const kernels *k, const snn_layout *w, int64_t batch);
int SNN_REAL(snn_forward_vector)(const kernels *k, const snn_layout *w, int64_t batch,
                                 const real *values, const real *bias, int relu,
                                 const real *x, int64_t ldx, real *y, int64_t ldy);

/* The backward products of one sample; dx, or x and dvalues, may be NULL. */
int SNN_REAL(snn_backward_vector)(const kernels *k, const snn_layout *w, const real *values,
                                  const real *dy, int64_t lddy, const real *x, int64_t ldx,
                                  real *dx, int64_t lddx, real *dvalues);

#endif
