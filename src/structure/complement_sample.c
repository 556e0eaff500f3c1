/* k distinct positions outside a pattern, exactly uniform over all such sets, sorted as
 * CSR. No global sort and no hash table: O(rows + nnz + k) time; memory: the output, and
 * one row of it when a row receives many.
 *
 * Sparse case: draw how many positions each row receives, then sample within the rows. A
 * sample without replacement visits row i with probability proportional to the free
 * positions that row i has left; a uniform (row, column) whose column is below that number
 * is such a visit. Dense case (less than a quarter would stay free, hence of order nnz + k
 * positions in all): Knuth's selection sampling (TAOCP 2, 3.4.2, algorithm S) over the free
 * positions in order.
 *
 * Integers below n are drawn without bias by Lemire, "Fast random integer generation in an
 * interval" (ACM TOMACS 29, 2019), from the stream's 32-bit words in order. */
#include "sparsenn.h"

#include <stdlib.h>
#include <string.h>

#define BUFFERED 256

typedef struct word_source {
    const snn_stream *stream;
    int64_t next; /* element of the stream that follows the buffer */
    int used;
    uint32_t words[BUFFERED];
} word_source;

static inline uint32_t next_word(word_source *source) {
    if (source->used == BUFFERED) {
        snn_random_bits(source->stream, source->next, NULL, BUFFERED, source->words);
        source->next += BUFFERED;
        source->used = 0;
    }
    return source->words[source->used++];
}

/* Uniform in [0, n), 1 <= n < 2^32. */
static inline uint32_t below(word_source *source, uint32_t n) {
    uint64_t product = (uint64_t)next_word(source) * n;
    if ((uint32_t)product < n) {
        uint32_t surplus = (0u - n) % n; /* 2^32 mod n */
        while ((uint32_t)product < surplus) product = (uint64_t)next_word(source) * n;
    }
    return (uint32_t)(product >> 32);
}

/* Uniform in [0, n), 1 <= n < 2^63. */
static inline uint64_t below_wide(word_source *source, uint64_t n) {
    if (n <= UINT32_MAX) return below(source, (uint32_t)n);
    uint64_t mask = UINT64_MAX >> __builtin_clzll(n);
    for (;;) {
        uint64_t low = next_word(source);
        uint64_t x = (low | (uint64_t)next_word(source) << 32) & mask;
        if (x < n) return x;
    }
}

/* Algorithm S over the next n of `*population` items, of which `*wanted` are still to be
 * taken. Writes the ranks taken, increasing; returns how many. */
static int64_t take_in_order(word_source *source, int64_t n, int64_t *population,
                             int64_t *wanted, int32_t *ranks) {
    int64_t taken = 0;
    for (int64_t r = 0; r < n && *wanted; r++) {
        if ((int64_t)below_wide(source, (uint64_t)*population) < *wanted) {
            ranks[taken++] = (int32_t)r;
            --*wanted;
        }
        --*population;
    }
    return taken;
}

static void insertion_sort(int64_t n, int32_t *x) {
    for (int64_t i = 1; i < n; i++) {
        int32_t value = x[i];
        int64_t j = i;
        for (; j > 0 && x[j - 1] > value; j--) x[j] = x[j - 1];
        x[j] = value;
    }
}

/* Sorts n integers in [0, limit) by bytes, least significant first. */
static void radix_sort(int64_t n, int32_t limit, int32_t *x, int32_t *scratch) {
    int32_t *from = x, *to = scratch;
    for (int shift = 0; shift < 32 && (limit - 1) >> shift; shift += 8) {
        int64_t start[257] = {0};
        for (int64_t i = 0; i < n; i++) start[((from[i] >> shift) & 255) + 1]++;
        for (int d = 0; d < 256; d++) start[d + 1] += start[d];
        for (int64_t i = 0; i < n; i++) to[start[(from[i] >> shift) & 255]++] = from[i];
        int32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != x) memcpy(x, from, (size_t)n * sizeof *x);
}

