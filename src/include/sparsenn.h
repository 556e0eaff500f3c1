/* sparsenn: kernels for weights that exist only where a connection exists.
 *
 * The one public header of the C core. It needs no Python, allocates only the scratch
 * that its drivers free again, and trusts its arguments: whoever calls it has checked
 * them (for Python that is bindings/).
 *
 * Words. W is a sparse (n_rows, n_cols) = (n_out, n_in) matrix: a layout (where its
 * nonzeros are) and a separate array of values in the layout's order, so that slot k of
 * the values is the connection at (row(k), column(k)). Activations are feature-major:
 * x[j * ldx + b] is feature j of sample b, with ldx >= batch.
 *
 * Same bits: every output element is summed by one thread in an order fixed by the
 * layout, so results do not depend on the number of threads.
 */
#ifndef SPARSENN_H
#define SPARSENN_H

#include <stddef.h>
#include <stdint.h>

#define SNN_API_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

/* Every function that can fail returns one of these. */
enum snn_status { SNN_OK = 0, SNN_NO_MEMORY = 1, SNN_BAD_ARGUMENT = 2, SNN_NEEDS_RANK = 3 };

enum snn_activation { SNN_IDENTITY = 0, SNN_RELU = 1 };

/* Where the nonzeros are: one CSR per block of `block_width` columns.
 *
 * Slots are ordered by (column block, row, column). The slots of row i in block b are
 * indptr[b * n_rows + i] .. indptr[b * n_rows + i + 1], and the column of slot k there
 * is b * block_width + columns[k], where columns holds index_bytes-wide unsigned (1, 2)
 * or signed (4) integers. One block (block_width >= n_cols) is plain CSR.
 */
typedef struct snn_layout {
    int32_t n_rows, n_cols;
    int32_t block_width;
    int32_t n_blocks;    /* ceil(n_cols / block_width), 0 if n_cols is 0 */
    int32_t index_bytes; /* 1, 2 or 4 */
    int32_t nnz;
    const int32_t *indptr; /* n_blocks * n_rows + 1 */
    const void *columns;   /* nnz */
} snn_layout;

/* The same positions by column, for the products that sum over rows.
 *
 * A tile is one column block of `chunk_rows` rows (the last has fewer). Its slots are
 * consecutive, and so are its entries, under the same numbers: sorted by column, then row.
 * The entries of column j of the matrix in chunk c begin at start[c * n_cols + j] and end
 * where those of the next column of the block do, or with the tile; rows holds the row of
 * each, counted from the chunk's first. Which slot an entry is follows from the order in
 * which the entries of its row come. */
typedef struct snn_column_order {
    int32_t chunk_rows;
    int32_t row_bytes;    /* 1, 2 (unsigned) or 4 (signed) */
    const int32_t *start; /* max(1, ceil(n_rows / chunk_rows)) * n_cols */
    const void *rows;     /* nnz */
} snn_column_order;

/* ------------------------------------------------------------------ run time */

/* Name of the instruction set in use ("x86_64_v4", "x86_64_v3", "baseline", "neon"): the
 * best usable one, else what the environment variable SPARSENN_ISA names. NULL if that is
 * not available; every product is then SNN_BAD_ARGUMENT until snn_set_isa. */
const char *snn_isa(void);
/* Instruction sets compiled in and usable here, best first; NULL past the last. */
const char *snn_isa_available(int index);
/* Switches to the named set; SNN_BAD_ARGUMENT if it is not available. Not while kernels
 * run. */
int snn_set_isa(const char *name);

/* Threads that the next product may use: the value set, else OMP_NUM_THREADS, else the
 * processors this process may run on, bounded by the cgroup's CPU quota. */
int snn_get_num_threads(void);
void snn_set_num_threads(int n); /* n < 1 restores the default */
/* One thread from here on: the threads of a parent process do not live in its fork. */
void snn_after_fork_in_child(void);
int snn_has_openmp(void);

/* 64-byte aligned memory, uninitialised; a limited amount of what is freed is kept for the
 * next call, so that a training step does not fetch the same pages again and again. */
void *snn_malloc(size_t size);
void snn_free(void *block);

