/* Exactly k of n scores, without sorting. Scores become unsigned keys of the same order;
 * the k-th key is found digit by digit, most significant first: a histogram of the first
 * digit over all scores, then of the next ones over the few that still can be it. Whoever
 * equals it is decided by rank in the same way. O(n) time; memory for the candidates.
 * Copies of candidates are free of branches, which random scores would mispredict. */
#include "sparsenn.h"

#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 11
#define N_DIGITS (1 << DIGIT_BITS)

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

/* Of the n_tied scores that equal the threshold, marks `wanted`: those of lowest rank. x
 * has room for one key more than are tied. */
static inline __attribute__((always_inline)) void
mark_tied(int64_t n, key_function *key, const void *scores, uint64_t flip,
          uint64_t threshold, int64_t n_tied, int64_t wanted, const int64_t *rank,
          uint64_t *x, uint8_t *restrict mask) {
    uint64_t last_rank = UINT64_MAX;
    int64_t at_last = wanted; /* how many of rank last_rank are taken: the first ones */
    if (rank) {
        int64_t m = 0;
        for (int64_t i = 0; i < n; i++) {
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

static inline __attribute__((always_inline)) int
select_scores(int64_t n, int bits, key_function *key, const void *scores, int64_t k,
              int largest, const int64_t *rank, uint8_t *restrict mask) {
    if (k <= 0 || k >= n) {
        memset(mask, k > 0, (size_t)n);
        return SNN_OK;
    }
    const uint64_t flip = largest ? UINT64_MAX >> (64 - bits) : 0;
    const int shift = bits - DIGIT_BITS;
    /* Two, so that equal neighbours do not wait for each other's count. */
    int64_t histogram[2][N_DIGITS] = {{0}};
    for (int64_t i = 0; i < n; i++) histogram[i & 1][(key(scores, i) ^ flip) >> shift]++;
    for (int d = 0; d < N_DIGITS; d++) histogram[0][d] += histogram[1][d];
    int64_t smaller = 0;
    const uint64_t digit = find_digit(histogram[0], k, &smaller);

    uint64_t *x = malloc(((size_t)histogram[0][digit] + 1) * sizeof *x);
    if (!x) return SNN_NO_MEMORY;
    int64_t n_tied = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t candidate = key(scores, i) ^ flip;
        x[n_tied] = candidate;
        n_tied += candidate >> shift == digit;
    }
    int64_t below;
    const uint64_t threshold = kth_key(&n_tied, shift, x, k - smaller, &below);
    const int64_t wanted = k - smaller - below;
    if (wanted == n_tied) {
        for (int64_t i = 0; i < n; i++) mask[i] = (key(scores, i) ^ flip) <= threshold;
    } else {
        for (int64_t i = 0; i < n; i++) mask[i] = (key(scores, i) ^ flip) < threshold;
        mark_tied(n, key, scores, flip, threshold, n_tied, wanted, rank, x, mask);
    }
    free(x);
    return SNN_OK;
}

int snn_select_f32(int64_t n, const float *scores, int64_t k, int largest,
                   const int64_t *rank, uint8_t *mask) {
    return select_scores(n, 32, key_f32, scores, k, largest, rank, mask);
}

int snn_select_f64(int64_t n, const double *scores, int64_t k, int largest,
                   const int64_t *rank, uint8_t *mask) {
    return select_scores(n, 64, key_f64, scores, k, largest, rank, mask);
}
