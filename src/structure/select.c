/* Exactly k of n scores, without sorting. Scores become integer keys of the same order. A
 * sample of them brackets the k-th; one vectorised pass marks what lies below the bracket
 * and what lies in it, and only the latter, a few in a hundred, are looked at one by one:
 * their k-th key is found digit by digit, most significant first. Should the bracket miss,
 * which a sample of this size hardly ever does, the side that it missed is the next one.
 * Whoever equals the k-th key is decided by rank in the same way. O(n) time; memory for
 * the candidates. Threads own equal parts of the scores; only candidates are looked at by
 * one alone, and nothing but time depends on the sample. */
#include "sparsenn.h"

#include <string.h>

#include "../threads.h"

#define DIGIT_BITS 11
#define N_DIGITS (1 << DIGIT_BITS)
#define TOP_BIT ((uint64_t)1 << 63)

/* Scores in a sample: all of a few, else one of 64; above it every one costs more than it
 * saves by a narrower bracket. */
enum { SMALLEST_SAMPLE = 1 << 10, LARGEST_SAMPLE = 1 << 13 };

/* Scores classified at a time: few enough for narrow counters. */
enum { RUN = 4096 };

/* Work per score, in multiply-adds of a product. */
static const double SCORE_WEIGHT = 4;

/* What a mask holds until candidates are decided. */
enum { OUT, IN, CANDIDATE };

/* Bits of a score, ordered as signed integers; flip (all bits) turns the order around. */
static inline int32_t key_f32(float score, int32_t flip) {
    const float x = score + 0.0f; /* -0 becomes +0 */
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ ((bits >> 31) & INT32_MAX) ^ flip; /* no branch on the sign */
}

static inline int64_t key_f64(double score, int64_t flip) {
    const double x = score + 0.0;
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ ((bits >> 63) & INT64_MAX) ^ flip;
}

/* The digit of the k-th smallest, given how many keys have each; *below grows by the
 * number of keys with a smaller digit. */
static uint64_t find_digit(const int64_t *histogram, int64_t k, int64_t *below) {
    uint64_t digit = 0;
    while (*below + histogram[digit] < k) *below += histogram[digit++];
    return digit;
}

/* The k-th smallest (k >= 1) of *n keys x, which agree above their low `top` bits. On
 * return x holds the *n of them that equal it, and *below the number that are smaller. */
static uint64_t kth_key(int64_t *n, int top, uint64_t *x, int64_t k, int64_t *below) {
    *below = 0;
    while (top > 0) {
        const int width = top < DIGIT_BITS ? top : DIGIT_BITS;
        const uint64_t mask = ((uint64_t)1 << width) - 1;
        top -= width;
        int64_t histogram[N_DIGITS] = {0};
        for (int64_t i = 0; i < *n; i++) histogram[(x[i] >> top) & mask]++;
        const uint64_t digit = find_digit(histogram, k, below);
        int64_t kept = 0;
        for (int64_t i = 0; i < *n; i++) {
            const uint64_t key = x[i];
            x[kept] = key;
            kept += ((key >> top) & mask) == digit;
        }
        *n = kept;
    }
    return x[0];
}

/* Bits in which the keys differ, from the highest one down. */
static int differing_bits(int64_t n, const uint64_t *x) {
    uint64_t differ = 0;
    for (int64_t i = 1; i < n; i++) differ |= x[i] ^ x[0];
    return differ ? 64 - __builtin_clzll(differ) : 0;
}

/* The k-th smallest of any keys, otherwise as kth_key; the last one if another thread of
 * the caller changed the scores so that there are fewer than k. */
static uint64_t kth_of(int64_t *n, uint64_t *x, int64_t k, int64_t *below) {
    if (k > *n) k = *n;
    return kth_key(n, differing_bits(*n, x), x, k, below);
}

typedef struct count {
    int64_t in, candidates, nans;
} count;

typedef struct job {
    const void *scores;
    int64_t n, parts, taken;
    int64_t flip;
    int64_t low, high; /* the bracket: keys, both inclusive */
    count *counts;     /* of each part */
    int64_t *index;    /* of the candidates, ascending */
    uint8_t *restrict mask;
} job;

static inline int64_t first(const job *j, int64_t part) { return j->n * part / j->parts; }

