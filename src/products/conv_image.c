/* Copies of images with margins, phase by phase. A thread owns channels. */
#include "conv.h"

typedef struct job {
    sampling down, along;
    int64_t channels, batch, plane;
    const real *x;
    real *out;
    int64_t taken;
} job;

/* A line of a phase: whole runs where pixels are neighbours in x as well. */
static void copy_line(const job *j, int64_t rest, const real *x, real *out)
{
    const sampling *s = &j->along;
    const int64_t batch = j->batch, margin = s->pad - rest;
    int64_t first = margin > 0 ? (margin + s->stride - 1) / s->stride : 0;
    int64_t end = s->in + margin <= 0 ? 0 : (s->in + margin - 1) / s->stride + 1;
    first = min64(first, s->q);
    end = max64(first, min64(end, s->q));
    memset(out, 0, (size_t)(first * batch) * sizeof(real));
    const real *from = x + (first * s->stride - margin) * batch;
    if (s->stride == 1)
        memcpy(out + first * batch, from, (size_t)((end - first) * batch) * sizeof(real));
    else
        for (int64_t q = first; q < end; q++, from += s->stride * batch)
            memcpy(out + q * batch, from, (size_t)batch * sizeof(real));
    memset(out + end * batch, 0, (size_t)((s->q - end) * batch) * sizeof(real));
}

static void copy_channel(const job *j, int64_t channel)
{
    const sampling *down = &j->down, *along = &j->along;
    const real *x = j->x + channel * down->in * along->in * j->batch;
    for (int64_t phase = 0; phase < down->phases * along->phases; phase++) {
        const int64_t vertical = phase / along->phases, horizontal = phase % along->phases;
        const int64_t above = vertical * down->dilation % down->stride - down->pad;
        const int64_t rest = horizontal * along->dilation % along->stride;
        real *out = j->out + (channel * down->phases * along->phases + phase) * j->plane *
                                 j->batch;
        for (int64_t q = 0; q < down->q; q++, out += along->q * j->batch) {
            const int64_t row = q * down->stride + above;
            if (row < 0 || row >= down->in)
                memset(out, 0, (size_t)(along->q * j->batch) * sizeof(real));
            else
                copy_line(j, rest, x + row * along->in * j->batch, out);
        }
        /* Kernels read whole vectors, and so what follows the last line. */
        const int64_t gap = j->plane - down->q * along->q;
        memset(out, 0, (size_t)(gap * j->batch) * sizeof(real));
    }
}

static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    for (int64_t u; (u = snn_next_unit(&j->taken, j->channels)) >= 0;)
        copy_channel(j, u);
}

int SNN_REAL(snn_conv_copy)(int64_t channels, const sampling *down, const sampling *along,
                            int64_t batch, const real *x, int threads, image *out)
{
    /* Planes a multiple of a large power of two apart would share few sets of a cache. */
    enum { SETS = 1024 };
    int64_t plane = down->q * along->q;
    plane += (size_t)(plane * batch) * sizeof(real) % SETS == 0;
    const int64_t size = channels * down->phases * along->phases * plane * batch;
    const int64_t beyond = 64 / (int64_t)sizeof(real); /* kernels read whole vectors */
    real *base = snn_malloc((size_t)(size + beyond) * sizeof(real));
    if (!base)
        return SNN_NO_MEMORY;
    job j = {.down = *down, .along = *along, .channels = channels, .batch = batch,
             .plane = plane, .x = x, .out = base};
    snn_parallel((int)min64(threads, channels), task, &j);
    memset(base + size, 0, (size_t)beyond * sizeof(real));
    *out = (image){.base = base, .plane = plane, .width = along->q, .scratch = base};
    return SNN_OK;
}

int SNN_REAL(snn_conv_input)(const kernels *k, const snn_conv *c, const real *x,
                             int threads, image *out)
{
    const axis down = axis_of(c, 0), along = axis_of(c, 1);
    const int64_t vectors = (int64_t)k->lanes * (int64_t)sizeof(real);
    if (down.stride == 1 && along.stride == 1 && down.pad == 0 && along.pad == 0 &&
        along.out * c->batch % k->lanes == 0 && (uintptr_t)x % (uintptr_t)vectors == 0) {
        *out = (image){.base = x, .plane = down.in * along.in, .width = along.in};
        return SNN_OK;
    }
    const sampling rows = {down.in, down.stride, down.pad, down.dilation, down.phases,
                           down.out + down.reach};
    const sampling columns = {along.in, along.stride, along.pad, along.dilation,
                              along.phases, along.out + along.reach};
    return SNN_REAL(snn_conv_copy)(c->channels, &rows, &columns, c->batch, x, threads, out);
}
