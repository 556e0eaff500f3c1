/* panel[j] = x[j], zeros to the right: an aligned, gap-free
 * copy of a slice of the batch. Owns the panel's n rows. */
#include "kernels_decl.h"

INLINE void pack_rows(const int nv, int last, int64_t n, const real *restrict x,
                      int64_t ldx, real *restrict panel)
{
    for (int64_t j = 0; j < n; j++) {
        vec row[MAX_VECTORS];
        load_row(nv, row, x + j * ldx, last);
        for (int v = 0; v < nv; v++)
            store(panel + (j * nv + v) * LANES, row[v]);
    }
}

void KERNEL(pack)(int64_t n, int nv, int last, const real *restrict x, int64_t ldx,
                  real *restrict panel)
{
    WITH_WIDTH(nv, pack_rows, last, n, x, ldx, panel)
}
