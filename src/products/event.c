/* Products of sparse activations with sparse weights: every event walks its column of W.
 *
 * Forward, a unit owns some samples, each with an accumulator that fits into the first
 * cache; columns are taken in blocks that stay in the second while all samples of the unit
 * use them. (One sample: a unit owns rows.) Backward, a unit owns a block of columns, in
 * dx and in dvalues. Every sum goes over ascending features, or samples, whatever the
 * blocks, units and threads. */
#include <string.h>

#include "cut.h"

typedef SNN_REAL(snn_entries) entries;

enum {
    SAMPLES = 64,        /* of a unit, at most */
    BLOCK = 3 << 17,     /* bytes of a block of columns */
    SLOWER = 8,          /* an event's multiply-add costs about that many of a panel's */
    GATHERED = 2         /* uses of a value that pay for its copy */
};

typedef struct job {
    const kernels *k;
    const snn_column_index *w;
    const snn_events *a;
    const real *values, *bias;
    int relu;
    const real *x;
    int64_t ldx;
    real *y;
    int64_t ldy;
    const real *dy;
    int64_t lddy;
    real *dx;
    int64_t lddx;
    real *dvalues;
    int64_t samples;  /* forward: of a unit */
    int64_t block;    /* entries of a block of columns, about */
    int copy;         /* values are copied in the order of the columns */
    int64_t units, taken;
    const real *by_sample; /* backward: dy, sample by sample */
    real *transposed;      /* where that is written to */
    real *scratch;
    size_t part;      /* reals of a thread's part */
    size_t room;      /* of them, for a block of values */
} job;

static int64_t count(const snn_events *a) { return a->start[a->batch]; }

/* Multiply-adds of the events, about, as many as would take a panel kernel that long. */
static double work_of(const snn_column_index *w, const snn_events *a)
{
    const double nnz = w->start[w->n_cols];
    return SLOWER * (double)count(a) * nnz / (double)max64(w->n_cols, 1) +
           (double)a->batch * (double)w->n_rows;
}

static entries entries_of(const job *j)
{
    const snn_column_index *w = j->w;
    return (entries){.n_rows = w->n_rows, .row_end = w->n_rows, .row_bytes = w->row_bytes,
                     .start = w->start, .rows = w->rows, .slots = w->slots,
                     .values = j->values};
}

/* The first index from `first` on whose entry of sorted `all` is at least `least`. */
static int64_t lower(const int32_t *all, int64_t first, int64_t end, int64_t least)
{
    while (first < end) {
        const int64_t middle = first + (end - first) / 2;
        if (all[middle] < least)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* The column after the block that begins with `column`: one column, or more while they
 * have no more entries than a block. */
static int64_t block_end(const snn_column_index *w, int64_t column, int64_t block)
{
    const int64_t end = lower(w->start, column + 1, w->n_cols + (int64_t)1,
                              w->start[column] + block + (int64_t)1) - 1;
    return max64(end, column + 1);
}

/* Reals that hold the values of any block. */
static size_t block_room(const snn_column_index *w, int64_t block)
{
    int64_t largest = block;
    for (int64_t c = 0; c < w->n_cols; c++)
        largest = max64(largest, w->start[c + 1] - w->start[c]);
    return aligned_bytes(largest) / sizeof(real);
}

/* The values of columns begin .. end in their order, copied to `room`. */
static void copy_values(const job *j, int64_t begin, int64_t end, real *restrict room)
{
    const int64_t first = j->w->start[begin], last = j->w->start[end];
    for (int64_t e = first; e < last; e++)
        room[e - first] = j->values[j->w->slots[e]];
}

/* ------------------------------------------------------------------ forward */

static void start_sample(const job *j, real *y)
{
    if (j->bias)
        memcpy(y, j->bias, (size_t)j->w->n_rows * sizeof(real));
    else
        memset(y, 0, (size_t)j->w->n_rows * sizeof(real));
}

static void relu(real *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = y[i] < 0 ? 0 : y[i]; /* NaN stays */
}

/* Samples begin .. end; sums: their accumulators, room: for a block of values. */
static void forward_samples(const job *j, int64_t begin, int64_t end, real *restrict sums,
                            real *restrict room)
{
    const snn_column_index *w = j->w;
    const snn_events *a = j->a;
    const int64_t n_rows = w->n_rows, ld = apart(n_rows);
    int64_t at[SAMPLES];
    for (int64_t b = begin; b < end; b++) {
        at[b - begin] = a->start[b];
        start_sample(j, sums + (b - begin) * ld);
    }
    entries e = entries_of(j);
    for (int64_t c = 0; c < w->n_cols;) {
        const int64_t next = block_end(w, c, j->block);
        if (j->copy) {
            copy_values(j, c, next, room);
            e.values = room;
            e.slots = NULL;
            e.base = w->start[c];
        }
        for (int64_t b = begin; b < end; b++) {
            const int64_t i = at[b - begin];
            const int64_t to = lower(a->features, i, a->start[b + 1], next);
            j->k->event_add(&e, to - i, a->features + i, j->x + b, j->ldx,
                            sums + (b - begin) * ld);
            at[b - begin] = to;
        }
        c = next;
    }
    if (j->relu)
        for (int64_t b = begin; b < end; b++)
            relu(sums + (b - begin) * ld, n_rows);
    j->k->transpose(end - begin, n_rows, sums, ld, j->y + begin, j->ldy);
}

static void forward_task(void *context, int thread)
{
    job *j = context;
    real *room = j->scratch + (size_t)thread * j->part, *sums = room + j->room;
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;)
        forward_samples(j, u * j->samples, min64((u + 1) * j->samples, j->a->batch), sums,
                        room);
}

/* One sample; y is contiguous. */
static void vector_task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const int64_t n_rows = j->w->n_rows;
    entries e = entries_of(j);
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        e.row_begin = cut(n_rows, u, j->units);
        e.row_end = cut(n_rows, u + 1, j->units);
        const size_t bytes = (size_t)(e.row_end - e.row_begin) * sizeof(real);
        if (j->bias)
            memcpy(j->y + e.row_begin, j->bias + e.row_begin, bytes);
        else
            memset(j->y + e.row_begin, 0, bytes);
        j->k->event_add(&e, count(j->a), j->a->features, j->x, j->ldx, j->y);
        if (j->relu)
            relu(j->y + e.row_begin, e.row_end - e.row_begin);
    }
}

