/* The derivatives of a convolution, either alone or both in one pass:
 *
 *     dx[j, line, :] = sum over slots k of row j of v[k] dy[line][offset(k), :]
 *     dvalues[k]     = sum over lines of <x[row(k), line, :], dy[line][offset(k), :]>
 *
 * The taps are those of the transposed weight, a row for each channel of x and phase by
 * phase, and the image is dy with a margin. So x[j] and dx[j] stay in registers and both
 * products share the one load of dy. Without dx a unit is a group of rows, and of blocks if
 * these are few; without dvalues it is (panel of a line, group of rows); for both it is a
 * group of rows. Lines and panels come in order for every slot, and blocks for every row:
 * the bits are those of the products apart, for any number of threads.
 *
 * Behind the end of a line the image has other pixels, no zeros. There x is zero, so that
 * they add nothing, if they are finite: what is not spreads to other taps. */
#include "conv_taps.h"

typedef struct job {
    const kernels *k;
    const taps *t;
    int64_t first_row, n_rows; /* of a phase */
    const real *image;
    int64_t pixel, image_line; /* reals */
    const real *x;
    real *dx, *dots; /* dots, by taps, and x: or NULL; dx: or NULL */
    lines at;        /* of x and dx */
    int64_t panels, groups, shares, taken;
    real *own; /* for each thread a panel of x and one of dx for the rows of a group */
    int64_t own_reals;
} job;

/* Reals begin .. begin + n of a line of x, zeros up to `width`. */
static void take(const lines *at, const real *line, int64_t begin, int64_t n, int64_t width,
                 real *to)
{
    real *end = to + width;
    while (n > 0) {
        const int64_t inside = begin % at->piece, here = min64(n, at->piece - inside);
        memcpy(to, line + begin / at->piece * at->apart + inside,
               (size_t)here * sizeof(real));
        begin += here;
        to += here;
        n -= here;
    }
    memset(to, 0, (size_t)(end - to) * sizeof(real));
}

/* The same the other way. */
static void put(const lines *at, real *line, int64_t begin, int64_t n, const real *from)
{
    while (n > 0) {
        const int64_t inside = begin % at->piece, here = min64(n, at->piece - inside);
        memcpy(line + begin / at->piece * at->apart + inside, from,
               (size_t)here * sizeof(real));
        begin += here;
        from += here;
        n -= here;
    }
}

/* A panel of a line, for n rows in some blocks. */
static void visit(const job *j, int64_t row, int64_t n, int64_t block, int64_t last_block,
                  int64_t line, panel p, real *own)
{
    const kernels *k = j->k;
    const taps *t = j->t;
    const int64_t ld = (int64_t)p.nv * k->lanes, place = row * j->at.row + line * j->at.line;
    const real *dy = j->image + line * j->image_line + p.start;
    real *x = own, *dx = own + n * ld;
    for (int64_t i = 0; j->dots && i < n; i++)
        take(&j->at, j->x + place + i * j->at.row, p.start, p.width, ld, x + i * ld);
    for (; block < last_block; block++) {
        if (!j->dx) {
            const tile rows = taps_tile(t, block, j->first_row + row, n);
            k->sddmm(&rows, p.nv, k->lanes, 0, x, ld, dy, j->pixel, j->dots);
            continue;
        }
        const int32_t *start = t->indptr + block * t->n_rows + j->first_row + row;
        const SNN_REAL(snn_columns) rows = {.n_cols = n, .row_bytes = 4, .start = start,
                                            .end = start[n], .rows = t->offsets,
                                            .values = t->values};
        k->backward(&rows, p.nv, k->lanes, block == 0, 0, dy, j->pixel, x, ld, dx, ld,
                    j->dots);
    }
    for (int64_t i = 0; j->dx && i < n; i++)
        put(&j->at, j->dx + place + i * j->at.row, p.start, p.width, dx + i * ld);
}

static void task(void *context, int thread)
{
    job *j = context;
    real *own = j->own + thread * j->own_reals;
    const int64_t places = j->at.n * j->panels, apart = j->dots ? 1 : places;
    const int64_t units = j->groups * j->shares * apart;
    for (int64_t u; (u = snn_next_unit(&j->taken, units)) >= 0;) {
        const int64_t group = u / apart / j->shares, share = u / apart % j->shares;
        const int64_t begin = cut(j->n_rows, group, j->groups);
        const int64_t end = cut(j->n_rows, group + 1, j->groups);
        const int64_t first = j->dots ? 0 : u % apart, last = j->dots ? places : first + 1;
        for (int64_t i = first; i < last; i++)
            visit(j, begin, end - begin, cut(j->t->n_blocks, share, j->shares),
                  cut(j->t->n_blocks, share + 1, j->shares), i / j->panels,
                  panel_at(j->k, j->at.length, i % j->panels), own);
    }
}

