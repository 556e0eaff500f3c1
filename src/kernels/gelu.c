/* y = x Phi(x) and dx = dy (Phi(x) + x phi(x)), phi and Phi of the normal distribution. */
#include "kernels_decl.h"

static const double ROOT_2PI = 2.5066282746310002;

#if defined(SNN_REAL_F32)

/* exp(z) for z <= 0; below -87, where floats end, exp(-87). */
INLINE vec exp_negative(vec z)
{
    const vec least = splat(-87), magic = splat(12582912); /* 1.5 * 2^23: rounds */
    const vec_mask low = z < least;
    z = (vec)(((vec_mask)z & ~low) | ((vec_mask)least & low));
    const vec shifted = z * 1.44269504f + magic;
    const vec n = shifted - magic;
    const vec r = (z - n * 0.693145752f) - n * 1.42860677e-6f; /* log 2 in two parts */
    /* Taylor's polynomial: |r| <= log(2) / 2, an error below 6e-9. */
    vec p = splat(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const vec_mask power = ((vec_mask)shifted - (vec_mask)magic + 127) << 23;
    return p * (vec)power;
}

/* Phi(x) and exp(-x^2 / 2). With t = |x| and u = 1 / (1 + t / 4), Phi(-t) exp(t^2 / 2) is
 * a polynomial in u but for 1e-8 of 1: least squares on 0..40, weighted by exp(-t^2 / 2). */
INLINE vec normal(vec x, vec *density)
{
    const vec_mask negative = x < 0;
    const vec t = (vec)((vec_mask)x & 0x7fffffff);
    const vec e = exp_negative(x * x * -0.5f);
    const vec u = 1 / (1 + t * 0.25f);
    vec p = splat(-0.09090506747f);
    p = p * u + 0.3381094602f;
    p = p * u - 0.2596140646f;
    p = p * u + 0.2728268154f;
    p = p * u + 0.0301174815f;
    p = p * u + 0.1103930702f;
    p = p * u + 0.09907231323f;
    const vec tail = p * u * e;
    *density = e;
    return (vec)(((vec_mask)tail & negative) | ((vec_mask)(1 - tail) & ~negative));
}

#else

#include <math.h>

INLINE vec normal(vec x, vec *density)
{
    vec distribution;
    for (int i = 0; i < LANES; i++) {
        (*density)[i] = exp(x[i] * x[i] * -0.5);
        distribution[i] = 0.5 * erfc(-x[i] * 0.70710678118654752);
    }
    return distribution;
}

#endif

INLINE vec gelu_vec(vec x)
{
    vec density;
    return x * normal(x, &density);
}

INLINE vec gelu_slope(vec x)
{
    vec density;
    const vec distribution = normal(x, &density);
    return distribution + x * density * (real)(1 / ROOT_2PI);
}

void KERNEL(gelu)(int64_t n, const real *x, real *y)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store_any(y + i, gelu_vec(load_any(x + i)));
    if (i < n)
        store_part(y + i, gelu_vec(load_part(x + i, (int)(n - i))), (int)(n - i));
}

void KERNEL(gelu_backward)(int64_t n, const real *x, const real *dy, real *dx)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store_any(dx + i, load_any(dy + i) * gelu_slope(load_any(x + i)));
    if (i < n) {
        const int rest = (int)(n - i);
        const vec slope = gelu_slope(load_part(x + i, rest));
        store_part(dx + i, load_part(dy + i, rest) * slope, rest);
    }
}
