# Products over a pattern, optimiser steps and the run time's settings: each function
# checks its arguments and makes one C call without the interpreter lock.


cdef int _check_status(int status) except -1:
    if status == SNN_OK:
        return 0
    if status == SNN_NO_MEMORY:
        raise MemoryError("no memory for the kernels' scratch")
    _require_kernels()
    raise ValueError("the kernels refused their arguments")


cdef int _require_kernels() except -1:
    if snn_isa() is NULL:
        isa()  # says what SPARSENN_ISA may be
    return 0


cdef object _activations(object a, str name, Py_ssize_t n_features, object dtype):
    """a, checked to be (batch, n_features) of dtype with feature-major memory."""
    a = _plain_array(a, name)
    if a.dtype != dtype or not a.dtype.isnative:
        raise TypeError(f"{name} has dtype {a.dtype}, values have {dtype}")
    if a.ndim != 2 or a.shape[1] != n_features:
        raise ValueError(
            f"{name} has shape {a.shape}, expected (batch, {n_features})")
    if not cnp.PyArray_ISALIGNED(a):
        raise ValueError(f"{name} is not aligned to its dtype")
    if a.size == 0:
        return a
    cdef Py_ssize_t item = a.itemsize
    if a.shape[0] > 1 and a.strides[0] != item:
        raise ValueError(
            f"{name} has strides {a.strides}, expected {item} bytes along the batch "
            "(feature-major memory): pass numpy.asfortranarray(...)")
    if a.shape[1] > 1 and (
            a.strides[1] % item != 0 or a.strides[1] < a.shape[0] * item):
        raise ValueError(
            f"{name} has strides {a.strides}, expected at least {a.shape[0] * item} "
            "bytes between features: pass numpy.asfortranarray(...)")
    return a


cdef int64_t _ld(object a) except -1:
    """Elements from one feature to the next."""
    if a.shape[1] > 1 and a.size:
        return a.strides[1] // a.itemsize
    return a.shape[0] if a.shape[0] else 1


cdef object _vector(object a, str name, Py_ssize_t n, object dtype, str of):
    a = _plain_array(a, name)
    if dtype is None:
        if a.dtype != np.float32 and a.dtype != np.float64:
            raise TypeError(
                f"{name} has dtype {a.dtype}, expected float32 or float64")
    elif a.dtype != dtype:
        raise TypeError(f"{name} has dtype {a.dtype}, values have {dtype}")
    if a.ndim != 1 or a.shape[0] != n:
        raise ValueError(f"{name} has shape {a.shape}, {of} ({n},)")
    if not cnp.PyArray_ISCARRAY_RO(a):
        raise ValueError(f"{name} is not contiguous, aligned and in native byte order")
    return a


cdef object _check_batch(object a, str a_name, object b, str b_name):
    if a.shape[0] != b.shape[0]:
        raise ValueError(
            f"{a_name} has shape {a.shape} and {b_name} {b.shape}: batches differ")


@cython.final
cdef class _Memory:
    """Owner of an array's memory."""

    cdef void *block

    def __dealloc__(self):
        snn_free(self.block)


cdef object _new(int n_axes, cnp.npy_intp *shape, object dtype):
    """Uninitialised, aligned, C-contiguous array."""
    cdef int type_number = cnp.NPY_FLOAT32 if dtype == np.float32 else cnp.NPY_FLOAT64
    cdef size_t size = dtype.itemsize
    cdef int axis
    for axis in range(n_axes):
        size *= shape[axis]
    cdef _Memory memory = _Memory.__new__(_Memory)
    memory.block = snn_malloc(size)
    if memory.block is NULL:
        raise MemoryError(f"no memory for an array of {size} bytes")
    array = cnp.PyArray_SimpleNewFromData(n_axes, shape, type_number, memory.block)
    cnp.set_array_base(array, memory)
    return array


cdef object _empty(Py_ssize_t batch, Py_ssize_t n, object dtype):
    """Uninitialised (batch, n) in feature-major memory."""
    cdef cnp.npy_intp[2] shape = [n, batch]
    return _new(2, shape, dtype).T