/* ------------------------------------------------------------------ products */
/* For real = float (f32) and double (f64). All overwrite their outputs. */

#define SNN_DECLARE_PRODUCTS(real, suffix)                                                 \
    /* y = act(W x + bias): y[i] = act(bias[i] + sum_k v[k] x[col(k)]); bias may be NULL */ \
    int snn_spmm_##suffix(const snn_layout *w, int64_t batch, const real *values,          \
                          const real *bias, int activation, const real *x, int64_t ldx,    \
                          real *y, int64_t ldy);                                           \
    /* dx = W^T dy; the order may be NULL for one sample */                                \
    int snn_spmm_t_##suffix(const snn_layout *w, const snn_column_order *order,            \
                            int64_t batch, const real *values, const real *dy,             \
                            int64_t lddy, real *dx, int64_t lddx);                         \
    /* out[k] = sum_b a[row(k), b] * x[col(k), b] */                                       \
    int snn_sddmm_##suffix(const snn_layout *w, int64_t batch, const real *a, int64_t lda, \
                           const real *x, int64_t ldx, real *out);                         \
    /* dx = W^T dy and dvalues = sddmm(dy, x) in one pass, the same bits as the two */     \
    int snn_spmm_backward_##suffix(const snn_layout *w, const snn_column_order *order,     \
                                   int64_t batch, const real *values, const real *dy,      \
                                   int64_t lddy, const real *x, int64_t ldx, real *dx,     \
                                   int64_t lddx, real *dvalues);                           \
    /* dz = dy * act'(y), dbias[i] = sum_b dz[i, b]; dz may be dy, dbias may be NULL */     \
    int snn_activation_backward_##suffix(int64_t n_rows, int64_t batch, int activation,    \
                                         const real *y, int64_t ldy, const real *dy,       \
                                         int64_t lddy, real *dz, int64_t lddz,             \
                                         real *dbias);                                     \
    /* out = x Phi(x), or, unless dy is NULL, dy times its derivative; of n elements */    \
    int snn_gelu_##suffix(int64_t n, const real *x, const real *dy, real *out);             \
    /* y = (x - mean) / sqrt(var + eps) weight + bias over n features; without centre the   \
     * mean counts as 0. bias may be NULL. moments: room for 4 * batch. */                  \
    int snn_layer_norm_##suffix(int64_t n, int64_t batch, int centre, real eps,             \
                                const real *x, int64_t ldx, const real *weight,             \
                                const real *bias, real *moments, real *y, int64_t ldy);     \
    int snn_layer_norm_backward_##suffix(int64_t n, int64_t batch, int centre, real eps,    \
                                         const real *x, int64_t ldx, const real *weight,    \
                                         const real *dy, int64_t lddy, real *moments,       \
                                         real *dx, int64_t lddx, real *dweight,             \
                                         real *dbias);                                      \
    /* y = (x - mean) / sqrt(var + eps) weight + bias for channels of n >= 1 reals in one   \
     * piece, whose moments are written; and its derivatives, of which dx may be NULL */    \
    int snn_batch_norm_##suffix(int64_t channels, int64_t n, real eps, const real *x,       \
                                const real *weight, const real *bias, real *mean,           \
                                real *var, real *y);                                        \
    int snn_batch_norm_backward_##suffix(int64_t channels, int64_t n, real eps,             \
                                         const real *x, const real *weight,                 \
                                         const real *mean, const real *var, const real *dy, \
                                         real *dx, real *dweight, real *dbias);             \
    /* Optimiser steps over n values, in place. momentum may be NULL when mu is 0. */      \
    void snn_sgd_##suffix(int64_t n, real lr, real mu, real weight_decay, int nesterov,    \
                          const real *grad, real *momentum, real *values);                 \
    /* bias1 = 1 - beta1^t, bias2 = 1 - beta2^t; decoupled: AdamW's decay */               \
    void snn_adam_##suffix(int64_t n, real lr, real beta1, real beta2, real eps,           \
                           real weight_decay, int decoupled, real bias1, real bias2,       \
                           const real *grad, real *m, real *v, real *values);

