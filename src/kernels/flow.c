/* A pass of snn_flow over some connections of one row: who dies, sums, and a search. All
 * in double; eight lanes add up whatever the vectors are, so that bits do not differ. */
#include "kernels_decl.h"

#define ROW SNN_REAL(snn_flow_row)

typedef double lanes __attribute__((vector_size(64)));

enum { WIDTH = 8, ROOM = SNN_FLOW_BATCH + WIDTH };

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

INLINE double magnitude(real w) { return __builtin_fabs((double)w); }

/* score[k] = (g |w[k]|) factor[k]; score may be factor */
INLINE void scores(double g, int64_t n, const real *w, const double *factor, double *score)
{
    for (int64_t k = 0; k < n; k++)
        score[k] = (g * magnitude(w[k])) * factor[k];
}

static int64_t end_lives(const snn_flow *f, ROW *r, int64_t n, int32_t *restrict columns,
                         real *restrict w)
{
    double score[SNN_FLOW_BATCH];
    gather(f->old_x, n, columns, score);
    scores(r->old_g, n, w, score, score);
    int64_t live = 0, dead = 0;
    for (int64_t k = 0; k < n; k++) {
        const int32_t column = columns[k];
        const int stays = (score[k] > f->threshold) |
                          ((score[k] == f->threshold) & (r->rank + column <= f->last_rank));
        columns[live] = column;
        w[live] = w[k];
        r->dead[dead] = column;
        live += stays;
        dead += !stays;
    }
    r->n_dead = dead;
    return live;
}

INLINE double weighted_sum(int64_t n, const real *w, const double *factor)
{
    lanes total = {0};
    int64_t k = 0;
    for (; k + WIDTH <= n; k += WIDTH)
        for (int l = 0; l < WIDTH; l++)
            total[l] += magnitude(w[k + l]) * factor[k + l];
    for (int l = 0; k < n; k++, l++)
        total[l] += magnitude(w[k]) * factor[k];
    return ((total[0] + total[4]) + (total[2] + total[6])) +
           ((total[1] + total[5]) + (total[3] + total[7]));
}

static void search(const snn_flow *f, ROW *r, int64_t n, const int32_t *columns,
                   const real *w, const double *factor)
{
    double score[SNN_FLOW_BATCH];
    scores(r->g, n, w, factor, score);
    int64_t above = 0, zero = 0, found = 0;
    for (int64_t k = 0; k < n; k++) {
        above += score[k] > f->high;
        zero += score[k] == 0;
    }
    for (int64_t k = 0; k < n; k++)
        if ((score[k] >= f->low) & (score[k] <= f->high) & (score[k] != 0)) {
            r->scores[found] = score[k];
            r->ranks[found++] = r->rank + columns[k];
        }
    r->above += above;
    r->zero += zero;
    r->n_found = found;
}

int64_t KERNEL(flow)(const snn_flow *f, ROW *r, int64_t n, int32_t *restrict columns,
                     real *restrict w)
{
    double factor[ROOM];
    r->n_dead = r->n_found = 0;
    if (f->old_g)
        n = end_lives(f, r, n, columns, w);
    if (f->y || f->search)
        gather(f->x, n, columns, factor);
    if (f->y)
        r->y += weighted_sum(n, w, factor);
    if (r->z)
        for (int64_t k = 0; k < n; k++)
            r->z[columns[k]] += r->g * magnitude(w[k]);
    if (f->search)
        search(f, r, n, columns, w, factor);
    return n;
}
