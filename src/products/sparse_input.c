/* The first layer on a CSR batch, sparse x sparse: time follows the connections of the
 * columns that occur, whatever the number of features.
 *
 * Activations are sample-major meanwhile. Values that are stored by column meet a sample
 * at a time, whose row of y then stays in the nearest cache while columns stream past it,
 * unless columns occur in many samples. Otherwise, and for the gradient, the batch is
 * walked by column: a column's values are gathered once, however many samples it occurs
 * in, and in ascending order of columns, because those of one block lie together. A unit
 * owns samples or rows of y, or a run of slots of dvalues; every sum goes over ascending
 * columns, or samples, wherever the cuts are. */
#include <string.h>

#include "cut.h"

typedef snn_column_index column_index;
typedef snn_batch_columns batch_columns;

enum {
    GROUP = 16,        /* samples of a unit that walks samples */
    OFTEN = 8,         /* samples that a column occurs in, on average, to be walked once */
    SLOWER = 4,        /* a scattered multiply-add costs about that many of a panel's */
    SCRATCH = 1 << 20, /* bytes of activations that a unit of rows works on */
    SAMPLES = 1 << 22  /* and at most of one that walks samples */
};

/* The entries of a column that lie in the rows of a unit. */
typedef struct part {
    int64_t n;
    const void *rows;     /* NULL: the rows from `row` on */
    int64_t row;          /* first of the unit */
    const int32_t *slots; /* NULL: slot, slot + step, ... */
    int64_t slot, step;
} part;

/* The first entry, from first on, whose row is at least `row`. */
#define LOWER(type, suffix)                                                                \
    static int64_t lower_##suffix(const void *all, int64_t first, int64_t end, int64_t row) \
    {                                                                                      \
        const type *rows = all;                                                            \
        while (first < end) {                                                              \
            const int64_t middle = first + (end - first) / 2;                              \
            if (rows[middle] < row)                                                        \
                first = middle + 1;                                                        \
            else                                                                           \
                end = middle;                                                              \
        }                                                                                  \
        return first;                                                                      \
    }

LOWER(uint8_t, 1)
LOWER(uint16_t, 2)
LOWER(int32_t, 4)

static int64_t lower(const column_index *w, int64_t first, int64_t end, int64_t row)
{
    return w->row_bytes == 1   ? lower_1(w->rows, first, end, row)
           : w->row_bytes == 2 ? lower_2(w->rows, first, end, row)
                               : lower_4(w->rows, first, end, row);
}

static part part_of(const column_index *w, int64_t column, int64_t begin, int64_t end)
{
    if (!w->start)
        return (part){.n = end - begin, .row = begin, .slot = begin * w->n_cols + column,
                      .step = w->n_cols};
    int64_t first = w->start[column], last = w->start[column + 1];
    if (begin > 0)
        first = lower(w, first, last, begin);
    if (end < w->n_rows)
        last = lower(w, first, last, end);
    return (part){.n = last - first, .row = begin,
                  .rows = (const char *)w->rows + first * w->row_bytes,
                  .slots = w->slots ? w->slots + first : NULL, .slot = first, .step = 1};
}

static int stored_by_column(const column_index *w) { return w->start && !w->slots; }

/* Multiply-adds, as many as would take a panel kernel that long. */
static double work_of(const column_index *w, const batch_columns *b)
{
    double work = (double)b->batch * (double)w->n_rows;
    for (int64_t u = 0; u < b->n_columns; u++) {
        const int64_t j = b->columns[u];
        const int64_t n = w->start ? w->start[j + 1] - w->start[j] : w->n_rows;
        work += SLOWER * (double)n * (double)(b->start[u + 1] - b->start[u]);
    }
    return work;
}

