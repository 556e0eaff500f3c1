# The C interface of src/include/sparsenn.h.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "sparsenn.h" nogil:
    int SNN_OK
    int SNN_NO_MEMORY
    int SNN_BAD_ARGUMENT
    int SNN_NEEDS_RANK

    ctypedef struct snn_layout:
        int32_t n_rows
        int32_t n_cols
        int32_t block_width
        int32_t n_blocks
        int32_t index_bytes
        int32_t nnz
        const int32_t *indptr
        const void *columns

    ctypedef struct snn_column_order:
        int32_t chunk_rows
        int32_t row_bytes
        const int32_t *start
        const void *rows

    # run time
    const char *snn_isa()
    const char *snn_isa_available(int index)
    int snn_set_isa(const char *name)
    int snn_get_num_threads()
    void snn_set_num_threads(int n)
    void snn_after_fork_in_child()
    int snn_has_openmp()
    void *snn_malloc(size_t size)
    void snn_free(void *block)

    # products
    int snn_spmm_f32(
        const snn_layout *w, int64_t batch, const float *values, const float *bias,
        int activation, const float *x, int64_t ldx, float *y, int64_t ldy)
    int snn_spmm_f64(
        const snn_layout *w, int64_t batch, const double *values, const double *bias,
        int activation, const double *x, int64_t ldx, double *y, int64_t ldy)
    int snn_spmm_t_f32(
        const snn_layout *w, const snn_column_order *order, int64_t batch,
        const float *values, const float *dy, int64_t lddy, float *dx, int64_t lddx)
    int snn_spmm_t_f64(
        const snn_layout *w, const snn_column_order *order, int64_t batch,
        const double *values, const double *dy, int64_t lddy, double *dx, int64_t lddx)
    int snn_sddmm_f32(
        const snn_layout *w, int64_t batch, const float *a, int64_t lda,
        const float *x, int64_t ldx, float *out)
    int snn_sddmm_f64(
        const snn_layout *w, int64_t batch, const double *a, int64_t lda,
        const double *x, int64_t ldx, double *out)
    int snn_spmm_backward_f32(
        const snn_layout *w, const snn_column_order *order, int64_t batch,
        const float *values, const float *dy, int64_t lddy, const float *x, int64_t ldx,
        float *dx, int64_t lddx, float *dvalues)
    int snn_spmm_backward_f64(
        const snn_layout *w, const snn_column_order *order, int64_t batch,
        const double *values, const double *dy, int64_t lddy, const double *x,
        int64_t ldx, double *dx, int64_t lddx, double *dvalues)
    int snn_activation_backward_f32(
        int64_t n_rows, int64_t batch, int activation, const float *y, int64_t ldy,
        const float *dy, int64_t lddy, float *dz, int64_t lddz, float *dbias)
    int snn_activation_backward_f64(
        int64_t n_rows, int64_t batch, int activation, const double *y, int64_t ldy,
        const double *dy, int64_t lddy, double *dz, int64_t lddz, double *dbias)
    int snn_gelu_f32(int64_t n, const float *x, const float *dy, float *out)
    int snn_layer_norm_f32(
        int64_t n, int64_t batch, int centre, float eps, const float *x, int64_t ldx,
        const float *weight, const float *bias, float *moments, float *y,
        int64_t ldy)
    int snn_layer_norm_backward_f32(
        int64_t n, int64_t batch, int centre, float eps, const float *x, int64_t ldx,
        const float *weight, const float *dy, int64_t lddy, float *moments,
        float *dx, int64_t lddx, float *dweight, float *dbias)
    int snn_gelu_f64(int64_t n, const double *x, const double *dy, double *out)
    int snn_layer_norm_f64(
        int64_t n, int64_t batch, int centre, double eps, const double *x, int64_t ldx,
        const double *weight, const double *bias, double *moments, double *y,
        int64_t ldy)
    int snn_layer_norm_backward_f64(
        int64_t n, int64_t batch, int centre, double eps, const double *x, int64_t ldx,
        const double *weight, const double *dy, int64_t lddy, double *moments,
        double *dx, int64_t lddx, double *dweight, double *dbias)
    int snn_batch_norm_f32(
        int64_t channels, int64_t n, float eps, const float *x, const float *weight,
        const float *bias, float *mean, float *var, float *y)
    int snn_batch_norm_backward_f32(
        int64_t channels, int64_t n, float eps, const float *x, const float *weight,
        const float *mean, const float *var, const float *dy, float *dx, float *dweight,
        float *dbias)
    int snn_batch_norm_f64(
        int64_t channels, int64_t n, double eps, const double *x, const double *weight,
        const double *bias, double *mean, double *var, double *y)
    int snn_batch_norm_backward_f64(
        int64_t channels, int64_t n, double eps, const double *x, const double *weight,
        const double *mean, const double *var, const double *dy, double *dx,
        double *dweight, double *dbias)
    void snn_sgd_f32(
        int64_t n, float lr, float mu, float weight_decay, int nesterov,
        const float *grad, float *momentum, float *values)
    void snn_sgd_f64(
        int64_t n, double lr, double mu, double weight_decay, int nesterov,
        const double *grad, double *momentum, double *values)
    void snn_adam_f32(
        int64_t n, float lr, float beta1, float beta2, float eps, float weight_decay,
        int decoupled, float bias1, float bias2, const float *grad, float *m, float *v,
        float *values)
    void snn_adam_f64(
        int64_t n, double lr, double beta1, double beta2, double eps,
        double weight_decay, int decoupled, double bias1, double bias2,
        const double *grad, double *m, double *v, double *values)

    int snn_above_outside_f32(
        const snn_layout *w, int64_t first_row, int64_t n_rows, float threshold,
        float *tile, int32_t *columns, int32_t *counts, int64_t *total)
    int snn_above_outside_f64(
        const snn_layout *w, int64_t first_row, int64_t n_rows, double threshold,
        double *tile, int32_t *columns, int32_t *counts, int64_t *total)

    # random numbers
    ctypedef struct snn_stream:
        uint64_t seed
        uint32_t step
        uint32_t purpose_layer

    void snn_philox4x32(const uint32_t *counter, const uint32_t *key, uint32_t *out)
    void snn_random_bits(
        const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
        uint32_t *out)
    int SNN_NORMAL
    int SNN_UNIFORM
    int SNN_CONSTANT

    void snn_random_uniform_f32(
        const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
        float *out)
    void snn_random_uniform_f64(
        const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
        double *out)
    void snn_random_normal_f32(
        const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
        float *out)
    void snn_random_normal_f64(
        const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
        double *out)
    void snn_random_scaled_f32(
        const snn_stream *s, int law, float scale, int absolute, int64_t first,
        const int64_t *elements, int64_t n, float *out)
    void snn_random_scaled_f64(
        const snn_stream *s, int law, double scale, int absolute, int64_t first,
        const int64_t *elements, int64_t n, double *out)
    void snn_random_tile_f32(
        const snn_stream *s, int law, float scale, int absolute, int64_t first,
        int64_t stride, int64_t n_rows, int64_t n_cols, float *out, int64_t ldout)
    void snn_random_tile_f64(
        const snn_stream *s, int law, double scale, int absolute, int64_t first,
        int64_t stride, int64_t n_rows, int64_t n_cols, double *out, int64_t ldout)

    # virtual weights
    int SNN_VALUE
    int SNN_MAGNITUDE
    int SNN_NEGATIVE

    ctypedef struct snn_virtual_f32:
        snn_stream stream
        int law
        float scale
        int64_t n_rows
        int64_t n_cols
        int64_t words
        uint64_t *mask

    ctypedef struct snn_virtual_f64:
        snn_stream stream
        int law
        double scale
        int64_t n_rows
        int64_t n_cols
        int64_t words
        uint64_t *mask

    int snn_score_above_f32(
        const snn_virtual_f32 *w, int kind, int64_t row, int64_t column,
        int64_t n_rows, int64_t n_cols, float threshold, float *tile,
        int32_t *columns, int32_t *counts, int64_t *total, int *finite)
    int snn_score_above_f64(
        const snn_virtual_f64 *w, int kind, int64_t row, int64_t column,
        int64_t n_rows, int64_t n_cols, double threshold, double *tile,
        int32_t *columns, int32_t *counts, int64_t *total, int *finite)

    ctypedef struct snn_flow_pass "snn_flow":
        const double *old_g
        const double *old_x
        double threshold
        int64_t last_rank
        const double *g
        const double *x
        double *y
        double *z
        int search
        double low
        double high
        int64_t capacity
        double *scores
        int64_t *ranks
        int32_t *zeros
        double *below
        int64_t above
        int64_t zero
        int64_t found
        int64_t live

    int snn_flow_f32(const snn_virtual_f32 *w, snn_flow_pass *f)
    int snn_flow_f64(const snn_virtual_f64 *w, snn_flow_pass *f)
    int snn_flow_listed_f32(
        int64_t n_rows, int64_t n_cols, const int64_t *start, int32_t *live,
        int32_t *columns, float *values, snn_flow_pass *f)
    int snn_flow_listed_f64(
        int64_t n_rows, int64_t n_cols, const int64_t *start, int32_t *live,
        int32_t *columns, double *values, snn_flow_pass *f)
    void snn_mask_columns(
        int64_t n_rows, int64_t words, const uint64_t *mask, int32_t *columns)

    # structure
    int SNN_VALID
    int SNN_INDPTR_START
    int SNN_INDPTR_ORDER
    int SNN_INDPTR_END
    int SNN_COLUMN_RANGE
    int SNN_COLUMN_ORDER

    int snn_csr_check(
        int32_t n_rows, int32_t n_cols, int32_t nnz, const int32_t *indptr,
        const int32_t *indices, int64_t *at)
    int snn_layout_check(const snn_layout *layout, int64_t *at)
    int snn_csr_to_layout(
        int32_t n_rows, int32_t n_cols, const int32_t *indptr, const int32_t *indices,
        int32_t block_width, int32_t index_bytes, int32_t *indptr_out,
        void *columns_out, int32_t *source)
    int snn_layout_to_csr(
        const snn_layout *layout, int32_t *indptr, int32_t *indices, int32_t *slot)
    void snn_layout_find(
        const snn_layout *layout, int64_t n, const int32_t *rows, const int32_t *cols,
        uint8_t *found)
    void snn_layout_positions(const snn_layout *layout, int32_t *rows, int32_t *cols)
    int32_t snn_column_order_chunk(const snn_layout *layout)
    int snn_order_columns(
        const snn_layout *layout, int32_t chunk_rows, int32_t row_bytes,
        int32_t *start, void *rows)
    int snn_csr_transpose(
        int32_t n_rows, int32_t n_cols, const int32_t *indptr, const int32_t *indices,
        int32_t *indptr_t, int32_t *indices_t, int32_t *source)
    int snn_layout_merge(
        const snn_layout *layout, const uint8_t *keep, const int32_t *added_indptr,
        const int32_t *added_indices, int64_t nnz_out, int32_t *indptr_out,
        void *columns_out, int32_t *source)
    int snn_remap(
        int64_t n, int64_t n_in, int item_bytes, const int32_t *source,
        const void *array, const void *fill, void *out)
    int snn_complement_sample(
        const snn_layout *layout, const uint8_t *keep, int32_t k,
        const snn_stream *stream, int32_t *indptr_out, int32_t *indices_out)
    int snn_select_f32(
        int64_t n, const float *scores, int64_t k, int largest, int ranked,
        const int64_t *rank, uint8_t *mask)
    int snn_select_f64(
        int64_t n, const double *scores, int64_t k, int largest, int ranked,
        const int64_t *rank, uint8_t *mask)

    # sparse inputs
    ctypedef struct snn_column_index:
        int32_t n_rows
        int32_t n_cols
        int32_t row_bytes
        const snn_layout *layout
        const int32_t *start
        const void *rows
        const int32_t *slots

    ctypedef struct snn_batch_columns:
        int32_t batch
        int32_t n_columns
        const int32_t *columns
        const int32_t *start
        const int32_t *samples
        const int32_t *indptr
        const int32_t *indices
        const int32_t *source

    int snn_batch_ascends(
        int32_t batch, const int32_t *indptr, const int32_t *indices)
    void snn_index_columns(
        const snn_layout *layout, int32_t row_bytes, int32_t *start, void *rows,
        int32_t *slots)
    int snn_sort_batch(
        int32_t batch, int32_t n_cols, const int32_t *indptr, const int32_t *indices,
        int32_t *columns, int32_t *start, int32_t *samples, int32_t *source,
        int32_t *n_columns)
    int snn_batch_check(
        int32_t batch, int32_t n_cols, int64_t n_indices, const int32_t *indptr,
        const int32_t *indices, int64_t *at)
    int64_t snn_column_starts(
        const snn_column_index *w, int64_t n_columns, const int32_t *columns,
        int32_t *start)
    int snn_sparse_input_f32(
        const snn_column_index *w, const snn_batch_columns *b, const float *values,
        const float *x, const float *bias, int activation, float *y, int64_t ldy)
    int snn_sparse_input_f64(
        const snn_column_index *w, const snn_batch_columns *b, const double *values,
        const double *x, const double *bias, int activation, double *y, int64_t ldy)
    int snn_sparse_input_grad_f32(
        const snn_column_index *w, const snn_batch_columns *b, const float *x,
        const float *dy, int64_t lddy, float *dvalues)
    int snn_sparse_input_grad_f64(
        const snn_column_index *w, const snn_batch_columns *b, const double *x,
        const double *dy, int64_t lddy, double *dvalues)
    int snn_sparse_input_grad_columns_f32(
        const snn_column_index *w, const snn_batch_columns *b, const float *x,
        const float *dy, int64_t lddy, const int32_t *start, float *dvalues)
    int snn_lazy_catch_up_f32(
        const snn_column_index *w, int32_t now, const double *power, int64_t n_columns,
        const int32_t *columns, int32_t *last, float *momentum, float *values)
    int snn_lazy_sgd_f32(
        const snn_column_index *w, int32_t now, const double *power, int64_t n_columns,
        const int32_t *columns, const int32_t *start, float lr, float mu,
        float weight_decay, int nesterov, const float *grad, int32_t *last,
        float *momentum, float *values)
    int snn_sparse_input_grad_columns_f64(
        const snn_column_index *w, const snn_batch_columns *b, const double *x,
        const double *dy, int64_t lddy, const int32_t *start, double *dvalues)
    int snn_lazy_catch_up_f64(
        const snn_column_index *w, int32_t now, const double *power, int64_t n_columns,
        const int32_t *columns, int32_t *last, double *momentum, double *values)
    int snn_lazy_sgd_f64(
        const snn_column_index *w, int32_t now, const double *power, int64_t n_columns,
        const int32_t *columns, const int32_t *start, double lr, double mu,
        double weight_decay, int nesterov, const double *grad, int32_t *last,
        double *momentum, double *values)
    void snn_spread_columns_f32(
        const snn_column_index *w, int64_t n_columns, const int32_t *columns,
        const int32_t *start, const float *values, int add, float *dense)
    void snn_spread_columns_f64(
        const snn_column_index *w, int64_t n_columns, const int32_t *columns,
        const int32_t *start, const double *values, int add, double *dense)

    # sparse activations
    ctypedef struct snn_events:
        int32_t batch
        int32_t n_features
        const int32_t *start
        const int32_t *features

    int snn_k_winners_f32(
        int64_t n, int64_t batch, int64_t k, const float *x, int64_t ldx,
        const float *boost, int32_t *features)
    int snn_k_winners_f64(
        int64_t n, int64_t batch, int64_t k, const double *x, int64_t ldx,
        const double *boost, int32_t *features)
    int64_t snn_nonzeros_f32(
        int64_t n, const float *x, int64_t ldx, int32_t *features)
    int64_t snn_nonzeros_f64(
        int64_t n, const double *x, int64_t ldx, int32_t *features)
    int snn_keep_f32(
        const snn_events *a, const float *x, int64_t ldx, float *y, int64_t ldy)
    int snn_keep_f64(
        const snn_events *a, const double *x, int64_t ldx, double *y, int64_t ldy)
    int snn_event_spmm_f32(
        const snn_column_index *w, const snn_events *a, const float *values,
        const float *bias, int activation, const float *x, int64_t ldx, float *y,
        int64_t ldy)
    int snn_event_spmm_f64(
        const snn_column_index *w, const snn_events *a, const double *values,
        const double *bias, int activation, const double *x, int64_t ldx, double *y,
        int64_t ldy)
    int snn_event_backward_f32(
        const snn_column_index *w, const snn_events *a, const float *values,
        const float *dy, int64_t lddy, const float *x, int64_t ldx, float *dx,
        int64_t lddx, float *dvalues)
    int snn_event_backward_f64(
        const snn_column_index *w, const snn_events *a, const double *values,
        const double *dy, int64_t lddy, const double *x, int64_t ldx, double *dx,
        int64_t lddx, double *dvalues)

    ctypedef struct snn_conv_shape "snn_conv":
        int64_t batch
        int32_t channels
        int32_t groups
        int32_t[2] in_ "in"
        int32_t[2] out
        int32_t[2] kernel
        int32_t[2] stride
        int32_t[2] pad
        int32_t[2] dilation

    int snn_conv_f32(
        const snn_conv_shape *c, const snn_layout *w, const float *values,
        const float *bias, int activation, const float *x, float *y)
    int snn_conv_f64(
        const snn_conv_shape *c, const snn_layout *w, const double *values,
        const double *bias, int activation, const double *x, double *y)
    int snn_conv_backward_f32(
        const snn_conv_shape *c, const snn_layout *w, const float *values,
        const float *dy, const float *x, float *dx, float *dvalues)
    int snn_conv_backward_f64(
        const snn_conv_shape *c, const snn_layout *w, const double *values,
        const double *dy, const double *x, double *dx, double *dvalues)
