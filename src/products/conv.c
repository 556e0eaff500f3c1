/* y = act(W * x + bias) and dx = the gradient of that for x: rows of taps over the lines of
 * an image. A unit is a panel of a line and a group of rows, and goes through the blocks in
 * order.
 *
 *     y[i, line, :] = act(bias[i] + sum over slots k of row i of v[k] x[line][offset(k), :])
 *
 * For dx the taps are those of the transposed weight, phase by phase, and the image is dy
 * with a margin. */
#include "conv_taps.h"

typedef struct job {
    const kernels *k;
    const taps *t;
    int64_t first_row, n_rows; /* of the taps */
    const real *bias;
    int relu;
    const real *x;
    int64_t pixel, x_line; /* reals */
    real *y;
    lines to;
    int64_t panels, groups, taken;
    real *own; /* a panel of the rows of a group for each thread, or NULL */
    int64_t own_rows;
} job;

/* Reals begin .. begin + n of a line of y. */
static void put(const lines *to, real *line, int64_t begin, int64_t n, const real *from)
{
    if (to->piece == to->length) {
        memcpy(line + begin, from, (size_t)n * sizeof(real));
        return;
    }
    while (n > 0) {
        const int64_t inside = begin % to->piece;
        const int64_t here = min64(n, to->piece - inside);
        memcpy(line + begin / to->piece * to->apart + inside, from,
               (size_t)here * sizeof(real));
        begin += here;
        from += here;
        n -= here;
    }
}

static void task(void *context, int thread)
{
    job *j = context;
    const kernels *k = j->k;
    const taps *t = j->t;
    const int64_t width = panel_width(k);
    real *own = j->own ? j->own + thread * j->own_rows * width : NULL;
    const int64_t places = j->to.n * j->panels;
    for (int64_t u; (u = snn_next_unit(&j->taken, places * j->groups)) >= 0;) {
        const int64_t line = u % places / j->panels;
        const panel p = panel_at(k, j->to.length, u % places % j->panels);
        const int64_t begin = cut(j->n_rows, u / places, j->groups);
        const int64_t end = cut(j->n_rows, u / places + 1, j->groups);
        const real *x = j->x + line * j->x_line + p.start;
        real *y = j->y + begin * j->to.row + line * j->to.line;
        for (int64_t block = 0; block < t->n_blocks; block++) {
            const tile rows = taps_tile(t, block, j->first_row + begin, end - begin);
            k->spmm(&rows, p.nv, p.last, block == 0, j->relu && block == t->n_blocks - 1, x,
                    j->pixel, j->bias ? j->bias + begin : NULL, own ? own : y + p.start,
                    own ? width : j->to.row);
        }
        for (int64_t i = 0; own && i < end - begin; i++)
            put(&j->to, y + i * j->to.row, p.start, p.width, own + i * width);
    }
}

static int run(job *j, int threads)
{
    /* Lines that follow each other in x as in y are one. */
    if (j->x_line == j->to.length && j->to.line == j->to.length &&
        j->to.piece == j->to.length) {
        j->to.length *= j->to.n;
        j->to.piece = j->to.length;
        j->to.n = 1;
    }
    if (j->to.n == 0 || j->to.length == 0 || j->n_rows == 0)
        return SNN_OK;
    j->panels = panel_count(j->k, j->to.length);
    j->groups = groups_for(j->n_rows, j->to.n * j->panels, threads);
    j->taken = 0;
    if (j->t->n_blocks > 1 || j->to.piece != j->to.length) {
        j->own_rows = (j->n_rows + j->groups - 1) / j->groups;
        j->own = snn_malloc(sizeof(real) * (size_t)j->own_rows *
                            (size_t)panel_width(j->k) * (size_t)threads);
        if (!j->own)
            return SNN_NO_MEMORY;
    }
    snn_parallel(threads, task, j);
    snn_free(j->own);
    j->own = NULL;
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
        job j = {.k = k, .t = &t, .n_rows = w->n_rows, .bias = bias,
                 .relu = activation == SNN_RELU, .x = in.base, .pixel = c->batch,
                 .x_line = in.width * c->batch, .y = y,
                 .to = {c->out[0], length, plane, length, length, 0}};
        status = run(&j, threads);
    }
    snn_free(t.scratch);
    snn_free(in.scratch);
    return status;
}

/* The image of dy, whose margins are what any phase looks at. */
static int gradient_image(const snn_conv *c, int64_t rows, const real *dy, int threads,
                          int64_t *before, image *out)
{
    sampling s[2];
    for (int a = 0; a < 2; a++) {
        const axis x = axis_of(c, a);
        int64_t first = x.out + x.reach, end = 0;
        for (int64_t phase = 0; phase < x.phases; phase++) {
            const span q = phase_span(&x, phase);
            if (q.end > q.first) {
                first = min64(first, q.first);
                end = max64(end, q.end);
            }
        }
        before[a] = max64(0, x.reach - first);
        const int64_t after = max64(0, end - x.out);
        s[a] = (sampling){x.out, 1, before[a], 1, 1, before[a] + x.out + after};
    }
    return SNN_REAL(snn_conv_copy)(rows, &s[0], &s[1], c->batch, dy, threads, out);
}

/* Whether every pixel of x is in a phase. */
static int covers(const axis *x)
{
    const span q = phase_span(x, 0);
    return x->stride == 1 && q.end - q.first == x->in;
}

int SNN_REAL(snn_conv_t)(const snn_conv *c, const snn_layout *w, const real *values,
                         const real *dy, real *dx)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k)
        return SNN_BAD_ARGUMENT;
    const axis down = axis_of(c, 0), along = axis_of(c, 1);
    const int64_t batch = c->batch, plane = down.in * along.in * batch;
    if (!covers(&down) || !covers(&along) || w->nnz == 0 || down.out * along.out == 0)
        memset(dx, 0, (size_t)(c->channels * plane) * sizeof(real));
    if (batch == 0 || w->nnz == 0 || down.out * along.out == 0)
        return SNN_OK;
    const int threads = threads_for(w, c->out[0] * c->out[1] * batch);
    int64_t before[2];
    image out;
    taps t = {.scratch = NULL};
    int status = gradient_image(c, w->n_rows, dy, threads, before, &out);
    if (status != SNN_OK)
        return status;
    status = SNN_REAL(snn_backward_taps)(c, w, values, &out, before, &t);
    for (int64_t phase = 0; status == SNN_OK && phase < down.phases * along.phases; phase++) {
        const int64_t vertical = phase / along.phases, horizontal = phase % along.phases;
        const span rows = phase_span(&down, vertical), columns = phase_span(&along, horizontal);
        const int64_t row =
            rows.first * down.stride + phase_rest(&down, vertical) - down.pad;
        const int64_t column =
            columns.first * along.stride + phase_rest(&along, horizontal) - along.pad;
        const int64_t length = (columns.end - columns.first) * batch;
        job j = {.k = k, .t = &t, .first_row = phase * c->channels, .n_rows = c->channels,
                 .x = out.base, .pixel = batch, .x_line = out.width * batch,
                 .y = dx + (row * along.in + column) * batch,
                 .to = {rows.end - rows.first, length, plane,
                        down.stride * along.in * batch,
                        along.stride == 1 ? length : batch, along.stride * batch}};
        status = run(&j, threads);
    }
    snn_free(t.scratch);
    snn_free(out.scratch);
    return status;
}
