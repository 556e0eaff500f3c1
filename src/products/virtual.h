/* Drawing a virtual weight. */
#ifndef SNN_VIRTUAL_H
#define SNN_VIRTUAL_H

#include "../kernels/kernels.h"

/* Elements first .. first + n of a law, or n listed ones. */
static inline void draw_law(const SNN_REAL(snn_kernels) *k, const snn_stream *s, int law,
                            real scale, int64_t first, const int64_t *elements, int64_t n,
                            real *out)
{
    if (law == SNN_NORMAL)
        k->normal(s, scale, first, elements, n, out);
    else if (law == SNN_UNIFORM)
        k->uniform(s, 2, -1, scale, first, elements, n, out);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = scale;
}

#endif
