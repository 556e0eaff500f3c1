/* Exactly k of n scores, without sorting. Scores become unsigned keys of the same order;
 * the k-th key is found digit by digit, most significant first, by histograms of the
 * scores that agree with the digits found so far; whoever equals it is decided by rank in
 * the same way. O(n) time, one histogram of memory on the stack. */
#include "sparsenn.h"

#include <string.h>

#define DIGIT_BITS 11
#define N_DIGITS (1 << DIGIT_BITS)

/* Bits of i-th score or rank, ordered as unsigned integers. */
typedef uint64_t key_function(const void *data, int64_t i);

static inline uint64_t key_f32(const void *data, int64_t i) {
    float x = ((const float *)data)[i] + 0.0f; /* -0 becomes +0 */
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ ((bits >> 31) ? 0xFFFFFFFFu : 0x80000000u);
}

static inline uint64_t key_f64(const void *data, int64_t i) {
    double x = ((const double *)data)[i] + 0.0;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ ((bits >> 63) ? UINT64_MAX : (uint64_t)1 << 63);
}

static inline uint64_t key_rank(const void *data, int64_t i) {
    return (uint64_t)((const int64_t *)data)[i] ^ (uint64_t)1 << 63;
}

/* Which elements take part: all, or those whose other key equals `equal`. */
typedef struct subset {
    key_function *key;
    const void *data;
    uint64_t flip, equal;
} subset;

static inline int takes_part(const subset *in, int64_t i) {
    return !in->key || (in->key(in->data, i) ^ in->flip) == in->equal;
}

/* The k-th smallest (k >= 1) of key(data, i) ^ flip over the subset; *below: how many of
 * the subset are smaller. */
static inline __attribute__((always_inline)) uint64_t
kth_key(int64_t n, int bits, key_function *key, const void *data, uint64_t flip, subset in,
        int64_t k, int64_t *below) {
    uint64_t prefix = 0;
    int64_t smaller = 0;
    for (int top = bits; top > 0;) {
        int width = top < DIGIT_BITS ? top : DIGIT_BITS;
        int shift = top - width;
        int64_t histogram[N_DIGITS] = {0};
        for (int64_t i = 0; i < n; i++) {
            if (!takes_part(&in, i)) continue;
            uint64_t x = key(data, i) ^ flip;
            /* Shifted in two steps: by 64 at once would be undefined. */
            if ((x >> (top - 1)) >> 1 == prefix)
                histogram[(x >> shift) & (((uint64_t)1 << width) - 1)]++;
        }
        uint64_t digit = 0;
        while (smaller + histogram[digit] < k) smaller += histogram[digit++];
        prefix = prefix << width | digit;
        top = shift;
    }
    *below = smaller;
    return prefix;
}

static inline __attribute__((always_inline)) void
select_scores(int64_t n, int bits, key_function *key, const void *scores, int64_t k,
              int largest, const int64_t *rank, uint8_t *restrict mask) {
    if (k <= 0 || k >= n) {
        memset(mask, k > 0, (size_t)n);
        return;
    }
    uint64_t flip = largest ? UINT64_MAX >> (64 - bits) : 0;
    const subset all = {0};
    int64_t below;
    uint64_t threshold = kth_key(n, bits, key, scores, flip, all, k, &below);
    int64_t n_tied = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t x = key(scores, i) ^ flip;
        mask[i] = x < threshold;
        n_tied += x == threshold;
    }

    int64_t wanted = k - below;
    if (wanted == n_tied) rank = NULL; /* no choice to be made */
    uint64_t last_rank = UINT64_MAX;
    int64_t at_last = wanted; /* how many of rank last_rank are taken: the first ones */
    if (rank) {
        subset tied = {.key = key, .data = scores, .flip = flip, .equal = threshold};
        int64_t before;
        last_rank = kth_key(n, 64, key_rank, rank, 0, tied, wanted, &before);
        at_last = wanted - before;
    }
    for (int64_t i = 0; i < n; i++) {
        if ((key(scores, i) ^ flip) != threshold) continue;
        uint64_t r = rank ? key_rank(rank, i) : last_rank;
        mask[i] = r < last_rank || (r == last_rank && at_last-- > 0);
    }
}

int snn_select_f32(int64_t n, const float *scores, int64_t k, int largest,
                   const int64_t *rank, uint8_t *mask) {
    select_scores(n, 32, key_f32, scores, k, largest, rank, mask);
    return SNN_OK;
}

int snn_select_f64(int64_t n, const double *scores, int64_t k, int largest,
                   const int64_t *rank, uint8_t *mask) {
    select_scores(n, 64, key_f64, scores, k, largest, rank, mask);
    return SNN_OK;
}
