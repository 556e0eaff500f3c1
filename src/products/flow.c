/* Passes over the magnitudes of a weight whose connections die by and by: drawn where
 * bits of a mask say who lives, or listed. A thread owns groups of rows; each group adds
 * its columns up by itself, and groups are added in their order. */
#include <stdlib.h>
#include <string.h>

#include "cut.h"
#include "virtual.h"

typedef SNN_REAL(snn_flow_row) flow_row;
typedef SNN_REAL(snn_virtual) weight;

/* Reals of the columns' partial sums, in all groups, and how many groups that may make. */
enum { PARTIALS = 1 << 22, FEWEST = 4, MOST = 64 };

/* Work per connection, in multiply-adds of a product. */
static const double WEIGHT = 24;

typedef struct job {
    const kernels *k;
    const weight *w; /* or NULL: listed */
    int64_t n_rows, n_cols;
    const int64_t *start;
    int32_t *live, *columns;
    real *values;
    snn_flow *f;
    double *partials;
    int64_t groups, taken;
    uint8_t places[256][8], set[256]; /* which bits of a byte are set, and how many */
} job;

static void note(snn_flow *f, const flow_row *r)
{
    if (!r->n_found)
        return;
    const int64_t at = __atomic_fetch_add(&f->found, r->n_found, __ATOMIC_RELAXED);
    const int64_t n = min64(r->n_found, f->capacity - at);
    if (n > 0) {
        memcpy(f->scores + at, r->scores, (size_t)n * sizeof *f->scores);
        memcpy(f->ranks + at, r->ranks, (size_t)n * sizeof *f->ranks);
    }
}

/* Values of some living columns of a row. */
static void draw_live(const job *j, int64_t row, int64_t n, const int32_t *columns, real *w)
{
    const weight *v = j->w;
    const int64_t rank = row * v->n_cols, first = columns[0];
    const int64_t span = columns[n - 1] - first + 1;
    if (span == n) {
        draw_law(j->k, &v->stream, v->law, v->scale, rank + first, NULL, n, w);
    } else if (v->law == SNN_UNIFORM && span <= 2 * n) {
        /* All of a block of two cost as much as one of it. */
        real all[2 * SNN_FLOW_BATCH];
        draw_law(j->k, &v->stream, v->law, v->scale, rank + first, NULL, span, all);
        for (int64_t i = 0; i < n; i++)
            w[i] = all[columns[i] - first];
    } else {
        int64_t elements[SNN_FLOW_BATCH];
        for (int64_t i = 0; i < n; i++)
            elements[i] = rank + columns[i];
        draw_law(j->k, &v->stream, v->law, v->scale, 0, elements, n, w);
    }
}

/* A batch of one row of a masked weight; returns how many live on. */
static int64_t batch(const job *j, flow_row *r, int64_t row, int64_t n,
                     const int32_t *columns)
{
    real w[SNN_FLOW_BATCH];
    uint64_t *words = j->w->mask + row * j->w->words;
    draw_live(j, row, n, columns, w);
    const int64_t live = j->k->flow(j->f, r, n, columns, w);
    for (int64_t i = 0; i < r->n_dead; i++) {
        const int32_t column = columns[r->dead[i]];
        words[column / 64] &= ~((uint64_t)1 << column % 64);
    }
    note(j->f, r);
    return live;
}

/* Writes the numbers of the set bits, from `first` on, and a few more beyond them; returns
 * how many are set. */
static int64_t list_bits(const job *j, uint64_t bits, int32_t first, int32_t *columns)
{
    int64_t n = 0;
    for (; bits; bits >>= 8, first += 8) {
        const uint8_t *places = j->places[bits & 0xFF];
        for (int l = 0; l < 8; l++)
            columns[n + l] = first + places[l];
        n += j->set[bits & 0xFF];
    }
    return n;
}

static int64_t masked_row(const job *j, flow_row *r, int64_t row)
{
    enum { FULL = SNN_FLOW_BATCH - 64 };
    int32_t columns[SNN_FLOW_BATCH + 64];
    int64_t n = 0, live = 0;
    for (int64_t i = 0; i < j->w->words; i++) {
        const uint64_t bits = j->w->mask[row * j->w->words + i];
        n += list_bits(j, bits, (int32_t)(64 * i), columns + n);
        if (n > FULL) {
            const int64_t rest = n % SNN_FLOW_LANES;
            live += batch(j, r, row, n - rest, columns);
            memcpy(columns, columns + n - rest, (size_t)rest * sizeof *columns);
            n = rest;
        }
    }
    return n ? live + batch(j, r, row, n, columns) : live;
}