cdef object _empty_1d(Py_ssize_t n, object dtype):
    cdef cnp.npy_intp[1] shape = [n]
    return _new(1, shape, dtype)


def spmm(Layout layout not None, values, x, bias=None, int activation=0):
    """act(x Wᵀ + bias), shape (batch, n_out).

    Parameters
    ----------
    layout : Layout
        Pattern of W (n_out, n_in).
    values : ndarray (nnz,)
        float32 or float64, in the layout's order.
    x : ndarray (batch, n_in)
        Same dtype, feature-major memory.
    bias : ndarray (n_out,), optional
    activation : int
        0: identity, 1: ReLU.
    """
    values = _vector(values, "values", layout.c.nnz, None, "the pattern has nnz")
    dtype = values.dtype
    x = _activations(x, "x", layout.c.n_cols, dtype)
    if bias is not None:
        bias = _vector(bias, "bias", layout.c.n_rows, dtype, "expected")
    if activation not in (0, 1):
        raise ValueError(f"activation is {activation}, expected 0 (none) or 1 (ReLU)")
    cdef int64_t batch = x.shape[0], ldx = _ld(x)
    y = _empty(batch, layout.c.n_rows, dtype)
    cdef const void *v = cnp.PyArray_DATA(values)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *b = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef void *yp = cnp.PyArray_DATA(y)
    cdef const snn_layout *c = &layout.c
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_spmm_f32(
                c, batch, <const float *>v, <const float *>b, activation,
                <const float *>xp, ldx, <float *>yp, batch)
        else:
            status = snn_spmm_f64(
                c, batch, <const double *>v, <const double *>b, activation,
                <const double *>xp, ldx, <double *>yp, batch)
    _check_status(status)
    return y


cdef const snn_column_order *_column_order(
    Layout layout, int64_t batch
) except? NULL:
    """The layout's column order, made at the first call; one sample needs none."""
    if batch <= 1:
        return NULL
    if layout.order.rows is NULL:
        _order_columns(layout)
    return &layout.order


def spmm_t(Layout layout not None, values, dy):
    """dy W, shape (batch, n_in): the gradient of spmm for x.

    Parameters
    ----------
    layout : Layout
        Pattern of W (n_out, n_in).
    values : ndarray (nnz,)
        float32 or float64, in the layout's order.
    dy : ndarray (batch, n_out)
        Same dtype, feature-major memory.
    """
    values = _vector(values, "values", layout.c.nnz, None, "the pattern has nnz")
    dtype = values.dtype
    dy = _activations(dy, "dy", layout.c.n_rows, dtype)
    cdef int64_t batch = dy.shape[0], lddy = _ld(dy)
    dx = _empty(batch, layout.c.n_cols, dtype)
    cdef const void *v = cnp.PyArray_DATA(values)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef void *dxp = cnp.PyArray_DATA(dx)
    cdef const snn_layout *c = &layout.c
    cdef const snn_column_order *order = _column_order(layout, batch)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_spmm_t_f32(
                c, order, batch, <const float *>v, <const float *>dyp, lddy,
                <float *>dxp, batch)
        else:
            status = snn_spmm_t_f64(
                c, order, batch, <const double *>v, <const double *>dyp, lddy,
                <double *>dxp, batch)
    _check_status(status)
    return dx


cdef object _real_array(object a, str name):
    a = _plain_array(a, name)
    cdef int kind = cnp.PyArray_TYPE(a)
    if kind != cnp.NPY_FLOAT32 and kind != cnp.NPY_FLOAT64:
        raise TypeError(f"{name} has dtype {a.dtype}, expected float32 or float64")
    return a


