/* Prototypes of the kernels of one instruction set and real type. */
#ifndef SNN_KERNELS_DECL_H
#define SNN_KERNELS_DECL_H

#include "simd.h"

#define TILE SNN_REAL(snn_tile)
#define COLUMNS SNN_REAL(snn_columns)

void KERNEL(pack)(int64_t n, int nv, int last, const real *restrict x, int64_t ldx,
                  real *restrict panel);
void KERNEL(spmm)(const TILE *t, int nv, int last, int first, int relu,
                  const real *restrict x, int64_t ldx, const real *restrict bias,
                  real *restrict y, int64_t ldy);
void KERNEL(sddmm)(const TILE *t, int nv, int last, int first, const real *a, int64_t lda,
                   const real *x, int64_t ldx, real *restrict out);
void KERNEL(backward)(const COLUMNS *t, int nv, int last, int first_rows, int first_panel,
                      const real *dy, int64_t lddy, const real *x, int64_t ldx,
                      real *restrict dx, int64_t lddx, real *restrict out);
void KERNEL(spmv)(const TILE *t, int brief, int first, int relu, const real *restrict x,
                  const real *restrict bias, real *restrict y);
void KERNEL(spmv_t)(const TILE *t, const real *restrict dy, real *restrict dx);
void KERNEL(outer)(const TILE *t, const real *a, const real *x, real *restrict out);
void KERNEL(event_add)(const SNN_REAL(snn_entries) *w, int64_t n, const int32_t *features,
                       const real *x, int64_t ldx, real *restrict y);
void KERNEL(event_backward)(const SNN_REAL(snn_entries) *w, int64_t n,
                            const int32_t *features, const real *x, int64_t ldx,
                            const real *restrict dy, real *restrict dx, int64_t lddx,
                            real *restrict dvalues);
void KERNEL(winners)(int64_t n, int64_t k, const real *x, const real *boost,
                     real_int *restrict keys, int32_t *restrict features);
void KERNEL(transpose)(int64_t rows, int64_t columns, const real *restrict in, int64_t ldin,
                       real *restrict out, int64_t ldout);
void KERNEL(add_column)(int64_t n, int row_bytes, const void *rows, int64_t row,
                        const real *v, int64_t n_samples, const int32_t *samples,
                        const real *x, real *y, int64_t ldy);
void KERNEL(dot_column)(int64_t n, int row_bytes, const void *rows, int64_t n_samples,
                        const int32_t *samples, const real *x, const real *dy, int64_t lddy,
                        real *v);
void KERNEL(add_samples)(const snn_column_index *w, int64_t n_samples,
                         const int32_t *indptr, const int32_t *indices, const real *x,
                         const real *values, real *y, int64_t ldy);
void KERNEL(activation_backward)(int64_t n_rows, int64_t batch, int relu, const real *y,
                                 int64_t ldy, const real *dy, int64_t lddy, real *dz,
                                 int64_t lddz, real *dbias);
void KERNEL(gelu)(int64_t n, const real *x, real *y);
void KERNEL(gelu_backward)(int64_t n, const real *x, const real *dy, real *dx);
void KERNEL(norm_moments)(int64_t n, int64_t batch, int centre, real eps, const real *x,
                          int64_t ldx, real *mean, real *inverse);
void KERNEL(norm_means)(int64_t n, int64_t batch, int centre, const real *x, int64_t ldx,
                        const real *weight, const real *dy, int64_t lddy, const real *mean,
                        const real *inverse, real *h_mean, real *hx_mean);
void KERNEL(norm_apply)(int64_t n_rows, int64_t batch, const real *x, int64_t ldx,
                        const real *mean, const real *inverse, const real *weight,
                        const real *bias, real *y, int64_t ldy);
void KERNEL(norm_backward)(int64_t n_rows, int64_t batch, const real *x, int64_t ldx,
                           const real *weight, const real *dy, int64_t lddy,
                           const real *mean, const real *inverse, const real *h_mean,
                           const real *hx_mean, real *dx, int64_t lddx, real *dweight,
                           real *dbias);
void KERNEL(channel_moments)(int64_t n, const real *x, real *mean, real *var);
void KERNEL(channel_sums)(int64_t n, const real *x, real mean, const real *dy, double *sum,
                          double *product);
void KERNEL(channel_apply)(int64_t n, real mean, real scale, real shift,
                           const real *restrict x, real *restrict y);
void KERNEL(channel_backward)(int64_t n, real mean, real scale, real dy_mean, real along,
                              const real *restrict x, const real *restrict dy,
                              real *restrict dx);
void KERNEL(sgd)(int64_t n, real lr, real mu, real weight_decay, int nesterov,
                 const real *restrict grad, real *restrict momentum, real *restrict values);
void KERNEL(recur)(int64_t n, const real *power, real *restrict momentum,
                   real *restrict values);
void KERNEL(adam)(int64_t n, real lr, real beta1, real beta2, real eps, real weight_decay,
                  int decoupled, real bias1, real bias2, const real *restrict grad,
                  real *restrict m, real *restrict v, real *restrict values);
int64_t KERNEL(above)(int64_t n, real threshold, int magnitude, real *x, int32_t *columns);
int KERNEL(score)(int64_t n, int kind, const real *restrict w, real *restrict x);
void KERNEL(bits)(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                  uint32_t *restrict out);
void KERNEL(uniform)(const snn_stream *s, real span, real low, real scale, int64_t first,
                     const int64_t *elements, int64_t n, real *restrict out);
int64_t KERNEL(flow)(const snn_flow *f, SNN_REAL(snn_flow_row) *r, int64_t n,
                     const int32_t *columns, real *restrict w);
void KERNEL(normal)(const snn_stream *s, real scale, int64_t first,
                    const int64_t *elements, int64_t n, real *restrict out);

#endif
