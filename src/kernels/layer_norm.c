/* Normalisation of samples over their features, x[f * ldx + b]. With x' = (x - mean) s,
 * s = 1 / sqrt(var + eps), and h = dy w:
 *
 *   y = x' w + b,  dx = s (h - mean(h) - x' mean(h x')),  dw = sum dy x',  db = sum dy.
 *
 * The means over features are made for some samples at a time (norm_moments, norm_means),
 * everything else feature by feature. RMS norms have mean(x) = mean(h) = 0. */
#include "kernels_decl.h"

#if defined(SNN_REAL_F32)
#define SQRT __builtin_sqrtf
#else
#define SQRT __builtin_sqrt
#endif

/* Samples of a strip, in whole vectors: as many accumulators as hide the additions. Sums
 * over features are sums of runs: the error grows with RUN + n / RUN, not with n. */
enum { STRIP = 4, RUN = 256 };

static inline int64_t run_end(int64_t begin, int64_t n)
{
    return begin + RUN < n ? begin + RUN : n;
}

/* Runs body(vectors, last, ...) on strips of the batch that begin at sample b. */
#define EACH_STRIP(batch, body, ...)                                                       \
    for (int64_t b = 0; b < (batch);) {                                                    \
        if ((batch) - b >= STRIP * LANES) {                                                \
            body(STRIP, LANES, b, __VA_ARGS__);                                            \
            b += STRIP * LANES;                                                            \
        } else {                                                                           \
            const int64_t left = (batch) - b;                                              \
            body(1, left < LANES ? (int)left : LANES, b, __VA_ARGS__);                     \
            b += LANES;                                                                    \
        }                                                                                  \
    }

INLINE void moments_strip(const int nv, int last, int64_t b, int64_t n, int centre, real eps,
                          const real *x, int64_t ldx, real *mean, real *inverse)
{
    const real share = 1 / (real)n;
    vec m[STRIP] = {0}, s[STRIP] = {0}, row[STRIP];
    if (centre) {
        for (int64_t begin = 0; begin < n; begin += RUN) {
            vec sum[STRIP] = {0};
            for (int64_t f = begin; f < run_end(begin, n); f++) {
                load_row(nv, row, x + f * ldx + b, last);
                for (int v = 0; v < nv; v++)
                    sum[v] += row[v];
            }
            for (int v = 0; v < nv; v++)
                m[v] += sum[v];
        }
        for (int v = 0; v < nv; v++)
            m[v] *= share;
    }
    for (int64_t begin = 0; begin < n; begin += RUN) {
        vec sum[STRIP] = {0};
        for (int64_t f = begin; f < run_end(begin, n); f++) {
            load_row(nv, row, x + f * ldx + b, last);
            for (int v = 0; v < nv; v++)
                sum[v] += (row[v] - m[v]) * (row[v] - m[v]);
        }
        for (int v = 0; v < nv; v++)
            s[v] += sum[v];
    }
    for (int v = 0; v < nv; v++)
        for (int i = 0; i < LANES; i++)
            s[v][i] = 1 / SQRT(s[v][i] * share + eps);
    store_row(nv, mean + b, m, last);
    store_row(nv, inverse + b, s, last);
}

void KERNEL(norm_moments)(int64_t n, int64_t batch, int centre, real eps, const real *x,
                          int64_t ldx, real *mean, real *inverse)
{
    EACH_STRIP(batch, moments_strip, n, centre, eps, x, ldx, mean, inverse)
}

INLINE void means_strip(const int nv, int last, int64_t b, int64_t n, int centre,
                        const real *x, int64_t ldx, const real *weight, const real *dy,
                        int64_t lddy, const real *mean, const real *inverse, real *h_mean,
                        real *hx_mean)
{
    const real share = 1 / (real)n;
    vec m[STRIP], s[STRIP], h[STRIP] = {0}, hx[STRIP] = {0}, row[STRIP], d[STRIP];
    load_row(nv, m, mean + b, last);
    load_row(nv, s, inverse + b, last);
    for (int64_t begin = 0; begin < n; begin += RUN) {
        vec sum[STRIP] = {0}, sum_x[STRIP] = {0};
        for (int64_t f = begin; f < run_end(begin, n); f++) {
            load_row(nv, row, x + f * ldx + b, last);
            load_row(nv, d, dy + f * lddy + b, last);
            for (int v = 0; v < nv; v++) {
                d[v] *= weight[f];
                sum[v] += d[v];
                sum_x[v] += d[v] * (row[v] - m[v]);
            }
        }
        for (int v = 0; v < nv; v++) {
            h[v] += sum[v];
            hx[v] += sum_x[v];
        }
    }
    for (int v = 0; v < nv; v++) {
        h[v] = centre ? h[v] * share : (vec){0};
        hx[v] *= s[v] * share;
    }
    store_row(nv, h_mean + b, h, last);
    store_row(nv, hx_mean + b, hx, last);
}

void KERNEL(norm_means)(int64_t n, int64_t batch, int centre, const real *x, int64_t ldx,
                        const real *weight, const real *dy, int64_t lddy, const real *mean,
                        const real *inverse, real *h_mean, real *hx_mean)
{
    EACH_STRIP(batch, means_strip, n, centre, x, ldx, weight, dy, lddy, mean, inverse, h_mean,
               hx_mean)
}

void KERNEL(norm_apply)(int64_t n_rows, int64_t batch, const real *x, int64_t ldx,
                        const real *mean, const real *inverse, const real *weight,
                        const real *bias, real *y, int64_t ldy)
{
    for (int64_t f = 0; f < n_rows; f++) {
        const real w = weight[f], shift = bias ? bias[f] : 0;
        const real *restrict from = x + f * ldx;
        real *restrict to = y + f * ldy;
        for (int64_t b = 0; b < batch; b++)
            to[b] = (from[b] - mean[b]) * inverse[b] * w + shift;
    }
}

INLINE void backward_part(const int whole, int n, const real *x, const real *dy,
                          const real *mean, const real *inverse, const real *h_mean,
                          const real *hx_mean, real w, real *dx, vec *dw, vec *db)
{
#define PART(p) (whole ? load_any(p) : load_part(p, n))
    const vec d = PART(dy), s = PART(inverse);
    const vec normal = (PART(x) - PART(mean)) * s;
    const vec out = (d * w - PART(h_mean) - normal * PART(hx_mean)) * s;
    *dw += d * normal;
    *db += d;
    if (whole)
        store_any(dx, out);
    else
        store_part(dx, out, n);
#undef PART
}

void KERNEL(norm_backward)(int64_t n_rows, int64_t batch, const real *x, int64_t ldx,
                           const real *weight, const real *dy, int64_t lddy,
                           const real *mean, const real *inverse, const real *h_mean,
                           const real *hx_mean, real *dx, int64_t lddx, real *dweight,
                           real *dbias)
{
    for (int64_t f = 0; f < n_rows; f++) {
        const real *from = x + f * ldx, *d = dy + f * lddy;
        real *to = dx + f * lddx;
        vec dw = {0}, db = {0};
        int64_t b = 0;
        for (; b + LANES <= batch; b += LANES)
            backward_part(1, LANES, from + b, d + b, mean + b, inverse + b, h_mean + b,
                          hx_mean + b, weight[f], to + b, &dw, &db);
        if (b < batch)
            backward_part(0, (int)(batch - b), from + b, d + b, mean + b, inverse + b,
                          h_mean + b, hx_mean + b, weight[f], to + b, &dw, &db);
        dweight[f] = lane_sum(dw);
        dbias[f] = lane_sum(db);
    }
}