SNN_DECLARE_PRODUCTS(float, f32)
SNN_DECLARE_PRODUCTS(double, f64)

/* Of the rows first_row .. first_row + n_rows of a dense matrix, the tile: the entries
 * outside the pattern whose magnitude is above the threshold, row by row. Magnitudes
 * replace the tile, columns has its size; counts[i] are in row i, *total in all. */
#define SNN_DECLARE_ABOVE(real, suffix)                                                    \
    int snn_above_outside_##suffix(const snn_layout *w, int64_t first_row, int64_t n_rows, \
                                   real threshold, real *tile, int32_t *columns,           \
                                   int32_t *counts, int64_t *total);

SNN_DECLARE_ABOVE(float, f32)
SNN_DECLARE_ABOVE(double, f64)

/* ------------------------------------------------------------------ random numbers */
/* Philox4x32-10 (Salmon et al. 2011), addressed by (seed, purpose, layer, step, element):
 * key = seed, counter = (element low, element high, step, purpose << 24 | layer). */

typedef struct snn_stream {
    uint64_t seed;
    uint32_t step;
    uint32_t purpose_layer; /* purpose << 24 | layer */
} snn_stream;

void snn_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Elements first .. first + n, or the n listed elements when `elements` is not NULL.
 * bits: word e % 4 of block e / 4. uniform in [0, 1): 53 (24 for f32) top bits of the
 * 64-bit word e % 2 of block e / 2. normal: Box-Muller on block e, in double. */
void snn_random_bits(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                     uint32_t *out);

/* How the weights of a layer are distributed, before they are scaled. */
enum snn_law { SNN_NORMAL = 0, SNN_UNIFORM = 1, SNN_CONSTANT = 2 };

#define SNN_DECLARE_RANDOM(real, suffix)                                                   \
    void snn_random_uniform_##suffix(const snn_stream *s, int64_t first,                   \
                                     const int64_t *elements, int64_t n, real *out);       \
    void snn_random_normal_##suffix(const snn_stream *s, int64_t first,                    \
                                    const int64_t *elements, int64_t n, real *out);        \
    /* normal z: z scale. uniform u: (2 u - 1) scale. constant: scale. Each operation is   \
     * rounded to real; magnitudes if absolute. */                                         \
    void snn_random_scaled_##suffix(const snn_stream *s, int law, real scale,              \
                                    int absolute, int64_t first, const int64_t *elements,  \
                                    int64_t n, real *out);                                 \
    /* A tile of a matrix of them: row i is elements first + i stride .. + n_cols, and     \
     * goes to out + i ldout. */                                                           \
    void snn_random_tile_##suffix(const snn_stream *s, int law, real scale, int absolute,  \
                                  int64_t first, int64_t stride, int64_t n_rows,           \
                                  int64_t n_cols, real *out, int64_t ldout);

SNN_DECLARE_RANDOM(float, f32)
SNN_DECLARE_RANDOM(double, f64)

/* ------------------------------------------------------------------ virtual weights */
/* What a score is made of: a value, its magnitude, or its negative. */
enum snn_score { SNN_VALUE = 0, SNN_MAGNITUDE = 1, SNN_NEGATIVE = 2 };

/* What flows through the magnitudes of a weight, and how much of it through each of the
 * connections that live: the score (g[i] |w|) x[j], in double. A pass first ends some
 * lives, then adds up, then searches; what is NULL is left out, but a NULL old_x or x is
 * all ones. */
typedef struct snn_flow {
    /* Those die whose score of old_g, old_x is below the threshold, or equal to it if
     * their rank i n_cols + j is above last_rank. */
    const double *old_g, *old_x;
    double threshold;
    int64_t last_rank;
    /* y[i] = sum_j |w| x[j]; z[j] = sum_i g[i] |w|; sums in an order fixed by who lives */
    const double *g, *x;
    double *y, *z;
    /* Of the scores of g, x: how many are above high, how many are 0, in all and in each
     * row; those in low .. high that are not, with their ranks, in no order, as many as
     * there is room for: found may be more; the sum of those below low in each row. */
    int search;
    double low, high;
    int64_t capacity;
    double *scores;
    int64_t *ranks;
    int32_t *zeros; /* n_rows, or NULL */
    double *below;  /* n_rows, or NULL */
    int64_t above, zero, found;
    int64_t live; /* connections */
} snn_flow;

