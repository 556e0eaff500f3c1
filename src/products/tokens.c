/* GELU and layer norms, cut over the threads: runs of elements, samples, features. */
#include "cut.h"

/* Elements of a unit, and samples of one in the passes over features: both independent of
 * the number of threads. A GELU weighs as much as so many multiply-adds. */
enum { RUN = 16384, SAMPLES = 64 };
static const double GELU_WEIGHT = 16, PASS_WEIGHT = 4;

typedef struct gelu_job {
    const kernels *k;
    int64_t n, taken;
    const real *x, *dy;
    real *out;
} gelu_job;

static void gelu_task(void *context, int thread)
{
    (void)thread;
    gelu_job *j = context;
    for (int64_t r; (r = snn_next_unit(&j->taken, (j->n + RUN - 1) / RUN)) >= 0;) {
        const int64_t at = r * RUN, n = min64(RUN, j->n - at);
        if (j->dy)
            j->k->gelu_backward(n, j->x + at, j->dy + at, j->out + at);
        else
            j->k->gelu(n, j->x + at, j->out + at);
    }
}

int SNN_REAL(snn_gelu)(int64_t n, const real *x, const real *dy, real *out)
{
    gelu_job j = {.k = SNN_REAL(snn_active)(), .n = n, .x = x, .dy = dy, .out = out};
    if (!j.k)
        return SNN_BAD_ARGUMENT;
    snn_parallel(snn_threads_for(GELU_WEIGHT * (double)n), gelu_task, &j);
    return SNN_OK;
}

typedef struct norm_job {
    const kernels *k;
    int64_t n, batch, ldx, lddy, ldout, units, taken;
    int centre;
    real eps;
    const real *x, *weight, *bias, *dy;
    real *moments; /* (4, batch): mean, inverse, mean(h), mean(h x') */
    real *out, *dweight, *dbias;
} norm_job;

static void sample_task(void *context, int thread)
{
    (void)thread;
    norm_job *j = context;
    for (int64_t u; (u = snn_next_unit(&j->taken, j->units)) >= 0;) {
        const int64_t at = u * SAMPLES, width = min64(SAMPLES, j->batch - at);
        real *m = j->moments + at;
        const int64_t ld = j->batch;
        j->k->norm_moments(j->n, width, j->centre, j->eps, j->x + at, j->ldx, m, m + ld);
        if (j->dy)
            j->k->norm_means(j->n, width, j->centre, j->x + at, j->ldx, j->weight,
                             j->dy + at, j->lddy, m, m + ld, m + 2 * ld, m + 3 * ld);
    }
}

static void feature_task(void *context, int thread)
{
    (void)thread;
    norm_job *j = context;
    for (int64_t f; (f = snn_next_unit(&j->taken, j->n)) >= 0;) {
        const real *m = j->moments, *x = j->x + f * j->ldx;
        const int64_t ld = j->batch;
        real *out = j->out + f * j->ldout;
        if (j->dy)
            j->k->norm_backward(1, ld, x, j->ldx, j->weight + f, j->dy + f * j->lddy,
                                j->lddy, m, m + ld, m + 2 * ld, m + 3 * ld, out, j->ldout,
                                j->dweight + f, j->dbias + f);
        else
            j->k->norm_apply(1, ld, x, j->ldx, m, m + ld, j->weight + f,
                             j->bias ? j->bias + f : NULL, out, j->ldout);
    }
}

static int run_norm(norm_job *j)
{
    j->k = SNN_REAL(snn_active)();
    if (!j->k || j->n < 1)
        return SNN_BAD_ARGUMENT;
    const int threads = snn_threads_for(PASS_WEIGHT * (double)j->n * (double)j->batch);
    j->units = (j->batch + SAMPLES - 1) / SAMPLES;
    snn_parallel(threads, sample_task, j);
    j->taken = 0;
    snn_parallel(threads, feature_task, j);
    return SNN_OK;
}

int SNN_REAL(snn_layer_norm)(int64_t n, int64_t batch, int centre, real eps, const real *x,
                             int64_t ldx, const real *weight, const real *bias,
                             real *moments, real *y, int64_t ldy)
{
    norm_job j = {.n = n, .batch = batch, .centre = centre, .eps = eps, .x = x, .ldx = ldx,
                  .weight = weight, .bias = bias, .moments = moments, .out = y,
                  .ldout = ldy};
    return run_norm(&j);
}

int SNN_REAL(snn_layer_norm_backward)(int64_t n, int64_t batch, int centre, real eps,
                                      const real *x, int64_t ldx, const real *weight,
                                      const real *dy, int64_t lddy, real *moments, real *dx,
                                      int64_t lddx, real *dweight, real *dbias)
{
    norm_job j = {.n = n, .batch = batch, .centre = centre, .eps = eps, .x = x, .ldx = ldx,
                  .weight = weight, .dy = dy, .lddy = lddy, .moments = moments, .out = dx,
                  .ldout = lddx, .dweight = dweight, .dbias = dbias};
    return run_norm(&j);
}