def sddmm(Layout layout not None, a, x):
    """<a[:, row(k)], x[:, col(k)]> for each slot k, shape (nnz,).

    Parameters
    ----------
    layout : Layout
        Pattern (n_out, n_in).
    a : ndarray (batch, n_out)
        float32 or float64, feature-major memory.
    x : ndarray (batch, n_in)
        Same dtype, feature-major memory.
    """
    a = _real_array(a, "a")
    dtype = a.dtype
    _activations(a, "a", layout.c.n_rows, dtype)
    x = _activations(x, "x", layout.c.n_cols, dtype)
    _check_batch(a, "a", x, "x")
    cdef int64_t batch = a.shape[0], lda = _ld(a), ldx = _ld(x)
    out = _empty_1d(layout.c.nnz, dtype)
    cdef const void *ap = cnp.PyArray_DATA(a)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef void *op = cnp.PyArray_DATA(out)
    cdef const snn_layout *c = &layout.c
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_sddmm_f32(
                c, batch, <const float *>ap, lda, <const float *>xp, ldx, <float *>op)
        else:
            status = snn_sddmm_f64(
                c, batch, <const double *>ap, lda, <const double *>xp, ldx,
                <double *>op)
    _check_status(status)
    return out


def spmm_backward(Layout layout not None, values, dy, x):
    """(spmm_t(layout, values, dy), sddmm(layout, dy, x)) in one pass, the same bits.

    Parameters
    ----------
    layout : Layout
        Pattern of W (n_out, n_in).
    values : ndarray (nnz,)
        float32 or float64, in the layout's order.
    dy : ndarray (batch, n_out)
        Same dtype, feature-major memory.
    x : ndarray (batch, n_in)
        Same dtype, feature-major memory.
    """
    values = _vector(values, "values", layout.c.nnz, None, "the pattern has nnz")
    dtype = values.dtype
    dy = _activations(dy, "dy", layout.c.n_rows, dtype)
    x = _activations(x, "x", layout.c.n_cols, dtype)
    _check_batch(dy, "dy", x, "x")
    cdef int64_t batch = dy.shape[0], lddy = _ld(dy), ldx = _ld(x)
    dx = _empty(batch, layout.c.n_cols, dtype)
    dvalues = _empty_1d(layout.c.nnz, dtype)
    cdef const void *v = cnp.PyArray_DATA(values)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef void *dxp = cnp.PyArray_DATA(dx)
    cdef void *dvp = cnp.PyArray_DATA(dvalues)
    cdef const snn_layout *c = &layout.c
    cdef const snn_column_order *order = _column_order(layout, batch)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_spmm_backward_f32(
                c, order, batch, <const float *>v, <const float *>dyp, lddy,
                <const float *>xp, ldx, <float *>dxp, batch, <float *>dvp)
        else:
            status = snn_spmm_backward_f64(
                c, order, batch, <const double *>v, <const double *>dyp, lddy,
                <const double *>xp, ldx, <double *>dxp, batch, <double *>dvp)
    _check_status(status)
    return dx, dvalues


def activation_backward(int activation, y, dy):
    """(dy * act'(y), its sum over the batch), shapes (batch, n) and (n,).

    Parameters
    ----------
    activation : int
        0: identity (y may be None), 1: ReLU.
    y : ndarray (batch, n)
        Output of the activation, feature-major memory.
    dy : ndarray (batch, n)
        Same dtype, feature-major memory.
    """
    if activation not in (0, 1):
        raise ValueError(f"activation is {activation}, expected 0 (none) or 1 (ReLU)")
    dy = _real_array(dy, "dy")
    dtype = dy.dtype
    if dy.ndim != 2:
        raise ValueError(f"dy has shape {dy.shape}, expected (batch, n)")
    cdef int64_t batch = dy.shape[0], n = dy.shape[1]
    _activations(dy, "dy", n, dtype)
    cdef const void *yp = NULL
    cdef int64_t ldy = 0, lddy = _ld(dy)
    if activation != 0:
        y = _activations(y, "y", n, dtype)
        _check_batch(y, "y", dy, "dy")
        yp = cnp.PyArray_DATA(y)
        ldy = _ld(y)
    dz = _empty(batch, n, dtype)
    dbias = _empty_1d(n, dtype)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef void *dzp = cnp.PyArray_DATA(dz)
    cdef void *dbp = cnp.PyArray_DATA(dbias)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_activation_backward_f32(
                n, batch, activation, <const float *>yp, ldy, <const float *>dyp, lddy,
                <float *>dzp, batch, <float *>dbp)
        else:
            status = snn_activation_backward_f64(
                n, batch, activation, <const double *>yp, ldy, <const double *>dyp,
                lddy, <double *>dzp, batch, <double *>dbp)
    _check_status(status)
    return dz, dbias


