# Counter-based random numbers of src/random.c.


cdef snn_stream _stream(object stream) except *:
    """The C struct of a sparsenn.random.Stream (whatever has its four attributes)."""
    cdef snn_stream s
    seed = operator.index(stream.seed)
    purpose = operator.index(stream.purpose)
    layer = operator.index(stream.layer)
    step = operator.index(stream.step)
    for name, value, bits in (
        ("seed", seed, 64), ("purpose", purpose, 8), ("layer", layer, 24),
        ("step", step, 32),
    ):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{name} is {value}, it must lie in 0..2**{bits} - 1")
    s.seed = seed
    s.step = step
    s.purpose_layer = purpose << 24 | layer
    return s


def philox4x32(counter, key):
    """One block of Philox4x32-10 (Salmon et al. 2011).

    Parameters
    ----------
    counter : sequence of 4 int
        32-bit words.
    key : sequence of 2 int
        32-bit words.

    Returns
    -------
    tuple of 4 int
    """
    cdef uint32_t c[4]
    cdef uint32_t k[2]
    cdef uint32_t out[4]
    if len(counter) != 4 or len(key) != 2:
        raise ValueError(
            f"counter has {len(counter)} words and key {len(key)}, they must be 4 and 2"
        )
    for i in range(4):
        c[i] = counter[i]
    for i in range(2):
        k[i] = key[i]
    snn_philox4x32(c, k, out)
    return out[0], out[1], out[2], out[3]


cdef tuple _elements(object n, object elements, object first):
    """(first, elements or None, count) of the elements that a draw names."""
    if (n is None) == (elements is None):
        raise TypeError("give either n or elements")
    if elements is None:
        count, start = operator.index(n), operator.index(first)
        if count < 0 or start < 0 or start + count > 1 << 62:
            raise ValueError(
                f"elements {start} to {start + count} do not lie in 0..2**62"
            )
        return start, None, count
    array = _checked_vector(elements, "elements", (np.int64,))
    if array.size and array.min() < 0:
        raise ValueError(f"elements holds {array.min()}, elements are not negative")
    return 0, array, array.size


def random_bits(stream, n=None, elements=None, first=0):
    """Random 32-bit words.

    Parameters
    ----------
    stream : sparsenn.random.Stream
    n : int, optional
        Draw elements ``first .. first + n``.
    elements : ndarray of int64, optional
        Draw these elements instead.
    first : int

    Returns
    -------
    ndarray of uint32
    """
    start, array, count = _elements(n, elements, first)
    cdef snn_stream s = _stream(stream)
    cdef int64_t c_first = start, c_n = count
    cdef const int64_t *e = NULL
    if array is not None:
        e = <const int64_t *> cnp.PyArray_DATA(array)
    cdef cnp.ndarray out = np.empty(count, np.uint32)
    cdef uint32_t *data = <uint32_t *> cnp.PyArray_DATA(out)
    with nogil:
        snn_random_bits(&s, c_first, e, c_n, data)
    return out


cdef bint _is_f32(object dtype) except -1:
    dtype = np.dtype(dtype)
    if dtype == np.float32:
        return True
    if dtype == np.float64:
        return False
    raise TypeError(f"dtype is {dtype}, it must be float32 or float64")


def random_uniform(stream, n=None, elements=None, dtype=np.float32, first=0):
    """Uniform numbers in [0, 1); parameters as in random_bits.

    Returns
    -------
    ndarray of dtype, float32 or float64
        The float32 draw of an element is the float64 one rounded down to 24 bits.
    """
    start, array, count = _elements(n, elements, first)
    cdef snn_stream s = _stream(stream)
    cdef int64_t c_first = start, c_n = count
    cdef bint is_f32 = _is_f32(dtype)
    cdef const int64_t *e = NULL
    if array is not None:
        e = <const int64_t *> cnp.PyArray_DATA(array)
    cdef cnp.ndarray out = np.empty(count, np.float32 if is_f32 else np.float64)
    cdef void *data = cnp.PyArray_DATA(out)
    with nogil:
        if is_f32:
            snn_random_uniform_f32(&s, c_first, e, c_n, <float *> data)
        else:
            snn_random_uniform_f64(&s, c_first, e, c_n, <double *> data)
    return out


