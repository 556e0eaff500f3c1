/* y = act(W * x + bias): rows of taps over the lines of an image. A unit is a panel of a
 * line and a group of rows, and goes through the blocks in order.
 *
 *     y[i, line, :] = act(bias[i] + sum over slots k of row i of v[k] x[line][offset(k), :])
 */
#include "conv_taps.h"

typedef struct job {
    const kernels *k;
    const taps *t;
    const real *bias;
    int relu;
    const real *x;
    int64_t pixel, x_line; /* reals */
    real *y;
    int64_t n_lines, length, plane; /* of y: reals of a line, and of a channel */
    int64_t panels, groups, taken;
    real *own; /* a panel of the rows of a group for each thread, or NULL */
    int64_t own_rows;
} job;

static void task(void *context, int thread)
{
    job *j = context;
    const kernels *k = j->k;
    const taps *t = j->t;
    const int64_t width = panel_width(k);
    real *own = j->own ? j->own + thread * j->own_rows * width : NULL;
    const int64_t places = j->n_lines * j->panels;
    for (int64_t u; (u = snn_next_unit(&j->taken, places * j->groups)) >= 0;) {
        const int64_t line = u % places / j->panels;
        const panel p = panel_at(k, j->length, u % places % j->panels);
        const int64_t begin = cut(t->n_rows, u / places, j->groups);
        const int64_t end = cut(t->n_rows, u / places + 1, j->groups);
        const real *x = j->x + line * j->x_line + p.start;
        real *y = j->y + begin * j->plane + line * j->length + p.start;
        for (int64_t block = 0; block < t->n_blocks; block++) {
            const tile rows = taps_tile(t, block, begin, end - begin);
            k->spmm(&rows, p.nv, p.last, block == 0, j->relu && block == t->n_blocks - 1, x,
                    j->pixel, j->bias ? j->bias + begin : NULL, own ? own : y,
                    own ? width : j->plane);
        }
        for (int64_t i = 0; own && i < end - begin; i++)
            memcpy(y + i * j->plane, own + i * width, (size_t)p.width * sizeof(real));
    }
}

static int run(job *j, int threads)
{
    /* Lines that follow each other in x as in y are one. */
    if (j->x_line == j->length) {
        j->length *= j->n_lines;
        j->n_lines = 1;
    }
    j->panels = panel_count(j->k, j->length);
    j->groups = groups_for(j->t->n_rows, j->n_lines * j->panels, threads);
    if (j->t->n_blocks > 1) {
        j->own_rows = (j->t->n_rows + j->groups - 1) / j->groups;
        j->own = snn_malloc(sizeof(real) * (size_t)j->own_rows *
                            (size_t)panel_width(j->k) * (size_t)threads);
        if (!j->own)
            return SNN_NO_MEMORY;
    }
    snn_parallel(threads, task, j);
    snn_free(j->own);
    return SNN_OK;
}

int SNN_REAL(snn_conv)(const snn_conv *c, const snn_layout *w, const real *values,
                       const real *bias, int activation, const real *x, real *y)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k || (activation != SNN_IDENTITY && activation != SNN_RELU))
        return SNN_BAD_ARGUMENT;
    const int64_t length = c->out[1] * c->batch, plane = c->out[0] * length;
    if (plane == 0)
        return SNN_OK;
    const int threads = threads_for(w, plane);
    image in;
    taps t = {.scratch = NULL};
    int status = SNN_REAL(snn_conv_input)(k, c, x, threads, &in);
    if (status != SNN_OK)
        return status;
    status = SNN_REAL(snn_forward_taps)(c, w, values, &in, &t);
    if (status == SNN_OK) {
        job j = {.k = k, .t = &t, .bias = bias, .relu = activation == SNN_RELU,
                 .x = in.base, .pixel = c->batch, .x_line = in.width * c->batch, .y = y,
                 .n_lines = c->out[0], .length = length, .plane = plane};
        status = run(&j, threads);
    }
    snn_free(t.scratch);
    snn_free(in.scratch);
    return status;
}