static int run(job *j, int threads)
{
    /* Lines that follow each other in the image as in x are one. */
    if (j->image_line == j->at.length && j->at.line == j->at.length &&
        j->at.piece == j->at.length) {
        j->at.length *= j->at.n;
        j->at.piece = j->at.length;
        j->at.n = 1;
    }
    if (j->at.n == 0 || j->at.length == 0 || j->n_rows == 0)
        return SNN_OK;
    j->panels = panel_count(j->k, j->at.length);
    j->groups = groups_for(j->n_rows, j->dots ? 1 : j->at.n * j->panels, threads);
    j->shares = j->dx ? 1 : groups_for(j->t->n_blocks, j->groups, threads);
    j->taken = 0;
    const int64_t rows = (j->n_rows + j->groups - 1) / j->groups;
    j->own_reals = 2 * rows * panel_width(j->k);
    j->own = snn_malloc(sizeof(real) * (size_t)j->own_reals * (size_t)threads);
    if (!j->own)
        return SNN_NO_MEMORY;
    snn_parallel(threads, task, j);
    snn_free(j->own);
    return SNN_OK;
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

/* All phases, over an image of dy. */
static int phases(const snn_conv *c, const kernels *k, const taps *t, const image *dy,
                  const real *x, real *dx, real *dots, int threads)
{
    const axis down = axis_of(c, 0), along = axis_of(c, 1);
    const int64_t batch = c->batch, plane = down.in * along.in * batch;
    int status = SNN_OK;
    for (int64_t phase = 0; status == SNN_OK && phase < down.phases * along.phases; phase++) {
        const int64_t vertical = phase / along.phases, horizontal = phase % along.phases;
        const span rows = phase_span(&down, vertical), columns = phase_span(&along, horizontal);
        const int64_t row =
            rows.first * down.stride + phase_rest(&down, vertical) - down.pad;
        const int64_t column =
            columns.first * along.stride + phase_rest(&along, horizontal) - along.pad;
        const int64_t length = (columns.end - columns.first) * batch;
        const int64_t place = (row * along.in + column) * batch;
        job j = {.k = k, .t = t, .first_row = phase * c->channels, .n_rows = c->channels,
                 .image = dy->base, .pixel = batch, .image_line = dy->width * batch,
                 .x = x ? x + place : NULL, .dx = dx ? dx + place : NULL, .dots = dots,
                 .at = {rows.end - rows.first, length, plane,
                        down.stride * along.in * batch,
                        along.stride == 1 ? length : batch, along.stride * batch}};
        status = run(&j, threads);
    }
    return status;
}

int SNN_REAL(snn_conv_backward)(const snn_conv *c, const snn_layout *w, const real *values,
                                const real *dy, const real *x, real *dx, real *dvalues)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k || (!dx && !dvalues) || (dx && !values) || (dvalues && !x))
        return SNN_BAD_ARGUMENT;
    const axis down = axis_of(c, 0), along = axis_of(c, 1);
    const int64_t places = down.out * along.out * c->batch;
    if (dx && (!covers(&down) || !covers(&along) || w->nnz == 0 || places == 0))
        memset(dx, 0, (size_t)(c->channels * down.in * along.in * c->batch) * sizeof(real));
    if (w->nnz == 0 || places == 0) {
        if (dvalues)
            memset(dvalues, 0, (size_t)w->nnz * sizeof(real));
        return SNN_OK;
    }
    const int threads = threads_for(w, (dx && dvalues ? 2 : 1) * places);
    /* Too few rows to go round: apart, the products give the same bits. */
    const int together = c->channels >= threads;
    real *dots = NULL;
    image out = {.scratch = NULL};
    taps t = {.scratch = NULL};
    int64_t before[2];
    int status = gradient_image(c, w->n_rows, dy, threads, before, &out);
    if (status == SNN_OK)
        status = SNN_REAL(snn_backward_taps)(c, w, dx ? values : NULL, &out, before,
                                             dvalues != NULL, &t);
    if (status == SNN_OK && dvalues) {
        dots = snn_malloc((size_t)w->nnz * sizeof(real));
        if (dots) /* taps of a phase without pixels stay zero */
            memset(dots, 0, (size_t)w->nnz * sizeof(real));
        else
            status = SNN_NO_MEMORY;
    }
    if (status == SNN_OK && dx && dots && !together) {
        status = phases(c, k, &t, &out, NULL, dx, NULL, threads);
        dx = NULL;
    }
    if (status == SNN_OK)
        status = phases(c, k, &t, &out, x, dx, dots, threads);
    for (int64_t e = 0; status == SNN_OK && dots && e < w->nnz; e++)
        dvalues[t.slots[e]] = dots[e];
    snn_free(dots);
    snn_free(t.scratch);
    snn_free(out.scratch);
    return status;
}
