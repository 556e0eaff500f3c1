/* The table of kernels that each instruction set exports, once per real type.
 *
 * A kernel computes one tile: no threads, no allocation, no global state. Batched kernels
 * work on panels, slices of the batch that are `nv` vectors wide (of which the last may be
 * partly filled). Operands that are gathered by feature come as rows of whole vectors, best
 * aligned, `ld` reals apart, with zeros where the batch has ended. All others are where the
 * caller has them: `last` is the number of reals that their last vector really has.
 */
#ifndef SNN_KERNELS_H
#define SNN_KERNELS_H

#include "../real.h"

/* Rows of one column block: slots indptr[i] .. indptr[i + 1] belong to row i. `columns`
 * and `values` are those of slot 0 of the whole layout. */
typedef struct SNN_REAL(snn_tile) {
    int64_t n_rows;
    int index_bytes;
    const int32_t *indptr;
    const void *columns;
    const real *values;
} SNN_REAL(snn_tile);

/* The same nonzeros by column: entries start[j] .. start[j + 1] belong to column j of the
 * block (the last column's end at `end`), in the order of their rows, which are counted
 * from the tile's first. slot[i] is the slot of the next entry of row i: it begins as the
 * row's first and a kernel moves it on. slot is NULL where entries are in the order of
 * slots, of any rows in 4 bytes each. */
typedef struct SNN_REAL(snn_columns) {
    int64_t n_cols;
    int row_bytes;
    const int32_t *start;
    int32_t end;
    const void *rows;
    const real *values;
    int32_t *slot;
} SNN_REAL(snn_columns);

/* The entries of W by column, as in snn_column_index: entry e is at row rows[e], and its
 * value is values[slots[e]], or values[e - base] if slots is NULL. Rows outside
 * row_begin .. row_end are left to others. */
typedef struct SNN_REAL(snn_entries) {
    int64_t n_rows, row_begin, row_end;
    int row_bytes;
    const int32_t *start;
    const void *rows;
    const int32_t *slots;
    int64_t base;
    const real *values;
} SNN_REAL(snn_entries);

/* One row in a pass of snn_flow, and what a kernel found in some of its connections. All
 * batches of a row but the last are a multiple of SNN_FLOW_LANES. */
enum { SNN_FLOW_BATCH = 1024, SNN_FLOW_LANES = 8 };

typedef struct SNN_REAL(snn_flow_row) {
    double old_g, g;
    int64_t rank; /* of column 0 */
    double *z;    /* where this row adds to, or NULL */
    double y[SNN_FLOW_LANES], below[SNN_FLOW_LANES]; /* sums so far */
    int64_t above, zero;
    int64_t n_dead, n_found;
    int32_t dead[SNN_FLOW_BATCH]; /* numbers in the batch */
    double scores[SNN_FLOW_BATCH];
    int64_t ranks[SNN_FLOW_BATCH];
} SNN_REAL(snn_flow_row);

