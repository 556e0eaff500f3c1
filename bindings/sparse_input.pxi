# CSR batches in the first layer: the two structures that the products walk, and the
# products.


@cython.final
cdef class ColumnIndex:
    """The connections of a weight by column. Immutable.

    Parameters
    ----------
    layout : Layout or None
        Where the connections are; None for a full weight, which needs no arrays.
    shape : tuple of int, optional
        (n_rows, n_cols) of a full weight.
    transposed : bool
        The layout is that of the transpose, in one block: then the values are stored by
        column, and the layout itself is the index.
    """

    cdef snn_column_index c
    cdef readonly tuple shape
    cdef readonly object layout
    cdef readonly bint transposed
    cdef object start, rows, slots
    cdef cnp.ndarray empty

    def __cinit__(self, Layout layout=None, shape=None, bint transposed=False):
        if (layout is None) == (shape is None):
            raise ValueError("give a layout, or the shape of a full weight")
        self.layout = layout
        self.transposed = transposed
        self.shape = layout.shape if layout is not None else _shape(shape)
        if transposed:
            self.shape = self.shape[::-1]
        self.c.n_rows, self.c.n_cols = self.shape
        self.c.row_bytes = 4
        if layout is None:
            if <int64_t> self.c.n_rows * self.c.n_cols > _INT32_MAX:
                raise ValueError(
                    f"a full weight of shape {self.shape} has more than {_INT32_MAX} "
                    "connections"
                )
            return
        if transposed:
            if layout.c.n_blocks != (1 if self.c.n_rows else 0):
                raise ValueError(
                    f"the transposed layout has {layout.c.n_blocks} blocks, expected 1"
                )
            self.c.row_bytes = layout.c.index_bytes
            self.c.start = layout.c.indptr
            self.c.rows = layout.c.columns
            if layout.c.n_blocks == 0:  # no blocks, no row pointers but the first
                self.empty = np.zeros(<int64_t> self.c.n_cols + 1, np.int32)
                self.c.start = _int32_data(self.empty)
            return
        self.c.row_bytes = (
            1 if self.c.n_rows <= 1 << 8 else 2 if self.c.n_rows <= 1 << 16 else 4)
        cdef cnp.ndarray start = np.empty(<int64_t> layout.c.n_cols + 1, np.int32)
        cdef cnp.ndarray rows = np.empty(
            layout.c.nnz, _INDEX_DTYPES[self.c.row_bytes // 2])
        cdef cnp.ndarray slots = np.empty(layout.c.nnz, np.int32)
        with nogil:
            snn_index_columns(
                &layout.c, self.c.row_bytes, _int32_data(start),
                cnp.PyArray_DATA(rows), _int32_data(slots))
        self.start, self.rows, self.slots = start, rows, slots
        self.c.layout = &layout.c
        self.c.start = _int32_data(start)
        self.c.rows = cnp.PyArray_DATA(rows)
        self.c.slots = _int32_data(slots)

    @property
    def nnz(self):
        """Number of connections."""
        if self.layout is not None:
            return self.layout.nnz
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self):
        """Bytes of the arrays, those of the layout not counted."""
        if self.start is None:
            return 0
        return self.start.nbytes + self.rows.nbytes + self.slots.nbytes

    def __reduce__(self):
        shape = self.shape if self.layout is None else None
        return ColumnIndex, (self.layout, shape, self.transposed)


@cython.final
cdef class BatchColumns:
    """Where the nonzeros of a CSR batch are, by column. Immutable.

    Parameters
    ----------
    shape : tuple of int
        (batch, n_features).
    indptr : ndarray of int32, shape (batch + 1,)
        Sample b: the entries ``indptr[b] : indptr[b + 1]``.
    indices : ndarray of int32
        Features, in any order; one that a sample has twice counts twice.

    Attributes
    ----------
    columns : ndarray of int32
        The features that occur, ascending.
    start : ndarray of int32
        Nonzeros ``start[u] : start[u + 1]`` are of feature ``columns[u]``.
    samples, source : ndarray of int32, shape (nnz,)
        Sample of each nonzero, and its entry in the CSR arrays.

    Raises
    ------
    ValueError
        If the arrays are not CSR; says which entry.
    """

    cdef snn_batch_columns c
    cdef readonly tuple shape
    cdef readonly object columns, start, samples, source
    cdef object indptr, indices

    def __cinit__(self, shape, indptr, indices):
        self.shape = _shape(shape)
        # Copies are checked, not the arguments: nobody can change them meanwhile.
        cdef cnp.ndarray p = _int32s(indptr, "indptr").copy()
        cdef cnp.ndarray j = _int32s(indices, "indices").copy()
        cdef int32_t batch = self.shape[0], n_cols = self.shape[1], n_columns = 0
        if p.size != <int64_t> batch + 1:
            raise ValueError(
                f"indptr has length {p.size}, it must be batch + 1 = "
                f"{<int64_t> batch + 1}"
            )
        cdef int64_t at = 0, n_indices = j.size
        cdef int status
        with nogil:
            status = snn_batch_check(
                batch, n_cols, n_indices, _int32_data(p), _int32_data(j), &at)
        if status == SNN_INDPTR_END:
            raise ValueError(f"indptr ends at {p[at]}, there are {j.size} indices")
        if status != SNN_VALID:
            raise _violation(status, at, p, j, n_cols, "", "row")
        cdef int64_t nnz = p[batch]
        cdef cnp.ndarray columns = np.empty(nnz, np.int32)
        cdef cnp.ndarray start = np.empty(nnz + 1, np.int32)
        cdef cnp.ndarray samples = np.empty(nnz, np.int32)
        cdef cnp.ndarray source = np.empty(nnz, np.int32)
        with nogil:
            status = snn_sort_batch(
                batch, n_cols, _int32_data(p), _int32_data(j), _int32_data(columns),
                _int32_data(start), _int32_data(samples), _int32_data(source),
                &n_columns)
        if status != SNN_OK:
            raise MemoryError(f"no memory to sort a batch with {nnz} nonzeros")
        self.c.batch = batch
        self.c.n_columns = n_columns
        self.c.columns = _int32_data(columns)
        self.c.start = _int32_data(start)
        self.c.samples = _int32_data(samples)
        cdef bint ascends
        with nogil:
            ascends = snn_batch_ascends(batch, _int32_data(p), _int32_data(j))
        if ascends:
            self.indptr, self.indices = p, j
            self.c.indptr = _int32_data(p)
            self.c.indices = _int32_data(j)
            self.c.source = _int32_data(source)
        self.columns = _read_only(columns)[:n_columns]
        self.start = _read_only(start)[:n_columns + 1]
        self.samples = _read_only(samples)
        self.source = _read_only(source)

    @property
    def nnz(self):
        """Number of nonzeros."""
        return self.samples.size

    @property
    def nbytes(self):
        """Bytes of the arrays."""
        return sum(
            a.nbytes for a in (self.columns, self.start, self.samples, self.source))

    def __reduce__(self):
        raise TypeError("BatchColumns is not pickled, make it anew from the batch")


cdef object _same_features(ColumnIndex index, BatchColumns batch):
    if index.shape[1] != batch.shape[1]:
        raise ValueError(
            f"the batch has {batch.shape[1]} features, the weight of shape "
            f"{index.shape} takes {index.shape[1]}"
        )


def sparse_input(
    ColumnIndex index not None, values, BatchColumns batch not None, x, bias=None,
    int activation=0,
):
    """act(x Wᵀ + bias) for a CSR batch x, shape (batch, n_out).

    Parameters
    ----------
    index : ColumnIndex
        The connections of W (n_out, n_in) by column.
    values : ndarray (nnz,)
        float32 or float64, in the layout's order.
    batch : BatchColumns
        Where the nonzeros of x are.
    x : ndarray (batch.nnz,)
        Their values in the order of `batch`, same dtype.
    bias : ndarray (n_out,), optional
    activation : int
        0: identity, 1: ReLU.
    """
    _same_features(index, batch)
    values = _vector(values, "values", index.nnz, None, "the weight has nnz")
    dtype = values.dtype
    x = _vector(x, "x", batch.nnz, dtype, "the batch has nnz")
    if bias is not None:
        bias = _vector(bias, "bias", index.c.n_rows, dtype, "expected")
    if activation not in (0, 1):
        raise ValueError(f"activation is {activation}, expected 0 (none) or 1 (ReLU)")
    y = _empty(batch.c.batch, index.c.n_rows, dtype)
    cdef const void *v = cnp.PyArray_DATA(values)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *b = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef void *yp = cnp.PyArray_DATA(y)
    cdef const snn_column_index *w = &index.c
    cdef const snn_batch_columns *c = &batch.c
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_sparse_input_f32(
                w, c, <const float *>v, <const float *>xp, <const float *>b, activation,
                <float *>yp, c.batch)
        else:
            status = snn_sparse_input_f64(
                w, c, <const double *>v, <const double *>xp, <const double *>b,
                activation, <double *>yp, c.batch)
    _check_status(status)
    return y


def sparse_input_grad(ColumnIndex index not None, BatchColumns batch not None, x, dy):
    """The gradient of sparse_input for values, shape (nnz,).

    Zero where a column does not occur in the batch.

    Parameters
    ----------
    index : ColumnIndex
        The connections of W (n_out, n_in) by column.
    batch : BatchColumns
        Where the nonzeros of x are.
    x : ndarray (batch.nnz,)
        Their values in the order of `batch`, float32 or float64.
    dy : ndarray (batch, n_out)
        Same dtype, feature-major memory.
    """
    _same_features(index, batch)
    dy = _real_array(dy, "dy")
    dtype = dy.dtype
    _activations(dy, "dy", index.c.n_rows, dtype)
    if dy.shape[0] != batch.c.batch:
        raise ValueError(
            f"dy has shape {dy.shape}, the batch has {batch.c.batch} samples")
    x = _vector(x, "x", batch.nnz, dtype, "the batch has nnz")
    cdef int64_t lddy = _ld(dy)
    dvalues = _empty_1d(index.nnz, dtype)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef void *out = cnp.PyArray_DATA(dvalues)
    cdef const snn_column_index *w = &index.c
    cdef const snn_batch_columns *c = &batch.c
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_sparse_input_grad_f32(
                w, c, <const float *>xp, <const float *>dyp, lddy, <float *>out)
        else:
            status = snn_sparse_input_grad_f64(
                w, c, <const double *>xp, <const double *>dyp, lddy, <double *>out)
    _check_status(status)
    return dvalues


cdef object _stored(ColumnIndex index):
    if index.c.start == NULL or index.c.slots != NULL:
        raise ValueError("the values must be stored by column")


cdef cnp.ndarray _starts(ColumnIndex index, cnp.ndarray columns):
    """Where the connections of each column begin. The columns are nobody else's."""
    cdef cnp.ndarray start = np.empty(columns.size + 1, np.int32)
    cdef int64_t n = columns.size, status
    with nogil:
        status = snn_column_starts(
            &index.c, n, _int32_data(columns), _int32_data(start))
    if status < 0:
        raise ValueError(
            f"columns[{-1 - status}] = {columns[-1 - status]} of {n}: columns must "
            f"ascend and lie in 0..{index.c.n_cols - 1}"
        )
    return start


def column_starts(ColumnIndex index not None, columns):
    """Where each column's connections begin when only these columns are kept.

    Parameters
    ----------
    index : ColumnIndex
        Of values that are stored by column.
    columns : ndarray of int32
        Ascending.

    Returns
    -------
    ndarray of int32, shape (n_columns + 1,)
    """
    _stored(index)
    return _starts(index, _int32s(columns, "columns").copy())


def sparse_input_grad_columns(
    ColumnIndex index not None, BatchColumns batch not None, x, dy
):
    """The gradient of sparse_input for the columns that occur in the batch alone.

    As `sparse_input_grad`, for values that are stored by column.

    Returns
    -------
    start : ndarray of int32, shape (n_columns + 1,)
        That of ``batch.columns[u]`` is ``values[start[u] : start[u + 1]]``.
    values : ndarray, shape (start[-1],)
    """
    _stored(index)
    _same_features(index, batch)
    dy = _real_array(dy, "dy")
    dtype = dy.dtype
    _activations(dy, "dy", index.c.n_rows, dtype)
    if dy.shape[0] != batch.c.batch:
        raise ValueError(
            f"dy has shape {dy.shape}, the batch has {batch.c.batch} samples")
    x = _vector(x, "x", batch.nnz, dtype, "the batch has nnz")
    cdef int64_t lddy = _ld(dy)
    cdef cnp.ndarray start = _starts(index, batch.columns)
    dvalues = _empty_1d(_int32_data(start)[batch.c.n_columns], dtype)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef void *out = cnp.PyArray_DATA(dvalues)
    cdef const int32_t *to = _int32_data(start)
    cdef const snn_column_index *w = &index.c
    cdef const snn_batch_columns *c = &batch.c
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_sparse_input_grad_columns_f32(
                w, c, <const float *>xp, <const float *>dyp, lddy, to, <float *>out)
        else:
            status = snn_sparse_input_grad_columns_f64(
                w, c, <const double *>xp, <const double *>dyp, lddy, to, <double *>out)
    _check_status(status)
    return start, dvalues


def spread_columns(ColumnIndex index not None, columns, values, dense=None):
    """The array of all connections that has the given values in some columns.

    Parameters
    ----------
    index : ColumnIndex
        Of values that are stored by column.
    columns : ndarray of int32
        Ascending.
    values : ndarray
        Of their connections, column after column; float32 or float64.
    dense : ndarray (nnz,), optional
        Same dtype; the values are added to it in place. By default a new array is made,
        with zeros elsewhere.

    Returns
    -------
    ndarray (nnz,)
    """
    _stored(index)
    cdef cnp.ndarray which = _int32s(columns, "columns").copy()
    cdef cnp.ndarray start = _starts(index, which)
    cdef int64_t n = which.size
    values = _vector(values, "values", _int32_data(start)[n], None, "the columns have")
    cdef bint single = values.dtype == np.float32, add = dense is not None
    if add:
        dense = _vector(dense, "dense", index.nnz, values.dtype, "the weight has nnz")
        if not dense.flags.writeable:
            raise ValueError("dense is read-only, it is added to in place")
        _check_apart({"values": values, "dense": dense})
    else:
        dense = _empty_1d(index.nnz, values.dtype)
    cdef const void *v = cnp.PyArray_DATA(values)
    cdef void *out = cnp.PyArray_DATA(dense)
    cdef const int32_t *columns_p = _int32_data(which)
    cdef const int32_t *start_p = _int32_data(start)
    cdef const snn_column_index *w = &index.c
    with nogil:
        if single:
            snn_spread_columns_f32(
                w, n, columns_p, start_p, <const float *>v, add, <float *>out)
        else:
            snn_spread_columns_f64(
                w, n, columns_p, start_p, <const double *>v, add, <double *>out)
    return dense


cdef object _lazy(ColumnIndex index, values, momentum, last, power, int32_t now):
    """Checks what both passes of lazy SGD are given."""
    _stored(index)
    values = _vector(values, "values", index.nnz, None, "the weight has nnz")
    _in_place(values, "values", values, True)
    if momentum is not None:
        momentum = _in_place(momentum, "momentum", values, True)
    cdef cnp.ndarray seen = _int32s(last, "last")
    if seen.size != index.c.n_cols:
        raise ValueError(
            f"last has length {seen.size}, there are {index.c.n_cols} columns")
    if not seen.flags.writeable:
        raise ValueError("last is read-only, it is updated in place")
    cdef cnp.ndarray table = _plain_array(power, "power")
    if (
        table.dtype != np.float64 or not cnp.PyArray_ISCARRAY_RO(table)
        or table.ndim != 3 or now < 0 or table.shape[0] <= now
        or table.shape[1] != 2 or table.shape[2] != 2
    ):
        raise ValueError(
            f"power is {table.dtype} of shape {(<object> table).shape}, it must be "
            f"contiguous float64 of shape (more than now={now}, 2, 2)"
        )
    return values, momentum, seen, table


def lazy_catch_up(
    ColumnIndex index not None, values, momentum, last, power, int32_t now,
    columns=None,
):
    """Applies the steps that columns have not seen, in place.

    Parameters
    ----------
    index : ColumnIndex
        Of values that are stored by column.
    values : ndarray (nnz,)
        float32 or float64.
    momentum : ndarray (nnz,) or None
        Same dtype.
    last : ndarray of int32, shape (n_cols,)
        Steps that each column has seen, at most `now`; becomes `now`.
    power : ndarray of float64, shape (more than now, 2, 2)
        What steps a + 1 .. now do to (momentum, value), for every a.
    now : int
    columns : ndarray of int32, optional
        Ascending; by default all.
    """
    values, momentum, last, power = _lazy(index, values, momentum, last, power, now)
    _check_apart({"values": values, "momentum": momentum, "last": last})
    cdef cnp.ndarray which = None
    cdef int64_t n = index.c.n_cols
    cdef const int32_t *columns_p = NULL
    if columns is not None:
        which = _int32s(columns, "columns").copy()
        _starts(index, which)
        n = which.size
        columns_p = _int32_data(which)
    cdef void *v = cnp.PyArray_DATA(values)
    cdef void *m = NULL if momentum is None else cnp.PyArray_DATA(momentum)
    cdef int32_t *seen = _int32_data(last)
    cdef const double *p = <const double *> cnp.PyArray_DATA(power)
    cdef const snn_column_index *w = &index.c
    cdef bint single = values.dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_lazy_catch_up_f32(
                w, now, p, n, columns_p, seen, <float *>m, <float *>v)
        else:
            status = snn_lazy_catch_up_f64(
                w, now, p, n, columns_p, seen, <double *>m, <double *>v)
    _check_status(status)


def lazy_sgd(
    ColumnIndex index not None, values, momentum, last, power, int32_t now, columns,
    grad, double lr, double mu=0.0, double weight_decay=0.0, bint nesterov=False,
):
    """Step ``now + 1`` of `sgd` on the columns that have a gradient, in place.

    They are made current first. The other columns stay behind.

    Parameters
    ----------
    index, values, momentum, last, power, now
        As in `lazy_catch_up`.
    columns : ndarray of int32
        Ascending.
    grad : ndarray
        Of their connections, column after column.
    lr, mu, weight_decay, nesterov
        As in `sgd`.
    """
    values, momentum, last, power = _lazy(index, values, momentum, last, power, now)
    if momentum is None and mu != 0:
        raise ValueError(f"mu is {mu} and momentum is None, expected an array")
    cdef cnp.ndarray which = _int32s(columns, "columns").copy()
    cdef cnp.ndarray start = _starts(index, which)
    cdef int64_t n = which.size
    grad = _vector(
        grad, "grad", _int32_data(start)[n], values.dtype, "the columns have")
    _check_apart({"values": values, "momentum": momentum, "last": last, "grad": grad})
    cdef void *v = cnp.PyArray_DATA(values)
    cdef void *m = NULL if momentum is None else cnp.PyArray_DATA(momentum)
    cdef const void *g = cnp.PyArray_DATA(grad)
    cdef int32_t *seen = _int32_data(last)
    cdef const int32_t *columns_p = _int32_data(which)
    cdef const int32_t *start_p = _int32_data(start)
    cdef const double *p = <const double *> cnp.PyArray_DATA(power)
    cdef const snn_column_index *w = &index.c
    cdef bint single = values.dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_lazy_sgd_f32(
                w, now, p, n, columns_p, start_p, <float>lr, <float>mu,
                <float>weight_decay, nesterov, <const float *>g, seen, <float *>m,
                <float *>v)
        else:
            status = snn_lazy_sgd_f64(
                w, now, p, n, columns_p, start_p, lr, mu, weight_decay, nesterov,
                <const double *>g, seen, <double *>m, <double *>v)
    _check_status(status)