/* Rows in groups: for the threads, and small enough for their cache. */
static int64_t row_groups(int64_t n_rows, int64_t batch, int threads)
{
    const int64_t bytes = n_rows * batch * (int64_t)sizeof(real);
    const int64_t wanted = max64(threads == 1 ? 1 : 2 * threads, (bytes - 1) / SCRATCH + 1);
    return max64(1, min64(wanted, n_rows));
}

typedef struct job {
    const kernels *k;
    const column_index *w;
    const batch_columns *b;
    const real *values, *x, *bias;
    const real *by_sample; /* x in the order of the CSR, when samples are walked */
    int relu;
    real *y;
    int64_t ldy;
    const real *dy;
    int64_t lddy;
    const int32_t *to; /* where the gradient of columns[u] begins; NULL: at its slots */
    real *dvalues;
    int64_t blocks, groups, rows; /* groups of rows; rows in the largest */
    real *scratch;        /* forward: a part for each thread; else dy by sample */
    size_t part;          /* reals of a thread's part */
    int64_t taken;
} job;

/* ------------------------------------------------------------------ forward */

/* The values of the part, in place or gathered. */
static const real *values_of(const part *p, const real *restrict values, real *restrict room)
{
    if (p->slots)
        for (int64_t e = 0; e < p->n; e++)
            room[e] = values[p->slots[e]];
    else if (p->step == 1)
        return values + p->slot;
    else
        for (int64_t e = 0; e < p->n; e++)
            room[e] = values[p->slot + e * p->step];
    return room;
}

static void fill(int64_t samples, const real *bias, int64_t n, real *t)
{
    for (int64_t s = 0; s < samples; s++) {
        if (bias)
            memcpy(t + s * n, bias, (size_t)n * sizeof(real));
        else
            memset(t + s * n, 0, (size_t)n * sizeof(real));
    }
}

static void finish(const job *j, int64_t samples, int64_t n, real *restrict t, real *y)
{
    if (j->relu)
        for (int64_t i = 0; i < samples * n; i++)
            t[i] = t[i] < 0 ? 0 : t[i]; /* NaN stays */
    j->k->transpose(samples, n, t, n, y, j->ldy);
}

static void forward_rows(const job *j, int64_t begin, int64_t end, real *restrict t,
                         real *restrict room)
{
    const batch_columns *b = j->b;
    const int64_t n = end - begin;
    fill(b->batch, j->bias ? j->bias + begin : NULL, n, t);
    for (int64_t u = 0; u < b->n_columns; u++) {
        const part p = part_of(j->w, b->columns[u], begin, end);
        const real *v = values_of(&p, j->values, room);
        j->k->add_column(p.n, p.rows ? j->w->row_bytes : 0, p.rows, p.rows ? p.row : 0, v,
                         b->start[u + 1] - b->start[u], b->samples + b->start[u],
                         j->x + b->start[u], t, n);
    }
    finish(j, b->batch, n, t, j->y + begin * j->ldy);
}

static void forward_samples(const job *j, int64_t begin, int64_t end, real *restrict t)
{
    const int64_t n_rows = j->w->n_rows;
    fill(end - begin, j->bias, n_rows, t);
    j->k->add_samples(j->w, end - begin, j->b->indptr + begin, j->b->indices, j->by_sample,
                      j->values, t, n_rows);
    finish(j, end - begin, n_rows, t, j->y + begin);
}

/* Whether to walk samples: the bits are the same. */
static int by_samples(const column_index *w, const batch_columns *b)
{
    return stored_by_column(w) && b->indptr && b->start[b->n_columns] <= OFTEN * b->n_columns &&
           GROUP * w->n_rows <= SAMPLES / (int64_t)sizeof(real);
}

static void forward_task(void *context, int thread)
{
    job *j = context;
    real *t = j->scratch + (size_t)thread * j->part;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;)
        if (j->by_sample)
            forward_samples(j, g * GROUP, min64((g + 1) * GROUP, j->b->batch), t);
        else
            forward_rows(j, cut(j->w->n_rows, g, j->groups),
                         cut(j->w->n_rows, g + 1, j->groups), t, t + j->rows * j->b->batch);
}