int SNN_REAL(snn_event_spmm)(const snn_column_index *w, const snn_events *a,
                             const real *values, const real *bias, int activation,
                             const real *x, int64_t ldx, real *y, int64_t ldy)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k || !w->start || (activation != SNN_IDENTITY && activation != SNN_RELU))
        return SNN_BAD_ARGUMENT;
    if (a->batch == 0 || w->n_rows == 0)
        return SNN_OK;
    const int threads = snn_threads_for(work_of(w, a));
    job j = {.k = k, .w = w, .a = a, .values = values, .bias = bias,
             .relu = activation == SNN_RELU, .x = x, .ldx = ldx, .y = y, .ldy = ldy};
    if (a->batch == 1 && (ldy == 1 || w->n_rows == 1)) {
        j.units = threads;
        snn_parallel(threads, vector_task, &j);
        return SNN_OK;
    }
    j.samples = max64(1, min64(SAMPLES, (a->batch - 1) / threads + 1));
    j.units = (a->batch - 1) / j.samples + 1;
    j.block = BLOCK / (int64_t)(sizeof(real) + (size_t)w->row_bytes);
    j.copy = w->slots && count(a) >= GATHERED * (int64_t)w->n_cols * j.units;
    j.room = j.copy ? block_room(w, j.block) : 0;
    j.part = j.room + aligned_bytes(j.samples * apart(w->n_rows)) / sizeof(real);
    j.scratch = snn_malloc((size_t)threads * j.part * sizeof(real));
    if (!j.scratch)
        return SNN_NO_MEMORY;
    snn_parallel(threads, forward_task, &j);
    snn_free(j.scratch);
    return SNN_OK;
}

/* ------------------------------------------------------------------ backward */

static void by_sample_task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const int64_t n_rows = j->w->n_rows;
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        const int64_t begin = cut(n_rows, u, j->units), end = cut(n_rows, u + 1, j->units);
        j->k->transpose(end - begin, j->a->batch, j->dy + begin * j->lddy, j->lddy,
                        j->transposed + begin, apart(n_rows));
    }
}

/* The events of columns begin .. end. */
static void backward_events(const job *j, const entries *e, int64_t begin, int64_t end,
                            real *restrict dvalues)
{
    const snn_events *a = j->a;
    for (int64_t b = 0; b < a->batch; b++) {
        const int64_t i = lower(a->features, a->start[b], a->start[b + 1], begin);
        const int64_t to = lower(a->features, i, a->start[b + 1], end);
        if (to > i)
            j->k->event_backward(e, to - i, a->features + i, j->x ? j->x + b : NULL, j->ldx,
                                 j->by_sample + b * apart(j->w->n_rows),
                                 j->dx ? j->dx + b : NULL, j->lddx, dvalues);
    }
}

