/* Dot products that end in a sum over lanes: a few are collected and summed together. */
#ifndef SNN_DOTS_H
#define SNN_DOTS_H

#include "simd.h"

enum { DOTS = 32 };

typedef struct dots {
    vec sums[DOTS];
    int64_t first; /* where the first one goes */
    int n;
} dots;

/* Those of group g, summed. */
INLINE vec dots_group(dots *d, int g, int n)
{
    for (int i = n; i < LANES; i++)
        d->sums[g + i] = (vec){0};
    return lane_sums(d->sums + g);
}

INLINE int dots_in_group(const dots *d, int g) { return d->n - g < LANES ? d->n - g : LANES; }

/* out[place[i]] (+)= dot i, for the collected ones. */
INLINE void dots_scatter(dots *d, const int32_t *place, int assign, real *restrict out)
{
    for (int g = 0; g < d->n; g += LANES) {
        const int n = dots_in_group(d, g);
        real sum[LANES];
        store_any(sum, dots_group(d, g, n));
        for (int i = 0; i < n; i++)
            out[place[g + i]] = assign ? sum[i] : out[place[g + i]] + sum[i];
    }
    d->n = 0;
}

/* out[first + i] (+)= dot i, for the collected ones. */
INLINE void dots_flush(dots *d, int assign, real *restrict out)
{
    for (int g = 0; g < d->n; g += LANES) {
        const int n = dots_in_group(d, g);
        const vec sum = dots_group(d, g, n);
        real *restrict to = out + d->first + g;
        if (n == LANES)
            store_any(to, assign ? sum : load_any(to) + sum);
        else
            store_part(to, assign ? sum : load_part(to, n) + sum, n);
    }
    d->first += d->n;
    d->n = 0;
}

#endif
