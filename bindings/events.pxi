# Sparse activations: which activations of a batch count, and their products with
# weights. A product of one sample may take less than 5 us, so the usual arguments are
# checked without asking Python anything; what is unusual goes to checks that explain.


cdef inline bint _plain(object a, int type_number, int n_axes) noexcept:
    """An aligned, native ndarray of that type."""
    return (
        cnp.PyArray_CheckExact(a)
        and cnp.PyArray_TYPE(<cnp.ndarray> a) == type_number
        and cnp.PyArray_NDIM(<cnp.ndarray> a) == n_axes
        and cnp.PyArray_ISALIGNED(<cnp.ndarray> a)
        and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray> a)
    )


cdef inline object _reals(
    object a, str name, Py_ssize_t n, int type_number, object dtype, str of
):
    """`_vector` of that type."""
    if (
        _plain(a, type_number, 1)
        and cnp.PyArray_DIM(<cnp.ndarray> a, 0) == n
        and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray> a)
    ):
        return a
    return _vector(a, name, n, dtype, of)


cdef inline object _batch_of(
    object a, str name, Py_ssize_t batch, Py_ssize_t n, int type_number, object dtype,
    int64_t *ld
):
    """`_activations` of that many samples; their leading dimension."""
    if (
        _plain(a, type_number, 2)
        and cnp.PyArray_DIM(<cnp.ndarray> a, 0) == batch
        and cnp.PyArray_DIM(<cnp.ndarray> a, 1) == n
        and cnp.PyArray_IS_F_CONTIGUOUS(<cnp.ndarray> a)
    ):
        ld[0] = batch if batch else 1
        return a
    a = _activations(a, name, n, dtype)
    if a.shape[0] != batch:
        raise ValueError(f"{name} has shape {a.shape}, there are {batch} samples")
    ld[0] = _ld(a)
    return a


cdef object _feature_major(Py_ssize_t batch, Py_ssize_t n, int type_number):
    """Uninitialised (batch, n)."""
    cdef cnp.npy_intp[2] shape = [batch, n]
    cdef Py_ssize_t item = 4 if type_number == cnp.NPY_FLOAT32 else 8
    cdef cnp.npy_intp[2] strides = [item, item * batch]
    cdef _Memory memory = _Memory.__new__(_Memory)
    memory.block = snn_malloc(batch * n * item)
    if memory.block is NULL:
        raise MemoryError(f"no memory for an array of {batch * n * item} bytes")
    array = cnp.PyArray_New(
        np.ndarray, 2, shape, type_number, strides, memory.block, 0,
        cnp.NPY_ARRAY_WRITEABLE | cnp.NPY_ARRAY_ALIGNED, <object> NULL)
    cnp.set_array_base(array, memory)
    return array


@cython.final
cdef class Events:
    """The activations of a batch that count: for each sample, some of its features.

    Immutable; the arrays are copied.

    Parameters
    ----------
    shape : tuple of int
        (batch, n_features).
    start : ndarray of int32, shape (batch + 1,)
        Sample b: the entries ``start[b] : start[b + 1]`` of features.
    features : ndarray of int32
        Strictly increasing within each sample.

    Raises
    ------
    ValueError
        If the arrays do not say that; says which entry.
    """

    cdef snn_events c
    cdef readonly tuple shape
    cdef readonly object start, features

    def __init__(self, shape, start, features):
        if self.start is not None:
            raise TypeError("Events are immutable, make new ones")
        shape = _shape(shape)
        p, j = _int32s(start, "start").copy(), _int32s(features, "features").copy()
        _check_csr(shape, p, j)
        _set_events(self, shape, p, j)

    def __cinit__(self, *args, **kwargs):
        self.shape = (0, 0)
        self.c.start = &_NO_ROWS
        self.c.features = &_NO_ROWS

    @property
    def count(self):
        """Number of events."""
        return self.c.start[self.c.batch]

    @property
    def nbytes(self):
        """Bytes of the arrays."""
        return self.start.nbytes + self.features.nbytes

    def __repr__(self):
        return f"Events(shape={self.shape}, count={self.count})"

    def __reduce__(self):
        return Events, (self.shape, self.start, self.features)


cdef object _set_events(Events self, tuple shape, cnp.ndarray p, cnp.ndarray j):
    if self.start is not None:  # another thread was first
        raise TypeError("Events are immutable, make new ones")
    self.shape = shape
    self.c.batch = shape[0]
    self.c.n_features = shape[1]
    self.c.start = _int32_data(p)
    self.c.features = _int32_data(j)
    cnp.PyArray_CLEARFLAGS(p, cnp.NPY_ARRAY_WRITEABLE)
    cnp.PyArray_CLEARFLAGS(j, cnp.NPY_ARRAY_WRITEABLE)
    self.start = p.view()  # cannot be made writeable, its owner being read-only
    self.features = j.view()