#define DEFINE_TYPE(type, integer, name)                                                   \
    /* Key of score i as an unsigned integer. */                                           \
    static uint64_t key_at_##name(const job *j, int64_t i) {                               \
        const type score = ((const type *)j->scores)[i];                                   \
        return (uint64_t)(int64_t)key_##name(score, (integer)j->flip) ^ TOP_BIT;           \
    }                                                                                      \
                                                                                           \
    static void classify_run_##name(int64_t n, const type *restrict x, integer flip,       \
                                    integer low, integer high, uint8_t *restrict mask,     \
                                    count *found) {                                        \
        integer below = 0, up_to = 0, nans = 0;                                            \
        for (int64_t i = 0; i < n; i++) {                                                  \
            const integer key = key_##name(x[i], flip);                                    \
            const integer is_below = key < low, is_up_to = key <= high;                    \
            mask[i] = (uint8_t)(CANDIDATE * is_up_to - is_below);                          \
            below += is_below;                                                             \
            up_to += is_up_to;                                                             \
            nans += x[i] != x[i];                                                          \
        }                                                                                  \
        found->in += below;                                                                \
        found->candidates += up_to - below;                                                \
        found->nans += nans;                                                               \
    }                                                                                      \
                                                                                           \
    static void classify_##name(void *context, int thread) {                               \
        (void)thread;                                                                      \
        job *j = context;                                                                  \
        for (int64_t part; (part = snn_next_unit(&j->taken, j->parts)) >= 0;) {            \
            const int64_t end = first(j, part + 1);                                        \
            count found = {0, 0, 0};                                                       \
            for (int64_t i = first(j, part); i < end; i += RUN)                            \
                classify_run_##name(i + RUN < end ? RUN : end - i,                         \
                                    (const type *)j->scores + i, (integer)j->flip,         \
                                    (integer)j->low, (integer)j->high, j->mask + i,        \
                                    &found);                                               \
            j->counts[part] = found;                                                       \
        }                                                                                  \
    }

DEFINE_TYPE(float, int32_t, f32)
DEFINE_TYPE(double, int64_t, f64)

/* The steps of one type of score. */
typedef struct steps {
    int64_t lowest, highest; /* keys */
    uint64_t (*key_at)(const job *j, int64_t i);
    void (*classify)(void *context, int thread);
} steps;

static inline int64_t signed_key(uint64_t key) { return (int64_t)(key ^ TOP_BIT); }

/* Brackets the k-th key by a sample of the scores: three standard deviations of its rank to
 * either side. x: room for the sample. */
static void bracket(job *j, const steps *s, int64_t k, uint64_t *x) {
    j->low = s->lowest;
    j->high = s->highest;
    int64_t n = j->n / 64 < LARGEST_SAMPLE ? j->n / 64 : LARGEST_SAMPLE, margin = 1, below;
    if (n < SMALLEST_SAMPLE) return;
    while (4 * margin * margin < 9 * n) margin++;
    const int64_t rank = (int64_t)((double)k / (double)j->n * (double)n);
    for (int side = 0; side < 2; side++) {
        const int64_t wanted = side ? rank + margin : rank - margin;
        if (wanted < 1 || wanted > n) continue;
        for (int64_t i = 0; i < n; i++) x[i] = s->key_at(j, j->n / n * i);
        int64_t left = n;
        const int64_t key = signed_key(kth_of(&left, x, wanted, &below));
        *(side ? &j->high : &j->low) = key;
    }
}

/* Classifies all scores, again if the bracket missed. */
static count classify(job *j, const steps *s, int64_t k) {
    for (;;) {
        count all = {0, 0, 0};
        j->taken = 0;
        snn_parallel((int)j->parts, s->classify, j);
        for (int64_t p = 0; p < j->parts; p++) {
            all.in += j->counts[p].in;
            all.candidates += j->counts[p].candidates;
            all.nans += j->counts[p].nans;
        }
        const int missed = all.in >= k || all.in + all.candidates < k;
        if (!missed || all.nans || k <= 0 || k >= j->n) return all;
        if (all.in >= k) {
            j->high = j->low - 1;
            j->low = s->lowest;
        } else {
            j->low = j->high + 1;
            j->high = s->highest;
        }
    }
}

