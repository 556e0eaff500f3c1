/* Sparse activations: winners, and the products of events with the columns of a weight,
 * stored by column and found through an index, for every instruction set. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../real.h"
#include "selftest.h"

#if defined(SNN_REAL_F32)
static const double EPSILON = 0x1p-23;
#else
static const double EPSILON = 0x1p-52;
#endif

/* Exactly that much memory, so that a sanitizer sees the first access beyond it. */
static void *room(size_t n, size_t each)
{
    void *p = malloc(n > 0 ? n * each : 1);
    if (!p)
        abort();
    return p;
}

static real *random_reals(size_t n)
{
    real *a = room(n, sizeof(real));
    for (size_t k = 0; k < n; k++)
        a[k] = (real)selftest_signed();
    return a;
}

static int differs(real got, double want, int32_t n)
{
    return !(fabs((double)got - want) <= (n + 4) * EPSILON * (n + 1));
}

/* Some of n features of each sample. */
static snn_events some_events(int32_t batch, int32_t n, int32_t *start, int32_t *features)
{
    int32_t count = 0;
    start[0] = 0;
    for (int32_t b = 0; b < batch; b++) {
        const uint32_t every = 1 + selftest_below(5);
        for (int32_t j = 0; j < n; j++)
            if (selftest_below(every) == 0)
                features[count++] = j;
        start[b + 1] = count;
    }
    return (snn_events){.batch = batch, .n_features = n, .start = start,
                        .features = features};
}

static void put(void *at, int32_t bytes, int64_t k, int32_t value)
{
    if (bytes == 1)
        ((uint8_t *)at)[k] = (uint8_t)value;
    else if (bytes == 2)
        ((uint16_t *)at)[k] = (uint16_t)value;
    else
        ((int32_t *)at)[k] = value;
}

static int check(int32_t batch, int32_t n_rows, int32_t n_cols, int32_t bytes, int indexed,
                 int relu)
{
    const size_t cells = (size_t)n_rows * (size_t)n_cols;
    const size_t samples = (size_t)batch;
    int32_t *slot = room(cells, sizeof(int32_t)), nnz = 0;
    int32_t *start = room((size_t)n_cols + 1, sizeof(int32_t));
    for (size_t k = 0; k < cells; k++)
        slot[k] = selftest_below(3) ? -1 : nnz++;
    void *rows = room((size_t)nnz, (size_t)bytes);
    int32_t *slots = room((size_t)nnz, sizeof(int32_t));
    int32_t at = start[0] = 0;
    for (int32_t j = 0; j < n_cols; j++) {
        for (int32_t i = 0; i < n_rows; i++)
            if (slot[i * n_cols + j] >= 0) {
                put(rows, bytes, at, i);
                slots[at] = slot[i * n_cols + j];
                if (!indexed)
                    slot[i * n_cols + j] = at;
                at++;
            }
        start[j + 1] = at;
    }
    const snn_column_index w = {.n_rows = n_rows, .n_cols = n_cols, .row_bytes = bytes,
                                .start = start, .rows = rows,
                                .slots = indexed ? slots : NULL};
    int32_t *first = room(samples + 1, sizeof(int32_t));
    int32_t *features = room(samples * (size_t)n_cols, sizeof(int32_t));
    const snn_events a = some_events(batch, n_cols, first, features);

    const int64_t ld = batch + 1;
    real *values = random_reals((size_t)nnz), *bias = random_reals((size_t)n_rows);
    real *x = random_reals((size_t)(n_cols * ld)), *dx = random_reals((size_t)(n_cols * ld));
    real *y = random_reals((size_t)(n_rows * ld)), *dy = random_reals((size_t)(n_rows * ld));
    real *kept = random_reals((size_t)n_cols * samples), *dvalues = random_reals((size_t)nnz);
    int wrong = SNN_REAL(snn_keep)(&a, x, ld, kept, batch) != SNN_OK;
    wrong += SNN_REAL(snn_event_spmm)(&w, &a, values, bias, relu ? SNN_RELU : SNN_IDENTITY,
                                      x, ld, y, ld) != SNN_OK;
    wrong += SNN_REAL(snn_event_backward)(&w, &a, values, dy, ld, x, ld, dx, ld, dvalues) !=
             SNN_OK;
    for (int32_t b = 0; b < batch; b++) {
        for (int32_t i = 0; i < n_rows; i++) {
            double sum = (double)bias[i];
            for (int32_t j = 0; j < n_cols; j++)
                if (slot[i * n_cols + j] >= 0)
                    sum += (double)kept[j * (int64_t)batch + b] *
                           (double)values[slot[i * n_cols + j]];
            wrong += differs(y[i * ld + b], relu && sum < 0 ? 0 : sum, n_cols);
        }
        for (int32_t j = 0; j < n_cols; j++) {
            int active = 0;
            for (int32_t e = first[b]; e < first[b + 1]; e++)
                active |= features[e] == j;
            double sum = 0;
            for (int32_t i = 0; i < n_rows; i++)
                if (slot[i * n_cols + j] >= 0)
                    sum += (double)dy[i * ld + b] * (double)values[slot[i * n_cols + j]];
            const real want = active ? x[j * ld + b] : 0;
            wrong += !(kept[j * (int64_t)batch + b] == want);
            wrong += differs(dx[j * ld + b], active ? sum : 0, n_rows);
        }
    }
    for (int32_t i = 0; i < n_rows; i++)
        for (int32_t j = 0; j < n_cols; j++)
            if (slot[i * n_cols + j] >= 0) {
                double sum = 0;
                for (int32_t b = 0; b < batch; b++)
                    sum += (double)kept[j * (int64_t)batch + b] * (double)dy[i * ld + b];
                wrong += differs(dvalues[slot[i * n_cols + j]], sum, batch);
            }
    if (wrong)
        printf("events, batch %d, %d x %d, indexed %d: %d wrong\n", (int)batch, (int)n_rows,
               (int)n_cols, indexed, wrong);
    void *all[] = {slot, start, rows, slots, first, features, values, bias,
                   x,    dx,    y,    dy,    kept,  dvalues};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        free(all[k]);
    return wrong;
}