cdef int _real_type(object a, str name) except -1:
    """Type number of an array of float32 or float64."""
    if cnp.PyArray_CheckExact(a):
        number = cnp.PyArray_TYPE(<cnp.ndarray> a)
        if number == cnp.NPY_FLOAT32 or number == cnp.NPY_FLOAT64:
            return number
    return _real_array(a, name).dtype.num


cdef inline object _dtype(int type_number):
    return np.dtype(np.float32 if type_number == cnp.NPY_FLOAT32 else np.float64)


def k_winners(x, Py_ssize_t k, boost=None):
    """The k features of each sample with the largest x * boost, as Events.

    Among equal scores the lower feature wins; -0 equals 0, NaN is above all.

    Parameters
    ----------
    x : ndarray (batch, n)
        float32 or float64, feature-major memory.
    k : int
        0 <= k <= n.
    boost : ndarray (n,), optional
        Same dtype.
    """
    cdef int number = _real_type(x, "x")
    dtype = _dtype(number)
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}, expected (batch, n)")
    cdef int32_t batch = _dimension(x.shape[0], "batch")
    cdef int32_t n = _dimension(x.shape[1], "n")
    cdef int64_t ldx = 0
    x = _batch_of(x, "x", batch, n, number, dtype, &ldx)
    if not 0 <= k <= n:
        raise ValueError(f"k is {k}, there are 0..{n} features to choose from")
    if <int64_t> batch * k > _INT32_MAX:
        raise ValueError(f"{batch} samples of {k} winners are more than {_INT32_MAX}")
    if boost is not None:
        boost = _reals(boost, "boost", n, number, dtype, "expected")
    cdef cnp.npy_intp size = batch + 1, total = batch * k
    cdef cnp.ndarray start = cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT32, 0)
    cdef cnp.ndarray features = cnp.PyArray_EMPTY(1, &total, cnp.NPY_INT32, 0)
    cdef int32_t *starts = _int32_data(start)
    cdef int32_t *found = _int32_data(features)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *bp = NULL if boost is None else cnp.PyArray_DATA(boost)
    cdef int status
    cdef int64_t b
    with nogil:
        for b in range(batch + 1):
            starts[b] = <int32_t> (b * k)
        if number == cnp.NPY_FLOAT32:
            status = snn_k_winners_f32(
                n, batch, k, <const float *>xp, ldx, <const float *>bp, found)
        else:
            status = snn_k_winners_f64(
                n, batch, k, <const double *>xp, ldx, <const double *>bp, found)
    _check_status(status)
    cdef Events events = Events.__new__(Events)
    _set_events(events, (batch, n), start, features)
    return events


def nonzeros(x):
    """The features of one sample that are not zero, as Events.

    Parameters
    ----------
    x : ndarray (1, n)
        float32 or float64, feature-major memory.
    """
    cdef int number = _real_type(x, "x")
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}, expected (1, n)")
    cdef int32_t n = _dimension(x.shape[1], "n")
    cdef int64_t ldx = 0, count
    x = _batch_of(x, "x", 1, n, number, _dtype(number), &ldx)
    cdef cnp.npy_intp size = 2, room = n
    cdef cnp.ndarray start = cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT32, 0)
    cdef cnp.ndarray features = cnp.PyArray_EMPTY(1, &room, cnp.NPY_INT32, 0)
    cdef int32_t *found = _int32_data(features)
    cdef const void *xp = cnp.PyArray_DATA(x)
    with nogil:
        if number == cnp.NPY_FLOAT32:
            count = snn_nonzeros_f32(n, <const float *>xp, ldx, found)
        else:
            count = snn_nonzeros_f64(n, <const double *>xp, ldx, found)
    _int32_data(start)[0] = 0
    _int32_data(start)[1] = <int32_t> count
    cnp.PyArray_CLEARFLAGS(features, cnp.NPY_ARRAY_WRITEABLE)
    cdef Events events = Events.__new__(Events)
    _set_events(events, (1, n), start, features[:count])
    return events


def keep(Events events not None, x):
    """x at the events and 0 elsewhere, shape (batch, n).

    Parameters
    ----------
    events : Events
    x : ndarray (batch, n)
        float32 or float64, feature-major memory.
    """
    cdef int number = _real_type(x, "x")
    cdef int64_t ldx = 0, batch = events.c.batch
    x = _batch_of(x, "x", batch, events.c.n_features, number, _dtype(number), &ldx)
    y = _feature_major(batch, events.c.n_features, number)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef void *yp = cnp.PyArray_DATA(y)
    cdef const snn_events *c = &events.c
    with nogil:
        if number == cnp.NPY_FLOAT32:
            snn_keep_f32(c, <const float *>xp, ldx, <float *>yp, batch)
        else:
            snn_keep_f64(c, <const double *>xp, ldx, <double *>yp, batch)
    return y


cdef object _events_of(ColumnIndex index, Events events):
    if index.c.n_cols != events.c.n_features:
        raise ValueError(
            f"the events are of {events.c.n_features} features, the weight of shape "
            f"{index.shape} takes {index.c.n_cols}"
        )
    if index.c.start is NULL:
        raise ValueError("a full weight has no column index; multiply by the matrix")


