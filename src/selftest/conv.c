/* Convolutions over random shapes: every stride, margin, dilation and group against loops
 * in double, guards after every output. */
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

enum { GUARD = 16, TRIALS = 60 };
static const real GUARD_VALUE = 12345;

static int32_t between(int32_t least, int32_t most)
{
    return least + (int32_t)selftest_below((uint32_t)(most - least + 1));
}

static void *room(int64_t n, size_t each)
{
    void *p = calloc((size_t)n * each + 1, 1);
    if (!p)
        abort();
    return p;
}

/* Guarded behind the last of n reals, which are random or not yet numbers. */
static real *reals(int64_t n, int fill)
{
    real *p = room(n + GUARD, sizeof(real));
    for (int64_t i = 0; i < n; i++)
        p[i] = fill ? (real)selftest_signed() : (real)NAN;
    for (int64_t i = n; i < n + GUARD; i++)
        p[i] = GUARD_VALUE;
    return p;
}

static snn_conv random_shape(void)
{
    static const int32_t BATCHES[] = {1, 2, 3, 5, 8, 16, 17, 33};
    snn_conv c = {.batch = BATCHES[selftest_below(8)], .groups = between(1, 3)};
    c.channels = c.groups * between(1, 4);
    for (int a = 0; a < 2; a++) {
        c.kernel[a] = between(1, 3);
        c.stride[a] = between(1, 3);
        c.dilation[a] = between(1, 2);
        c.pad[a] = between(0, 3);
        const int32_t reach = (c.kernel[a] - 1) * c.dilation[a];
        const int32_t least = reach + 1 - 2 * c.pad[a];
        c.in[a] = between(least > 1 ? least : 1, 7 + reach);
        c.out[a] = (c.in[a] + 2 * c.pad[a] - reach - 1) / c.stride[a] + 1;
    }
    return c;
}

typedef struct sums { /* exact results and sums of magnitudes */
    double *y, *y_size, *dx, *dx_size, *dw, *dw_size;
} sums;

/* Everything that connection k of output channel i, at a column, takes part in. */
static void connect(const snn_conv *c, int32_t n_out, int32_t i, int32_t column, int64_t k,
                    real value, const real *x, const real *dy, sums *s)
{
    const int32_t taps = c->kernel[0] * c->kernel[1];
    const int64_t channel = i / (n_out / c->groups) * (c->channels / c->groups) + column / taps;
    const int32_t tap = column % taps;
    for (int64_t h = 0; h < c->out[0]; h++)
        for (int64_t v = 0; v < c->out[1]; v++) {
            const int64_t row = h * c->stride[0] - c->pad[0] +
                                (int64_t)(tap / c->kernel[1]) * c->dilation[0];
            const int64_t place = v * c->stride[1] - c->pad[1] +
                                  (int64_t)(tap % c->kernel[1]) * c->dilation[1];
            if (row < 0 || row >= c->in[0] || place < 0 || place >= c->in[1])
                continue;
            for (int64_t b = 0; b < c->batch; b++) {
                const int64_t from = ((channel * c->in[0] + row) * c->in[1] + place) * c->batch + b;
                const int64_t to = ((i * c->out[0] + h) * c->out[1] + v) * c->batch + b;
                const double forward = (double)value * x[from], back = (double)value * dy[to];
                const double dot = (double)x[from] * dy[to];
                s->y[to] += forward;
                s->y_size[to] += fabs(forward);
                s->dx[from] += back;
                s->dx_size[from] += fabs(back);
                s->dw[k] += dot;
                s->dw_size[k] += fabs(dot);
            }
        }
}

static int wrong(const char *isa, const char *what, const snn_conv *c, int64_t n,
                 const real *found, const double *exact, const double *size, double terms)
{
    int bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= !(fabs((double)found[i] - exact[i]) <=
                 (terms + 2) * EPSILON * (size[i] + fabs(exact[i])));
    for (int64_t i = n; i < n + GUARD; i++)
        bad |= found[i] != GUARD_VALUE;
    if (bad)
        printf("%s f%d %s: wrong for %d channels in %d groups, %d x %d by %d x %d, batch %d\n",
               isa, (int)(8 * sizeof(real)), what, c->channels, c->groups, c->in[0],
               c->in[1], c->kernel[0], c->kernel[1], (int)c->batch);
    return bad;
}

