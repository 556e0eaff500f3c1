# Sparse convolution. Images are (batch, channels * height * width) with feature-major
# memory, as all activations.


cdef snn_conv_shape _conv_shape(object shape, const snn_layout *w) except *:
    """The C struct of a shape, checked so that no index in it can overflow."""
    cdef snn_conv_shape c
    cdef int a
    batch, channels, size, out, kernel, stride, pad, dilation, groups = shape
    for pair in (size, out, kernel, stride, pad, dilation):
        if len(pair) != 2:
            raise ValueError(f"a convolution needs pairs of sizes, got {shape}")
    c.batch = operator.index(batch)
    c.channels = _dimension(channels, "channels")
    c.groups = _dimension(groups, "groups")
    for a in range(2):
        c.in_[a] = _dimension(size[a], "size")
        c.out[a] = _dimension(out[a], "out")
        c.kernel[a] = _dimension(kernel[a], "kernel")
        c.stride[a] = _dimension(stride[a], "stride")
        c.pad[a] = _dimension(pad[a], "padding")
        c.dilation[a] = _dimension(dilation[a], "dilation")
    if c.batch < 0 or c.channels < 1 or c.groups < 1:
        raise ValueError(f"a convolution needs a batch and channels, got {shape}")
    pixels = [1, 1]
    for a in range(2):
        if c.in_[a] < 1 or c.kernel[a] < 1 or c.stride[a] < 1 or c.dilation[a] < 1:
            raise ValueError(f"sizes of a convolution must be at least 1, got {shape}")
        reach = (<object> c.kernel[a] - 1) * c.dilation[a]
        inside = <object> c.in_[a] + 2 * <object> c.pad[a] - reach
        if inside < 1 or c.out[a] != (inside - 1) // c.stride[a] + 1:
            raise ValueError(
                f"a kernel of {c.kernel[a]} over {c.in_[a]} does not have {c.out[a]} "
                f"outputs: {shape}")
        phases = min(<object> c.stride[a], c.kernel[a])
        pixels[0] *= phases * (<object> c.out[a] + reach // c.stride[a])  # image of x
        pixels[1] *= <object> c.out[a] + 2 * (reach // c.stride[a])  # of dy, at most
    each = c.channels // c.groups
    if (
        c.channels % c.groups or w.n_rows % c.groups or w.n_rows < c.groups
        or w.n_cols != each * c.kernel[0] * c.kernel[1]
    ):
        raise ValueError(
            f"a weight of shape {(w.n_rows, w.n_cols)} does not take {c.channels} "
            f"channels in {c.groups} groups by kernels of {tuple(kernel)}")
    # Copies have up to a pixel more for each channel and phase.
    copies = [
        (pixels[0] + <object> c.stride[0] * c.stride[1]) * c.channels,
        (pixels[1] + 1) * w.n_rows,
    ]
    features = <object> c.channels * c.in_[0] * c.in_[1]
    if (
        max(copies) > _INT32_MAX
        or max(*copies, features) * max(<object> c.batch, 1) > 1 << 60
    ):
        raise ValueError(f"the images of a convolution of {shape} are too large")
    return c


cdef object _image(object a, str name, int64_t batch, int64_t features, object dtype):
    a = _activations(a, name, features, dtype)
    if a.shape[0] != batch or (a.size and _ld(a) != batch):
        raise ValueError(
            f"{name} has shape {a.shape}, expected ({batch}, {features}) in one piece")
    return a


def conv(Layout layout not None, shape, values, x, bias=None, int activation=0):
    """act(W * x + bias), shape (batch, n_out * out_height * out_width).

    Parameters
    ----------
    layout : Layout
        Pattern of W (n_out, channels / groups * kernel height * kernel width).
    shape : tuple
        ``(batch, channels, size, out, kernel, stride, padding, dilation, groups)``,
        pairs of (height, width).
    values : ndarray (nnz,)
        float32 or float64, in the layout's order.
    x : ndarray (batch, channels * height * width)
        Same dtype, contiguous, feature-major memory.
    bias : ndarray (n_out,), optional
    activation : int
        0: identity, 1: ReLU.
    """
    values = _vector(values, "values", layout.c.nnz, None, "the pattern has nnz")
    dtype = values.dtype
    cdef snn_conv_shape c = _conv_shape(shape, &layout.c)
    cdef int64_t features = <int64_t> c.channels * c.in_[0] * c.in_[1]
    x = _image(x, "x", c.batch, features, dtype)
    if bias is not None:
        bias = _vector(bias, "bias", layout.c.n_rows, dtype, "expected")
    if activation not in (0, 1):
        raise ValueError(f"activation is {activation}, expected 0 (none) or 1 (ReLU)")
    y = _empty(c.batch, <int64_t> layout.c.n_rows * c.out[0] * c.out[1], dtype)
    cdef const void *v = cnp.PyArray_DATA(values)
    cdef const void *xp = cnp.PyArray_DATA(x)
    cdef const void *b = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef void *yp = cnp.PyArray_DATA(y)
    cdef const snn_layout *w = &layout.c
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_conv_f32(
                &c, w, <const float *>v, <const float *>b, activation,
                <const float *>xp, <float *>yp)
        else:
            status = snn_conv_f64(
                &c, w, <const double *>v, <const double *>b, activation,
                <const double *>xp, <double *>yp)
    _check_status(status)
    return y


cdef object _conv_backward(
        Layout layout, object shape, object values, object dy, object x, object dtype):
    """(dx, dvalues); None for dx without values, and for dvalues without x."""
    cdef const snn_layout *w = &layout.c
    cdef snn_conv_shape c = _conv_shape(shape, w)
    cdef int64_t features = <int64_t> c.channels * c.in_[0] * c.in_[1]
    dy = _image(dy, "dy", c.batch, <int64_t> w.n_rows * c.out[0] * c.out[1], dtype)
    cdef const void *dyp = cnp.PyArray_DATA(dy)
    cdef const void *v = NULL
    cdef const void *xp = NULL
    cdef void *dxp = NULL
    cdef void *dvp = NULL
    dx = dvalues = None
    if values is not None:
        dx = _empty(c.batch, features, dtype)
        v, dxp = cnp.PyArray_DATA(values), cnp.PyArray_DATA(dx)
    if x is not None:
        x = _image(x, "x", c.batch, features, dtype)
        dvalues = _empty_1d(w.nnz, dtype)
        xp, dvp = cnp.PyArray_DATA(x), cnp.PyArray_DATA(dvalues)
    cdef bint single = dtype == np.float32
    cdef int status
    with nogil:
        if single:
            status = snn_conv_backward_f32(
                &c, w, <const float *>v, <const float *>dyp, <const float *>xp,
                <float *>dxp, <float *>dvp)
        else:
            status = snn_conv_backward_f64(
                &c, w, <const double *>v, <const double *>dyp, <const double *>xp,
                <double *>dxp, <double *>dvp)
    _check_status(status)
    return dx, dvalues


def conv_t(Layout layout not None, shape, values, dy):
    """The gradient of conv for x, shape (batch, channels * height * width).

    Parameters as of conv; dy is (batch, n_out * out_height * out_width).
    """
    values = _vector(values, "values", layout.c.nnz, None, "the pattern has nnz")
    return _conv_backward(layout, shape, values, dy, None, values.dtype)[0]


def conv_w(Layout layout not None, shape, dy, x):
    """The gradient of conv for the values, shape (nnz,).

    Parameters as of conv and conv_t.
    """
    dy = _real_array(dy, "dy")
    return _conv_backward(layout, shape, None, dy, x, dy.dtype)[1]


def conv_backward(Layout layout not None, shape, values, dy, x not None):
    """(conv_t, conv_w) in one pass; the bits are theirs.

    Parameters as of conv and conv_t.
    """
    values = _vector(values, "values", layout.c.nnz, None, "the pattern has nnz")
    return _conv_backward(layout, shape, values, dy, x, values.dtype)
