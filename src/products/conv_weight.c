/* The gradient of a convolution for its values:
 *
 *     dvalues[k] = sum over lines of <dy[row(k), line, :], x[line][offset(k), :]>
 *
 * A unit is a group of rows, which owns its slots; it goes through the panels of all lines
 * in order, with the rows of dy packed, as they lie far apart. */
#include "conv_taps.h"

typedef struct job {
    const kernels *k;
    const taps *t;
    const real *dy;
    int64_t row;
    const real *x;
    int64_t pixel, x_line;
    int64_t n_lines, length;
    real *out;
    int64_t panels, groups, taken;
    real *packed; /* a panel of the rows of a group for each thread */
    int64_t packed_rows;
} job;

static void task(void *context, int thread)
{
    job *j = context;
    const kernels *k = j->k;
    const taps *t = j->t;
    real *packed = j->packed + thread * j->packed_rows * panel_width(k);
    for (int64_t u; (u = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = cut(t->n_rows, u, j->groups);
        const int64_t n_rows = cut(t->n_rows, u + 1, j->groups) - begin;
        for (int64_t i = 0; i < j->n_lines * j->panels; i++) {
            const int64_t line = i / j->panels;
            const panel p = panel_at(k, j->length, i % j->panels);
            const int64_t ld = (int64_t)p.nv * k->lanes;
            k->pack(n_rows, p.nv, p.last,
                    j->dy + begin * j->row + line * j->length + p.start, j->row, packed);
            for (int64_t block = 0; block < t->n_blocks; block++) {
                const tile rows = taps_tile(t, block, begin, n_rows);
                k->sddmm(&rows, p.nv, k->lanes, i == 0, packed, ld,
                         j->x + line * j->x_line + p.start, j->pixel, j->out);
            }
        }
    }
}

int SNN_REAL(snn_conv_w)(const snn_conv *c, const snn_layout *w, const real *dy,
                         const real *x, real *dvalues)
{
    const kernels *k = SNN_REAL(snn_active)();
    if (!k)
        return SNN_BAD_ARGUMENT;
    const int64_t length = c->out[1] * c->batch, plane = c->out[0] * length;
    if (plane == 0 || w->nnz == 0) {
        memset(dvalues, 0, (size_t)w->nnz * sizeof(real));
        return SNN_OK;
    }
    const int threads = threads_for(w, plane);
    image in;
    taps t = {.scratch = NULL};
    int status = SNN_REAL(snn_conv_input)(k, c, x, threads, &in);
    if (status != SNN_OK)
        return status;
    job j = {.k = k, .t = &t, .dy = dy, .row = plane, .x = in.base, .pixel = c->batch,
             .x_line = in.width * c->batch, .n_lines = c->out[0], .length = length,
             .out = dvalues, .groups = groups_for(w->n_rows, 1, threads)};
    if (j.x_line == length) {
        j.length = plane;
        j.n_lines = 1;
    }
    j.panels = panel_count(k, j.length);
    j.packed_rows = (w->n_rows + j.groups - 1) / j.groups;
    j.packed = snn_malloc(sizeof(real) * (size_t)j.packed_rows * (size_t)panel_width(k) *
                          (size_t)threads);
    status = j.packed ? SNN_REAL(snn_forward_taps)(c, w, NULL, &in, &t) : SNN_NO_MEMORY;
    if (status == SNN_OK)
        snn_parallel(threads, task, &j);
    snn_free(j.packed);
    snn_free(t.scratch);
    snn_free(in.scratch);
    return status;
}
