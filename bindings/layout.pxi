# The checks of arrays and shapes that patterns need, and the Layout class.

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
        raise ValueError(f"shape is {shape!r}, it must be (n_rows, n_cols)") from None
    return _dimension(n_rows, "n_rows"), _dimension(n_cols, "n_cols")


cdef cnp.ndarray _plain_array(object array, str name):
    """The array itself, or its memory as one if it is of a subclass.

    A subclass may answer what it likes when asked for its shape or compared with
    NumPy's functions, so what is checked must not be one. (Nor is isinstance enough:
    a class may claim to be another.)
    """
    if not cnp.PyArray_Check(array):
        raise TypeError(
            f"{name} is a {type(array).__name__}, expected a numpy.ndarray")
    return array if cnp.PyArray_CheckExact(array) else np.asarray(array)


cdef cnp.ndarray _checked_vector(object array, str name, tuple dtypes):
    """Checks a C-contiguous one-dimensional array of one of the dtypes."""
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name} is {type(array).__name__}, it must be a NumPy array")
    array = _plain_array(array, name)
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


cdef inline int32_t *_int32_data(cnp.ndarray array) noexcept nogil:
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


cdef object _check_csr(
    tuple shape, cnp.ndarray indptr, cnp.ndarray indices, str prefix=""
):
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
        Row i of block b: the slots ``indptr[s] : indptr[s + 1]``, s = b * n_rows + i.
    columns : ndarray of uint8, uint16 or int32, shape (nnz,)
        Column of each slot, counted from the first of its block.

    Raises
    ------
    ValueError
        If the arrays do not describe a layout; says which entry.
    """

    cdef snn_layout c
    cdef snn_column_order order  # rows is NULL until a product asks for it
    cdef readonly tuple shape
    cdef readonly object indptr, columns
    cdef object order_start, order_rows
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
        """Bytes of indptr and columns, and of the column order once it was needed."""
        order = 0
        if self.order_rows is not None:
            order = self.order_start.nbytes + self.order_rows.nbytes
        return self.indptr.nbytes + self.columns.nbytes + order

    def __repr__(self):
        return (
            f"Layout(shape={self.shape}, nnz={self.nnz}, n_blocks={self.n_blocks}, "
            f"block_width={self.block_width}, index_bytes={self.index_bytes})"
        )

    def __reduce__(self):
        return Layout, (self.shape, self.block_width, self.indptr, self.columns)


cdef snn_layout _layout_struct(
    tuple shape, int32_t width, cnp.ndarray p, cnp.ndarray j
):
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


cdef object _set_layout(
    Layout self, tuple shape, int32_t width, cnp.ndarray p, cnp.ndarray j
):
    if self.indptr is not None:  # another thread was first
        raise TypeError("a Layout is immutable, make a new one")
    self.shape = shape
    self.c = _layout_struct(shape, width, p, j)
    self.indptr = _read_only(p)
    self.columns = _read_only(j)
    self.order.rows = NULL  # there was one if it was used before __init__ ran
    self.order_start = self.order_rows = None


cdef object _order_columns(Layout self):
    """Sorts the positions by column; the layout keeps the result for good."""
    cdef snn_column_order order
    order.chunk_rows = snn_column_order_chunk(&self.c)
    order.row_bytes = (
        1 if order.chunk_rows <= 1 << 8 else 2 if order.chunk_rows <= 1 << 16 else 4
    )
    cdef int64_t n_chunks = (max(self.c.n_rows, 1) - 1) // order.chunk_rows + 1
    start = np.empty(n_chunks * self.c.n_cols, np.int32)
    # One more than there are, so that the address of none is not NULL either.
    rows = np.empty(<int64_t> self.c.nnz + 1, _INDEX_DTYPES[order.row_bytes >> 1])
    cdef int32_t *s = _int32_data(start)
    cdef void *r = cnp.PyArray_DATA(rows)
    cdef int status
    with nogil:
        status = snn_order_columns(
            &self.c, order.chunk_rows, order.row_bytes, s, r)
    _check_status(status)
    order.start = s
    order.rows = r
    if self.order.rows is NULL:  # else another thread was first
        self.order_start, self.order_rows = start, rows
        self.order = order
