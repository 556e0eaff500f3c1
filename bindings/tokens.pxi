# GELU and layer norms: what transformers add to the products.


def gelu(x, dy=None):
    """x Phi(x), or dy times its derivative; shape (n,).

    Parameters
    ----------
    x : ndarray (n,)
        float32 or float64.
    dy : ndarray (n,), optional
        Same dtype.
    """
    x = _real_array(x, "x")
    dtype = x.dtype
    x = _vector(x, "x", x.size, dtype, "expected")
    cdef int64_t n = x.size
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *dyp = NULL
    if dy is not None:
        dy = _vector(dy, "dy", n, dtype, "expected")
        dyp = cnp.PyArray_DATA(dy)
    out = _empty_1d(n, dtype)
    cdef void *outp = cnp.PyArray_DATA(out)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_gelu_f32(
                n, <const float *>xp, <const float *>dyp, <float *>outp)
        else:
            status = snn_gelu_f64(
                n, <const double *>xp, <const double *>dyp, <double *>outp)
    _check_status(status)
    return out


def layer_norm(x, weight, bias, double eps, bint centre):
    """(x - mean) / sqrt(var + eps) weight + bias over features, shape (batch, n).

    Parameters
    ----------
    x : ndarray (batch, n)
        float32 or float64, feature-major memory.
    weight : ndarray (n,)
        Same dtype.
    bias : ndarray (n,) or None
    eps : float
    centre : bool
        False: the mean counts as 0.
    """
    x = _real_array(x, "x")
    dtype = x.dtype
    if x.ndim != 2 or x.shape[1] < 1:
        raise ValueError(f"x has shape {x.shape}, expected (batch, n), n at least 1")
    cdef int64_t batch = x.shape[0], n = x.shape[1]
    _activations(x, "x", n, dtype)
    weight = _vector(weight, "weight", n, dtype, "expected")
    cdef const void *bp = NULL
    if bias is not None:
        bias = _vector(bias, "bias", n, dtype, "expected")
        bp = cnp.PyArray_DATA(bias)
    y = _empty(batch, n, dtype)
    moments = _empty_1d(4 * batch, dtype)
    cdef int64_t ldx = _ld(x)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *wp = cnp.PyArray_DATA(weight)
    cdef void *mp = cnp.PyArray_DATA(moments)
    cdef void *yp = cnp.PyArray_DATA(y)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_layer_norm_f32(
                n, batch, centre, <float>eps, <const float *>xp, ldx, <const float *>wp,
                <const float *>bp, <float *>mp, <float *>yp, batch)
        else:
            status = snn_layer_norm_f64(
                n, batch, centre, eps, <const double *>xp, ldx, <const double *>wp,
                <const double *>bp, <double *>mp, <double *>yp, batch)
    _check_status(status)
    return y


def layer_norm_backward(x, weight, dy, double eps, bint centre):
    """Gradients (dx, dweight, dbias) of `layer_norm`.

    Parameters
    ----------
    x, weight, eps, centre
        As for `layer_norm`.
    dy : ndarray (batch, n)
        Same dtype, feature-major memory.
    """
    x = _real_array(x, "x")
    dtype = x.dtype
    if x.ndim != 2 or x.shape[1] < 1:
        raise ValueError(f"x has shape {x.shape}, expected (batch, n), n at least 1")
    cdef int64_t batch = x.shape[0], n = x.shape[1]
    _activations(x, "x", n, dtype)
    dy = _activations(dy, "dy", n, dtype)
    _check_batch(dy, "dy", x, "x")
    weight = _vector(weight, "weight", n, dtype, "expected")
    dx = _empty(batch, n, dtype)
    dweight, dbias = _empty_1d(n, dtype), _empty_1d(n, dtype)
    moments = _empty_1d(4 * batch, dtype)
    cdef int64_t ldx = _ld(x), lddy = _ld(dy)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *wp = cnp.PyArray_DATA(weight)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef void *mp = cnp.PyArray_DATA(moments)
    cdef void *dxp = cnp.PyArray_DATA(dx)
    cdef void *dwp = cnp.PyArray_DATA(dweight)
    cdef void *dbp = cnp.PyArray_DATA(dbias)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_layer_norm_backward_f32(
                n, batch, centre, <float>eps, <const float *>xp, ldx, <const float *>wp,
                <const float *>dyp, lddy, <float *>mp, <float *>dxp, batch,
                <float *>dwp, <float *>dbp)
        else:
            status = snn_layer_norm_backward_f64(
                n, batch, centre, eps, <const double *>xp, ldx, <const double *>wp,
                <const double *>dyp, lddy, <double *>mp, <double *>dxp, batch,
                <double *>dwp, <double *>dbp)
    _check_status(status)
    return dx, dweight, dbias