/* Finds candidates in the mask, eight scores at a time. */
static void collect_task(void *context, int thread) {
    (void)thread;
    job *j = context;
    for (int64_t part; (part = snn_next_unit(&j->taken, j->parts)) >= 0;) {
        int64_t *at = j->index;
        for (int64_t p = 0; p < part; p++) at += j->counts[p].candidates;
        const int64_t end = first(j, part + 1);
        for (int64_t i = first(j, part); i < end; i += 8) {
            uint64_t marks = 0;
            memcpy(&marks, j->mask + i, i + 8 <= end ? 8 : (size_t)(end - i));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            marks = __builtin_bswap64(marks);
#endif
            for (marks &= CANDIDATE * (UINT64_MAX / 255); marks; marks &= marks - 1)
                *at++ = i + __builtin_ctzll(marks) / 8;
        }
    }
}

/* Of the candidates whose key is `threshold`, marks `wanted`: those of lowest rank. x has
 * room for all candidates. */
static void mark_tied(const job *j, const steps *s, int64_t n, uint64_t threshold,
                      int64_t wanted, const int64_t *rank, uint64_t *x) {
    uint64_t last_rank = UINT64_MAX;
    int64_t at_last = wanted; /* how many of rank last_rank are taken: the first ones */
    if (rank) {
        int64_t tied = 0, before;
        for (int64_t i = 0; i < n; i++)
            if (s->key_at(j, j->index[i]) == threshold)
                x[tied++] = (uint64_t)rank[j->index[i]] ^ TOP_BIT;
        last_rank = kth_of(&tied, x, wanted, &before);
        at_last = wanted - before;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = j->index[i];
        if (s->key_at(j, at) != threshold) continue;
        const uint64_t r = rank ? (uint64_t)rank[at] ^ TOP_BIT : last_rank;
        j->mask[at] = r < last_rank || (r == last_rank && at_last-- > 0);
    }
}

/* Decides the n candidates, of which `wanted` are marked. */
static int decide(job *j, const steps *s, int64_t n, int64_t wanted, int ranked,
                  const int64_t *rank, uint64_t *x) {
    for (int64_t i = 0; i < n; i++) x[i] = s->key_at(j, j->index[i]);
    int64_t n_tied = n, below;
    const uint64_t threshold = kth_of(&n_tied, x, wanted, &below);
    const int ties = wanted - below == n_tied;
    if (!ties && ranked && !rank) return SNN_NEEDS_RANK;
    const uint64_t limit = threshold + (uint64_t)ties;
    for (int64_t i = 0; i < n; i++)
        j->mask[j->index[i]] = s->key_at(j, j->index[i]) < limit;
    if (!ties) mark_tied(j, s, n, threshold, wanted - below, rank, x);
    return SNN_OK;
}

static int run(job *j, const steps *s, int64_t k, int ranked, const int64_t *rank) {
    j->parts = snn_threads_for(SCORE_WEIGHT * (double)j->n);
    const size_t room = (size_t)j->parts * sizeof *j->counts;
    char *memory = snn_malloc(room + LARGEST_SAMPLE * sizeof(uint64_t));
    if (!memory) return SNN_NO_MEMORY;
    j->counts = (count *)memory;
    bracket(j, s, k, (uint64_t *)(memory + room));
    const count found = classify(j, s, k);
    int status = SNN_OK;
    if (found.nans) {
        status = SNN_BAD_ARGUMENT;
    } else if (k <= 0 || k >= j->n) {
        memset(j->mask, k > 0, (size_t)j->n);
    } else {
        const size_t n = (size_t)found.candidates;
        j->index = snn_malloc(n * (sizeof *j->index + sizeof(uint64_t)));
        if (j->index) {
            j->taken = 0;
            snn_parallel((int)j->parts, collect_task, j);
            status = decide(j, s, found.candidates, k - found.in, ranked, rank,
                            (uint64_t *)(j->index + n));
            snn_free(j->index);
        } else {
            status = SNN_NO_MEMORY;
        }
    }
    snn_free(memory);
    return status;
}

int snn_select_f32(int64_t n, const float *scores, int64_t k, int largest, int ranked,
                   const int64_t *rank, uint8_t *mask) {
    static const steps s = {INT32_MIN, INT32_MAX, key_at_f32, classify_f32};
    job j = {.scores = scores, .n = n, .mask = mask, .flip = largest ? -1 : 0};
    return run(&j, &s, k, ranked, rank);
}

int snn_select_f64(int64_t n, const double *scores, int64_t k, int largest, int ranked,
                   const int64_t *rank, uint8_t *mask) {
    static const steps s = {INT64_MIN, INT64_MAX, key_at_f64, classify_f64};
    job j = {.scores = scores, .n = n, .mask = mask, .flip = largest ? -1 : 0};
    return run(&j, &s, k, ranked, rank);
}