/* Above this length a row is sorted by radix, with a scratch row. */
#define SHORT_ROW 64

/* k distinct ranks in [0, n), increasing. Duplicates are drawn anew, exactly as many as
 * are missing, which is the sequential rejection of duplicates in another order. */
static void sample_row(word_source *source, int32_t n, int64_t k, int32_t *ranks,
                       int32_t *scratch) {
    if (k > n / 8) {
        int64_t population = n, wanted = k;
        take_in_order(source, n, &population, &wanted, ranks);
        return;
    }
    for (int64_t have = 0; have < k;) {
        for (int64_t i = have; i < k; i++) ranks[i] = (int32_t)below(source, (uint32_t)n);
        if (k <= SHORT_ROW)
            insertion_sort(k, ranks);
        else
            radix_sort(k, n, ranks, scratch);
        have = 1;
        for (int64_t i = 1; i < k; i++)
            if (ranks[i] != ranks[have - 1]) ranks[have++] = ranks[i];
    }
}

/* Ranks among the free columns of a row -> columns, in place. The free column of rank r
 * lies behind those active columns a_t with a_t - t <= r. */
static void ranks_to_columns(int64_t k, int32_t *ranks, int64_t n_active,
                             const int32_t *active) {
    int64_t t = 0;
    for (int64_t i = 0; i < k; i++) {
        while (t < n_active && active[t] - t <= ranks[i]) t++;
        ranks[i] += (int32_t)t;
    }
}

/* counts[i] = positions that row i receives. */
static void draw_row_counts(word_source *source, int32_t n_rows, int32_t n_cols,
                            const int32_t *indptr, int32_t k, int32_t *counts) {
    memset(counts, 0, (size_t)n_rows * sizeof *counts);
    while (k > 0) {
        uint32_t row = below(source, (uint32_t)n_rows);
        int32_t column = (int32_t)below(source, (uint32_t)n_cols);
        int32_t left = n_cols - (indptr[row + 1] - indptr[row]) - counts[row];
        if (column < left) {
            counts[row]++;
            k--;
        }
    }
}

int snn_complement_sample(int32_t n_rows, int32_t n_cols, const int32_t *indptr,
                          const int32_t *indices, int32_t k, const snn_stream *stream,
                          int32_t *restrict indptr_out, int32_t *restrict indices_out) {
    int64_t n_positions = (int64_t)n_rows * n_cols;
    int64_t n_free = n_positions - indptr[n_rows];
    if (k < 0 || k > n_free) return SNN_BAD_ARGUMENT;

    word_source source = {.stream = stream, .next = 0, .used = BUFFERED};
    int in_order = n_free - k < n_positions / 4;
    int32_t *scratch = NULL;
    if (in_order) {
        memset(indptr_out, 0, ((size_t)n_rows + 1) * sizeof *indptr_out);
    } else {
        indptr_out[0] = 0;
        draw_row_counts(&source, n_rows, n_cols, indptr, k, indptr_out + 1);
        int32_t longest = 0;
        for (int64_t i = 0; i < n_rows; i++)
            if (indptr_out[i + 1] > longest) longest = indptr_out[i + 1];
        if (longest > SHORT_ROW) {
            scratch = malloc((size_t)longest * sizeof *scratch);
            if (!scratch) return SNN_NO_MEMORY;
        }
    }

    int64_t population = n_free, wanted = k;
    for (int64_t i = 0; i < n_rows; i++) {
        int32_t n_active = indptr[i + 1] - indptr[i];
        int32_t *row = indices_out + indptr_out[i];
        int64_t n_new = indptr_out[i + 1];
        if (in_order)
            n_new = take_in_order(&source, n_cols - n_active, &population, &wanted, row);
        else if (n_new)
            sample_row(&source, n_cols - n_active, n_new, row, scratch);
        ranks_to_columns(n_new, row, n_active, indices + indptr[i]);
        indptr_out[i + 1] = indptr_out[i] + (int32_t)n_new;
    }
    free(scratch);
    return SNN_OK;
}