def random_normal(stream, n=None, elements=None, dtype=np.float32, first=0):
    """Standard normal numbers; parameters as in random_bits.

    Returns
    -------
    ndarray of dtype, float32 or float64
        The float32 draw of an element is the float64 one rounded to nearest.
    """
    start, array, count = _elements(n, elements, first)
    cdef snn_stream s = _stream(stream)
    cdef int64_t c_first = start, c_n = count
    cdef bint is_f32 = _is_f32(dtype)
    cdef const int64_t *e = NULL
    if array is not None:
        e = <const int64_t *> cnp.PyArray_DATA(array)
    cdef cnp.ndarray out = np.empty(count, np.float32 if is_f32 else np.float64)
    cdef void *data = cnp.PyArray_DATA(out)
    with nogil:
        if is_f32:
            snn_random_normal_f32(&s, c_first, e, c_n, <float *> data)
        else:
            snn_random_normal_f64(&s, c_first, e, c_n, <double *> data)
    return out


LAWS = {"normal": SNN_NORMAL, "uniform": SNN_UNIFORM, "constant": SNN_CONSTANT}


cdef int _law(object law) except -1:
    if law not in LAWS:
        raise ValueError(f"law is {law!r}, it must be one of {', '.join(LAWS)}")
    return LAWS[law]


def random_scaled(
    stream, law, scale, n=None, elements=None, dtype=np.float32, first=0,
    absolute=False,
):
    """Weights by their distribution; other parameters as in random_bits.

    Parameters
    ----------
    law : {"normal", "uniform", "constant"}
        Standard normal, uniform in [-1, 1), or 1.
    scale : float
        Rounded to dtype; every draw is multiplied by it.
    absolute : bool
        Magnitudes.

    Returns
    -------
    ndarray of dtype, float32 or float64
        ``normal() * scale``, ``(2 * uniform() - 1) * scale``, or scale, bit for bit.
    """
    start, array, count = _elements(n, elements, first)
    cdef snn_stream s = _stream(stream)
    cdef int64_t c_first = start, c_n = count
    cdef bint is_f32 = _is_f32(dtype), magnitudes = absolute
    cdef int c_law = _law(law)
    cdef double c_scale = np.dtype(dtype).type(scale)
    cdef const int64_t *e = NULL
    if array is not None:
        e = <const int64_t *> cnp.PyArray_DATA(array)
    cdef cnp.ndarray out = np.empty(count, np.float32 if is_f32 else np.float64)
    cdef void *data = cnp.PyArray_DATA(out)
    with nogil:
        if is_f32:
            snn_random_scaled_f32(
                &s, c_law, <float> c_scale, magnitudes, c_first, e, c_n, <float *> data
            )
        else:
            snn_random_scaled_f64(
                &s, c_law, c_scale, magnitudes, c_first, e, c_n, <double *> data
            )
    return out


def random_tile(stream, law, scale, first, stride, out, absolute=False):
    """Weights of a tile of a matrix whose positions number the elements.

    Parameters
    ----------
    stream, law, scale, absolute
        As in random_scaled.
    first : int
        Element of the tile's first entry.
    stride : int
        From one row to the next: the matrix's number of columns.
    out : ndarray, shape (n_rows, n_cols)
        float32 or float64, rows contiguous; what is written to.

    Returns
    -------
    ndarray
        out.
    """
    cdef snn_stream s = _stream(stream)
    cdef int c_law = _law(law)
    cdef bint magnitudes = absolute
    if not isinstance(out, np.ndarray) or out.ndim != 2 or not out.flags.writeable:
        raise ValueError("out must be a writeable array of two axes")
    cdef bint is_f32 = _is_f32(out.dtype)
    cdef int64_t n_rows = out.shape[0], n_cols = out.shape[1]
    cdef int64_t c_first = operator.index(first), c_stride = operator.index(stride)
    cdef int64_t itemsize = out.itemsize, step = out.strides[0]
    if not out.size:
        return out
    if n_cols > 1 and out.strides[1] != itemsize:
        raise ValueError(
            f"the rows of out must be contiguous, got strides {out.strides}")
    if step % itemsize or (n_rows > 1 and step < n_cols * itemsize):
        raise ValueError(f"the rows of out must not overlap, got strides {out.strides}")
    if c_first < 0 or c_stride < n_cols or (
        operator.index(first) + max(n_rows, 1) * operator.index(stride) > 1 << 62
    ):
        raise ValueError(
            f"a tile of shape {(n_rows, n_cols)} from element {first} in rows of "
            f"{stride} does not lie in 0..2**62"
        )
    cdef double c_scale = out.dtype.type(scale)
    cdef void *data = cnp.PyArray_DATA(out)
    with nogil:
        if is_f32:
            snn_random_tile_f32(
                &s, c_law, <float> c_scale, magnitudes, c_first, c_stride, n_rows,
                n_cols, <float *> data, step // itemsize
            )
        else:
            snn_random_tile_f64(
                &s, c_law, c_scale, magnitudes, c_first, c_stride, n_rows, n_cols,
                <double *> data, step // itemsize
            )
    return out