#define SNN_DECLARE_VIRTUAL(real, suffix)                                                  \
    /* A full matrix of weights, none of them stored: position (i, j) is element           \
     * i n_cols + j of the stream, scaled as in snn_random_scaled. It is there if bit j    \
     * % 64 of mask[i words + j / 64] is set; mask NULL: all are. */                       \
    typedef struct snn_virtual_##suffix {                                                  \
        snn_stream stream;                                                                 \
        int law;                                                                           \
        real scale;                                                                        \
        int64_t n_rows, n_cols, words;                                                     \
        uint64_t *mask;                                                                    \
    } snn_virtual_##suffix;                                                                \
    /* Scores of a tile (n_rows, n_cols) whose first entry is at (row, column), a multiple \
     * of 64, of the weight: weight times tile, or the tile alone if w is NULL; and those  \
     * of them that are there and above the threshold, row by row. They replace the tile,  \
     * columns has its size, and counts from the tile's first; counts[i] are in row i,     \
     * *total in all. *finite: whether every score of the tile is. */                      \
    int snn_score_above_##suffix(const snn_virtual_##suffix *w, int kind, int64_t row,     \
                                 int64_t column, int64_t n_rows, int64_t n_cols,           \
                                 real threshold, real *tile, int32_t *columns,             \
                                 int32_t *counts, int64_t *total, int *finite);            \
    /* A pass over a virtual weight, whose mask says who lives. */                         \
    int snn_flow_##suffix(const snn_virtual_##suffix *w, snn_flow *f);                     \
    /* The same for connections that are listed: those of row i are columns and values     \
     * start[i] .. + live[i]; the living move together. */                                 \
    int snn_flow_listed_##suffix(int64_t n_rows, int64_t n_cols, const int64_t *start,     \
                                 int32_t *live, int32_t *columns, real *values,            \
                                 snn_flow *f);

SNN_DECLARE_VIRTUAL(float, f32)
SNN_DECLARE_VIRTUAL(double, f64)

/* columns = those of the set bits, row after row. */
void snn_mask_columns(int64_t n_rows, int64_t words, const uint64_t *mask,
                      int32_t *columns);

/* ------------------------------------------------------------------ structure */
/* Scalar work on patterns, O(nnz) in time and memory. CSR here is canonical: columns
 * sorted and unique within each row, int32 indptr and indices. */

/* What the first violation is and where. */
enum snn_violation {
    SNN_VALID = 0,
    SNN_INDPTR_START,  /* indptr[0] != 0 */
    SNN_INDPTR_ORDER,  /* indptr decreases at `at` */
    SNN_INDPTR_END,    /* indptr[last] != nnz */
    SNN_COLUMN_RANGE,  /* column of slot `at` is outside [0, n) */
    SNN_COLUMN_ORDER   /* column of slot `at` is not above its predecessor's in the row */
};
int snn_csr_check(int32_t n_rows, int32_t n_cols, int32_t nnz, const int32_t *indptr,
                  const int32_t *indices, int64_t *at);
int snn_layout_check(const snn_layout *layout, int64_t *at);

/* Canonical CSR -> layout storage. indptr_out (n_blocks * n_rows + 1), columns_out (nnz of
 * index_bytes), source (nnz, may be NULL): canonical index of each slot. */
int snn_csr_to_layout(int32_t n_rows, int32_t n_cols, const int32_t *indptr,
                      const int32_t *indices, int32_t block_width, int32_t index_bytes,
                      int32_t *indptr_out, void *columns_out, int32_t *source);
/* Layout -> canonical CSR; slot (nnz, may be NULL): the slot of each canonical entry. */
int snn_layout_to_csr(const snn_layout *layout, int32_t *indptr, int32_t *indices,
                      int32_t *slot);
/* Row and column of each slot, in storage order; either may be NULL. */
void snn_layout_positions(const snn_layout *layout, int32_t *rows, int32_t *cols);

