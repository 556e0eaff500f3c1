/* Exactly k of n scores, without sorting. Scores become unsigned keys of the same order;
 * the k-th key is found digit by digit, most significant first: a histogram of the first
 * digit over all scores, then of the next ones over the few that still can be it. Whoever
 * equals it is decided by rank in the same way. O(n) time; memory for the candidates.
 * Copies of candidates are free of branches, which random scores would mispredict. Threads
 * own equal parts of the scores; only candidates are looked at by one alone. */
#include "sparsenn.h"

#include <string.h>

#include "../threads.h"

#define DIGIT_BITS 11
#define N_DIGITS (1 << DIGIT_BITS)
#define INLINE static inline __attribute__((always_inline))

/* Bits of i-th score or rank, ordered as unsigned integers. */
typedef uint64_t key_function(const void *data, int64_t i);

static inline uint64_t key_f32(const void *data, int64_t i) {
    float x = ((const float *)data)[i] + 0.0f; /* -0 becomes +0 */
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ ((0u - (bits >> 31)) | 0x80000000u); /* no branch on the sign */
}

static inline uint64_t key_f64(const void *data, int64_t i) {
    double x = ((const double *)data)[i] + 0.0;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (((uint64_t)0 - (bits >> 63)) | (uint64_t)1 << 63);
}

