# Weights that are drawn again: src/products/score.c, src/products/flow.c.

SCORES = {"value": SNN_VALUE, "magnitude": SNN_MAGNITUDE, "negative": SNN_NEGATIVE}


cdef class Virtual:
    """The C struct of a sparsenn.sparse.VirtualWeight, and its mask kept alive."""

    cdef snn_virtual_f32 f32
    cdef snn_virtual_f64 f64
    cdef bint single
    cdef object mask

    def __init__(self, weight):
        cdef snn_stream s = _stream(weight.stream)
        cdef int law = _law(weight.law)
        cdef int64_t n_rows, n_cols, words
        cdef uint64_t *bits = NULL
        self.single = _is_f32(weight.dtype)
        n_rows, n_cols = weight.shape
        words = (n_cols + 63) // 64
        self.mask = weight.mask
        if self.mask is not None:
            if (
                not isinstance(self.mask, np.ndarray) or self.mask.dtype != np.uint64
                or self.mask.shape != (n_rows, words)
                or not cnp.PyArray_ISCARRAY(self.mask)
            ):
                raise ValueError(
                    f"mask must be a writeable, contiguous array of uint64 of shape "
                    f"{(n_rows, words)}"
                )
            bits = <uint64_t *> cnp.PyArray_DATA(self.mask)
        self.f32.stream = self.f64.stream = s
        self.f32.law = self.f64.law = law
        self.f32.scale = self.f64.scale = weight.scale
        self.f32.n_rows = self.f64.n_rows = n_rows
        self.f32.n_cols = self.f64.n_cols = n_cols
        self.f32.words = self.f64.words = words
        self.f32.mask = self.f64.mask = bits


def score_above(tile, double threshold, kind="value", weight=None, row=0, column=0):
    """Scores of a tile, and those above a threshold.

    Parameters
    ----------
    tile : ndarray, shape (n_rows, n_cols)
        float32 or float64, C order; its contents are destroyed.
    threshold : float
        Larger scores are found.
    kind : {"value", "magnitude", "negative"}
        Of the tile times the weight.
    weight : sparsenn.sparse.VirtualWeight, optional
        Of the tile's dtype; its values are multiplied in, with their signs, and
        positions that its mask leaves out are not found. None: the tile alone.
    row, column : int
        Of the weight: that of the tile's first entry. A mask wants columns in 64s.

    Returns
    -------
    counts : ndarray of int32, shape (n_rows,)
        Found in each row.
    columns : ndarray of int32
        Of the weight.
    scores : ndarray
        Row by row, by column within a row; a view of the tile.

    Raises
    ------
    ValueError
        If a score is not finite.
    """
    cdef cnp.ndarray t = _real_array(tile, "tile")
    if t.ndim != 2 or not cnp.PyArray_ISCARRAY(t):
        raise ValueError("tile must be a writeable, contiguous matrix")
    if kind not in SCORES:
        raise ValueError(f"kind is {kind!r}, it must be one of {', '.join(SCORES)}")
    cdef int c_kind = SCORES[kind]
    cdef int64_t n_rows = t.shape[0], n_cols = t.shape[1], total = 0
    cdef int64_t c_row = operator.index(row), c_column = operator.index(column)
    cdef Virtual v
    cdef snn_virtual_f32 *f32 = NULL
    cdef snn_virtual_f64 *f64 = NULL
    cdef bint single = t.itemsize == 4
    if weight is not None:
        v = Virtual(weight)
        if v.single != single:
            raise ValueError(f"tile is {t.dtype}, the weight {weight.dtype}")
        if not (0 <= c_row <= v.f32.n_rows - n_rows
                and 0 <= c_column <= v.f32.n_cols - n_cols):
            raise ValueError(
                f"a tile of shape {(n_rows, n_cols)} at {(row, column)} does not lie "
                f"in a weight of shape {weight.shape}")
        if v.mask is not None and c_column % 64:
            raise ValueError(f"column is {column}, a mask wants a multiple of 64")
        f32 = &v.f32
        f64 = &v.f64
    cdef cnp.ndarray counts = np.empty(n_rows, np.int32)
    cdef cnp.ndarray columns = np.empty(t.size, np.int32)
    cdef void *data = cnp.PyArray_DATA(t)
    cdef int status, finite = 1
    with nogil:
        if single:
            status = snn_score_above_f32(
                f32, c_kind, c_row, c_column, n_rows, n_cols, <float> threshold,
                <float *> data, _int32_data(columns), _int32_data(counts), &total,
                &finite)
        else:
            status = snn_score_above_f64(
                f64, c_kind, c_row, c_column, n_rows, n_cols, threshold,
                <double *> data, _int32_data(columns), _int32_data(counts), &total,
                &finite)
    _check_status(status)
    if not finite:
        raise ValueError("scores are not all finite")
    return counts, columns[:total] + np.int32(c_column), t.reshape(-1)[:total]


