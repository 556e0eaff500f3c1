/* Passes over whole arrays: the mask of an activation with the bias gradient, and the
 * optimisers' steps. Each call owns the outputs it is given. */
#include "kernels_decl.h"

#if defined(SNN_REAL_F32)
#define SQRT __builtin_sqrtf
#else
#define SQRT __builtin_sqrt
#endif

/* dz[i, b] = dy[i, b] * (y[i, b] > 0), dbias[i] = sum_b dz[i, b] */
INLINE void activation_rows(const int relu, int64_t n_rows, int64_t batch, const real *y,
                            int64_t ldy, const real *dy, int64_t lddy, real *dz,
                            int64_t lddz, real *dbias)
{
    const vec zero = {0};
    for (int64_t i = 0; i < n_rows; i++) {
        const real *d = dy + i * lddy;
        const real *out = relu ? y + i * ldy : NULL;
        real *z = dz + i * lddz;
        vec sum = {0};
        int64_t b = 0;
        for (; b + LANES <= batch; b += LANES) {
            vec e = load_any(d + b);
            if (relu)
                e = (vec)((vec_mask)e & ~(load_any(out + b) <= zero));
            store_any(z + b, e);
            sum += e;
        }
        real rest = 0;
        for (; b < batch; b++) {
            const real e = relu && out[b] <= 0 ? 0 : d[b];
            z[b] = e;
            rest += e;
        }
        if (dbias)
            dbias[i] = lane_sum(sum) + rest;
    }
}

void KERNEL(activation_backward)(int64_t n_rows, int64_t batch, int relu, const real *y,
                                 int64_t ldy, const real *dy, int64_t lddy, real *dz,
                                 int64_t lddz, real *dbias)
{
    if (relu)
        activation_rows(1, n_rows, batch, y, ldy, dy, lddy, dz, lddz, dbias);
    else
        activation_rows(0, n_rows, batch, y, ldy, dy, lddy, dz, lddz, dbias);
}

void KERNEL(sgd)(int64_t n, real lr, real mu, real weight_decay, int nesterov,
                 const real *restrict grad, real *restrict momentum, real *restrict values)
{
    if (!momentum) {
        for (int64_t i = 0; i < n; i++)
            values[i] -= lr * (grad[i] + weight_decay * values[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const real d = grad[i] + weight_decay * values[i];
        const real m = mu * momentum[i] + d;
        momentum[i] = m;
        values[i] -= lr * (nesterov ? d + mu * m : m);
    }
}

/* (m, w) = power (m, w), a 2 x 2 matrix by rows; without momentum m is 0. */
void KERNEL(recur)(int64_t n, const real *power, real *restrict momentum,
                   real *restrict values)
{
    const real mm = power[0], mw = power[1], wm = power[2], ww = power[3];
    if (!momentum) {
        for (int64_t i = 0; i < n; i++)
            values[i] *= ww;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const real m = momentum[i], w = values[i];
        momentum[i] = mm * m + mw * w;
        values[i] = wm * m + ww * w;
    }
}

void KERNEL(adam)(int64_t n, real lr, real beta1, real beta2, real eps, real weight_decay,
                  int decoupled, real bias1, real bias2, const real *restrict grad,
                  real *restrict m, real *restrict v, real *restrict values)
{
    const real shrink = decoupled ? 1 - lr * weight_decay : 1;
    const real decay = decoupled ? 0 : weight_decay;
    const real step = lr / bias1;
    const real root = 1 / SQRT(bias2);
    for (int64_t i = 0; i < n; i++) {
        const real g = grad[i] + decay * values[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        values[i] = shrink * values[i] - step * m[i] / (SQRT(v[i]) * root + eps);
    }
}