/* The column order of a layout: how many rows a chunk should have, a pure function of its
 * sizes; and the order itself, start and rows, where chunk_rows - 1 fits in row_bytes.
 * SNN_NO_MEMORY if there is none for the sort. */
int32_t snn_column_order_chunk(const snn_layout *layout);
int snn_order_columns(const snn_layout *layout, int32_t chunk_rows, int32_t row_bytes,
                      int32_t *start, void *rows);
/* found[i] = whether (rows[i], cols[i]), which lie inside the matrix, is in the pattern. */
void snn_layout_find(const snn_layout *layout, int64_t n, const int32_t *rows,
                     const int32_t *cols, uint8_t *found);

/* CSR of the transpose; source[k]: index into the input of entry k of the output. */
int snn_csr_transpose(int32_t n_rows, int32_t n_cols, const int32_t *indptr,
                      const int32_t *indices, int32_t *indptr_t, int32_t *indices_t,
                      int32_t *source);

/* A layout of the same blocks with the slots that are kept and the entries of a CSR, which
 * must be disjoint from what is kept: SNN_BAD_ARGUMENT otherwise, the outputs are then of
 * no use. A CSR is itself a layout, of one block with four-byte columns. keep: nnz bytes,
 * 0 or 1. Outputs hold nnz_out = kept + added entries (SNN_BAD_ARGUMENT if that is not so);
 * source[k] is the old slot of a kept entry, or -1 for an added one. */
int snn_layout_merge(const snn_layout *layout, const uint8_t *keep,
                     const int32_t *added_indptr, const int32_t *added_indices,
                     int64_t nnz_out, int32_t *indptr_out, void *columns_out,
                     int32_t *source);

/* out[k] = in[source[k]], or *fill where source[k] is -1, for k < n; items of 1, 2, 4 or 8
 * bytes. SNN_BAD_ARGUMENT if a source is neither -1 nor below n_in. */
int snn_remap(int64_t n, int64_t n_in, int item_bytes, const int32_t *source,
              const void *in, const void *fill, void *out);

/* k distinct positions outside the pattern, uniform over all such sets, as CSR. keep: nnz
 * bytes, the slots that count as the pattern; NULL: all. SNN_BAD_ARGUMENT if fewer than k
 * are free. */
int snn_complement_sample(const snn_layout *layout, const uint8_t *keep, int32_t k,
                          const snn_stream *stream, int32_t *indptr_out,
                          int32_t *indices_out);

/* mask[i] = 1 for exactly k of n scores: the largest (or smallest), found by a
 * sample that brackets the last of them, never by sorting. Among equal scores the one with the lower rank wins;
 * rank may be NULL: index order, or, if `ranked`, SNN_NEEDS_RANK when scores tie for the
 * last places. SNN_BAD_ARGUMENT if a score is NaN; -0 equals 0. */
int snn_select_f32(int64_t n, const float *scores, int64_t k, int largest, int ranked,
                   const int64_t *rank, uint8_t *mask);
int snn_select_f64(int64_t n, const double *scores, int64_t k, int largest, int ranked,
                   const int64_t *rank, uint8_t *mask);

/* ------------------------------------------------------------------ sparse inputs */
/* A batch given as CSR meets the columns of W that occur in it, and no others. */

/* The connections of W by column: those of column j are the entries start[j] ..
 * start[j + 1], in the order of their rows; entry e is at row rows[e], in slots[e] of the
 * values. Three kinds:
 *   slots and layout given: an index of the values of that layout;
 *   both NULL: the values are stored by column, and entry e is slot e;
 *   start NULL too: W is full, row-major, and there are no arrays. */
typedef struct snn_column_index {
    int32_t n_rows, n_cols;
    int32_t row_bytes; /* 1, 2 (unsigned) or 4 (signed) */
    const snn_layout *layout;
    const int32_t *start; /* n_cols + 1 */
    const void *rows;     /* nnz */
    const int32_t *slots; /* nnz */
} snn_column_index;

/* A CSR batch by column: the nonzeros of columns[u] are start[u] .. start[u + 1], in the
 * order of their samples. Distinct columns ascend; an entry given twice counts twice.
 * The CSR itself comes along if the columns of each of its samples ascend: then nonzero k
 * is its entry source[k]. */
