/* Which activations of a batch win, and what they leave. A unit owns some samples: they
 * are transposed, so that each sample's features lie together, and then selected from. */
#include "cut.h"

enum { SAMPLES = 16 }; /* of a unit: a cache line of each feature in single precision */

typedef struct job {
    const kernels *k;
    int64_t n, batch, winners;
    const real *x;
    int64_t ldx;
    const real *boost;
    int32_t *features;
    int64_t ld; /* from one transposed sample to the next */
    real *scratch;
    size_t part; /* reals of a thread's part */
    int64_t units, taken;
} job;

static void task(void *context, int thread)
{
    job *j = context;
    real_int *keys = (real_int *)(j->scratch + (size_t)thread * j->part);
    real *samples = j->scratch + (size_t)thread * j->part +
                    aligned_bytes(j->n + 2 * j->k->lanes) / sizeof(real);
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        const int64_t begin = u * SAMPLES, end = min64(begin + SAMPLES, j->batch);
        const real *x = j->x;
        if (j->batch > 1 || j->ldx > 1) {
            j->k->transpose(j->n, end - begin, j->x + begin, j->ldx, samples,
                            j->ld);
            x = samples;
        }
        for (int64_t b = begin; b < end; b++)
            j->k->winners(j->n, j->winners, x + (b - begin) * j->ld, j->boost, keys,
                          j->features + b * j->winners);
    }
}

int SNN_REAL(snn_k_winners)(int64_t n, int64_t batch, int64_t k, const real *x, int64_t ldx,
                            const real *boost, int32_t *features)
{
    const kernels *table = SNN_REAL(snn_active)();
    if (!table)
        return SNN_BAD_ARGUMENT;
    if (batch == 0 || k == 0)
        return SNN_OK;
    const int threads = snn_threads_for(8 * (double)n * (double)batch);
    job j = {.k = table, .n = n, .batch = batch, .winners = k, .x = x, .ldx = ldx,
             .boost = boost, .features = features};
    j.ld = apart(n);
    const size_t samples =
        batch == 1 && ldx == 1 ? 0 : aligned_bytes(j.ld * min64(batch, SAMPLES));
    j.part = (aligned_bytes(n + 2 * table->lanes) + samples) / sizeof(real);
    j.scratch = snn_malloc((size_t)threads * j.part * sizeof(real));
    if (!j.scratch)
        return SNN_NO_MEMORY;
    j.units = (batch - 1) / SAMPLES + 1;
    snn_parallel(threads, task, &j);
    snn_free(j.scratch);
    return SNN_OK;
}

int SNN_REAL(snn_keep)(const snn_events *a, const real *x, int64_t ldx, real *y, int64_t ldy)
{
    zero_features(0, a->n_features, a->batch, y, ldy);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t i = a->start[b]; i < a->start[b + 1]; i++) {
            const int64_t j = a->features[i];
            y[j * ldy + b] = x[j * ldx + b];
        }
    return SNN_OK;
}

int64_t SNN_REAL(snn_nonzeros)(int64_t n, const real *x, int64_t ldx, int32_t *features)
{
    int64_t count = 0;
    for (int64_t j = 0; j < n; j++) {
        features[count] = (int32_t)j; /* stays if it is one: no branch to mispredict */
        count += x[j * ldx] != 0;
    }
    return count;
}
