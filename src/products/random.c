/* Random numbers by address: nothing is stored between draws, so any element can be drawn
 * in any order, on any thread, again. The draws themselves are in kernels/random.c; here a
 * long one is cut among threads, in chunks that the cache holds. */
#include "../threads.h"
#include "virtual.h"

/* Elements of a chunk: a whole number of blocks, whatever a block holds. */
enum { CHUNK = 1 << 13 };

/* Work per element, in multiply-adds of a product. */
static const double UNIFORM_WEIGHT = 8, NORMAL_WEIGHT = 32;

enum { BITS = -2, UNIT = -1 }; /* besides the laws: words, and uniform in [0, 1) */

typedef struct job {
    const SNN_REAL(snn_kernels) *k;
    const snn_stream *s;
    int law, absolute;
    real scale;
    int64_t first;
    const int64_t *elements; /* or NULL */
    int64_t n;               /* of a row */
    int64_t rows, stride, ldout;
    void *out;
    int64_t taken;
} job;

/* Elements begin .. begin + n of a row. */
static void chunk(const job *j, int64_t row, int64_t begin, int64_t n)
{
    const int64_t first = j->first + row * j->stride + begin;
    const int64_t *elements = j->elements ? j->elements + begin : NULL;
#if defined(SNN_REAL_F32)
    if (j->law == BITS) {
        j->k->bits(j->s, first, elements, n, (uint32_t *)j->out + begin);
        return;
    }
#endif
    real *out = (real *)j->out + row * j->ldout + begin;
    if (j->law == UNIT)
        j->k->uniform(j->s, 1, 0, 1, first, elements, n, out);
    else
        draw_law(j->k, j->s, j->law, j->scale, first, elements, n, out);
    if (j->absolute)
        for (int64_t i = 0; i < n; i++)
            out[i] = (real)__builtin_fabs((double)out[i]);
}

/* A unit is a chunk of a long row, or as many short ones as make a chunk. */
static void task(void *context, int thread)
{
    (void)thread;
    job *j = context;
    const int64_t chunks = j->n > CHUNK ? (j->n + CHUNK - 1) / CHUNK : 1;
    const int64_t most = j->n > CHUNK ? 1 : CHUNK / (j->n + 1) + 1;
    const int64_t units = (j->rows + most - 1) / most * chunks;
    for (int64_t u; (u = snn_next_unit(&j->taken, units)) >= 0;) {
        const int64_t row = u / chunks * most, begin = u % chunks * CHUNK;
        const int64_t end = row + most < j->rows ? row + most : j->rows;
        const int64_t left = j->n - begin;
        for (int64_t i = row; i < end; i++)
            chunk(j, i, begin, left < CHUNK ? left : CHUNK);
    }
}

static void run(job *j)
{
    const double weight = j->law == SNN_NORMAL ? NORMAL_WEIGHT : UNIFORM_WEIGHT;
    j->k = SNN_REAL(snn_any)();
    if (!j->rows)
        j->rows = 1;
    const double elements = (double)j->rows * (double)j->n;
    snn_parallel(snn_threads_for(weight * elements), task, j);
}

#if defined(SNN_REAL_F32)
void snn_random_bits(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                     uint32_t *restrict out)
{
    job j = {.s = s, .law = BITS, .first = first, .elements = elements, .n = n, .out = out};
    run(&j);
}
#endif

void SNN_REAL(snn_random_uniform)(const snn_stream *s, int64_t first,
                                  const int64_t *elements, int64_t n, real *restrict out)
{
    job j = {.s = s, .law = UNIT, .first = first, .elements = elements, .n = n, .out = out};
    run(&j);
}

void SNN_REAL(snn_random_normal)(const snn_stream *s, int64_t first,
                                 const int64_t *elements, int64_t n, real *restrict out)
{
    SNN_REAL(snn_random_scaled)(s, SNN_NORMAL, 1, 0, first, elements, n, out);
}

void SNN_REAL(snn_random_scaled)(const snn_stream *s, int law, real scale, int absolute,
                                 int64_t first, const int64_t *elements, int64_t n,
                                 real *restrict out)
{
    job j = {.s = s, .law = law, .absolute = absolute, .scale = scale, .first = first,
             .elements = elements, .n = n, .out = out};
    run(&j);
}

void SNN_REAL(snn_random_tile)(const snn_stream *s, int law, real scale, int absolute,
                               int64_t first, int64_t stride, int64_t n_rows,
                               int64_t n_cols, real *out, int64_t ldout)
{
    job j = {.s = s, .law = law, .absolute = absolute, .scale = scale, .first = first,
             .n = n_cols, .rows = n_rows, .stride = stride, .ldout = ldout, .out = out};
    if (n_rows > 0)
        run(&j);
}