static int64_t listed_row(const job *j, flow_row *r, int64_t row)
{
    int32_t *columns = j->columns + j->start[row];
    real *values = j->values + j->start[row];
    int64_t live = 0;
    for (int64_t begin = 0; begin < j->live[row]; begin += SNN_FLOW_BATCH) {
        const int64_t n = min64(SNN_FLOW_BATCH, j->live[row] - begin);
        j->k->flow(j->f, r, n, columns + begin, values + begin);
        note(j->f, r);
        for (int64_t i = 0, dead = 0; i < n; i++) {
            if (dead < r->n_dead && r->dead[dead] == i) {
                dead++;
                continue;
            }
            columns[live] = columns[begin + i];
            values[live++] = values[begin + i];
        }
    }
    j->live[row] = (int32_t)live;
    return live;
}

static double lane_total(const double *a)
{
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    snn_flow *f = j->f;
    flow_row r;
    int64_t above = 0, zero = 0, live = 0;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t end = cut(j->n_rows, g + 1, j->groups);
        for (int64_t i = cut(j->n_rows, g, j->groups); i < end; i++) {
            r.old_g = f->old_g ? f->old_g[i] : 0;
            r.g = f->g ? f->g[i] : 0;
            r.rank = i * j->n_cols;
            r.z = f->z ? j->partials + g * j->n_cols : NULL;
            memset(r.y, 0, sizeof r.y);
            memset(r.below, 0, sizeof r.below);
            r.above = r.zero = 0;
            live += j->w ? masked_row(j, &r, i) : listed_row(j, &r, i);
            above += r.above;
            zero += r.zero;
            if (f->y)
                f->y[i] = lane_total(r.y);
            if (f->below)
                f->below[i] = lane_total(r.below);
            if (f->zeros)
                f->zeros[i] = (int32_t)r.zero;
        }
    }
    __atomic_fetch_add(&f->above, above, __ATOMIC_RELAXED);
    __atomic_fetch_add(&f->zero, zero, __ATOMIC_RELAXED);
    __atomic_fetch_add(&f->live, live, __ATOMIC_RELAXED);
}

static int run(job *j, double connections)
{
    snn_flow *f = j->f;
    j->k = SNN_REAL(snn_active)();
    if (!j->k)
        return SNN_BAD_ARGUMENT;
    f->above = f->zero = f->found = f->live = 0;
    for (int byte = 0; byte < 256; byte++)
        for (int bit = 0; bit < 8; bit++)
            if (byte >> bit & 1)
                j->places[byte][j->set[byte]++] = (uint8_t)bit;
    j->groups = max64(FEWEST, min64(MOST, PARTIALS / (j->n_cols + 1)));
    j->groups = max64(1, min64(j->groups, j->n_rows));
    if (f->z) {
        j->partials = calloc((size_t)(j->groups * j->n_cols + 1), sizeof *j->partials);
        if (!j->partials)
            return SNN_NO_MEMORY;
    }
    snn_parallel(snn_threads_for(WEIGHT * connections), task, j);
    if (f->z) {
        memset(f->z, 0, (size_t)j->n_cols * sizeof *f->z);
        for (int64_t g = 0; g < j->groups; g++)
            for (int64_t c = 0; c < j->n_cols; c++)
                f->z[c] += j->partials[g * j->n_cols + c];
        free(j->partials);
    }
    return SNN_OK;
}

int SNN_REAL(snn_flow)(const weight *w, snn_flow *f)
{
    job j = {.w = w, .n_rows = w->n_rows, .n_cols = w->n_cols, .f = f};
    return run(&j, (double)w->n_rows * (double)w->n_cols);
}

int SNN_REAL(snn_flow_listed)(int64_t n_rows, int64_t n_cols, const int64_t *start,
                              int32_t *live, int32_t *columns, real *values, snn_flow *f)
{
    job j = {.n_rows = n_rows, .n_cols = n_cols, .start = start, .live = live,
             .columns = columns, .values = values, .f = f};
    return run(&j, (double)start[n_rows]);
}

#if defined(SNN_REAL_F32)
void snn_mask_columns(int64_t n_rows, int64_t words, const uint64_t *mask, int32_t *columns)
{
    for (int64_t row = 0; row < n_rows; row++)
        for (int64_t i = 0; i < words; i++)
            for (uint64_t bits = mask[row * words + i]; bits; bits &= bits - 1)
                *columns++ = (int32_t)(64 * i + __builtin_ctzll(bits));
}
#endif
