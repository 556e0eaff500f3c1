/* Transposition, a square of whole vectors at a time: pairs of rows exchange the halves of
 * ever smaller squares, and all of it stays in registers. */
#include "kernels_decl.h"

/* Lane i of a pair of rows h apart, after squares of edge h have changed places. */
#define UPPER(h, i) (((i) & (h)) ? LANES + (i) - (h) : (i))
#define LOWER(h, i) (((i) & (h)) ? LANES + (i) : (i) + (h))
#define EXCHANGE(h)                                                                        \
    for (int i = 0; i < LANES; i++)                                                        \
        if (!(i & (h))) {                                                                  \
            const vec a = v[i], b = v[i + (h)];                                            \
            v[i] = SHUFFLE(UPPER, h, a, b);                                                \
            v[i + (h)] = SHUFFLE(LOWER, h, a, b);                                          \
        }

INLINE void square(const real *restrict in, int64_t ldin, real *restrict out, int64_t ldout)
{
    vec v[LANES];
    for (int i = 0; i < LANES; i++)
        v[i] = load_any(in + i * ldin);
    EXCHANGE(1)
#if LANE_COUNT >= 4
    EXCHANGE(2)
#endif
#if LANE_COUNT >= 8
    EXCHANGE(4)
#endif
#if LANE_COUNT >= 16
    EXCHANGE(8)
#endif
    for (int i = 0; i < LANES; i++)
        store_any(out + i * ldout, v[i]);
}

/* out[c * ldout + r] = in[r * ldin + c] for rows x columns. Runs along the shorter side
 * first, so that cache lines of the narrow matrix are used up at once. */
void KERNEL(transpose)(int64_t rows, int64_t columns, const real *restrict in, int64_t ldin,
                       real *restrict out, int64_t ldout)
{
    const int64_t whole_rows = rows / LANES * LANES, whole = columns / LANES * LANES;
    if (rows < columns)
        for (int64_t c = 0; c < whole; c += LANES)
            for (int64_t r = 0; r < whole_rows; r += LANES)
                square(in + r * ldin + c, ldin, out + c * ldout + r, ldout);
    else
        for (int64_t r = 0; r < whole_rows; r += LANES)
            for (int64_t c = 0; c < whole; c += LANES)
                square(in + r * ldin + c, ldin, out + c * ldout + r, ldout);
    for (int64_t c = 0; c < columns; c++)
        for (int64_t r = c < whole ? whole_rows : 0; r < rows; r++)
            out[c * ldout + r] = in[r * ldin + c];
}
