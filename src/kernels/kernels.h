/* The table of kernels that each instruction set exports, once per real type.
 *
 * A kernel computes one tile: no threads, no allocation, no global state. Panels are
 * the unit of batched work: `nv` vectors of `lanes` reals per feature, one feature after
 * another without gaps, 64-byte aligned. Samples beyond the batch are zeros.
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

typedef struct SNN_REAL(snn_kernels) {
    int lanes;       /* reals in a vector */
    int max_vectors; /* vectors in the widest panel */

    /* panel (n, nv * lanes) = x (n, width), zeros to the right */
    void (*pack)(int64_t n, int64_t width, int nv, const real *x, int64_t ldx, real *panel);
    /* y (n, width) = panel (n, nv * lanes) */
    void (*unpack)(int64_t n, int64_t width, int nv, const real *panel, real *y,
                   int64_t ldy);

    /* y[i] = act(start[i] + sum_k v[k] panel[col(k)]), for all rows of the tile.
     * start: bias[i] (0 if NULL) when first, else y[i]. act at the last block only. */
    void (*spmm)(const SNN_REAL(snn_tile) *t, int nv, int first, int relu,
                 const real *panel, const real *bias, real *y, int64_t ldy);
    /* dx_panel[col(k)] += v[k] dy[i], row by row */
    void (*spmm_t)(const SNN_REAL(snn_tile) *t, int nv, const real *dy, int64_t lddy,
                   real *dx_panel);
    /* out[k] (+)= sum over the panel's samples of a[i] x_panel[col(k)]; = when first */
    void (*sddmm)(const SNN_REAL(snn_tile) *t, int nv, int first, const real *a,
                  int64_t lda, const real *x_panel, real *out);
    /* both of the above in one pass, with the same bits */
    void (*backward)(const SNN_REAL(snn_tile) *t, int nv, int first, const real *dy,
                     int64_t lddy, const real *x_panel, real *dx_panel, real *dvalues);

    /* The same three for one sample; x, dx: the block's features. */
    void (*spmv)(const SNN_REAL(snn_tile) *t, int first, int relu, const real *x,
                 const real *bias, real *y);
    void (*spmv_t)(const SNN_REAL(snn_tile) *t, const real *dy, real *dx);
    void (*outer)(const SNN_REAL(snn_tile) *t, const real *a, const real *x, real *out);

    void (*activation_backward)(int64_t n_rows, int64_t batch, int relu, const real *y,
                                int64_t ldy, const real *dy, int64_t lddy, real *dz,
                                int64_t lddz, real *dbias);
    void (*sgd)(int64_t n, real lr, real mu, real weight_decay, int nesterov,
                const real *grad, real *momentum, real *values);
    void (*adam)(int64_t n, real lr, real beta1, real beta2, real eps, real weight_decay,
                 int decoupled, real bias1, real bias2, const real *grad, real *m, real *v,
                 real *values);
} SNN_REAL(snn_kernels);

/* The table in use; NULL if SPARSENN_ISA names a set that is not available. */
const SNN_REAL(snn_kernels) *SNN_REAL(snn_active)(void);

#endif
