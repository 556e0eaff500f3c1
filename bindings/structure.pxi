# Patterns: the scalar routines of src/structure/.
#
# Each checks all that it is given, CSR arrays included, so that no call from Python can
# read or write outside an array. The check is one pass over the indices.


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
    with nogil:
        snn_csr_to_layout(
            n_rows, n_cols, _int32_data(p), _int32_data(j), width, n_bytes,
            _int32_data(p_out), cnp.PyArray_DATA(j_out), _int32_data(source))
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
    with nogil:
        snn_layout_to_csr(
            &layout.c, _int32_data(indptr), _int32_data(indices), _int32_data(slot))
    return indptr, indices, slot


def layout_positions(Layout layout not None):
    """Row and column of each slot, two int32 arrays of shape (nnz,)."""
    cdef cnp.ndarray rows = np.empty(layout.c.nnz, np.int32)
    cdef cnp.ndarray cols = np.empty(layout.c.nnz, np.int32)
    with nogil:
        snn_layout_positions(&layout.c, _int32_data(rows), _int32_data(cols))
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
    with nogil:
        snn_csr_transpose(
            n_rows, n_cols, _int32_data(p), _int32_data(j), _int32_data(p_out),
            _int32_data(j_out), _int32_data(source))
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
    cdef int status
    with nogil:
        status = snn_csr_merge(
            n_rows, _int32_data(p), _int32_data(j), <uint8_t *> cnp.PyArray_DATA(m),
            _int32_data(p_add), _int32_data(j_add), _int32_data(p_out),
            _int32_data(j_out), _int32_data(source))
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
    cdef int status
    with nogil:
        status = snn_complement_sample(
            n_rows, n_cols, _int32_data(p), _int32_data(j), count, &s,
            _int32_data(p_out), _int32_data(j_out))
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
        raise ValueError(
            f"scores[{int(np.argmax(nan))}] is NaN, scores must be comparable"
        )
    cdef int is_largest = bool(largest)
    cdef cnp.ndarray mask = nan  # as large as needed and all overwritten
    cdef uint8_t *marks = <uint8_t *> cnp.PyArray_DATA(mask)
    cdef void *data = cnp.PyArray_DATA(x)
    cdef bint is_f32 = x.itemsize == 4
    cdef int status
    with nogil:
        if is_f32:
            status = snn_select_f32(
                n, <float *> data, count, is_largest, rank_data, marks)
        else:
            status = snn_select_f64(
                n, <double *> data, count, is_largest, rank_data, marks)
    if status == SNN_NO_MEMORY:
        raise MemoryError("no memory for the candidates of a selection")
    return mask
