/* k distinct positions outside a pattern, exactly uniform over all such sets, sorted as
 * CSR. No global sort and no hash table: O(rows * blocks + nnz + k) time; memory: the
 * output, and a few rows for each thread.
 *
 * Sparse case: draw how many positions each row receives, then sample within the rows,
 * each from its own part of the stream, so that threads may own groups of rows. A sample
 * without replacement visits row i with probability proportional to the free positions
 * that row i has left; a uniform (row, column) whose column is below that number is such a
 * visit. Dense case (less than a quarter would stay free, hence of order nnz + k positions
 * in all): Knuth's selection sampling (TAOCP 2, 3.4.2, algorithm S) over the free
 * positions in order, by one thread.
 *
 * Integers below n are drawn without bias by Lemire, "Fast random integer generation in an
 * interval" (ACM TOMACS 29, 2019), from the stream's 32-bit words in order. */
#include "sparsenn.h"

#include <string.h>

#include "../threads.h"
#include "columns.h"

enum { BUFFERED = 256, ROWS_PER_GROUP = 64 };

/* Work per slot or new position, in multiply-adds of a product. */
static const double SLOT_WEIGHT = 32;

typedef struct word_source {
    const snn_stream *stream;
    int64_t next;   /* element of the stream that follows the buffer */
    int used, left; /* words of the buffer */
    int ahead;      /* words to draw when it is empty */
    uint32_t words[BUFFERED];
} word_source;

static void begin_at(word_source *source, const snn_stream *stream, int64_t element,
                     int64_t expected) {
    source->stream = stream;
    source->next = element;
    source->used = source->left = 0;
    const int64_t some = expected + expected / 8 + 4; /* some will be refused */
    const int64_t ahead = some / 4 * 4;               /* whole blocks */
    source->ahead = ahead < BUFFERED ? (int)ahead : BUFFERED;
}

/* Where the words of a row begin: behind those that decide how many each row receives. */
static inline int64_t row_element(int64_t row) {
    return ((int64_t)1 << 62) + (row << 31);
}