cdef bint _fits(object a, object like, bint write) except -1:
    """Whether nothing is wrong, for the usual arrays; reasons take longer to find."""
    if not (cnp.PyArray_CheckExact(a) and cnp.PyArray_CheckExact(like)):
        return False
    cdef cnp.ndarray x = a, y = like
    cdef int kind = cnp.PyArray_TYPE(x)
    if kind != cnp.PyArray_TYPE(y) or cnp.PyArray_NDIM(x) != cnp.PyArray_NDIM(y):
        return False
    if kind != cnp.NPY_FLOAT32 and kind != cnp.NPY_FLOAT64:
        return False
    cdef int axis
    for axis in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_DIM(x, axis) != cnp.PyArray_DIM(y, axis):
            return False
    # Contiguous, aligned and native; writeable where it must be.
    if not (cnp.PyArray_ISCARRAY_RO(x) and cnp.PyArray_ISCARRAY_RO(y)):
        return False
    return not write or cnp.PyArray_ISWRITEABLE(x)


cdef object _in_place(object a, str name, object like, bint write):
    """a, checked to have the dtype, shape and memory order of `like`."""
    if _fits(a, like, write):
        return a
    a = _real_array(a, name)
    if a.dtype != like.dtype:
        raise TypeError(f"{name} has dtype {a.dtype}, values have {like.dtype}")
    if a.shape != like.shape:
        raise ValueError(f"{name} has shape {a.shape}, values have {like.shape}")
    if a.strides != like.strides and a.size > 1:
        raise ValueError(f"{name} has strides {a.strides}, values {like.strides}")
    if not (a.flags.c_contiguous or a.flags.f_contiguous):
        raise ValueError(f"{name} with shape {a.shape} is not contiguous")
    if not cnp.PyArray_ISALIGNED(a) or not a.dtype.isnative:
        raise ValueError(f"{name} is not aligned and in native byte order")
    if write and not a.flags.writeable:
        raise ValueError(f"{name} is read-only, it is updated in place")
    return a


cdef bint _two_apart(cnp.ndarray a, cnp.ndarray b):
    cdef uintptr_t p = <uintptr_t> cnp.PyArray_DATA(a)
    cdef uintptr_t q = <uintptr_t> cnp.PyArray_DATA(b)
    return p + cnp.PyArray_NBYTES(a) <= q or q + cnp.PyArray_NBYTES(b) <= p


cdef object _check_apart(dict arrays):
    """The kernels read and write element by element: no two may share memory."""
    cdef list given = [a for a in arrays.values() if a is not None]
    cdef Py_ssize_t i, k, n = len(given)
    cdef bint apart = True
    for i in range(n):
        for k in range(i):
            apart = apart and _two_apart(given[i], given[k])
    if apart:
        return
    cdef list ends = sorted([
        (<uintptr_t> cnp.PyArray_DATA(a), a.nbytes, name)
        for name, a in arrays.items() if a is not None and a.size
    ])
    for (start, n_bytes, name), (following, _, other) in zip(ends, ends[1:]):
        if following < start + n_bytes:
            raise ValueError(f"{name} and {other} share memory, pass separate arrays")


def sgd(values, grad, momentum, double lr, double mu=0.0, double weight_decay=0.0,
        bint nesterov=False):
    """One step of SGD, in place on values and momentum, as PyTorch defines it.

    d = grad + weight_decay values;  m = mu m + d;  values -= lr (m, or d + mu m with
    Nesterov's momentum, or d when momentum is None).

    Parameters
    ----------
    values, grad : ndarray
        Contiguous, any shape, float32 or float64.
    momentum : ndarray or None
        Same shape; None exactly when mu is 0.
    """
    _require_kernels()
    values = _real_array(values, "values")
    _in_place(values, "values", values, True)
    grad = _in_place(grad, "grad", values, False)
    if momentum is not None:
        momentum = _in_place(momentum, "momentum", values, True)
    elif mu != 0:
        raise ValueError(f"mu is {mu} and momentum is None, expected an array")
    _check_apart({"values": values, "grad": grad, "momentum": momentum})
    cdef int64_t n = values.size
    cdef void *v = cnp.PyArray_DATA(values)
    cdef const void *g = cnp.PyArray_DATA(grad)
    cdef void *m = NULL if momentum is None else cnp.PyArray_DATA(momentum)
    cdef bint single = values.dtype == np.float32
    with nogil:
        if single:
            snn_sgd_f32(n, <float>lr, <float>mu, <float>weight_decay, nesterov,
                        <const float *>g, <float *>m, <float *>v)
        else:
            snn_sgd_f64(n, lr, mu, weight_decay, nesterov,
                        <const double *>g, <double *>m, <double *>v)


