/* The taps of a sparse weight: where in an image each connection looks, for outputs and
 * for the gradient of the input. O(nnz), made anew for every product: for a line of
 * outputs each connection costs far more. */
#include "conv_taps.h"

#include "../structure/columns.h"

/* Space for taps; where their values and slots go, if they are moved; and two words per
 * column. */
static int make_room(taps *t, int64_t segments, int64_t nnz, int64_t n_cols, int values,
                     int slots, int32_t **indptr, int32_t **columns)
{
    const size_t words =
        (size_t)((slots ? 2 : 1) * nnz + segments + 1 + 2 * n_cols) * sizeof(int32_t);
    const size_t reals = values ? aligned_bytes(nnz) : 0;
    char *room = snn_malloc(reals + words + 1);
    if (!room)
        return SNN_NO_MEMORY;
    t->scratch = room;
    t->moved = values ? (real *)(void *)room : NULL;
    t->offsets = (int32_t *)(void *)(room + reals);
    *indptr = t->offsets + nnz;
    *columns = *indptr + segments + 1;
    t->slots = slots ? *columns + 2 * n_cols : NULL;
    return SNN_OK;
}

int SNN_REAL(snn_forward_taps)(const snn_conv *c, const snn_layout *w, const real *values,
                               const image *x, taps *t)
{
    const axis down = axis_of(c, 0), along = axis_of(c, 1);
    const int64_t each = c->channels / c->groups, rows = w->n_rows / c->groups;
    const int64_t phases = down.phases * along.phases;
    int32_t *indptr, *table;
    *t = (taps){.n_rows = w->n_rows, .n_blocks = w->n_blocks, .indptr = w->indptr,
                .values = values};
    if (make_room(t, 0, w->nnz, w->n_cols, 0, 0, &indptr, &table) != SNN_OK)
        return SNN_NO_MEMORY;
    int64_t column = 0;
    for (int64_t channel = 0; channel < each; channel++)
        for (int64_t i = 0; i < down.kernel; i++)
            for (int64_t j = 0; j < along.kernel; j++) {
                const int64_t phase = i % down.period * along.phases + j % along.period;
                table[column++] = (int32_t)((channel * phases + phase) * x->plane +
                                            tap_shift(&down, i) * x->width +
                                            tap_shift(&along, j));
            }
    for (int64_t block = 0; block < w->n_blocks; block++) {
        const int32_t *start = w->indptr + block * w->n_rows;
        const int32_t *local = table + block_start(w, block);
        for (int64_t i = 0; i < w->n_rows; i++) {
            const int32_t group = (int32_t)(i / rows * each * phases * x->plane);
            for (int64_t k = start[i]; k < start[i + 1]; k++)
                t->offsets[k] = group + local[get_column(w->columns, w->index_bytes, k)];
        }
    }
    return SNN_OK;
}

/* Output channels of a block: enough for some connections a row, few enough for their
 * lines to stay in a first-level cache. */
static int64_t channels_together(const snn_conv *c, const snn_layout *w, int64_t phases)
{
    enum { ENTRIES = 8, FEWEST = 8 };
    const int64_t rows = w->n_rows / c->groups, dx_rows = c->channels * phases;
    const int64_t wanted = (ENTRIES * dx_rows * rows + w->nnz - 1) / max64(w->nnz, 1);
    return max64(1, min64(rows, max64(wanted, FEWEST)));
}

int SNN_REAL(snn_backward_taps)(const snn_conv *c, const snn_layout *w, const real *values,
                                const image *dy, const int64_t *before, int want_slots,
                                taps *t)
{
    const axis down = axis_of(c, 0), along = axis_of(c, 1);
    const int64_t each = c->channels / c->groups, rows = w->n_rows / c->groups;
    const int64_t phases = down.phases * along.phases;
    const int64_t together = channels_together(c, w, phases);
    const int64_t n_rows = phases * c->channels, n_blocks = (rows - 1) / together + 1;
    int32_t *indptr, *to_row;
    *t = (taps){.n_rows = n_rows, .n_blocks = n_blocks};
    if (make_room(t, n_blocks * n_rows, w->nnz, w->n_cols, values != NULL, want_slots,
                  &indptr, &to_row) != SNN_OK)
        return SNN_NO_MEMORY;
    t->indptr = indptr;
    t->values = t->moved;
    int32_t *table = to_row + w->n_cols;
    int64_t column = 0;
    for (int64_t channel = 0; channel < each; channel++)
        for (int64_t i = 0; i < down.kernel; i++)
            for (int64_t j = 0; j < along.kernel; j++) {
                const int64_t vertical = i % down.period, horizontal = j % along.period;
                const int64_t row = phase_span(&down, vertical).first -
                                    tap_shift(&down, i) + before[0];
                const int64_t place = phase_span(&along, horizontal).first -
                                      tap_shift(&along, j) + before[1];
                to_row[column] = (int32_t)((vertical * along.phases + horizontal) *
                                               c->channels + channel);
                table[column++] = (int32_t)(row * dy->width + place);
            }

    /* A counting sort by (block of output channels, row). */
    memset(indptr, 0, (size_t)(n_blocks * n_rows + 1) * sizeof *indptr);
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t block = 0; block < w->n_blocks; block++) {
            const int32_t *start = w->indptr + block * w->n_rows;
            for (int64_t i = 0; i < w->n_rows; i++) {
                const int64_t group = i / rows, inside = i % rows;
                int32_t *segment = indptr + inside / together * n_rows + group * each;
                for (int64_t k = start[i]; k < start[i + 1]; k++) {
                    const int64_t j = block_start(w, block) +
                                      get_column(w->columns, w->index_bytes, k);
                    if (pass == 0) {
                        segment[to_row[j] + 1]++;
                        continue;
                    }
                    const int32_t at = segment[to_row[j]]++;
                    t->offsets[at] = (int32_t)(i * dy->plane) + table[j];
                    if (values)
                        t->moved[at] = values[k];
                    if (want_slots)
                        t->slots[at] = (int32_t)k;
                }
            }
        }
        if (pass == 0)
            for (int64_t s = 0; s < n_blocks * n_rows; s++)
                indptr[s + 1] += indptr[s];
    }
    /* indptr[s] served as the cursor of segment s and so ended one segment too far. */
    for (int64_t s = n_blocks * n_rows; s > 0; s--)
        indptr[s] = indptr[s - 1];
    indptr[0] = 0;
    return SNN_OK;
}