int SNN_REAL(snn_sparse_input)(const snn_column_index *w, const snn_batch_columns *b,
                               const real *values, const real *x, const real *bias,
                               int activation, real *y, int64_t ldy)
{
    if (activation != SNN_IDENTITY && activation != SNN_RELU)
        return SNN_BAD_ARGUMENT;
    if (b->batch == 0 || w->n_rows == 0)
        return SNN_OK;
    const int threads = snn_threads_for(work_of(w, b));
    job j = {.k = SNN_REAL(snn_active)(), .w = w, .b = b, .values = values, .x = x,
             .bias = bias, .relu = activation == SNN_RELU, .y = y, .ldy = ldy};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    const int walk = by_samples(w, b);
    j.groups = walk ? (b->batch - 1) / GROUP + 1 : row_groups(w->n_rows, b->batch, threads);
    j.rows = (w->n_rows - 1) / j.groups + 1;
    j.part = aligned_bytes(walk ? GROUP * (int64_t)w->n_rows
                                : j.rows * (b->batch + (int64_t)1)) / sizeof(real);
    const int32_t nnz = b->start[b->n_columns];
    const size_t reals = (size_t)threads * j.part;
    j.scratch = snn_malloc((reals + (walk ? (size_t)nnz + 1 : 0)) * sizeof(real));
    if (!j.scratch)
        return SNN_NO_MEMORY;
    if (walk) {
        real *ordered = j.scratch + reals;
        for (int64_t e = 0; e < nnz; e++)
            ordered[b->source[e]] = x[e];
        j.by_sample = ordered;
    }
    snn_parallel(threads, forward_task, &j);
    snn_free(j.scratch);
    return SNN_OK;
}

/* ------------------------------------------------------------------ gradient */

/* v = the products of dy's rows of the column with x, summed over its samples. */
static void dot_column(const job *j, const part *p, int64_t u, real *restrict v)
{
    const batch_columns *b = j->b;
    j->k->dot_column(p->n, p->rows ? j->w->row_bytes : 0, p->rows,
                     b->start[u + 1] - b->start[u], b->samples + b->start[u],
                     j->x + b->start[u], j->scratch + (p->rows ? 0 : p->row), j->w->n_rows, v);
}

static void zero(const job *j, int64_t first, int64_t last)
{
    memset(j->dvalues + first, 0, (size_t)(last - first) * sizeof(real));
}

/* First of the batch's columns that is at least `column`. */
static int64_t batch_column(const batch_columns *b, int64_t column)
{
    return lower_4(b->columns, 0, b->n_columns, column);
}

/* Slots of rows begin .. end in a column block: zeros, then what the batch's columns give
 * while that run of slots is in the cache. */
static void grad_tile(const job *j, int64_t block, int64_t begin, int64_t end,
                      real *restrict v)
{
    const column_index *w = j->w;
    const snn_layout *layout = w->layout;
    int64_t u = 0, u_end = j->b->n_columns;
    if (layout) {
        const int32_t *indptr = layout->indptr + block * w->n_rows;
        zero(j, indptr[begin], indptr[end]);
        u = batch_column(j->b, block * layout->block_width);
        u_end = batch_column(j->b, (block + 1) * layout->block_width);
    } else {
        zero(j, begin * w->n_cols, end * w->n_cols);
    }
    for (; u < u_end; u++) {
        const part p = part_of(w, j->b->columns[u], begin, end);
        dot_column(j, &p, u, v);
        if (p.slots)
            for (int64_t e = 0; e < p.n; e++)
                j->dvalues[p.slots[e]] = v[e];
        else
            for (int64_t e = 0; e < p.n; e++)
                j->dvalues[p.slot + e * p.step] = v[e];
    }
}

