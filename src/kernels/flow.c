/* A pass of snn_flow over some connections of one row: who dies, sums, and a search. All
 * in double; as many lanes add up whatever the vectors are, so that bits do not differ.
 *
 * The dead get a weight of 0 and stay until the row is done with: they add nothing. */
#include "kernels_decl.h"

#define ROW SNN_REAL(snn_flow_row)

enum { WIDTH = SNN_FLOW_LANES, ROOM = SNN_FLOW_BATCH + WIDTH };

INLINE double magnitude(real w) { return __builtin_fabs((double)w); }

/* factor[k] = x[columns[k]], or 1 */
INLINE void gather(const double *x, int64_t n, const int32_t *columns, double *factor)
{
    if (x)
        for (int64_t k = 0; k < n; k++)
            factor[k] = x[columns[k]];
    else
        for (int64_t k = 0; k < n; k++)
            factor[k] = 1;
}

/* score[k] = (g |w[k]|) factor[k] (score may be factor), and minus infinity for as many
 * more as make whole groups of WIDTH. */
INLINE void scores(double g, int64_t n, const real *w, const double *factor, double *score)
{
    for (int64_t k = 0; k < n; k++)
        score[k] = (g * magnitude(w[k])) * factor[k];
    for (int64_t k = n; k % WIDTH; k++)
        score[k] = -__builtin_inf();
}

/* Bit l is set where a[l] > low. */
INLINE unsigned which_above(const double *a, double low)
{
#if defined(SNN_ISA_X86_64_V4)
    return _mm512_cmp_pd_mask(_mm512_loadu_pd(a), _mm512_set1_pd(low), _CMP_GT_OQ);
#elif defined(SNN_ISA_X86_64_V3)
    const __m256d b = _mm256_set1_pd(low);
    const __m256d first = _mm256_cmp_pd(_mm256_loadu_pd(a), b, _CMP_GT_OQ);
    const __m256d second = _mm256_cmp_pd(_mm256_loadu_pd(a + 4), b, _CMP_GT_OQ);
    return (unsigned)_mm256_movemask_pd(first) | (unsigned)_mm256_movemask_pd(second) << 4;
#else
    unsigned bits = 0;
    for (int l = 0; l < WIDTH; l++)
        bits |= (unsigned)(a[l] > low) << l;
    return bits;
#endif
}

static void end_lives(const snn_flow *f, ROW *r, int64_t n, const int32_t *columns, real *w)
{
    double score[ROOM];
    gather(f->old_x, n, columns, score);
    scores(r->old_g, n, w, score, score);
    int64_t dead = 0;
    for (int64_t k = 0; k < n; k += WIDTH) {
        const unsigned here = n - k < WIDTH ? (1u << (n - k)) - 1 : (1u << WIDTH) - 1;
        for (unsigned low = ~which_above(score + k, f->threshold) & here; low;
             low &= low - 1) {
            const int64_t i = k + __builtin_ctz(low);
            if (score[i] == f->threshold && r->rank + columns[i] <= f->last_rank)
                continue;
            w[i] = 0;
            r->dead[dead++] = (int32_t)i;
        }
    }
    r->n_dead = dead;
}

/* total[k % WIDTH] += |w[k]| factor[k] */
INLINE void add_weighted(int64_t n, const real *w, const double *factor, double *total)
{
    int64_t k = 0;
    for (; k + WIDTH <= n; k += WIDTH)
        for (int l = 0; l < WIDTH; l++)
            total[l] += magnitude(w[k + l]) * factor[k + l];
    for (int l = 0; k < n; k++, l++)
        total[l] += magnitude(w[k]) * factor[k];
}

/* The same for the scores below a bound. */
INLINE void add_below(int64_t n, const double *score, double bound, double *total)
{
    for (int64_t k = 0; k < n; k += WIDTH)
        for (int l = 0; l < WIDTH; l++)
            total[l] += score[k + l] < bound && score[k + l] > 0 ? score[k + l] : 0;
}

/* The number just below a; 0 of 0, and minus infinity of itself. */
INLINE double before(double a)
{
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits += a < 0 && a > -__builtin_inf();
    bits -= a > 0;
    memcpy(&a, &bits, sizeof a);
    return a;
}

static void search(const snn_flow *f, ROW *r, int64_t n, const int32_t *columns,
                   const real *w, const double *factor)
{
    double score[ROOM];
    scores(r->g, n, w, factor, score);
    const double low = before(f->low), high = f->high;
    int64_t zero = 0, above = 0, found = 0;
    for (int64_t k = 0; k < n; k++) {
        zero += score[k] == 0;
        above += score[k] > high;
    }
    for (int64_t k = 0; k < n; k += WIDTH)
        for (unsigned in = which_above(score + k, low) & ~which_above(score + k, high); in;
             in &= in - 1) {
            const int64_t i = k + __builtin_ctz(in);
            if (score[i] == 0)
                continue;
            r->scores[found] = score[i];
            r->ranks[found++] = r->rank + columns[i];
        }
    if (f->below)
        add_below(n, score, f->low, r->below);
    /* The dead score 0. */
    r->above += above - (high < 0 ? r->n_dead : 0);
    r->zero += zero - r->n_dead;
    r->n_found = found;
}

int64_t KERNEL(flow)(const snn_flow *f, ROW *r, int64_t n, const int32_t *columns,
                     real *restrict w)
{
    double factor[ROOM];
    r->n_dead = r->n_found = 0;
    if (f->old_g)
        end_lives(f, r, n, columns, w);
    if (f->y || f->search)
        gather(f->x, n, columns, factor);
    if (f->y)
        add_weighted(n, w, factor, r->y);
    if (r->z)
        for (int64_t k = 0; k < n; k++)
            r->z[columns[k]] += r->g * magnitude(w[k]);
    if (f->search)
        search(f, r, n, columns, w, factor);
    return n - r->n_dead;
}
