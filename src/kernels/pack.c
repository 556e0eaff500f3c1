/* panel (n, nv * LANES) <-> x (n, width): aligned, gap-free copies of a batch slice. */
#include "kernels_decl.h"

void KERNEL(pack)(int64_t n, int64_t width, int nv, const real *restrict x, int64_t ldx,
                  real *restrict panel)
{
    const int64_t stride = (int64_t)nv * LANES;
    const int64_t whole = width / LANES * LANES;
    for (int64_t j = 0; j < n; j++) {
        const real *restrict from = x + j * ldx;
        real *restrict to = panel + j * stride;
        int64_t b = 0;
        for (; b < whole; b += LANES)
            store(to + b, load_any(from + b));
        for (; b < width; b++)
            to[b] = from[b];
        for (; b < stride; b++)
            to[b] = 0;
    }
}

void KERNEL(unpack)(int64_t n, int64_t width, int nv, const real *restrict panel,
                    real *restrict y, int64_t ldy)
{
    const int64_t stride = (int64_t)nv * LANES;
    const int64_t whole = width / LANES * LANES;
    for (int64_t i = 0; i < n; i++) {
        const real *restrict from = panel + i * stride;
        real *restrict to = y + i * ldy;
        int64_t b = 0;
        for (; b < whole; b += LANES)
            store_any(to + b, load(from + b));
        for (; b < width; b++)
            to[b] = from[b];
    }
}