static inline uint32_t next_word(word_source *source) {
    if (source->used == source->left) {
        snn_random_bits(source->stream, source->next, NULL, source->ahead, source->words);
        source->next += source->ahead;
        source->left = source->ahead;
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

/* k distinct ranks in [0, n), increasing; duplicates are drawn anew, exactly as many as
 * are missing, which is the sequential rejection of duplicates in another order. */
static void draw_and_sort(word_source *source, int32_t n, int64_t k, int32_t *ranks,
                          int32_t *scratch) {
    for (int64_t have = 0; have < k;) {
        for (int64_t i = have; i < k; i++) ranks[i] = (int32_t)below(source, (uint32_t)n);
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

typedef struct job {
    const snn_layout *w;
    const uint8_t *keep; /* slots that count as taken; NULL: all */
    const snn_stream *stream;
    int32_t *indptr, *indices; /* of the result */
    int32_t *left; /* what stays free of each row */
    int64_t most_active, most_new;
    char *scratch;
    size_t scratch_each;
    int64_t groups, taken;
} job;

/* indptr[i + 1] = taken positions of row i. */
static void count_task(void *context, int thread) {
    (void)thread;
    job *j = context;
    const snn_layout *w = j->w;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = g * ROWS_PER_GROUP;
        const int64_t end = begin + ROWS_PER_GROUP < w->n_rows ? begin + ROWS_PER_GROUP
                                                               : w->n_rows;
        memset(j->indptr + begin + 1, 0, (size_t)(end - begin) * sizeof *j->indptr);
        for (int64_t b = 0; b < w->n_blocks; b++) {
            const int32_t *at = w->indptr + b * w->n_rows;
            for (int64_t i = begin; i < end; i++)
                j->indptr[i + 1] += j->keep ? count_kept(j->keep, at[i], at[i + 1], w->nnz)
                                            : at[i + 1] - at[i];
        }
    }
}

/* The taken columns of row i, increasing, with room for one more; or, if `marks` is given,
 * marks[c] = 1 for them, where all were 0 before. */
static inline __attribute__((always_inline)) int64_t
gather_active(const job *j, int index_bytes, int64_t i, int32_t *restrict active,
              uint8_t *restrict marks) {
    const snn_layout *w = j->w;
    const uint8_t *restrict keep = j->keep;
    const void *restrict columns = w->columns;
    int64_t n = 0;
    for (int64_t b = 0; b < w->n_blocks; b++) {
        const int32_t *at = w->indptr + b * w->n_rows + i;
        const int32_t base = (int32_t)(b * w->block_width);
        for (int64_t k = at[0]; k < at[1]; k++) {
            const int32_t c = base + get_column(columns, index_bytes, k);
            const uint8_t is_taken = keep ? keep[k] : 1;
            if (marks) {
                marks[c] = is_taken;
            } else {
                active[n] = c;
                n += is_taken;
            }
        }
    }
    return n;
}

static int64_t active_columns(const job *j, int64_t i, int32_t *active) {
    if (j->w->index_bytes == 1) return gather_active(j, 1, i, active, NULL);
    if (j->w->index_bytes == 2) return gather_active(j, 2, i, active, NULL);
    return gather_active(j, 4, i, active, NULL);
}

static void mark_active(const job *j, int64_t i, uint8_t *marks) {
    if (j->w->index_bytes == 1)
        gather_active(j, 1, i, NULL, marks);
    else if (j->w->index_bytes == 2)
        gather_active(j, 2, i, NULL, marks);
    else
        gather_active(j, 4, i, NULL, marks);
}

/* Sets of columns for rows up to this wide; all are clear before and after. */
enum { WIDEST_SET = 1 << 16 };
/* Columns of a word of a set that are read off without asking whether they are there. */
enum { AT_ONCE = 4 };

/* What one thread needs to sample rows. */
typedef struct row_scratch {
    int32_t *active; /* columns of the row that are taken */
    int32_t *other;  /* AT_ONCE more than a row receives */
    uint8_t taken[WIDEST_SET];
    uint64_t drawn[WIDEST_SET / 64];
} row_scratch;

/* The members of a set of n_words * 64 columns, increasing; AT_ONCE more may be written. */
static void list_columns(int64_t n_words, uint64_t *set, int32_t *columns) {
    for (int64_t w = 0; w < n_words; w++) {
        uint64_t bits = set[w];
        const int32_t base = (int32_t)(64 * w);
        set[w] = 0;
        int32_t *end = columns;
        for (int i = 0; i < AT_ONCE; i++) {
            columns[i] = base + __builtin_ctzll(bits | (uint64_t)1 << 63);
            end += bits != 0;
            bits &= bits - 1;
        }
        for (columns = end; bits; bits &= bits - 1)
            *columns++ = base + __builtin_ctzll(bits);
    }
}

/* Draws columns of row i until k are free ones, each once: the sequential rejection of all
 * others. Not inlined, or its few numbers would not stay in registers. */
static __attribute__((noinline)) void
draw_columns(const job *j, int64_t i, word_source *source, row_scratch *scratch, int64_t k,
             int32_t *columns) {
    const int64_t n_cols = j->w->n_cols;
    uint8_t *restrict taken = scratch->taken;
    uint64_t *restrict drawn = scratch->drawn;
    mark_active(j, i, taken);
    for (int64_t have = 0; have < k;) {
        const uint32_t c = below(source, (uint32_t)n_cols);
        const uint64_t is_free = !taken[c];
        taken[c] = 1;
        drawn[c >> 6] |= is_free << (c & 63);
        have += (int64_t)is_free;
    }
    memset(taken, 0, (size_t)n_cols);
    list_columns((n_cols + 63) / 64, drawn, scratch->other);
    memcpy(columns, scratch->other, (size_t)k * sizeof *columns);
}

/* k distinct free columns of row i, increasing. */
static void sample_row(const job *j, int64_t i, int64_t n_active, word_source *source,
                       row_scratch *scratch, int64_t k, int32_t *row) {
    const int64_t n_cols = j->w->n_cols, n_free = n_cols - n_active;
    if (k <= n_free / 8 && n_cols <= WIDEST_SET && n_cols / 64 <= 4 * k &&
        n_active <= n_free) {
        draw_columns(j, i, source, scratch, k, row);
        return;
    }
    active_columns(j, i, scratch->active);
    if (k > n_free / 8) {
        int64_t population = n_free, wanted = k;
        take_in_order(source, n_free, &population, &wanted, row);
    } else {
        draw_and_sort(source, (int32_t)n_free, k, row, scratch->other);
    }
    ranks_to_columns(k, row, n_active, scratch->active);
}

/* counts[i], the taken positions of row i before, is what row i receives after; left[i] is
 * what then stays free. */
static void draw_row_counts(word_source *source, const snn_layout *w, int64_t k,
                            int32_t *restrict left, int32_t *restrict counts) {
    for (int64_t i = 0; i < w->n_rows; i++) left[i] = w->n_cols - counts[i];
    while (k > 0) {
        const uint32_t row = below(source, (uint32_t)w->n_rows);
        const int32_t column = (int32_t)below(source, (uint32_t)w->n_cols);
        const int visit = column < left[row];
        left[row] -= visit;
        k -= visit;
    }
    for (int64_t i = 0; i < w->n_rows; i++) counts[i] = w->n_cols - counts[i] - left[i];
}

static void sample_task(void *context, int thread) {
    job *j = context;
    row_scratch *scratch = (row_scratch *)(j->scratch + (size_t)thread * j->scratch_each);
    scratch->active = (int32_t *)(scratch + 1);
    scratch->other = scratch->active + j->most_active + 1;
    memset(scratch->taken, 0, sizeof scratch->taken);
    memset(scratch->drawn, 0, sizeof scratch->drawn);
    word_source source;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = g * ROWS_PER_GROUP;
        for (int64_t i = begin; i < begin + ROWS_PER_GROUP && i < j->w->n_rows; i++) {
            int32_t *row = j->indices + j->indptr[i];
            const int64_t k = j->indptr[i + 1] - j->indptr[i];
            if (!k) continue;
            const int64_t n_active = j->w->n_cols - j->left[i] - k;
            begin_at(&source, j->stream, row_element(i), k);
            sample_row(j, i, n_active, &source, scratch, k, row);
        }
    }
}

/* All rows, in order, when little stays free. */
static int sample_in_order(job *j, int64_t n_free, int64_t wanted) {
    int32_t *active = snn_malloc(((size_t)j->most_active + 1) * sizeof *active);
    if (!active) return SNN_NO_MEMORY;
    word_source source;
    begin_at(&source, j->stream, 0, BUFFERED);
    for (int64_t i = 0; i < j->w->n_rows; i++) {
        int32_t *row = j->indices + j->indptr[i];
        const int64_t n_active = active_columns(j, i, active);
        const int64_t n = take_in_order(&source, j->w->n_cols - n_active, &n_free, &wanted,
                                        row);
        ranks_to_columns(n, row, n_active, active);
        j->indptr[i + 1] = j->indptr[i] + (int32_t)n;
    }
    snn_free(active);
    return SNN_OK;
}

static int sample_rows(job *j, int64_t k, int threads) {
    const int64_t n_rows = j->w->n_rows;
    int32_t *counts = j->indptr + 1;
    j->left = snn_malloc(((size_t)n_rows + 1) * sizeof *j->left);
    if (!j->left) return SNN_NO_MEMORY;
    word_source source;
    begin_at(&source, j->stream, 0, BUFFERED);
    draw_row_counts(&source, j->w, k, j->left, counts);
    for (int64_t i = 0; i < n_rows; i++) {
        if (counts[i] > j->most_new) j->most_new = counts[i];
        counts[i] += j->indptr[i];
    }
    j->scratch_each = sizeof(row_scratch) +
                      (size_t)(j->most_active + 1 + j->most_new + AT_ONCE) * sizeof(int32_t);
    j->scratch_each = (j->scratch_each + 63) / 64 * 64;
    j->scratch = snn_malloc((size_t)threads * j->scratch_each);
    if (j->scratch) {
        j->taken = 0;
        snn_parallel(threads, sample_task, j);
        snn_free(j->scratch);
    }
    snn_free(j->left);
    return j->scratch ? SNN_OK : SNN_NO_MEMORY;
}

int snn_complement_sample(const snn_layout *layout, const uint8_t *keep, int32_t k,
                          const snn_stream *stream, int32_t *restrict indptr_out,
                          int32_t *restrict indices_out) {
    const int64_t n_rows = layout->n_rows, n_positions = n_rows * layout->n_cols;
    job j = {.w = layout, .keep = keep, .stream = stream, .indptr = indptr_out,
             .indices = indices_out,
             .groups = (n_rows + ROWS_PER_GROUP - 1) / ROWS_PER_GROUP};
    const int threads = snn_threads_for(SLOT_WEIGHT * ((double)layout->nnz + k));
    indptr_out[0] = 0;
    snn_parallel(threads, count_task, &j);
    int64_t n_free = n_positions;
    for (int64_t i = 0; i < n_rows; i++) {
        n_free -= indptr_out[i + 1];
        if (indptr_out[i + 1] > j.most_active) j.most_active = indptr_out[i + 1];
    }
    if (k < 0 || k > n_free) return SNN_BAD_ARGUMENT;
    if (n_free - k < n_positions / 4) return sample_in_order(&j, n_free, k);
    return sample_rows(&j, k, threads);
}
