/* The edit behind every topology change: drop the slots that are not kept, add the entries
 * of a CSR, stay sorted. A CSR is a layout of one block with four-byte columns, so this
 * serves both. Two passes over the segments, count and merge; a thread owns groups of
 * rows. O(rows * blocks + nnz + added); memory: a number for each row.
 *
 * What is kept and what is added come at random, so that a merge by comparing would
 * mispredict at nearly every entry. Instead 128 columns at a time become a set of bits in
 * registers, with a table of what each column comes from. */
#include "sparsenn.h"

#include <string.h>

#include "../threads.h"
#include "columns.h"

enum { ROWS_PER_GROUP = 64, STRETCH = 128 };

/* Work per slot, in multiply-adds of a product. */
static const double SLOT_WEIGHT = 16;

typedef struct job {
    const snn_layout *w;
    const uint8_t *keep;
    const int32_t *added_indptr, *added_indices;
    int32_t *indptr; /* of the result */
    void *columns;
    int32_t *source;
    int32_t *cursor; /* of each row in the added entries */
    int64_t groups, taken;
    int clash; /* a position is both kept and added */
} job;

/* A segment: the slots k .. k_end of the old layout, the entries a .. a_end to add as far as
 * they lie left of `limit`, and the slots out .. out_end of the new one. */
typedef struct segment {
    int64_t base, limit, k, k_end, a, a_end, out, out_end;
} segment;

/* indptr[s + 1] = entries that segment s will have. */
static void count_rows(job *j, int64_t begin, int64_t end) {
    const snn_layout *w = j->w;
    for (int64_t b = 0; b < w->n_blocks; b++) {
        const int32_t *old = w->indptr + b * w->n_rows;
        int32_t *count = j->indptr + b * w->n_rows + 1;
        for (int64_t i = begin; i < end; i++)
            count[i] = count_kept(j->keep, old[i], old[i + 1], w->nnz);
    }
    for (int64_t i = begin; i < end; i++)
        for (int64_t a = j->added_indptr[i]; a < j->added_indptr[i + 1]; a++)
            j->indptr[j->added_indices[a] / w->block_width * (int64_t)w->n_rows + i + 1]++;
}

typedef struct bits128 {
    uint64_t low, high;
} bits128;

static inline void set_bit(bits128 *set, int64_t c, uint64_t value) {
    const uint64_t bit = value << (c & 63), in_high = -(uint64_t)(c >> 6);
    set->low |= bit & ~in_high;
    set->high |= bit & in_high;
}

/* The columns first .. first + STRETCH, counted from the block's. */
static inline __attribute__((always_inline)) int
merge_stretch(const job *j, int index_bytes, int64_t first, segment *s) {
    bits128 kept = {0, 0}, born = {0, 0};
    int32_t from[STRETCH];
    for (; s->k < s->k_end; s->k++) {
        const int64_t c = get_column(j->w->columns, index_bytes, s->k) - first;
        if (c >= STRETCH) break;
        from[c] = (int32_t)s->k;
        set_bit(&kept, c, j->keep[s->k]);
    }
    const int64_t base = s->base + first;
    const int64_t limit = base + STRETCH < s->limit ? base + STRETCH : s->limit;
    for (; s->a < s->a_end && j->added_indices[s->a] < limit; s->a++) {
        const int64_t c = j->added_indices[s->a] - base;
        from[c] = -1;
        set_bit(&born, c, 1);
    }
    uint64_t low = kept.low | born.low, high = kept.high | born.high;
    for (; (low | high) && s->out < s->out_end; s->out++) {
        const int in_low = low != 0;
        const uint64_t bits = in_low ? low : high, rest = bits & (bits - 1);
        const int c = __builtin_ctzll(bits) + (in_low ? 0 : 64);
        put_column(j->columns, index_bytes, s->out, (int32_t)first + c);
        j->source[s->out] = from[c];
        low = in_low ? rest : 0;
        high = in_low ? high : rest;
    }
    return ((kept.low & born.low) | (kept.high & born.high)) != 0;
}