static int trial(const char *isa)
{
    const snn_conv c = random_shape();
    const int32_t n_out = c.groups * between(1, 5);
    const int32_t n_cols = c.channels / c.groups * c.kernel[0] * c.kernel[1];
    const int32_t width = between(1, n_cols + 3), n_blocks = (n_cols - 1) / width + 1;
    const int64_t most = (int64_t)n_out * n_cols;
    const int64_t n_x = (int64_t)c.channels * c.in[0] * c.in[1] * c.batch;
    const int64_t n_y = (int64_t)n_out * c.out[0] * c.out[1] * c.batch;
    const double density = fabs(selftest_signed());
    int32_t *indptr = room((int64_t)n_blocks * n_out + 1, sizeof(int32_t));
    uint8_t *columns = room(most, 1);
    real *values = reals(most, 1), *bias = reals(n_out, 1), *x = reals(n_x, 1),
         *dy = reals(n_y, 1);
    real *y = reals(n_y, 0), *dx = reals(n_x, 0);
    sums s = {room(n_y, 8), room(n_y, 8), room(n_x, 8), room(n_x, 8), room(most, 8),
              room(most, 8)};
    for (int64_t i = 0; i < n_y; i++) {
        s.y[i] = bias[i / (n_y / n_out)];
        s.y_size[i] = fabs(s.y[i]);
    }
    int32_t k = 0;
    for (int32_t block = 0; block < n_blocks; block++)
        for (int32_t i = 0; i < n_out; i++) {
            for (int32_t j = block * width; j < (block + 1) * width && j < n_cols; j++)
                if (fabs(selftest_signed()) < density) {
                    columns[k] = (uint8_t)(j - block * width);
                    connect(&c, n_out, i, j, k, values[k], x, dy, &s);
                    k++;
                }
            indptr[block * n_out + i + 1] = k;
        }
    const snn_layout w = {.n_rows = n_out, .n_cols = n_cols, .block_width = width,
                          .n_blocks = n_blocks, .index_bytes = 1, .nnz = k,
                          .indptr = indptr, .columns = columns};
    real *dw = reals(k, 0), *dx2 = reals(n_x, 0), *dw2 = reals(k, 0);
    const double places = (double)c.out[0] * c.out[1] * (double)c.batch;
    int bad =
        SNN_REAL(snn_conv)(&c, &w, values, bias, SNN_IDENTITY, x, y) != SNN_OK ||
        SNN_REAL(snn_conv_backward)(&c, &w, values, dy, NULL, dx, NULL) != SNN_OK ||
        SNN_REAL(snn_conv_backward)(&c, &w, NULL, dy, x, NULL, dw) != SNN_OK ||
        SNN_REAL(snn_conv_backward)(&c, &w, values, dy, x, dx2, dw2) != SNN_OK;
    bad |= wrong(isa, "conv", &c, n_y, y, s.y, s.y_size, n_cols + 1);
    bad |= wrong(isa, "conv_t", &c, n_x, dx, s.dx, s.dx_size, (double)most);
    bad |= wrong(isa, "conv_w", &c, k, dw, s.dw, s.dw_size, places);
    /* Together or apart: the same bits. */
    bad |= memcmp(dx, dx2, (size_t)(n_x + GUARD) * sizeof(real)) != 0;
    bad |= memcmp(dw, dw2, (size_t)(k + GUARD) * sizeof(real)) != 0;
    void *all[] = {indptr, columns, values, bias, x, dy, y, dx, dw, dx2, dw2, s.y, s.y_size, s.dx,
                   s.dx_size, s.dw, s.dw_size};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    return bad;
}

int SNN_REAL(selftest_conv)(const char *isa)
{
    int bad = 0;
    for (int i = 0; i < TRIALS; i++)
        bad += trial(isa);
    return bad;
}