/* Whether feature j comes before feature i among the scores of a sample. */
static int before(const real *x, int64_t ld, int32_t j, int32_t i)
{
    const real a = x[j * ld], b = x[i * ld];
    const int a_nan = !(a == a), b_nan = !(b == b);
    if (a_nan != b_nan)
        return a_nan;
    return (!a_nan && a > b) || ((a_nan || a == b) && j < i);
}

static int check_winners(int32_t batch, int32_t n, int32_t k, uint32_t distinct)
{
    const int64_t ld = batch + 1;
    real *x = random_reals((size_t)(n * ld));
    for (int64_t i = 0; distinct && i < n * ld; i++)
        x[i] = (real)selftest_below(distinct) - 1;
    if (distinct == 3 && n > 1)
        x[1] = (real)NAN;
    int32_t *features = room((size_t)batch * (size_t)k, sizeof(int32_t));
    int wrong = SNN_REAL(snn_k_winners)(n, batch, k, x, ld, NULL, features) != SNN_OK;
    for (int32_t b = 0; b < batch; b++) {
        int32_t at = 0;
        for (int32_t i = 0; i < n; i++) {
            int32_t ahead = 0;
            for (int32_t j = 0; j < n; j++)
                ahead += before(x + b, ld, j, i);
            if (ahead < k)
                wrong += features[b * k + at++] != i;
        }
    }
    if (wrong)
        printf("winners, batch %d, %d of %d: %d wrong\n", (int)batch, (int)k, (int)n, wrong);
    free(x);
    free(features);
    return wrong;
}

int SNN_REAL(selftest_events)(void)
{
    static const int32_t shapes[][2] = {{0, 5}, {5, 1}, {1, 1}, {33, 40}, {90, 21}};
    static const int32_t batches[] = {0, 1, 2, 17, 66};
    int wrong = 0, flip = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++)
            for (int indexed = 0; indexed < 2; indexed++)
                for (int32_t bytes = 1; bytes <= 4; bytes *= 2) {
                    snn_set_num_threads(1 + 2 * (flip & 1));
                    wrong += check(batches[b], shapes[s][0], shapes[s][1], bytes, indexed,
                                   flip++ & 2);
                }
    static const int32_t sizes[] = {1, 2, 16, 17, 33, 70};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (uint32_t distinct = 0; distinct < 4; distinct++)
            for (int32_t k = 0; k <= sizes[s]; k += 1 + sizes[s] / 5)
                wrong += check_winners(1 + (int32_t)selftest_below(17), sizes[s], k, distinct);
    snn_set_num_threads(0);
    return wrong;
}