/* Columns begin .. end of values stored by column: every slot is written once. */
static void grad_columns(const job *j, int64_t begin, int64_t end)
{
    const column_index *w = j->w;
    const int64_t u_end = batch_column(j->b, end);
    int64_t slot = w->start[begin];
    for (int64_t u = batch_column(j->b, begin); u < u_end; u++) {
        const part p = part_of(w, j->b->columns[u], 0, w->n_rows);
        zero(j, slot, p.slot);
        dot_column(j, &p, u, j->dvalues + p.slot);
        slot = p.slot + p.n;
    }
    zero(j, slot, w->start[end]);
}

/* The batch's columns begin .. end alone. */
static void grad_occurring(const job *j, int64_t begin, int64_t end)
{
    for (int64_t u = begin; u < end; u++) {
        const part p = part_of(j->w, j->b->columns[u], 0, j->w->n_rows);
        dot_column(j, &p, u, j->dvalues + j->to[u]);
    }
}

static void by_sample_task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const int64_t n_rows = j->w->n_rows;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = cut(n_rows, g, j->groups), end = cut(n_rows, g + 1, j->groups);
        j->k->transpose(end - begin, j->b->batch, j->dy + begin * j->lddy, j->lddy,
                        j->scratch + begin, n_rows);
    }
}

static void grad_task(void *context, int thread)
{
    job *j = context;
    const int64_t n_rows = j->w->n_rows, n_cols = j->w->n_cols;
    real *v = j->scratch + n_rows * j->b->batch + (size_t)thread * j->part;
    for (int64_t u; (u = snn_next_unit(&j->taken, j->blocks * j->groups)) >= 0;) {
        const int64_t g = u % j->groups;
        if (j->to)
            grad_occurring(j, cut(j->b->n_columns, g, j->groups),
                           cut(j->b->n_columns, g + 1, j->groups));
        else if (stored_by_column(j->w))
            grad_columns(j, cut(n_cols, g, j->groups), cut(n_cols, g + 1, j->groups));
        else
            grad_tile(j, u / j->groups, cut(n_rows, g, j->groups),
                      cut(n_rows, g + 1, j->groups), v);
    }
}

static int gradient(const snn_column_index *w, const snn_batch_columns *b, const real *x,
                    const real *dy, int64_t lddy, const int32_t *to, real *dvalues)
{
    if (w->n_rows == 0 || w->n_cols == 0)
        return SNN_OK;
    const int threads = snn_threads_for(work_of(w, b));
    job j = {.k = SNN_REAL(snn_active)(), .w = w, .b = b, .x = x, .dy = dy, .lddy = lddy,
             .to = to, .dvalues = dvalues};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    j.part = aligned_bytes(w->n_rows) / sizeof(real);
    const size_t reals = (size_t)b->batch * (size_t)w->n_rows + (size_t)threads * j.part;
    j.scratch = snn_malloc(reals * sizeof(real));
    if (!j.scratch)
        return SNN_NO_MEMORY;
    j.groups = groups_for(w->n_rows, 1, threads);
    snn_parallel(threads, by_sample_task, &j);
    j.taken = 0;
    j.blocks = w->layout ? w->layout->n_blocks : 1;
    j.groups = groups_for(to ? b->n_columns : stored_by_column(w) ? w->n_cols : w->n_rows,
                          j.blocks, threads);
    snn_parallel(threads, grad_task, &j);
    snn_free(j.scratch);
    return SNN_OK;
}

int SNN_REAL(snn_sparse_input_grad)(const snn_column_index *w, const snn_batch_columns *b,
                                    const real *x, const real *dy, int64_t lddy,
                                    real *dvalues)
{
    return gradient(w, b, x, dy, lddy, NULL, dvalues);
}

int SNN_REAL(snn_sparse_input_grad_columns)(const snn_column_index *w,
                                            const snn_batch_columns *b, const real *x,
                                            const real *dy, int64_t lddy,
                                            const int32_t *start, real *dvalues)
{
    return gradient(w, b, x, dy, lddy, start, dvalues);
}
