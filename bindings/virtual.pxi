# Weights that are drawn again: src/products/score.c.

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