static inline __attribute__((always_inline)) int
merge_segment(const job *j, int index_bytes, segment *s) {
    int clash = 0;
    for (;;) {
        int64_t next = INT64_MAX;
        if (s->k < s->k_end) next = get_column(j->w->columns, index_bytes, s->k);
        if (s->a < s->a_end && j->added_indices[s->a] < s->limit &&
            j->added_indices[s->a] - s->base < next)
            next = j->added_indices[s->a] - s->base;
        if (next == INT64_MAX) return clash;
        clash |= merge_stretch(j, index_bytes, next / STRETCH * STRETCH, s);
    }
}

static inline __attribute__((always_inline)) int
merge_rows(const job *j, int index_bytes, int64_t begin, int64_t end) {
    const snn_layout *w = j->w;
    int clash = 0;
    memcpy(j->cursor + begin, j->added_indptr + begin,
           (size_t)(end - begin) * sizeof *j->cursor);
    for (int64_t b = 0; b < w->n_blocks; b++) {
        const int32_t *old = w->indptr + b * w->n_rows;
        const int32_t *new = j->indptr + b * w->n_rows;
        const int64_t base = b * w->block_width;
        for (int64_t i = begin; i < end; i++) {
            segment s = {base, base + w->block_width, old[i], old[i + 1], j->cursor[i],
                         j->added_indptr[i + 1], new[i], new[i + 1]};
            clash |= merge_segment(j, index_bytes, &s);
            j->cursor[i] = (int32_t)s.a;
        }
    }
    return clash;
}

static inline int64_t first_row(const job *j, int64_t group) {
    return j->w->n_rows * group / j->groups;
}

static void count_task(void *context, int thread) {
    (void)thread;
    job *j = context;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;)
        count_rows(j, first_row(j, g), first_row(j, g + 1));
}

static void merge_task(void *context, int thread) {
    (void)thread;
    job *j = context;
    int clash = 0;
    for (int64_t g; (g = snn_next_unit(&j->taken, j->groups)) >= 0;) {
        const int64_t begin = first_row(j, g), end = first_row(j, g + 1);
        if (j->w->index_bytes == 1)
            clash |= merge_rows(j, 1, begin, end);
        else if (j->w->index_bytes == 2)
            clash |= merge_rows(j, 2, begin, end);
        else
            clash |= merge_rows(j, 4, begin, end);
    }
    if (clash) __atomic_store_n(&j->clash, 1, __ATOMIC_RELAXED);
}

int snn_layout_merge(const snn_layout *layout, const uint8_t *keep,
                     const int32_t *added_indptr, const int32_t *added_indices,
                     int64_t nnz_out, int32_t *restrict indptr_out, void *restrict columns_out,
                     int32_t *restrict source) {
    const int64_t n_rows = layout->n_rows, n_segments = n_rows * layout->n_blocks;
    job j = {.w = layout, .keep = keep, .added_indptr = added_indptr,
             .added_indices = added_indices, .indptr = indptr_out, .columns = columns_out,
             .source = source, .groups = (n_rows + ROWS_PER_GROUP - 1) / ROWS_PER_GROUP};
    j.cursor = snn_malloc(((size_t)n_rows + 1) * sizeof *j.cursor);
    if (!j.cursor) return SNN_NO_MEMORY;
    const int threads = snn_threads_for(
        SLOT_WEIGHT * ((double)layout->nnz + added_indptr[n_rows] + (double)n_segments));
    indptr_out[0] = 0;
    snn_parallel(threads, count_task, &j);
    for (int64_t s = 0; s < n_segments; s++) indptr_out[s + 1] += indptr_out[s];
    j.taken = 0;
    if (indptr_out[n_segments] == nnz_out)
        snn_parallel(threads, merge_task, &j);
    else
        j.clash = 1;
    snn_free(j.cursor);
    return j.clash ? SNN_BAD_ARGUMENT : SNN_OK;
}