cdef double *_doubles(object a, str name, int64_t n) except? NULL:
    """The data of a writeable vector of n float64, or NULL of None."""
    if a is None:
        return NULL
    if (
        not isinstance(a, np.ndarray) or a.dtype != np.float64 or a.shape != (n,)
        or not cnp.PyArray_ISCARRAY(a)
    ):
        raise ValueError(f"{name} must be a writeable vector of {n} float64")
    return <double *> cnp.PyArray_DATA(a)


cdef snn_flow_pass _flow_pass(
    int64_t n_rows, int64_t n_cols, death, x, g, y, z, search
) except *:
    """The C struct of a pass; its arrays are the caller's to keep."""
    cdef snn_flow_pass f
    cdef cnp.ndarray scores, ranks, zeros
    f.old_g = f.old_x = NULL
    f.threshold = 0
    f.last_rank = -1
    if death is not None:
        old_g, old_x, threshold, last_rank = death
        f.old_g = _doubles(old_g, "g of the death", n_rows)
        f.old_x = _doubles(old_x, "x of the death", n_cols)
        f.threshold = threshold
        f.last_rank = last_rank
    f.g = _doubles(g, "g", n_rows)
    f.x = _doubles(x, "x", n_cols)
    f.y = _doubles(y, "y", n_rows)
    f.z = _doubles(z, "z", n_cols)
    if (z is not None or search is not None) and g is None:
        raise ValueError("z and a search need g")
    f.search = search is not None
    f.low = f.high = 0
    f.capacity = 0
    f.scores = NULL
    f.ranks = NULL
    f.zeros = NULL
    f.below = NULL
    if search is not None:
        f.low, f.high, scores, ranks, zeros, below = search
        f.below = _doubles(below, "below", n_rows)
        f.scores = _doubles(scores, "scores", scores.size)
        f.capacity = scores.size
        if (
            ranks.dtype != np.int64 or ranks.ndim != 1 or ranks.size != scores.size
            or not cnp.PyArray_ISCARRAY(ranks)
        ):
            raise ValueError(
                "ranks must be a writeable vector of int64, as long as scores")
        f.ranks = <int64_t *> cnp.PyArray_DATA(ranks)
        if (
            zeros.dtype != np.int32 or zeros.ndim != 1 or zeros.size != n_rows
            or not cnp.PyArray_ISCARRAY(zeros)
        ):
            raise ValueError(f"zeros must be a writeable vector of {n_rows} int32")
        f.zeros = <int32_t *> cnp.PyArray_DATA(zeros)
    return f


def flow(weight, death=None, x=None, g=None, y=None, z=None, search=None):
    """A pass over the magnitudes of a virtual weight where its mask's bits are set.

    The score of a connection is ``(g[row] * |w|) * x[column]``, in float64.

    Parameters
    ----------
    weight : sparsenn.sparse.VirtualWeight
        With a mask, whose bits of those that die are cleared.
    death : tuple, optional
        ``(g, x, threshold, last_rank)``: those stay whose score of these g and x is
        above the threshold, or equal to it and their rank at most the last.
    x, g : ndarray of float64, shape (n_cols,) and (n_rows,), optional
        No x is all ones.
    y, z : ndarray of float64, shape (n_rows,) and (n_cols,), optional
        Written: ``|W| x`` and ``|W|^T g``.
    search : tuple, optional
        ``(low, high, scores, ranks, zeros, below)``: counts the scores above high, and
        those of 0 in every row (written to zeros, int32); writes to the vectors scores
        and ranks those in low .. high that are not 0, in no order, while they have
        room; and to below, unless it is None, the sum in each row of those below low.

    Returns
    -------
    live, above, zero, found : int
        Connections that live on, and what the search counted.
    """
    cdef Virtual v = Virtual(weight)
    if v.mask is None:
        raise ValueError("the weight must have a mask")
    cdef snn_flow_pass f = _flow_pass(
        v.f32.n_rows, v.f32.n_cols, death, x, g, y, z, search)
    cdef int status
    with nogil:
        if v.single:
            status = snn_flow_f32(&v.f32, &f)
        else:
            status = snn_flow_f64(&v.f64, &f)
    _check_status(status)
    return f.live, f.above, f.zero, f.found


