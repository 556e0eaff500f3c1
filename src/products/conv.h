/* Sparse convolution: how images, taps and outputs lie.
 *
 * An image is copied once with its margins of zeros, its pixels sorted by phase: those
 * whose coordinates leave the same rests when divided by the strides lie together. Then
 * every tap of a kernel is a fixed offset, whatever stride, padding and dilation are, and
 * the outputs of a line are contiguous with the samples: a line of out_width x batch reals
 * is what a batch is to a fully connected layer, and the same kernels serve it. */
#ifndef SNN_CONV_H
#define SNN_CONV_H

#include "cut.h"

/* One axis. Tap i looks at coordinate stride * q + rest - pad of the input, where
 * q = output + shift(i); taps with the same rest are a phase, and every period-th tap
 * belongs to the same one. */
typedef struct axis {
    int64_t in, out, kernel, stride, pad, dilation;
    int64_t period, phases;
    int64_t reach; /* the largest shift */
} axis;

static inline axis axis_of(const snn_conv *c, int a)
{
    axis x = {.in = c->in[a], .out = c->out[a], .kernel = c->kernel[a],
              .stride = c->stride[a], .pad = c->pad[a], .dilation = c->dilation[a]};
    int64_t divisor = x.stride, rest = x.dilation;
    while (rest) {
        const int64_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    x.period = x.stride / divisor;
    x.phases = min64(x.period, x.kernel);
    x.reach = (x.kernel - 1) * x.dilation / x.stride;
    return x;
}

static inline int64_t phase_rest(const axis *x, int64_t phase)
{
    return phase * x->dilation % x->stride;
}

static inline int64_t tap_shift(const axis *x, int64_t tap)
{
    return tap * x->dilation / x->stride;
}

/* The q of a phase that are coordinates of the input, and that some output looks at:
 * first .. end. */
typedef struct span {
    int64_t first, end;
} span;

static inline span phase_span(const axis *x, int64_t phase)
{
    const int64_t rest = phase_rest(x, phase);
    span s;
    s.first = max64(0, (x->pad - rest + x->stride - 1) / x->stride);
    const int64_t last = x->in - 1 + x->pad - rest;
    s.end = last < 0 ? 0 : min64(last / x->stride + 1, x->out + x->reach);
    s.end = max64(s.end, s.first);
    return s;
}

/* Channels of lines of pixels, and each pixel `batch` reals. */
typedef struct image {
    const real *base;
    int64_t plane, width; /* pixels of a (channel, phase), and of a line */
    void *scratch;
} image;

/* What a copy takes along one axis: coordinate stride * q + rest - pad for the q of each
 * of the phases, zeros where there is none. */
typedef struct sampling {
    int64_t in, stride, pad, dilation, phases, q;
} sampling;

/* A copy of channels of in x in pixels, phase by phase; SNN_OK or SNN_NO_MEMORY. */
int SNN_REAL(snn_conv_copy)(int64_t channels, const sampling *down, const sampling *along,
                            int64_t batch, const real *x, int threads, image *out);

/* The image of x as snn_conv looks at it: x itself, or a copy. */
int SNN_REAL(snn_conv_input)(const kernels *k, const snn_conv *c, const real *x,
                             int threads, image *out);

/* Rows of (offset, value) in blocks: what the kernels take for a matrix whose columns are
 * pixels. Slots are in order, or moved. */
typedef struct taps {
    int64_t n_rows, n_blocks;
    const int32_t *indptr; /* n_blocks * n_rows + 1 */
    int32_t *offsets;
    const real *values;
    int32_t *slots; /* of moved ones, or NULL */
    real *moved;    /* their values, or NULL */
    void *scratch;
} taps;

static inline tile taps_tile(const taps *t, int64_t block, int64_t row, int64_t n_rows)
{
    return (tile){.n_rows = n_rows, .index_bytes = 4,
                  .indptr = t->indptr + block * t->n_rows + row, .columns = t->offsets,
                  .values = t->values};
}

/* Pixels of one phase: lines of a row, pieces of a line that lie apart. */
typedef struct lines {
    int64_t n, length;      /* lines, and reals of each */
    int64_t row, line;      /* reals from a row, or a line, to the next */
    int64_t piece, apart;   /* reals that lie together, and from these to the next */
} lines;

#endif