typedef struct snn_batch_columns {
    int32_t batch, n_columns;
    const int32_t *columns; /* n_columns */
    const int32_t *start;   /* n_columns + 1 */
    const int32_t *samples; /* nnz */
    const int32_t *indptr;  /* batch + 1; NULL if they do not ascend */
    const int32_t *indices, *source; /* nnz */
} snn_batch_columns;

/* start (n_cols + 1), rows and slots (nnz each) of a layout. O(nnz + n_cols). */
void snn_index_columns(const snn_layout *layout, int32_t row_bytes, int32_t *start,
                       void *rows, int32_t *slots);

/* Sorts a CSR batch by column: source[k] is the CSR entry of nonzero k. indptr and indices
 * are checked by the caller, sorted or not. columns and samples hold nnz entries, start
 * nnz + 1. SNN_NO_MEMORY if there is none for the sort. O(nnz), whatever n_cols. */
int snn_sort_batch(int32_t batch, int32_t n_cols, const int32_t *indptr,
                   const int32_t *indices, int32_t *columns, int32_t *start,
                   int32_t *samples, int32_t *source, int32_t *n_columns);

/* Whether the columns of each sample of a checked CSR batch ascend; equal ones may. */
int snn_batch_ascends(int32_t batch, const int32_t *indptr, const int32_t *indices);

/* start (n_columns + 1): where the connections of each column begin when only these columns
 * are kept, one after the other. The columns must ascend and exist: else -1 - u for the
 * first that does not, and start is not whole. Returns how many connections there are. */
int64_t snn_column_starts(const snn_column_index *w, int64_t n_columns,
                          const int32_t *columns, int32_t *start);

/* What is wrong with the arrays of a CSR batch: SNN_VALID, or the first violation. Columns
 * need no order, and there may be more indices than indptr[batch] says. */
int snn_batch_check(int32_t batch, int32_t n_cols, int64_t n_indices, const int32_t *indptr,
                    const int32_t *indices, int64_t *at);

#define SNN_DECLARE_SPARSE_INPUT(real, suffix)                                             \
    /* y = act(W x + bias), x the values of the batch's nonzeros; bias may be NULL */       \
    int snn_sparse_input_##suffix(const snn_column_index *w, const snn_batch_columns *b,   \
                                  const real *values, const real *x, const real *bias,     \
                                  int activation, real *y, int64_t ldy);                   \
    /* dvalues[k] = sum_b dy[row(k), b] x[col(k), b], 0 where the column does not occur */  \
    int snn_sparse_input_grad_##suffix(const snn_column_index *w,                          \
                                       const snn_batch_columns *b, const real *x,          \
                                       const real *dy, int64_t lddy, real *dvalues);       \
    /* The same for the columns that occur alone, values stored by column: dvalues of      \
     * columns[u] begin at start[u], see snn_column_starts. */                             \
    int snn_sparse_input_grad_columns_##suffix(const snn_column_index *w,                  \
                                               const snn_batch_columns *b, const real *x,  \
                                               const real *dy, int64_t lddy,               \
                                               const int32_t *start, real *dvalues);       \
    /* dense (nnz) = such values and zeros elsewhere, or += when add */                    \
    void snn_spread_columns_##suffix(const snn_column_index *w, int64_t n_columns,         \
                                     const int32_t *columns, const int32_t *start,         \
                                     const real *values, int add, real *dense);            \
    /* Lazy SGD on values stored by column. Steps are counted from one at which all        \
     * columns were current; column j has seen last[j] <= now of them, and                 \
     * power[4 a ..] is the 2 x 2 matrix that the steps a + 1 .. now apply to its          \
     * (momentum, value). momentum may be NULL. SNN_BAD_ARGUMENT, and nothing written,     \
     * if last is out of range. */                                                         \
    /* Makes the given columns (NULL: all) current. */                                     \
    int snn_lazy_catch_up_##suffix(const snn_column_index *w, int32_t now,                 \
                                   const double *power, int64_t n_columns,                 \
                                   const int32_t *columns, int32_t *last, real *momentum,  \
                                   real *values);                                          \
    /* Makes them current and takes step now + 1 with gradient grad[start[u]] .. */        \
    int snn_lazy_sgd_##suffix(const snn_column_index *w, int32_t now, const double *power, \
                              int64_t n_columns, const int32_t *columns,                   \
                              const int32_t *start, real lr, real mu, real weight_decay,   \
                              int nesterov, const real *grad, int32_t *last,               \
                              real *momentum, real *values);