static inline uint64_t key_rank(const void *data, int64_t i) {
    return (uint64_t)((const int64_t *)data)[i] ^ (uint64_t)1 << 63;
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

/* Work per score, in multiply-adds of a product. */
static const double SCORE_WEIGHT = 12;

/* Of the n_tied scores that equal the threshold, marks `wanted`: those of lowest rank. x
 * has room for one key more than are tied. */
INLINE void mark_tied(int64_t n, key_function *key, const void *scores, uint64_t flip,
          uint64_t threshold, int64_t n_tied, int64_t wanted, const int64_t *rank,
          uint64_t *x, uint8_t *restrict mask) {
    uint64_t last_rank = UINT64_MAX;
    int64_t at_last = wanted; /* how many of rank last_rank are taken: the first ones */
    if (rank) {
        int64_t m = 0;
        for (int64_t i = 0; i < n && m < n_tied; i++) {
            x[m] = key_rank(rank, i);
            m += (key(scores, i) ^ flip) == threshold;
        }
        int64_t before, n_last = n_tied;
        last_rank = kth_key(&n_last, differing_bits(n_tied, x), x, wanted, &before);
        at_last = wanted - before;
        if (at_last == n_last) { /* always so if ranks are distinct */
            for (int64_t i = 0; i < n; i++)
                mask[i] |= (int)((key(scores, i) ^ flip) == threshold) &
                           (key_rank(rank, i) <= last_rank);
            return;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        if ((key(scores, i) ^ flip) != threshold) continue;
        const uint64_t r = rank ? key_rank(rank, i) : last_rank;
        mask[i] = r < last_rank || (r == last_rank && at_last-- > 0);
    }
}

typedef struct job {
    const void *scores;
    int64_t n, parts, taken;
    uint64_t flip, digit, threshold;
    int ties;         /* whether what equals the threshold is marked */
    int64_t *counts;  /* N_DIGITS of each part: how many scores have which digit */
    int64_t *place;   /* of each part's candidates in x; parts + 1 */
    uint64_t *x;
    uint8_t *restrict mask;
} job;

static inline int64_t first(const job *j, int64_t part) { return j->n * part / j->parts; }

INLINE void count_part(const job *j, key_function *key, int shift, int64_t part) {
    /* Two counts, so that equal neighbours do not wait for each other. */
    int64_t odd[N_DIGITS] = {0}, *even = j->counts + part * N_DIGITS;
    const int64_t begin = first(j, part), end = first(j, part + 1);
    memset(even, 0, sizeof odd);
    for (int64_t i = begin; i < end; i++)
        (i & 1 ? odd : even)[(key(j->scores, i) ^ j->flip) >> shift]++;
    for (int d = 0; d < N_DIGITS; d++) even[d] += odd[d];
}

INLINE void collect_part(const job *j, key_function *key, int shift, int64_t part) {
    uint64_t *x = j->x + j->place[part], *const full = j->x + j->place[part + 1];
    const int64_t begin = first(j, part), end = first(j, part + 1);
    for (int64_t i = begin; i < end && x < full; i++) {
        const uint64_t candidate = key(j->scores, i) ^ j->flip;
        *x = candidate;
        x += candidate >> shift == j->digit;
    }
}

INLINE void mark_part(const job *j, key_function *key, int64_t part) {
    const uint64_t flip = j->flip, limit = j->threshold + (uint64_t)j->ties;
    const int64_t begin = first(j, part), end = first(j, part + 1);
    for (int64_t i = begin; i < end; i++)
        j->mask[i] = (key(j->scores, i) ^ flip) < limit;
}

#define DEFINE_TASK(name, ...)                                                         \
    static void name(void *context, int thread) {                                      \
        (void)thread;                                                                  \
        job *j = context;                                                              \
        for (int64_t part; (part = snn_next_unit(&j->taken, j->parts)) >= 0;)          \
            __VA_ARGS__;                                                               \
    }
DEFINE_TASK(count_f32, count_part(j, key_f32, 32 - DIGIT_BITS, part))
DEFINE_TASK(count_f64, count_part(j, key_f64, 64 - DIGIT_BITS, part))
DEFINE_TASK(collect_f32, collect_part(j, key_f32, 32 - DIGIT_BITS, part))
DEFINE_TASK(collect_f64, collect_part(j, key_f64, 64 - DIGIT_BITS, part))
DEFINE_TASK(mark_f32, mark_part(j, key_f32, part))
DEFINE_TASK(mark_f64, mark_part(j, key_f64, part))

static void all_parts(job *j, void (*task)(void *context, int thread)) {
    j->taken = 0;
    snn_parallel((int)j->parts, task, j);
}

/* Turns counts per part into the place of each part's candidates; returns how many scores
 * have a smaller digit than j->digit, which the k-th has. */
static int64_t place_candidates(job *j, int64_t k) {
    int64_t total[N_DIGITS] = {0}, smaller = 0;
    for (int64_t p = 0; p < j->parts; p++)
        for (int d = 0; d < N_DIGITS; d++) total[d] += j->counts[p * N_DIGITS + d];
    j->digit = find_digit(total, k, &smaller);
    j->place[0] = 0;
    for (int64_t p = 0; p < j->parts; p++)
        j->place[p + 1] = j->place[p] + j->counts[p * N_DIGITS + (int64_t)j->digit];
    return smaller;
}

/* The steps of one type of score. */
typedef struct steps {
    int bits;
    void (*count)(void *context, int thread);
    void (*collect)(void *context, int thread);
    void (*mark)(void *context, int thread);
    void (*mark_tied)(const job *j, int64_t n_tied, int64_t wanted, const int64_t *rank);
} steps;

static void mark_tied_f32(const job *j, int64_t n_tied, int64_t wanted,
                          const int64_t *rank) {
    mark_tied(j->n, key_f32, j->scores, j->flip, j->threshold, n_tied, wanted, rank, j->x,
              j->mask);
}

static void mark_tied_f64(const job *j, int64_t n_tied, int64_t wanted,
                          const int64_t *rank) {
    mark_tied(j->n, key_f64, j->scores, j->flip, j->threshold, n_tied, wanted, rank, j->x,
              j->mask);
}

static int run(job *j, const steps *s, int64_t k, int ranked, const int64_t *rank) {
    if (k <= 0 || k >= j->n) {
        memset(j->mask, k > 0, (size_t)j->n);
        return SNN_OK;
    }
    j->parts = snn_threads_for(SCORE_WEIGHT * (double)j->n);
    j->counts = snn_malloc((size_t)(j->parts * N_DIGITS + j->parts + 1) * sizeof *j->counts);
    if (!j->counts) return SNN_NO_MEMORY;
    j->place = j->counts + j->parts * N_DIGITS;
    all_parts(j, s->count);
    const int64_t smaller = place_candidates(j, k);

    int64_t n_tied = j->place[j->parts], below;
    j->x = snn_malloc(((size_t)n_tied + 1) * sizeof *j->x);
    if (!j->x) {
        snn_free(j->counts);
        return SNN_NO_MEMORY;
    }
    all_parts(j, s->collect);
    j->threshold = kth_key(&n_tied, s->bits - DIGIT_BITS, j->x, k - smaller, &below);
    const int64_t wanted = k - smaller - below;
    j->ties = wanted == n_tied;
    int status = SNN_OK;
    if (!j->ties && ranked && !rank) {
        status = SNN_NEEDS_RANK;
    } else {
        all_parts(j, s->mark);
        if (!j->ties) s->mark_tied(j, n_tied, wanted, rank);
    }
    snn_free(j->x);
    snn_free(j->counts);
    return status;
}

int snn_select_f32(int64_t n, const float *scores, int64_t k, int largest, int ranked,
                   const int64_t *rank, uint8_t *mask) {
    static const steps s = {32, count_f32, collect_f32, mark_f32, mark_tied_f32};
    job j = {.scores = scores, .n = n, .mask = mask, .flip = largest ? UINT32_MAX : 0};
    return run(&j, &s, k, ranked, rank);
}

int snn_select_f64(int64_t n, const double *scores, int64_t k, int largest, int ranked,
                   const int64_t *rank, uint8_t *mask) {
    static const steps s = {64, count_f64, collect_f64, mark_f64, mark_tied_f64};
    job j = {.scores = scores, .n = n, .mask = mask, .flip = largest ? UINT64_MAX : 0};
    return run(&j, &s, k, ranked, rank);
}
