# Batch norms: images with what a channel has in one piece.


cdef object _channels(object x, str name):
    """x checked, of shape (n, channels) in feature-major memory, n at least 1."""
    x = _real_array(x, name)
    if x.ndim != 2 or x.shape[0] < 1:
        raise ValueError(
            f"{name} has shape {x.shape}, expected (n, channels), n at least 1")
    _activations(x, name, x.shape[1], x.dtype)
    if x.size and _ld(x) != x.shape[0]:
        raise ValueError(f"{name} must be in one piece")
    return x


def batch_norm(x, weight, bias, double eps):
    """(y, mean, var): (x - mean) / sqrt(var + eps) weight + bias by channels.

    Parameters
    ----------
    x : ndarray (n, channels)
        float32 or float64, contiguous, feature-major memory; n over samples and places.
    weight, bias : ndarray (channels,)
        Same dtype.
    eps : float
    """
    x = _channels(x, "x")
    dtype = x.dtype
    cdef int64_t n = x.shape[0], channels = x.shape[1]
    weight = _vector(weight, "weight", channels, dtype, "expected")
    bias = _vector(bias, "bias", channels, dtype, "expected")
    y = _empty(n, channels, dtype)
    mean, var = _empty_1d(channels, dtype), _empty_1d(channels, dtype)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *wp = cnp.PyArray_DATA(weight)
    cdef const void *bp = cnp.PyArray_DATA(bias)
    cdef void *mp = cnp.PyArray_DATA(mean)
    cdef void *vp = cnp.PyArray_DATA(var)
    cdef void *yp = cnp.PyArray_DATA(y)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_batch_norm_f32(
                channels, n, <float>eps, <const float *>xp, <const float *>wp,
                <const float *>bp, <float *>mp, <float *>vp, <float *>yp)
        else:
            status = snn_batch_norm_f64(
                channels, n, eps, <const double *>xp, <const double *>wp,
                <const double *>bp, <double *>mp, <double *>vp, <double *>yp)
    _check_status(status)
    return y, mean, var


def batch_norm_backward(x, weight, mean, var, dy, double eps, bint want_dx):
    """Gradients (dx or None, dweight, dbias) of `batch_norm`.

    Parameters
    ----------
    x, weight, eps
        As for `batch_norm`, which gave mean and var.
    dy : ndarray (n, channels)
        As x.
    want_dx : bool
    """
    x = _channels(x, "x")
    dtype = x.dtype
    cdef int64_t n = x.shape[0], channels = x.shape[1]
    dy = _channels(_activations(dy, "dy", channels, dtype), "dy")
    _check_batch(dy, "dy", x, "x")
    weight = _vector(weight, "weight", channels, dtype, "expected")
    mean = _vector(mean, "mean", channels, dtype, "expected")
    var = _vector(var, "var", channels, dtype, "expected")
    dx = _empty(n, channels, dtype) if want_dx else None
    dweight, dbias = _empty_1d(channels, dtype), _empty_1d(channels, dtype)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *wp = cnp.PyArray_DATA(weight)
    cdef const void *mp = cnp.PyArray_DATA(mean)
    cdef const void *vp = cnp.PyArray_DATA(var)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef void *dxp = NULL
    if want_dx:
        dxp = cnp.PyArray_DATA(dx)
    cdef void *dwp = cnp.PyArray_DATA(dweight)
    cdef void *dbp = cnp.PyArray_DATA(dbias)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_batch_norm_backward_f32(
                channels, n, <float>eps, <const float *>xp, <const float *>wp,
                <const float *>mp, <const float *>vp, <const float *>dyp, <float *>dxp,
                <float *>dwp, <float *>dbp)
        else:
            status = snn_batch_norm_backward_f64(
                channels, n, eps, <const double *>xp, <const double *>wp,
                <const double *>mp, <const double *>vp, <const double *>dyp,
                <double *>dxp, <double *>dwp, <double *>dbp)
    _check_status(status)
    return dx, dweight, dbias