SNN_DECLARE_SPARSE_INPUT(float, f32)
SNN_DECLARE_SPARSE_INPUT(double, f64)

/* ------------------------------------------------------------------ sparse activations */
/* Where a batch of activations counts: the active features of sample b are
 * features[start[b]] .. features[start[b + 1]], ascending. */
typedef struct snn_events {
    int32_t batch, n_features;
    const int32_t *start;    /* batch + 1 */
    const int32_t *features; /* start[batch] */
} snn_events;

#define SNN_DECLARE_EVENTS(real, suffix)                                                   \
    /* The k largest x[j, b] boost[j] of each sample, k <= n: features holds k a sample,    \
     * ascending. Among equals the lower feature wins, -0 equals 0, NaN is above all.       \
     * boost may be NULL. */                                                               \
    int snn_k_winners_##suffix(int64_t n, int64_t batch, int64_t k, const real *x,         \
                               int64_t ldx, const real *boost, int32_t *features);         \
    /* The features of one sample that are not zero (NaN is not), ascending; returns how     \
     * many. features has room for n. */                                                   \
    int64_t snn_nonzeros_##suffix(int64_t n, const real *x, int64_t ldx,                   \
                                  int32_t *features);                                      \
    /* y = x at the events, 0 elsewhere */                                                 \
    int snn_keep_##suffix(const snn_events *a, const real *x, int64_t ldx, real *y,        \
                          int64_t ldy);                                                    \
    /* y = act(W x + bias), x read at the events only; bias may be NULL. w is not full. */ \
    int snn_event_spmm_##suffix(const snn_column_index *w, const snn_events *a,            \
                                const real *values, const real *bias, int activation,      \
                                const real *x, int64_t ldx, real *y, int64_t ldy);         \
    /* dx = W^T dy at the events, 0 elsewhere; dvalues[k] = sum_b dy[row(k), b] x[col(k), b]\
     * over the events; dx and values, or x and dvalues, may be NULL. w is not full. */    \
    int snn_event_backward_##suffix(const snn_column_index *w, const snn_events *a,        \
                                    const real *values, const real *dy, int64_t lddy,      \
                                    const real *x, int64_t ldx, real *dx, int64_t lddx,    \
                                    real *dvalues);

SNN_DECLARE_EVENTS(float, f32)
SNN_DECLARE_EVENTS(double, f64)

/* ------------------------------------------------------------------ convolution ----
 *
 * Channels-first images with the samples fastest: x[channel][row][column][sample]. W has a
 * row for each output channel and the columns (channel in the group, tap row, tap column).
 */
typedef struct snn_conv {
    int64_t batch;
    int32_t channels; /* of x */
    int32_t groups;   /* divides channels and the rows of W */
    /* height and width; in one dimension the height is 1 */
    int32_t in[2], out[2], kernel[2], stride[2], pad[2], dilation[2];
} snn_conv;

#define SNN_DECLARE_CONV(real, suffix)                                                     \
    /* y = act(W * x + bias); bias may be NULL */                                          \
    int snn_conv_##suffix(const snn_conv *c, const snn_layout *w, const real *values,      \
                          const real *bias, int activation, const real *x, real *y);       \
    /* dx: the gradient of that for x, without activation; dvalues: for the values. One    \
     * of them may be NULL, and then so may values, or x. */                               \
    int snn_conv_backward_##suffix(const snn_conv *c, const snn_layout *w,                 \
                                   const real *values, const real *dy, const real *x,      \
                                   real *dx, real *dvalues);

SNN_DECLARE_CONV(float, f32)
SNN_DECLARE_CONV(double, f64)

#ifdef __cplusplus
}
#endif
#endif