def flow_listed(
    int64_t n_cols, start, live, columns, values,
    death=None, x=None, g=None, y=None, z=None, search=None,
):
    """The same for connections that are listed; other parameters as in flow.

    Parameters
    ----------
    n_cols : int
    start : ndarray of int64, shape (n_rows + 1,)
    live : ndarray of int32, shape (n_rows,)
        Row i has the connections ``start[i] : start[i] + live[i]``.
    columns : ndarray of int32
    values : ndarray of float32 or float64
        These three are written to when connections die.
    """
    cdef cnp.ndarray v = _real_array(values, "values")
    cdef cnp.ndarray s = _checked_vector(start, "start", (np.int64,))
    cdef cnp.ndarray n = _checked_vector(live, "live", (np.int32,))
    cdef cnp.ndarray c = _checked_vector(columns, "columns", (np.int32,))
    cdef int64_t n_rows = n.size
    if s.size != n_rows + 1 or c.size != v.size or v.ndim != 1 or s[n_rows] != c.size:
        raise ValueError(
            f"start, live, columns and values have {s.size}, {n_rows}, {c.size} and "
            f"{v.size} items, they do not fit")
    if not (np.diff(s) >= n).all() or (n_rows and (s[0] != 0 or n.min() < 0)):
        raise ValueError("the lists of rows overlap")
    if c.size and not (c.min() >= 0 and c.max() < n_cols):
        raise ValueError(f"columns must be in [0, {n_cols})")
    for a in (n, c, v):
        if not cnp.PyArray_ISCARRAY(a):
            raise ValueError("live, columns and values must be writeable")
    cdef snn_flow_pass f = _flow_pass(n_rows, n_cols, death, x, g, y, z, search)
    cdef const int64_t *c_start = <const int64_t *> cnp.PyArray_DATA(s)
    cdef void *data = cnp.PyArray_DATA(v)
    cdef bint single = v.itemsize == 4
    cdef int status
    with nogil:
        if single:
            status = snn_flow_listed_f32(
                n_rows, n_cols, c_start, _int32_data(n), _int32_data(c), <float *> data,
                &f)
        else:
            status = snn_flow_listed_f64(
                n_rows, n_cols, c_start, _int32_data(n), _int32_data(c),
                <double *> data, &f)
    _check_status(status)
    return f.live, f.above, f.zero, f.found


def mask_columns(mask, count):
    """Columns of the set bits of a mask, row after row.

    Parameters
    ----------
    mask : ndarray of uint64, shape (n_rows, words), C order
        Bit ``j % 64`` of word ``j // 64`` is column j.
    count : int
        How many bits are set.

    Returns
    -------
    ndarray of int32, shape (count,)
    """
    if mask.dtype != np.uint64 or mask.ndim != 2 or not mask.flags.c_contiguous:
        raise ValueError("mask must be a contiguous matrix of uint64")
    if int(np.bitwise_count(mask).sum(dtype=np.int64)) != count:
        raise ValueError(f"the mask does not have {count} bits set")
    cdef cnp.ndarray m = mask
    cdef cnp.ndarray out = np.empty(count, np.int32)
    cdef const uint64_t *words = <const uint64_t *> cnp.PyArray_DATA(m)
    with nogil:
        snn_mask_columns(m.shape[0], m.shape[1], words, _int32_data(out))
    return out