def event_spmm(
    ColumnIndex index not None, values, Events events not None, x, bias=None,
    int activation=0, out=None,
):
    """act(x Wᵀ + bias) with x read at the events only, shape (batch, n_out).

    Parameters
    ----------
    index : ColumnIndex
        The connections of W (n_out, n_in) by column; not of a full weight.
    values : ndarray (nnz,)
        float32 or float64, in the layout's order.
    events : Events
        Of n_in features.
    x : ndarray (batch, n_in)
        Same dtype, feature-major memory.
    bias : ndarray (n_out,), optional
    activation : int
        0: identity, 1: ReLU.
    out : ndarray (batch, n_out), optional
        Written and returned instead of a new array; no input may share its memory.
    """
    cdef int number = _real_type(values, "values")
    cdef object dtype = _dtype(number)
    cdef const snn_column_index *w = &index.c
    cdef const snn_events *c = &events.c
    cdef int64_t ldx = 0, ldy = 0, batch = c.batch
    _events_of(index, events)
    values = _reals(
        values, "values", w.start[w.n_cols], number, dtype, "the weight has nnz")
    x = _batch_of(x, "x", batch, w.n_cols, number, dtype, &ldx)
    if bias is not None:
        bias = _reals(bias, "bias", w.n_rows, number, dtype, "expected")
    if activation not in (0, 1):
        raise ValueError(f"activation is {activation}, expected 0 (none) or 1 (ReLU)")
    if out is None:
        out = _feature_major(batch, w.n_rows, number)
        ldy = batch
    else:
        out = _batch_of(out, "out", batch, w.n_rows, number, dtype, &ldy)
        if not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out):
            raise ValueError("out is read-only")
    cdef const void *v = cnp.PyArray_DATA(values)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *b = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef void *yp = cnp.PyArray_DATA(out)
    cdef int status
    with nogil:
        if number == cnp.NPY_FLOAT32:
            status = snn_event_spmm_f32(
                w, c, <const float *>v, <const float *>b, activation,
                <const float *>xp, ldx, <float *>yp, ldy)
        else:
            status = snn_event_spmm_f64(
                w, c, <const double *>v, <const double *>b, activation,
                <const double *>xp, ldx, <double *>yp, ldy)
    _check_status(status)
    return out


def event_backward(
    ColumnIndex index not None, values, Events events not None, dy, x=None,
    bint input_gradient=True,
):
    """The gradients of event_spmm for x, 0 where no event is, and for values.

    Parameters
    ----------
    index : ColumnIndex
        The connections of W (n_out, n_in) by column; not of a full weight.
    values : ndarray (nnz,) or None
        In the layout's order, same dtype as dy; None without a gradient for x.
    events : Events
        Of n_in features.
    dy : ndarray (batch, n_out)
        float32 or float64, feature-major memory.
    x : ndarray (batch, n_in), optional
        None: no gradient for values. Same dtype, feature-major memory.
    input_gradient : bool
        False: no gradient for x.

    Returns
    -------
    ndarray (batch, n_in) or None, ndarray (nnz,) or None
    """
    cdef int number = _real_type(dy, "dy")
    cdef object dtype = _dtype(number)
    cdef const snn_column_index *w = &index.c
    cdef const snn_events *c = &events.c
    cdef int64_t ldx = 0, lddy = 0, batch = c.batch
    _events_of(index, events)
    cdef int64_t nnz = w.start[w.n_cols]
    if values is not None:
        values = _reals(values, "values", nnz, number, dtype, "the weight has nnz")
    elif input_gradient:
        raise ValueError("the gradient for x needs the values")
    dy = _batch_of(dy, "dy", batch, w.n_rows, number, dtype, &lddy)
    dx = dvalues = None
    if input_gradient:
        dx = _feature_major(batch, w.n_cols, number)
    if x is not None:
        x = _batch_of(x, "x", batch, w.n_cols, number, dtype, &ldx)
        dvalues = _empty_1d(nnz, dtype)
    cdef const void *v = NULL if values is None else cnp.PyArray_DATA(values)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef const void *xp = NULL if x is None else cnp.PyArray_DATA(x)
    cdef void *dxp = NULL if dx is None else cnp.PyArray_DATA(dx)
    cdef void *dvp = NULL if dvalues is None else cnp.PyArray_DATA(dvalues)
    cdef int status
    with nogil:
        if number == cnp.NPY_FLOAT32:
            status = snn_event_backward_f32(
                w, c, <const float *>v, <const float *>dyp, lddy, <const float *>xp,
                ldx, <float *>dxp, batch, <float *>dvp)
        else:
            status = snn_event_backward_f64(
                w, c, <const double *>v, <const double *>dyp, lddy, <const double *>xp,
                ldx, <double *>dxp, batch, <double *>dvp)
    _check_status(status)
    return dx, dvalues
