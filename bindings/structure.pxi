# Patterns: the Layout class and the scalar routines of src/structure/.
#
# Each routine checks all that it is given, CSR arrays included, so that no call from
# Python can read or write outside an array. The check is one pass over the indices.

import operator

cdef int64_t _INT32_MAX = 2147483647
cdef int32_t _NO_ROWS = 0  # row pointers of a layout that was never initialised


cdef int32_t _dimension(object value, str name) except -1:
    """Checks a size that the C interface holds in 31 bits."""
    n = operator.index(value)
    if not 0 <= n <= _INT32_MAX:
        raise ValueError(f"{name} is {n}, it must lie in 0..{_INT32_MAX}")
    return n


cdef tuple _shape(object shape):
    try:
        n_rows, n_cols = shape
    except (TypeError, ValueError):
        raise ValueError(f"shape is {shape!r}, a pattern has (n_rows, n_cols)") from None
    return _dimension(n_rows, "n_rows"), _dimension(n_cols, "n_cols")


cdef cnp.ndarray _checked_vector(object array, str name, tuple dtypes):
    """Checks a C-contiguous one-dimensional array of one of the dtypes."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is {type(array).__name__}, it must be a NumPy array")
    if array.dtype not in dtypes:
        allowed = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise TypeError(f"{name} has dtype {array.dtype}, it must be {allowed}")
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, it must be one-dimensional")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"{name} must be contiguous and aligned, it is a strided view")
    return array


cdef cnp.ndarray _int32s(object array, str name):
    return _checked_vector(array, name, (np.int32,))


cdef int32_t _count(cnp.ndarray array, str name) except -1:
    if array.size > _INT32_MAX:
        raise ValueError(
            f"{name} has {array.size} entries, a pattern holds at most {_INT32_MAX}"
        )
    return <int32_t> array.size


cdef inline const int32_t *_int32_data(cnp.ndarray array) noexcept:
    return <const int32_t *> cnp.PyArray_DATA(array)


cdef inline int32_t *_int32_out(cnp.ndarray array) noexcept:
    return <int32_t *> cnp.PyArray_DATA(array)


cdef object _violation(
    int violation, int64_t at, object indptr, object indices, int64_t limit,
    str prefix, str segment,
):
    """What the first violation in CSR arrays is, as a sentence with its place."""
    p, c = prefix + "indptr", prefix + ("columns" if segment != "row" else "indices")
    if violation == SNN_INDPTR_START:
        return ValueError(f"{p}[0] is {indptr[0]}, it must be 0")
    if violation == SNN_INDPTR_ORDER:
        return ValueError(
            f"{p} decreases from {indptr[at - 1]} to {indptr[at]} at {segment} {at - 1}"
        )
    if violation == SNN_INDPTR_END:
        return ValueError(
            f"{p}[{at}] is {indptr[at]}, it must be the number of {c}, {indices.size}"
        )
    where = int(np.searchsorted(indptr, at, side="right")) - 1
    if violation == SNN_COLUMN_RANGE:
        return ValueError(
            f"{c}[{at}] = {indices[at]} in {segment} {where} lies outside "
            f"0..{limit - 1}"
        )
    return ValueError(
        f"{c}[{at}] = {indices[at]} in {segment} {where} follows {indices[at - 1]}; "
        f"columns must increase strictly within a {segment}"
    )


cdef object _check_csr(tuple shape, cnp.ndarray indptr, cnp.ndarray indices, str prefix=""):
    cdef int32_t n_rows = shape[0], n_cols = shape[1]
    cdef int32_t nnz = _count(indices, prefix + "indices")
    cdef int64_t at = 0
    cdef int violation
    if indptr.size != <int64_t> n_rows + 1:
        raise ValueError(
            f"{prefix}indptr has length {indptr.size}, it must be n_rows + 1 = "
            f"{<int64_t> n_rows + 1}"
        )
    cdef const int32_t *p = _int32_data(indptr)
    cdef const int32_t *j = _int32_data(indices)
    with nogil:
        violation = snn_csr_check(n_rows, n_cols, nnz, p, j, &at)
    if violation != SNN_VALID:
        raise _violation(violation, at, indptr, indices, n_cols, prefix, "row")


def csr_check(shape, indptr, indices):
    """Raise ValueError unless the arrays are a canonical CSR pattern.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_cols), each below 2**31.
    indptr : ndarray of int32, shape (n_rows + 1,)
    indices : ndarray of int32, shape (nnz,)
        Columns, strictly increasing within each row.
    """
    _check_csr(_shape(shape), _int32s(indptr, "indptr"), _int32s(indices, "indices"))


cdef object _read_only(cnp.ndarray array):
    """A view that cannot be made writeable."""
    array.flags.writeable = False
    return array.view()


cdef tuple _INDEX_DTYPES = (np.uint8, np.uint16, np.int32)


cdef int32_t _index_bytes(object index_bytes, int32_t block_width) except -1:
    n = operator.index(index_bytes)
    if n not in (1, 2, 4):
        raise ValueError(f"index_bytes is {n}, it must be 1, 2 or 4")
    if n < 4 and block_width > 1 << 8 * n:
        raise ValueError(
            f"columns of {n} byte(s) reach {1 << 8 * n} columns, block_width is "
            f"{block_width}"
        )
    return n


cdef int32_t _block_width(object block_width) except -1:
    n = _dimension(block_width, "block_width")
    if n == 0:
        raise ValueError("block_width is 0, it must be at least 1")
    return n


@cython.final
cdef class Layout:
    """Where the nonzeros of a matrix are: one CSR per block of columns.

    Slots are ordered by (column block, row, column). Immutable; the arrays are copied.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_cols), each below 2**31.
    block_width : int
        Columns of a block, at least 1.
    indptr : ndarray of int32, shape (n_blocks * n_rows + 1,)
        Slots of row i in block b: ``indptr[b * n_rows + i] : indptr[b * n_rows + i + 1]``.
    columns : ndarray of uint8, uint16 or int32, shape (nnz,)
        Column of each slot, counted from the first of its block.

    Raises
    ------
    ValueError
        If the arrays do not describe a layout; says which entry.
    """

    cdef snn_layout c
    cdef readonly tuple shape
    cdef readonly object indptr, columns
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        # Even an object whose __init__ never ran is safe to hand to a kernel.
        self.shape = (0, 0)
        self.c.block_width = 1
        self.c.index_bytes = 4
        self.c.indptr = &_NO_ROWS
        self.c.columns = &_NO_ROWS

    def __init__(self, shape, block_width, indptr, columns):
        if self.indptr is not None:
            raise TypeError("a Layout is immutable, make a new one")
        shape = _shape(shape)
        cdef int32_t width = _block_width(block_width)
        p = _int32s(indptr, "indptr")
        j = _checked_vector(columns, "columns", _INDEX_DTYPES)
        _index_bytes(j.itemsize, width)
        _count(j, "columns")
        cdef snn_layout c = _layout_struct(shape, width, p, j)
        if p.size != <int64_t> c.n_blocks * c.n_rows + 1:
            raise ValueError(
                f"indptr has length {p.size}, it must be n_blocks * n_rows + 1 = "
                f"{<int64_t> c.n_blocks * c.n_rows + 1}"
            )
        # The copies are checked, not the arguments: nobody can change them meanwhile.
        p, j = p.copy(), j.copy()
        c = _layout_struct(shape, width, p, j)
        cdef int64_t at = 0
        cdef int violation
        with nogil:
            violation = snn_layout_check(&c, &at)
        if violation != SNN_VALID:
            raise _violation(violation, at, p, j, width, "", "segment")
        _set_layout(self, shape, width, p, j)

    @property
    def block_width(self):
        """Columns of a block (the last may have fewer)."""
        return self.c.block_width

    @property
    def n_blocks(self):
        """Number of column blocks."""
        return self.c.n_blocks

    @property
    def index_bytes(self):
        """Bytes of one entry of columns."""
        return self.c.index_bytes

    @property
    def nnz(self):
        """Number of positions."""
        return self.c.nnz

    @property
    def nbytes(self):
        """Bytes of indptr and columns."""
        return self.indptr.nbytes + self.columns.nbytes

    def __repr__(self):
        return (
            f"Layout(shape={self.shape}, nnz={self.nnz}, n_blocks={self.n_blocks}, "
            f"block_width={self.block_width}, index_bytes={self.index_bytes})"
        )

    def __reduce__(self):
        return Layout, (self.shape, self.block_width, self.indptr, self.columns)


cdef snn_layout _layout_struct(tuple shape, int32_t width, cnp.ndarray p, cnp.ndarray j):
    cdef snn_layout c
    c.n_rows = shape[0]
    c.n_cols = shape[1]
    c.block_width = width
    c.n_blocks = (c.n_cols - 1) // width + 1 if c.n_cols else 0
    c.index_bytes = <int32_t> j.itemsize
    c.nnz = <int32_t> j.size
    c.indptr = _int32_data(p)
    c.columns = cnp.PyArray_DATA(j)
    return c


cdef _set_layout(Layout self, tuple shape, int32_t width, cnp.ndarray p, cnp.ndarray j):
    self.shape = shape
    self.c = _layout_struct(shape, width, p, j)
    self.indptr = _read_only(p)
    self.columns = _read_only(j)


def csr_to_layout(shape, indptr, indices, block_width, index_bytes):
    """Store a canonical CSR pattern in column blocks.

    Parameters
    ----------
    shape : tuple of int
    indptr : ndarray of int32, shape (n_rows + 1,)
    indices : ndarray of int32, shape (nnz,)
    block_width : int
    index_bytes : {1, 2, 4}

    Returns
    -------
    layout : Layout
    source : ndarray of int32, shape (nnz,)
        Canonical index of each slot.
    """
    shape = _shape(shape)
    cdef cnp.ndarray p = _int32s(indptr, "indptr")
    cdef cnp.ndarray j = _int32s(indices, "indices")
    _check_csr(shape, p, j)
    cdef int32_t n_rows = shape[0], n_cols = shape[1]
    cdef int32_t width = _block_width(block_width)
    cdef int32_t n_bytes = _index_bytes(index_bytes, width)
    cdef int64_t n_blocks = (n_cols - 1) // width + 1 if n_cols else 0
    cdef cnp.ndarray p_out = np.empty(n_blocks * n_rows + 1, np.int32)
    cdef cnp.ndarray j_out = np.empty(j.size, _INDEX_DTYPES[n_bytes // 2])
    cdef cnp.ndarray source = np.empty(j.size, np.int32)
    cdef const int32_t *p_data = _int32_data(p)
    cdef const int32_t *j_data = _int32_data(j)
    cdef int32_t *p_out_data = _int32_out(p_out)
    cdef void *j_out_data = cnp.PyArray_DATA(j_out)
    cdef int32_t *source_data = _int32_out(source)
    with nogil:
        snn_csr_to_layout(
            n_rows, n_cols, p_data, j_data, width, n_bytes, p_out_data, j_out_data,
            source_data)
    layout = Layout.__new__(Layout)
    _set_layout(layout, shape, width, p_out, j_out)
    return layout, source


def layout_to_csr(Layout layout not None):
    """Canonical CSR of a layout.

    Returns
    -------
    indptr : ndarray of int32, shape (n_rows + 1,)
    indices : ndarray of int32, shape (nnz,)
    slot : ndarray of int32, shape (nnz,)
        Slot of each canonical entry.
    """
    cdef cnp.ndarray indptr = np.empty(<int64_t> layout.c.n_rows + 1, np.int32)
    cdef cnp.ndarray indices = np.empty(layout.c.nnz, np.int32)
    cdef cnp.ndarray slot = np.empty(layout.c.nnz, np.int32)
    cdef int32_t *p = _int32_out(indptr)
    cdef int32_t *j = _int32_out(indices)
    cdef int32_t *s = _int32_out(slot)
    with nogil:
        snn_layout_to_csr(&layout.c, p, j, s)
    return indptr, indices, slot


def layout_positions(Layout layout not None):
    """Row and column of each slot, two int32 arrays of shape (nnz,)."""
    cdef cnp.ndarray rows = np.empty(layout.c.nnz, np.int32)
    cdef cnp.ndarray cols = np.empty(layout.c.nnz, np.int32)
    cdef int32_t *i = _int32_out(rows)
    cdef int32_t *j = _int32_out(cols)
    with nogil:
        snn_layout_positions(&layout.c, i, j)
    return rows, cols


def csr_transpose(shape, indptr, indices):
    """Canonical CSR of the transposed pattern.

    Returns
    -------
    indptr_t : ndarray of int32, shape (n_cols + 1,)
    indices_t : ndarray of int32, shape (nnz,)
    source : ndarray of int32, shape (nnz,)
        Index into the input of each entry of the output.
    """
    shape = _shape(shape)
    cdef cnp.ndarray p = _int32s(indptr, "indptr")
    cdef cnp.ndarray j = _int32s(indices, "indices")
    _check_csr(shape, p, j)
    cdef int32_t n_rows = shape[0], n_cols = shape[1]
    cdef cnp.ndarray p_out = np.empty(<int64_t> n_cols + 1, np.int32)
    cdef cnp.ndarray j_out = np.empty(j.size, np.int32)
    cdef cnp.ndarray source = np.empty(j.size, np.int32)
    cdef const int32_t *p_data = _int32_data(p)
    cdef const int32_t *j_data = _int32_data(j)
    cdef int32_t *p_out_data = _int32_out(p_out)
    cdef int32_t *j_out_data = _int32_out(j_out)
    cdef int32_t *source_data = _int32_out(source)
    with nogil:
        snn_csr_transpose(
            n_rows, n_cols, p_data, j_data, p_out_data, j_out_data, source_data)
    return p_out, j_out, source


def _kept_and_added(shape, indptr, indices, keep, added_indptr, added_indices):
    """The error of a merge, with the first position that it concerns."""
    rows = np.repeat(np.arange(shape[0]), np.diff(indptr))[keep]
    added_rows = np.repeat(np.arange(shape[0]), np.diff(added_indptr))
    both = np.intersect1d(
        rows * shape[1] + indices[keep], added_rows * shape[1] + added_indices)
    row, column = divmod(int(both[0]), shape[1])
    return ValueError(
        f"position ({row}, {column}) is both kept and added; add only positions that "
        "are not kept"
    )


def csr_merge(shape, indptr, indices, keep, added_indptr, added_indices):
    """Drop the entries of a CSR pattern that are not kept and add those of another.

    Parameters
    ----------
    shape : tuple of int
    indptr, indices : ndarray of int32
    keep : ndarray of bool, shape (nnz,)
    added_indptr, added_indices : ndarray of int32
        Canonical CSR of the same shape, disjoint from what is kept.

    Returns
    -------
    indptr : ndarray of int32, shape (n_rows + 1,)
    indices : ndarray of int32, shape (n_kept + n_added,)
    source : ndarray of int32, shape (n_kept + n_added,)
        Index of the kept entry, or -1 for an added one.
    """
    shape = _shape(shape)
    cdef cnp.ndarray p = _int32s(indptr, "indptr")
    cdef cnp.ndarray j = _int32s(indices, "indices")
    cdef cnp.ndarray m = _checked_vector(keep, "keep", (np.bool_,))
    cdef cnp.ndarray p_add = _int32s(added_indptr, "added indptr")
    cdef cnp.ndarray j_add = _int32s(added_indices, "added indices")
    _check_csr(shape, p, j)
    _check_csr(shape, p_add, j_add, "added ")
    if m.size != j.size:
        raise ValueError(f"keep has length {m.size}, the pattern has nnz={j.size}")
    cdef int64_t n_out = np.count_nonzero(m) + j_add.size
    if n_out > _INT32_MAX:
        raise ValueError(
            f"the new pattern would have nnz={n_out}, at most {_INT32_MAX} is possible"
        )
    cdef int32_t n_rows = shape[0]
    cdef cnp.ndarray p_out = np.empty(<int64_t> n_rows + 1, np.int32)
    cdef cnp.ndarray j_out = np.empty(n_out, np.int32)
    cdef cnp.ndarray source = np.empty(n_out, np.int32)
    cdef const int32_t *p_data = _int32_data(p)
    cdef const int32_t *j_data = _int32_data(j)
    cdef const uint8_t *m_data = <const uint8_t *> cnp.PyArray_DATA(m)
    cdef const int32_t *p_add_data = _int32_data(p_add)
    cdef const int32_t *j_add_data = _int32_data(j_add)
    cdef int32_t *p_out_data = _int32_out(p_out)
    cdef int32_t *j_out_data = _int32_out(j_out)
    cdef int32_t *source_data = _int32_out(source)
    cdef int status
    with nogil:
        status = snn_csr_merge(
            n_rows, p_data, j_data, m_data, p_add_data, j_add_data, p_out_data,
            j_out_data, source_data)
    if status == SNN_BAD_ARGUMENT:
        raise _kept_and_added(shape, p, j, m, p_add, j_add)
    return p_out, j_out, source


def complement_sample(shape, indptr, indices, k, stream):
    """Draw k distinct positions outside a pattern, uniform over all such sets.

    Parameters
    ----------
    shape : tuple of int
    indptr, indices : ndarray of int32
        Canonical CSR of the pattern to stay outside of.
    k : int
        At most the number of free positions.
    stream : sparsenn.random.Stream

    Returns
    -------
    indptr : ndarray of int32, shape (n_rows + 1,)
    indices : ndarray of int32, shape (k,)
    """
    shape = _shape(shape)
    cdef cnp.ndarray p = _int32s(indptr, "indptr")
    cdef cnp.ndarray j = _int32s(indices, "indices")
    _check_csr(shape, p, j)
    cdef int32_t n_rows = shape[0], n_cols = shape[1]
    cdef int32_t count = _dimension(k, "k")
    cdef int64_t n_free = <int64_t> n_rows * n_cols - j.size
    if count > n_free:
        raise ValueError(
            f"k is {count}, only {n_free} of {n_rows} x {n_cols} positions are free"
        )
    cdef snn_stream s = _stream(stream)
    cdef cnp.ndarray p_out = np.empty(<int64_t> n_rows + 1, np.int32)
    cdef cnp.ndarray j_out = np.empty(count, np.int32)
    cdef const int32_t *p_data = _int32_data(p)
    cdef const int32_t *j_data = _int32_data(j)
    cdef int32_t *p_out_data = _int32_out(p_out)
    cdef int32_t *j_out_data = _int32_out(j_out)
    cdef int status
    with nogil:
        status = snn_complement_sample(
            n_rows, n_cols, p_data, j_data, count, &s, p_out_data, j_out_data)
    if status == SNN_NO_MEMORY:
        raise MemoryError("no memory to sort the columns of one row")
    return p_out, j_out


def select(scores, k, largest=True, rank=None):
    """Mark exactly k scores, the largest or the smallest.

    Parameters
    ----------
    scores : ndarray of float32 or float64, shape (n,)
        No NaN; -0 equals 0.
    k : int
        0 <= k <= n.
    largest : bool
    rank : ndarray of int64, shape (n,), optional
        Among equal scores the lower rank is chosen; by default the lower index.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    cdef cnp.ndarray x = _checked_vector(scores, "scores", (np.float32, np.float64))
    cdef int64_t n = x.size
    cdef int64_t count
    wanted = operator.index(k)
    if not 0 <= wanted <= n:
        raise ValueError(f"k is {wanted}, it must lie in 0..{n}, the number of scores")
    count = wanted
    cdef cnp.ndarray r
    cdef const int64_t *rank_data = NULL
    if rank is not None:
        r = _checked_vector(rank, "rank", (np.int64,))
        if r.size != n:
            raise ValueError(f"rank has length {r.size}, scores has {n}")
        rank_data = <const int64_t *> cnp.PyArray_DATA(r)
    nan = np.isnan(x)
    if nan.any():
        raise ValueError(f"scores[{int(np.argmax(nan))}] is NaN, scores must be comparable")
    cdef cnp.ndarray mask = nan  # as large as needed and all overwritten
    cdef uint8_t *mask_data = <uint8_t *> cnp.PyArray_DATA(mask)
    cdef int is_largest = bool(largest)
    cdef const void *x_data = cnp.PyArray_DATA(x)
    if x.itemsize == 4:
        with nogil:
            snn_select_f32(n, <const float *> x_data, count, is_largest, rank_data, mask_data)
    else:
        with nogil:
            snn_select_f64(
                n, <const double *> x_data, count, is_largest, rank_data, mask_data)
    return mask
