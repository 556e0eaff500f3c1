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


def layout_find(Layout layout not None, rows, cols):
    """Which of some positions are in a layout, bool of shape (n,).

    Parameters
    ----------
    rows, cols : ndarray of int32, shape (n,)
    """
    cdef cnp.ndarray i = _int32s(rows, "rows")
    cdef cnp.ndarray j = _int32s(cols, "cols")
    if i.size != j.size:
        raise ValueError(f"rows has length {i.size}, cols has {j.size}")
    i, j = i.copy(), j.copy()  # what is checked is what is used
    for name, array, n in (("rows", i, layout.c.n_rows), ("cols", j, layout.c.n_cols)):
        if array.size and not (0 <= array.min() and array.max() < n):
            raise ValueError(f"{name} must lie in 0..{n - 1}")
    cdef cnp.ndarray found = np.empty(i.size, np.bool_)
    cdef uint8_t *marks = <uint8_t *> cnp.PyArray_DATA(found)
    cdef int64_t count = i.size
    with nogil:
        snn_layout_find(&layout.c, count, _int32_data(i), _int32_data(j), marks)
    return found


def above_outside(Layout layout not None, first_row, tile, double threshold):
    """What lies outside a pattern and above a threshold in some rows of a matrix.

    Parameters
    ----------
    layout : Layout
    first_row : int
        Of the matrix: that of the tile.
    tile : ndarray, shape (n, n_cols)
        float32 or float64, C order; its contents are destroyed.
    threshold : float
        Entries of larger magnitude are found; NaN is not.

    Returns
    -------
    counts : ndarray of int32, shape (n,)
        Found in each row.
    columns : ndarray of int32
    magnitudes : ndarray
        Row by row, by column within a row; a view of the tile.
    """
    cdef cnp.ndarray t = _real_array(tile, "tile")
    cdef int64_t first = operator.index(first_row)
    if t.ndim != 2 or t.shape[1] != layout.c.n_cols:
        raise ValueError(
            f"tile has shape {np.shape(t)}, expected (n, {layout.c.n_cols})")
    if not 0 <= first <= layout.c.n_rows - t.shape[0]:
        raise ValueError(
            f"rows {first}..{first + t.shape[0] - 1} do not all lie in "
            f"0..{layout.c.n_rows - 1}")
    if not cnp.PyArray_ISCARRAY(t):
        raise ValueError("tile must be writeable, contiguous and aligned")
    cdef int64_t n = t.shape[0], total = 0
    cdef cnp.ndarray counts = np.empty(n, np.int32)
    cdef cnp.ndarray columns = np.empty(t.size, np.int32)
    cdef void *data = cnp.PyArray_DATA(t)
    cdef bint single = t.itemsize == 4
    cdef int status
    with nogil:
        if single:
            status = snn_above_outside_f32(
                &layout.c, first, n, <float> threshold, <float *> data,
                _int32_data(columns), _int32_data(counts), &total)
        else:
            status = snn_above_outside_f64(
                &layout.c, first, n, threshold, <double *> data, _int32_data(columns),
                _int32_data(counts), &total)
    _check_status(status)
    return counts, columns[:total].copy(), t.reshape(-1)[:total]


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
    cdef cnp.ndarray p_add = _int32s(added_indptr, "added indptr")
    cdef cnp.ndarray j_add = _int32s(added_indices, "added indices")
    _check_csr(shape, p, j)
    _check_csr(shape, p_add, j_add, "added ")
    cdef cnp.ndarray m = _keep(keep, j.size)
    cdef int32_t n_out = _merged_nnz(m, j_add)
    cdef cnp.ndarray p_out = np.empty(<int64_t> shape[0] + 1, np.int32)
    cdef cnp.ndarray j_out = np.empty(n_out, np.int32)
    cdef cnp.ndarray source = np.empty(n_out, np.int32)
    cdef snn_layout w = _csr_struct(shape, p, j)
    cdef int status = _merge(&w, m, p_add, j_add, p_out, j_out, source)
    if status == SNN_BAD_ARGUMENT:
        raise _kept_and_added(shape, p, j, m, p_add, j_add)
    return p_out, j_out, source


