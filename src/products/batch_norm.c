/* Batch norms: a thread owns channels. */
#include <math.h>

#include "cut.h"

/* A channel's number weighs as much as so many multiply-adds. */
static const double WEIGHT = 6;

typedef struct job {
    const kernels *k;
    int64_t channels, n, taken;
    real eps;
    const real *x, *weight, *bias, *mean, *var, *dy;
    real *means, *vars; /* to be written */
    real *out, *dweight, *dbias;
} job;

/* 1 / sqrt(var + eps) */
static double inverse(const job *j, int64_t channel)
{
    return 1 / sqrt((double)j->var[channel] + (double)j->eps);
}

static void forward(void *context, int thread)
{
    (void)thread;
    job *j = context;
    for (int64_t c; (c = snn_next_unit(&j->taken, j->channels)) >= 0;) {
        const real *x = j->x + c * j->n;
        j->k->channel_moments(j->n, x, j->means + c, j->vars + c);
        const real scale = (real)((double)j->weight[c] * inverse(j, c));
        j->k->channel_apply(j->n, j->mean[c], scale, j->bias[c], x, j->out + c * j->n);
    }
}

static void backward(void *context, int thread)
{
    (void)thread;
    job *j = context;
    for (int64_t c; (c = snn_next_unit(&j->taken, j->channels)) >= 0;) {
        const real *x = j->x + c * j->n, *dy = j->dy + c * j->n;
        const double s = inverse(j, c), n = (double)j->n;
        double sum, product;
        j->k->channel_sums(j->n, x, j->mean[c], dy, &sum, &product);
        j->dbias[c] = (real)sum;
        j->dweight[c] = (real)(product * s);
        if (j->out)
            j->k->channel_backward(j->n, j->mean[c], (real)((double)j->weight[c] * s),
                                   (real)(sum / n), (real)(product * s * s / n), x, dy,
                                   j->out + c * j->n);
    }
}

static int run(job *j, void (*task)(void *, int))
{
    j->k = SNN_REAL(snn_active)();
    if (!j->k || j->n < 1)
        return SNN_BAD_ARGUMENT;
    snn_parallel(snn_threads_for(WEIGHT * (double)j->n * (double)j->channels), task, j);
    return SNN_OK;
}

int SNN_REAL(snn_batch_norm)(int64_t channels, int64_t n, real eps, const real *x,
                             const real *weight, const real *bias, real *mean, real *var,
                             real *y)
{
    job j = {.channels = channels, .n = n, .eps = eps, .x = x, .weight = weight,
             .bias = bias, .mean = mean, .var = var, .means = mean, .vars = var, .out = y};
    return run(&j, forward);
}

int SNN_REAL(snn_batch_norm_backward)(int64_t channels, int64_t n, real eps, const real *x,
                                      const real *weight, const real *mean, const real *var,
                                      const real *dy, real *dx, real *dweight, real *dbias)
{
    job j = {.channels = channels, .n = n, .eps = eps, .x = x, .weight = weight,
             .mean = mean, .var = var, .dy = dy, .out = dx, .dweight = dweight,
             .dbias = dbias};
    return run(&j, backward);
}
