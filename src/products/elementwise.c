/* Passes over whole arrays, cut into equal runs over the threads. */
#include "cut.h"

/* Memory-bound work: one element weighs as much as this many multiply-adds. */
static const double PASS_WEIGHT = 4;

enum { RUN = 16384 }; /* values of a unit: independent of the number of threads */

typedef struct mask_job {
    const kernels *k;
    int64_t n_rows, batch;
    int relu;
    const real *y, *dy;
    real *dz, *dbias;
    int64_t ldy, lddy, lddz;
    int64_t groups, taken;
} mask_job;

static void mask_task(void *context, int thread)
{
    (void)thread;
    mask_job *j = context;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = cut(j->n_rows, g, j->groups);
        const int64_t end = cut(j->n_rows, g + 1, j->groups);
        j->k->activation_backward(end - begin, j->batch, j->relu,
                                  j->relu ? j->y + begin * j->ldy : NULL, j->ldy,
                                  j->dy + begin * j->lddy, j->lddy, j->dz + begin * j->lddz,
                                  j->lddz, j->dbias ? j->dbias + begin : NULL);
    }
}

int SNN_REAL(snn_activation_backward)(int64_t n_rows, int64_t batch, int activation,
                                      const real *y, int64_t ldy, const real *dy,
                                      int64_t lddy, real *dz, int64_t lddz, real *dbias)
{
    mask_job j = {.k = SNN_REAL(snn_active)(), .n_rows = n_rows, .batch = batch,
                  .relu = activation == SNN_RELU, .y = y, .dy = dy, .dz = dz,
                  .dbias = dbias, .ldy = ldy, .lddy = lddy, .lddz = lddz};
    if (!j.k || (activation != SNN_IDENTITY && activation != SNN_RELU))
        return SNN_BAD_ARGUMENT;
    if (n_rows == 0)
        return SNN_OK;
    const int threads = snn_threads_for(PASS_WEIGHT * (double)n_rows * (double)batch);
    j.groups = groups_for(n_rows, 1, threads);
    snn_parallel(threads, mask_task, &j);
    return SNN_OK;
}

typedef struct step_job {
    const kernels *k;
    int64_t n, taken;
    int adam, flag;
    real lr, mu, beta2, eps, weight_decay, bias1, bias2;
    const real *grad;
    real *m, *v, *values;
} step_job;

static void step_task(void *context, int thread)
{
    (void)thread;
    step_job *j = context;
    for (int64_t r; (r = snn_next_unit(&j->taken, (j->n + RUN - 1) / RUN)) >= 0;) {
        const int64_t at = r * RUN, n = min64(RUN, j->n - at);
        if (j->adam)
            j->k->adam(n, j->lr, j->mu, j->beta2, j->eps, j->weight_decay, j->flag,
                       j->bias1, j->bias2, j->grad + at, j->m + at, j->v + at, j->values + at);
        else
            j->k->sgd(n, j->lr, j->mu, j->weight_decay, j->flag, j->grad + at,
                      j->m ? j->m + at : NULL, j->values + at);
    }
}

static void run_step(step_job *j)
{
    j->k = SNN_REAL(snn_active)();
    if (j->k)
        snn_parallel(snn_threads_for(PASS_WEIGHT * (double)j->n), step_task, j);
}

void SNN_REAL(snn_sgd)(int64_t n, real lr, real mu, real weight_decay, int nesterov,
                       const real *grad, real *momentum, real *values)
{
    step_job j = {.n = n, .flag = nesterov, .lr = lr, .mu = mu,
                  .weight_decay = weight_decay, .grad = grad, .m = momentum,
                  .values = values};
    run_step(&j);
}

void SNN_REAL(snn_adam)(int64_t n, real lr, real beta1, real beta2, real eps,
                        real weight_decay, int decoupled, real bias1, real bias2,
                        const real *grad, real *m, real *v, real *values)
{
    step_job j = {.n = n, .adam = 1, .flag = decoupled, .lr = lr, .mu = beta1,
                  .beta2 = beta2, .eps = eps, .weight_decay = weight_decay, .bias1 = bias1,
                  .bias2 = bias2, .grad = grad, .m = m, .v = v, .values = values};
    run_step(&j);
}