def layout_merge(Layout layout not None, keep, added_indptr, added_indices):
    """Drop slots of a layout that are not kept and add the entries of a CSR pattern.

    Parameters
    ----------
    layout : Layout
    keep : ndarray of bool, shape (nnz,)
        In the layout's order.
    added_indptr, added_indices : ndarray of int32
        Canonical CSR of the same shape, disjoint from what is kept.

    Returns
    -------
    layout : Layout
        Of the same blocks.
    source : ndarray of int32, shape (n_kept + n_added,)
        Slot of the kept entry, or -1 for an added one.
    """
    cdef cnp.ndarray m = _keep(keep, layout.c.nnz)
    # Copies are checked: nobody can change them before they become a layout.
    cdef cnp.ndarray p_add = _int32s(added_indptr, "added indptr").copy()
    cdef cnp.ndarray j_add = _int32s(added_indices, "added indices").copy()
    _check_csr(layout.shape, p_add, j_add, "added ")
    cdef int32_t n_out = _merged_nnz(m, j_add)
    cdef cnp.ndarray p_out = np.empty(
        <int64_t> layout.c.n_blocks * layout.c.n_rows + 1, np.int32)
    cdef cnp.ndarray j_out = np.empty(n_out, _INDEX_DTYPES[layout.c.index_bytes // 2])
    cdef cnp.ndarray source = np.empty(n_out, np.int32)
    cdef int status = _merge(&layout.c, m, p_add, j_add, p_out, j_out, source)
    if status == SNN_BAD_ARGUMENT:
        indptr, indices, slots = layout_to_csr(layout)
        raise _kept_and_added(layout.shape, indptr, indices, m[slots], p_add, j_add)
    merged = Layout.__new__(Layout)
    _set_layout(merged, layout.shape, layout.c.block_width, p_out, j_out)
    return merged, source


cdef cnp.ndarray _keep(object keep, int64_t nnz):
    """A copy that nobody can change meanwhile, of bytes 0 and 1 alone.

    The routines count what is kept by adding bytes, and a view as bool of other bytes
    may hold any.
    """
    cdef cnp.ndarray m = _checked_vector(keep, "keep", (np.bool_,))
    if m.size != nnz:
        raise ValueError(f"keep has length {m.size}, the pattern has nnz={nnz}")
    return np.not_equal(m.view(np.uint8), 0)


cdef int32_t _merged_nnz(cnp.ndarray keep, cnp.ndarray added) except -1:
    n = int(np.count_nonzero(keep)) + added.size
    if n > _INT32_MAX:
        raise ValueError(
            f"the new pattern would have nnz={n}, at most {_INT32_MAX} is possible")
    return n


cdef snn_layout _csr_struct(tuple shape, cnp.ndarray p, cnp.ndarray j):
    """A CSR pattern as the layout that it is: one block, four-byte columns."""
    cdef snn_layout w = _layout_struct(shape, max(shape[1], 1), p, j)
    w.n_blocks = 1  # even without columns: there are row pointers
    return w


cdef int _merge(
    const snn_layout *w, cnp.ndarray keep, cnp.ndarray p_add, cnp.ndarray j_add,
    cnp.ndarray p_out, cnp.ndarray j_out, cnp.ndarray source,
) except -1:
    cdef const uint8_t *m = <const uint8_t *> cnp.PyArray_DATA(keep)
    cdef void *columns = cnp.PyArray_DATA(j_out)
    cdef int64_t nnz_out = j_out.size
    cdef int status
    with nogil:
        status = snn_layout_merge(
            w, m, _int32_data(p_add), _int32_data(j_add), nnz_out, _int32_data(p_out),
            columns, _int32_data(source))
    if status == SNN_NO_MEMORY:
        raise MemoryError("no memory for a number for each row")
    return status


def remap(source, array, fill):
    """Carry an array through a change: ``array[source[k]]``, or `fill` at -1.

    Parameters
    ----------
    source : ndarray of int32, shape (n,)
        Indices into the array, or -1.
    array : ndarray, one-dimensional
        Contiguous; items of 1, 2, 4 or 8 bytes.
    fill : scalar
        Converted to the array's dtype.

    Returns
    -------
    ndarray, shape (n,)
    """
    cdef cnp.ndarray s = _int32s(source, "source")
    cdef cnp.ndarray a = _plain_array(array, "array")
    if a.ndim != 1 or a.dtype.hasobject or a.itemsize not in (1, 2, 4, 8):
        raise TypeError(
            f"array is {a.dtype} of shape {np.shape(a)}, it must be one-dimensional "
            "with items of 1, 2, 4 or 8 bytes")
    if not cnp.PyArray_ISCARRAY_RO(a) and a.size:
        raise ValueError("array must be contiguous, aligned and in native byte order")
    if <uintptr_t> cnp.PyArray_DATA(a) % a.itemsize:  # complex64 and bytes may be less
        raise ValueError(f"array must be aligned to its items of {a.itemsize} bytes")
    cdef cnp.ndarray value = np.empty(1, a.dtype)
    value[0] = fill
    cdef int64_t n = s.size, n_in = a.size
    cdef int item_bytes = <int> a.itemsize
    cdef cnp.ndarray out = np.empty(n, a.dtype)
    cdef const void *ap = cnp.PyArray_DATA(a)
    cdef const void *vp = cnp.PyArray_DATA(value)
    cdef void *op = cnp.PyArray_DATA(out)
    cdef int status
    with nogil:
        status = snn_remap(n, n_in, item_bytes, _int32_data(s), ap, vp, op)
    if status == SNN_BAD_ARGUMENT:
        wrong = s[(s < -1) | (s >= n_in)][0]
        raise ValueError(f"source holds {wrong}, it must lie in -1..{n_in - 1}")
    return out


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
    cdef snn_layout w = _csr_struct(shape, p, j)
    return _sample(&w, NULL, j.size, k, stream)


def layout_complement_sample(Layout layout not None, keep, k, stream):
    """The same outside the slots of a layout that are kept.

    Parameters
    ----------
    layout : Layout
    keep : ndarray of bool, shape (nnz,), or None
        In the layout's order; None: all are kept.
    k : int
        At most the number of free positions.
    stream : sparsenn.random.Stream

    Returns
    -------
    indptr : ndarray of int32, shape (n_rows + 1,)
    indices : ndarray of int32, shape (k,)
    """
    if keep is None:
        return _sample(&layout.c, NULL, layout.c.nnz, k, stream)
    cdef cnp.ndarray m = _keep(keep, layout.c.nnz)
    cdef const uint8_t *marks = <const uint8_t *> cnp.PyArray_DATA(m)
    return _sample(&layout.c, marks, int(np.count_nonzero(m)), k, stream)


cdef tuple _sample(
    const snn_layout *w, const uint8_t *keep, int64_t n_taken, object k, object stream
):
    cdef int32_t count = _dimension(k, "k")
    cdef int64_t n_free = <int64_t> w.n_rows * w.n_cols - n_taken
    if count > n_free:
        raise ValueError(
            f"k is {count}, only {n_free} of {w.n_rows} x {w.n_cols} positions are free"
        )
    cdef snn_stream s = _stream(stream)
    cdef cnp.ndarray p_out = np.empty(<int64_t> w.n_rows + 1, np.int32)
    cdef cnp.ndarray j_out = np.empty(count, np.int32)
    cdef int status
    with nogil:
        status = snn_complement_sample(
            w, keep, count, &s, _int32_data(p_out), _int32_data(j_out))
    if status == SNN_NO_MEMORY:
        raise MemoryError("no memory to sample the columns of a row")
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
    rank : ndarray of int64, shape (n,), or callable that returns it, optional
        Among equal scores the lower rank is chosen; by default the lower index. A
        callable is asked only if scores tie for the last places.

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
    cdef cnp.ndarray mask = np.empty(n, np.bool_)
    cdef int status, ranked = callable(rank)
    if not ranked:
        status = _select(x, count, largest, 0, rank, mask)
    else:
        status = _select(x, count, largest, 1, None, mask)
        if status == SNN_NEEDS_RANK:
            status = _select(x, count, largest, 1, rank(), mask)
    if status == SNN_BAD_ARGUMENT:
        raise ValueError(
            f"scores[{int(np.argmax(np.isnan(x)))}] is NaN, scores must be comparable"
        )
    if status == SNN_NO_MEMORY:
        raise MemoryError("no memory for the candidates of a selection")
    return mask


cdef int _select(
    cnp.ndarray x, int64_t k, bint largest, int ranked, object rank, cnp.ndarray mask
) except -1:
    cdef int64_t n = x.size
    cdef const int64_t *ranks = NULL
    if rank is not None:
        rank = _checked_vector(rank, "rank", (np.int64,))
        if rank.size != n:
            raise ValueError(f"rank has length {rank.size}, scores has {n}")
        ranks = <const int64_t *> cnp.PyArray_DATA(rank)
    cdef const void *data = cnp.PyArray_DATA(x)
    cdef uint8_t *marks = <uint8_t *> cnp.PyArray_DATA(mask)
    cdef bint single = x.itemsize == 4
    cdef int status
    with nogil:
        if single:
            status = snn_select_f32(
                n, <const float *> data, k, largest, ranked, ranks, marks)
        else:
            status = snn_select_f64(
                n, <const double *> data, k, largest, ranked, ranks, marks)
    return status