typedef struct SNN_REAL(snn_kernels) {
    int lanes;           /* reals in a vector */
    int max_vectors;     /* vectors in the widest panel */

    /* panel[j] = x[j], zeros to the right, for n features; no gaps in the panel */
    void (*pack)(int64_t n, int nv, int last, const real *x, int64_t ldx, real *panel);

    /* y[i] = act(start[i] + sum_k v[k] x[col(k)]), for all rows of the tile.
     * start: bias[i] (0 if NULL) when first, else y[i]. */
    void (*spmm)(const SNN_REAL(snn_tile) *t, int nv, int last, int first, int relu,
                 const real *x, int64_t ldx, const real *bias, real *y, int64_t ldy);

    /* out[k] (+)= sum over the panel of a[i] x[col(k)]; = when first */
    void (*sddmm)(const SNN_REAL(snn_tile) *t, int nv, int last, int first, const real *a,
                  int64_t lda, const real *x, int64_t ldx, real *out);

    /* dx[j] (+)= sum over column j of v[k] dy[row(k)]; = when first_rows.
     * out[k] (+)= sum over the panel of dy[row(k)] x[j]; = when first_panel; NULL: none */
    void (*backward)(const SNN_REAL(snn_columns) *t, int nv, int last, int first_rows,
                     int first_panel, const real *dy, int64_t lddy, const real *x,
                     int64_t ldx, real *dx, int64_t lddx, real *out);

    /* The same for one sample; x, dx: the block's features. brief: rows are short. */
    void (*spmv)(const SNN_REAL(snn_tile) *t, int brief, int first, int relu, const real *x,
                 const real *bias, real *y);
    void (*spmv_t)(const SNN_REAL(snn_tile) *t, const real *dy, real *dx);
    void (*outer)(const SNN_REAL(snn_tile) *t, const real *a, const real *x, real *out);

    /* One sample's active features, of which n are given; x[j * ldx] is feature j.
     * event_add: y[row(e)] += value(e) x[j]. event_backward: dx[j * lddx] = the dot of
     * column j with dy, dvalues[where the value is] += x[j] dy[row(e)], on all rows; dx or
     * dvalues may be NULL. y and dy are contiguous. */
    void (*event_add)(const SNN_REAL(snn_entries) *w, int64_t n, const int32_t *features,
                      const real *x, int64_t ldx, real *y);
    void (*event_backward)(const SNN_REAL(snn_entries) *w, int64_t n,
                           const int32_t *features, const real *x, int64_t ldx,
                           const real *dy, real *dx, int64_t lddx, real *dvalues);
    /* features[0 .. k] of the k largest x[i] boost[i], ascending; keys: n + 2 lanes */
    void (*winners)(int64_t n, int64_t k, const real *x, const real *boost, real_int *keys,
                    int32_t *features);
    /* out[c * ldout + r] = in[r * ldin + c] */
    void (*transpose)(int64_t rows, int64_t columns, const real *in, int64_t ldin,
                      real *out, int64_t ldout);

    /* One column on n_samples nonzeros, entries at rows[e] - row, or 0 .. n if row_bytes is
     * 0: y[samples[k], row] += v x[k], and v = sum_k dy[samples[k], row] x[k]. */
    void (*add_column)(int64_t n, int row_bytes, const void *rows, int64_t row,
                       const real *v, int64_t n_samples, const int32_t *samples,
                       const real *x, real *y, int64_t ldy);
    void (*dot_column)(int64_t n, int row_bytes, const void *rows, int64_t n_samples,
                       const int32_t *samples, const real *x, const real *dy, int64_t lddy,
                       real *v);
    /* y += x W^T for samples given as CSR and values stored by column */
    void (*add_samples)(const snn_column_index *w, int64_t n_samples, const int32_t *indptr,
                        const int32_t *indices, const real *x, const real *values, real *y,
                        int64_t ldy);

    void (*activation_backward)(int64_t n_rows, int64_t batch, int relu, const real *y,
                                int64_t ldy, const real *dy, int64_t lddy, real *dz,
                                int64_t lddz, real *dbias);
    /* y = x Phi(x), dx = dy (Phi(x) + x phi(x)) */
    void (*gelu)(int64_t n, const real *x, real *y);
    void (*gelu_backward)(int64_t n, const real *x, const real *dy, real *dx);
    /* The parts of a layer norm, see layer_norm.c: for each sample, then for some of the
     * features. */
    void (*norm_moments)(int64_t n, int64_t batch, int centre, real eps, const real *x,
                         int64_t ldx, real *mean, real *inverse);
    void (*norm_means)(int64_t n, int64_t batch, int centre, const real *x, int64_t ldx,
                       const real *weight, const real *dy, int64_t lddy, const real *mean,
                       const real *inverse, real *h_mean, real *hx_mean);
    void (*norm_apply)(int64_t n_rows, int64_t batch, const real *x, int64_t ldx,
                       const real *mean, const real *inverse, const real *weight,
                       const real *bias, real *y, int64_t ldy);
    void (*norm_backward)(int64_t n_rows, int64_t batch, const real *x, int64_t ldx,
                          const real *weight, const real *dy, int64_t lddy,
                          const real *mean, const real *inverse, const real *h_mean,
                          const real *hx_mean, real *dx, int64_t lddx, real *dweight,
                          real *dbias);

    /* The parts of a batch norm, for one channel: sum = sum dy and product =
     * sum dy (x - mean); y = (x - mean) scale + shift; dx = (dy - dy_mean - (x - mean)
     * along) scale. */
    void (*channel_moments)(int64_t n, const real *x, real *mean, real *var);
    void (*channel_sums)(int64_t n, const real *x, real mean, const real *dy, double *sum,
                         double *product);
    void (*channel_apply)(int64_t n, real mean, real scale, real shift, const real *x,
                          real *y);
    void (*channel_backward)(int64_t n, real mean, real scale, real dy_mean, real along,
                             const real *x, const real *dy, real *dx);

    void (*sgd)(int64_t n, real lr, real mu, real weight_decay, int nesterov,
                const real *grad, real *momentum, real *values);
    void (*recur)(int64_t n, const real *power, real *momentum, real *values);
    void (*adam)(int64_t n, real lr, real beta1, real beta2, real eps, real weight_decay,
                 int decoupled, real bias1, real bias2, const real *grad, real *m, real *v,
                 real *values);

    /* The x, or their magnitudes, above the threshold and their places, in order and in
     * place; returns how many. columns has room for n. */
    int64_t (*above)(int64_t n, real threshold, int magnitude, real *x, int32_t *columns);
    /* x = w x, or x if w is NULL, by kind (enum snn_score); whether all are finite. */
    int (*score)(int64_t n, int kind, const real *w, real *x);

    /* Elements first .. first + n of a stream, or n listed ones: words; (span u + low) scale
     * for u in [0, 1); normals times scale. The same bits in every table. */
    void (*bits)(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                 uint32_t *out);
    void (*uniform)(const snn_stream *s, real span, real low, real scale, int64_t first,
                    const int64_t *elements, int64_t n, real *out);
    void (*normal)(const snn_stream *s, real scale, int64_t first, const int64_t *elements,
                   int64_t n, real *out);
    /* A pass over n <= SNN_FLOW_BATCH connections of a row; returns how many live on. The
     * weights of the others become 0. The same bits in every table. */
    int64_t (*flow)(const snn_flow *f, SNN_REAL(snn_flow_row) *r, int64_t n,
                    const int32_t *columns, real *w);
} SNN_REAL(snn_kernels);

/* The table in use; NULL if SPARSENN_ISA names a set that is not available. */
const SNN_REAL(snn_kernels) *SNN_REAL(snn_active)(void);
/* The same, but some table even then: for what is the same bits in every table. */
const SNN_REAL(snn_kernels) *SNN_REAL(snn_any)(void);

#endif