/* The same for values that are copied in the order of the columns, and their gradient
 * back. */
static void backward_copied(const job *j, int64_t begin, int64_t end, real *restrict room)
{
    const snn_column_index *w = j->w;
    const int64_t first = w->start[begin], n = w->start[end] - first;
    entries e = entries_of(j);
    e.base = first;
    e.slots = NULL;
    e.values = room;
    real *dvalues = j->dvalues ? room + j->room : NULL;
    if (j->dx)
        copy_values(j, begin, end, room);
    if (dvalues)
        memset(dvalues, 0, (size_t)n * sizeof(real));
    backward_events(j, &e, begin, end, dvalues);
    if (dvalues)
        for (int64_t i = 0; i < n; i++)
            j->dvalues[w->slots[first + i]] = dvalues[i];
}

static void backward_columns(const job *j, int64_t begin, int64_t end, real *restrict room)
{
    const snn_column_index *w = j->w;
    if (j->dx)
        zero_features(begin, end, j->a->batch, j->dx, j->lddx);
    if (j->copy) {
        backward_copied(j, begin, end, room);
        return;
    }
    if (j->dvalues && !w->slots) {
        const int64_t first = w->start[begin];
        memset(j->dvalues + first, 0, (size_t)(w->start[end] - first) * sizeof(real));
    }
    const entries e = entries_of(j);
    backward_events(j, &e, begin, end, j->dvalues);
}

/* Few events meet values that lie anywhere: all of dvalues is zero before they come. */
static void zero_task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const int64_t nnz = j->w->start[j->w->n_cols];
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        const int64_t begin = cut(nnz, u, j->units), end = cut(nnz, u + 1, j->units);
        memset(j->dvalues + begin, 0, (size_t)(end - begin) * sizeof(real));
    }
}

static void backward_task(void *context, int thread)
{
    job *j = context;
    const snn_column_index *w = j->w;
    real *room = j->scratch + (size_t)thread * j->part;
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        const int64_t end = cut(w->n_cols, u + 1, j->units);
        for (int64_t c = cut(w->n_cols, u, j->units); c < end;) {
            const int64_t next = min64(block_end(w, c, j->block), end);
            backward_columns(j, c, next, room);
            c = next;
        }
    }
}

int SNN_REAL(snn_event_backward)(const snn_column_index *w, const snn_events *a,
                                 const real *values, const real *dy, int64_t lddy,
                                 const real *x, int64_t ldx, real *dx, int64_t lddx,
                                 real *dvalues)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k || !w->start)
        return SNN_BAD_ARGUMENT;
    if (w->n_cols == 0 || (!dx && !dvalues))
        return SNN_OK;
    const int64_t n_rows = w->n_rows;
    const int threads = snn_threads_for(2 * work_of(w, a));
    job j = {.k = k, .w = w, .a = a, .values = values, .x = x, .ldx = ldx, .dy = dy,
             .lddy = lddy, .dx = dx, .lddx = lddx, .dvalues = dvalues};
    j.block = BLOCK / (int64_t)(2 * sizeof(real) + (size_t)w->row_bytes);
    j.copy = w->slots && count(a) >= GATHERED * (int64_t)w->n_cols;
    j.room = j.copy ? block_room(w, j.block) : 0;
    j.part = 2 * j.room;
    const int turn = a->batch > 1 || lddy > 1;
    const size_t turned = turn ? aligned_bytes(a->batch * apart(n_rows)) / sizeof(real) : 0;
    real *memory = snn_malloc((turned + (size_t)threads * j.part) * sizeof(real));
    if (!memory)
        return SNN_NO_MEMORY;
    j.transposed = memory;
    j.scratch = memory + turned;
    j.by_sample = turn ? memory : dy;
    if (turn) {
        j.units = groups_for(n_rows, 1, threads);
        snn_parallel(threads, by_sample_task, &j);
    }
    if (dvalues && w->slots && !j.copy) {
        j.taken = 0;
        j.units = threads;
        snn_parallel(threads, zero_task, &j);
    }
    j.taken = 0;
    j.units = groups_for(w->n_cols, 1, threads);
    snn_parallel(threads, backward_task, &j);
    snn_free(memory);
    return SNN_OK;
}