def adam(values, grad, m, v, double lr, double beta1, double beta2, double eps,
         double weight_decay, bint decoupled, double bias1, double bias2):
    """One step of Adam (AdamW when decoupled), in place on values, m and v.

    Kingma and Ba 2015; Loshchilov and Hutter 2019. As PyTorch defines it.

    Parameters
    ----------
    values, grad, m, v : ndarray
        Contiguous, one shape, float32 or float64.
    bias1, bias2 : float
        1 - beta1^t and 1 - beta2^t at step t = 1, 2, ...
    """
    _require_kernels()
    values = _real_array(values, "values")
    _in_place(values, "values", values, True)
    grad = _in_place(grad, "grad", values, False)
    m = _in_place(m, "m", values, True)
    v = _in_place(v, "v", values, True)
    _check_apart({"values": values, "grad": grad, "m": m, "v": v})
    if not (bias1 > 0 and bias2 > 0):
        raise ValueError(f"bias1 and bias2 are {bias1} and {bias2}, expected > 0")
    cdef int64_t n = values.size
    cdef void *vp = cnp.PyArray_DATA(values)
    cdef const void *g = cnp.PyArray_DATA(grad)
    cdef void *m1 = cnp.PyArray_DATA(m)
    cdef void *m2 = cnp.PyArray_DATA(v)
    cdef bint single = values.dtype == np.float32
    with nogil:
        if single:
            snn_adam_f32(
                n, <float>lr, <float>beta1, <float>beta2, <float>eps,
                <float>weight_decay, decoupled, <float>bias1, <float>bias2,
                <const float *>g, <float *>m1, <float *>m2, <float *>vp)
        else:
            snn_adam_f64(
                n, lr, beta1, beta2, eps, weight_decay, decoupled, bias1, bias2,
                <const double *>g, <double *>m1, <double *>m2, <double *>vp)


def available_isas():
    """Names of the instruction sets whose kernels can run here, best first."""
    cdef int i = 0
    names = []
    while snn_isa_available(i) is not NULL:
        names.append((<bytes>snn_isa_available(i)).decode())
        i += 1
    return tuple(names)


def isa():
    """Name of the instruction set whose kernels run."""
    cdef const char *name = snn_isa()
    if name is NULL:
        import os
        raise ValueError(
            f"SPARSENN_ISA is {os.environ.get('SPARSENN_ISA')!r}, "
            f"available here: {', '.join(available_isas())}")
    return (<bytes>name).decode()


def set_isa(str name not None):
    """Switches to the named instruction set's kernels; not while kernels run."""
    if snn_set_isa(name.encode()) != SNN_OK:
        raise ValueError(
            f"instruction set {name!r} is not available here, "
            f"choose from: {', '.join(available_isas())}")


def get_num_threads():
    """Threads that the next product may use."""
    return snn_get_num_threads()


cdef int _MAX_THREADS = 4096  # as for OMP_NUM_THREADS; the run time aborts on failure


def set_num_threads(n):
    """Sets the number of threads; None restores the default."""
    count = 0
    if n is not None:
        count = operator.index(n)
        if not 1 <= count <= _MAX_THREADS:
            raise ValueError(
                f"number of threads is {n}, expected at least 1 (at most "
                f"{_MAX_THREADS}) or None")
    snn_set_num_threads(count)


def has_openmp():
    """Whether the kernels can use several threads."""
    return bool(snn_has_openmp())


def after_fork_in_child():
    """One thread from here on: a parent's threads do not live in its fork."""
    snn_after_fork_in_child()
