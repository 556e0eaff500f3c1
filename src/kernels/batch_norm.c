/* Normalisation of a channel over samples and places, n reals in one piece. With
 * x' = (x - mean) s and s = 1 / sqrt(var + eps):
 *
 *   y = x' w + b,  dx = w s (dy - mean(dy) - x' mean(dy x')),  dw = sum dy x',  db = sum dy.
 *
 * Sums of a run are made in several vectors, those over runs in double: a channel may have
 * a million numbers. */
#include "kernels_decl.h"

enum { SETS = 4, RUN = 64 * SETS * LANES };

/* sum (x - centre), or of the squares; dy and centre: sum dy (x - centre) */
typedef enum term { PLAIN, SQUARE, WITH } term;

INLINE vec term_of(const term what, vec x, vec dy, vec centre)
{
    const vec d = x - centre;
    return what == SQUARE ? d * d : what == WITH ? d * dy : d;
}

INLINE double sum_of(const term what, int64_t n, const real *x, const real *dy, real centre)
{
    const vec c = splat(centre);
    double total = 0;
    for (int64_t at = 0; at < n; at += RUN) {
        const int64_t end = n - at < RUN ? n : at + RUN;
        vec acc[SETS] = {0};
        int64_t i = at;
        for (; i + SETS * LANES <= end; i += SETS * LANES)
            for (int s = 0; s < SETS; s++)
                acc[s] += term_of(what, load_any(x + i + s * LANES),
                                  what == WITH ? load_any(dy + i + s * LANES) : c, c);
        for (; i < end; i += LANES) { /* beyond the end every term is 0 */
            const int left = end - i < LANES ? (int)(end - i) : LANES;
            vec part = c, with = c;
            memcpy(&part, x + i, (size_t)left * sizeof(real));
            if (what == WITH)
                memcpy(&with, dy + i, (size_t)left * sizeof(real));
            acc[0] += term_of(what, part, with, c);
        }
        total += (double)lane_sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
    }
    return total;
}

void KERNEL(channel_moments)(int64_t n, const real *x, real *mean, real *var)
{
    *mean = (real)(sum_of(PLAIN, n, x, x, 0) / (double)n);
    *var = (real)(sum_of(SQUARE, n, x, x, *mean) / (double)n);
}

void KERNEL(channel_sums)(int64_t n, const real *x, real mean, const real *dy, double *sum,
                          double *product)
{
    *sum = sum_of(PLAIN, n, dy, dy, 0);
    *product = sum_of(WITH, n, x, dy, mean);
}

void KERNEL(channel_apply)(int64_t n, real mean, real scale, real shift,
                           const real *restrict x, real *restrict y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale + shift;
}

void KERNEL(channel_backward)(int64_t n, real mean, real scale, real dy_mean, real along,
                              const real *restrict x, const real *restrict dy,
                              real *restrict dx)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] = (dy[i] - dy_mean - (x[i] - mean) * along) * scale;
}
