/* Carries an array through a change of topology: out[k] = in[source[k]], or the fill where
 * source[k] is -1. A thread owns runs of slots. */
#include "sparsenn.h"

#include <string.h>

#include "../threads.h"

enum { RUN = 16384 };

/* Work per slot, in multiply-adds of a product. */
static const double SLOT_WEIGHT = 8;

typedef struct job {
    int64_t n, taken;
    int64_t n_in;
    int item_bytes;
    const int32_t *source;
    const void *in, *fill;
    void *out;
    int outside; /* a source lies outside the array */
} job;

/* Newborns come at random: masks instead of a branch. */
#define DEFINE_RUN(type)                                                               \
    static int run_##type(const job *j, int64_t begin, int64_t end) {                  \
        const type *in = j->n_in ? j->in : j->fill;                                    \
        type *restrict out = j->out;                                                   \
        const type fill = *(const type *)j->fill;                                      \
        uint32_t outside = 0;                                                          \
        for (int64_t k = begin; k < end; k++) {                                        \
            const uint32_t s = (uint32_t)j->source[k];                                 \
            const uint32_t inside = -(uint32_t)(s < (uint32_t)j->n_in);                \
            outside |= ~inside & ~s; /* all bits of -1 are set */                      \
            const type mask = (type)(int64_t)(int32_t)inside;                          \
            out[k] = (type)((in[s & inside] & mask) | (fill & (type)~mask));           \
        }                                                                              \
        return outside != 0;                                                           \
    }
DEFINE_RUN(uint8_t)
DEFINE_RUN(uint16_t)
DEFINE_RUN(uint32_t)
DEFINE_RUN(uint64_t)

static int run(const job *j, int64_t begin, int64_t end) {
    if (j->item_bytes == 1) return run_uint8_t(j, begin, end);
    if (j->item_bytes == 2) return run_uint16_t(j, begin, end);
    if (j->item_bytes == 4) return run_uint32_t(j, begin, end);
    return run_uint64_t(j, begin, end);
}

static void task(void *context, int thread) {
    (void)thread;
    job *j = context;
    int outside = 0;
    for (int64_t r; (r = snn_next_unit(&j->taken, (j->n + RUN - 1) / RUN)) >= 0;)
        outside |= run(j, r * RUN, r * RUN + RUN < j->n ? r * RUN + RUN : j->n);
    if (outside) __atomic_store_n(&j->outside, 1, __ATOMIC_RELAXED);
}

int snn_remap(int64_t n, int64_t n_in, int item_bytes, const int32_t *source,
              const void *in, const void *fill, void *out) {
    job j = {.n = n, .n_in = n_in, .item_bytes = item_bytes, .source = source, .in = in,
             .fill = fill, .out = out};
    snn_parallel(snn_threads_for(SLOT_WEIGHT * (double)n), task, &j);
    return j.outside ? SNN_BAD_ARGUMENT : SNN_OK;
}
