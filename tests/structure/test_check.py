"""Whatever is handed to the core is either a pattern or refused with its place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Csr, csr_patterns, layouts

from sparsenn import _core
from sparsenn.random import Purpose, Stream


def int32(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def is_canonical(shape, indptr, indices) -> bool:
    """The definition, slowly."""
    n_rows, n_cols = shape
    p = indptr.tolist()
    if len(p) != n_rows + 1 or p[0] != 0 or p[-1] != len(indices) or p != sorted(p):
        return False
    rows = [indices[a:b].tolist() for a, b in itertools.pairwise(p)]
    return all(
        row == sorted(set(row)) and all(0 <= j < n_cols for j in row) for row in rows
    )


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ((1, 2, 2), (0, 1), r"indptr\[0\] is 1, it must be 0"),
        ((0, 2, 1), (0,), r"indptr decreases from 2 to 1 at row 1"),
        ((0, -1, 1), (0,), r"indptr decreases from 0 to -1 at row 0"),
        ((0, 1, 1), (0, 1), r"indptr\[2\] is 1, it must be the number of indices, 2"),
        ((0, 9, 9), (0, 1), r"indptr\[2\] is 9, it must be the number of indices, 2"),
        ((0, 1, 2), (0, 3), r"indices\[1\] = 3 in row 1 lies outside 0..2"),
        ((0, 1, 2), (-1, 2), r"indices\[0\] = -1 in row 0 lies outside 0..2"),
        ((0, 2, 2), (2, 1), r"indices\[1\] = 1 in row 0 follows 2; columns must inc"),
        ((0, 0, 2), (1, 1), r"indices\[1\] = 1 in row 1 follows 1; columns must inc"),
        ((0, 2), (0, 1), r"indptr has length 2, it must be n_rows \+ 1 = 3"),
    ],
)
def test_the_first_violation_is_named(indptr, indices, message):
    with pytest.raises(ValueError, match=message):
        _core.csr_check((2, 3), int32(*indptr), int32(*indices))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2,), "shape is"),
        (5, "shape is"),
        ((2, 3, 4), "shape is"),
        ((-1, 3), "n_rows is -1"),
        ((2, 2**31), "n_cols is 2147483648"),
    ],
)
def test_shapes_are_checked(shape, message):
    with pytest.raises(ValueError, match=message):
        _core.csr_check(shape, int32(0, 0, 0), int32())


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        ([0, 0, 0], TypeError, "indptr is list"),
        (np.zeros(3), TypeError, "indptr has dtype float64, it must be int32"),
        (np.zeros(3, np.int64), TypeError, "dtype int64"),
        (np.zeros(3, ">i4"), TypeError, "dtype >i4"),
        (np.zeros((1, 3), np.int32), ValueError, "it must be one-dimensional"),
        (np.zeros(6, np.int32)[::2], ValueError, "strided"),
        (np.zeros(13, np.uint8)[1:].view(np.int32), ValueError, "aligned"),
    ],
)
def test_arrays_are_checked(array, error, message):
    with pytest.raises(error, match=message):
        _core.csr_check((2, 3), array, int32())


@given(csr_patterns())
def test_patterns_pass(csr):
    _core.csr_check(*csr)


small = st.integers(-2, 6)


@given(
    shape=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    indptr=st.lists(small, max_size=6),
    indices=st.lists(small, max_size=6),
)
def test_hostile_arrays_are_refused_by_every_routine(shape, indptr, indices):
    indptr, indices = int32(*indptr), int32(*indices)
    arguments = shape, indptr, indices
    keep = np.ones(len(indices), np.bool_)
    none = np.zeros(shape[0] + 1, np.int32), int32()
    calls = [
        lambda: _core.csr_check(*arguments),
        lambda: _core.csr_to_layout(*arguments, 2, 1),
        lambda: _core.csr_transpose(*arguments),
        lambda: _core.csr_merge(*arguments, keep, *none),
        lambda: _core.csr_merge(shape, *none, np.ones(0, bool), indptr, indices),
        lambda: _core.complement_sample(*arguments, 0, Stream(0, Purpose.TEST)),
    ]
    for call in calls:
        if is_canonical(*arguments):
            call()
        else:
            with pytest.raises(ValueError, match=r"indptr|indices"):
                call()


def layout_is_valid(shape, width, indptr, columns) -> bool:
    """Every block of columns is a canonical CSR of its own."""
    n_rows, n_cols = shape
    n_blocks = -(-n_cols // width)
    p = indptr.tolist()
    if len(p) != n_blocks * n_rows + 1 or p[0] != 0 or p[-1] != len(columns):
        return False
    if p != sorted(p):
        return False
    for b in range(n_blocks):
        part = indptr[b * n_rows : (b + 1) * n_rows + 1]
        block = n_rows, min(width, n_cols - b * width)
        if not is_canonical(block, part - part[0], columns[part[0] : part[-1]]):
            return False
    return True


@given(
    shape=st.tuples(st.integers(0, 3), st.integers(0, 5)),
    width=st.integers(1, 6),
    indptr=st.lists(st.integers(-1, 4), max_size=7),
    columns=st.lists(st.integers(0, 4), max_size=5),
    dtype=st.sampled_from((np.uint8, np.uint16, np.int32)),
)
def test_hostile_layouts_are_refused(shape, width, indptr, columns, dtype):
    arguments = shape, width, int32(*indptr), np.array(columns, dtype)
    if layout_is_valid(*arguments):
        assert _core.Layout(*arguments).nnz == len(columns)
    else:
        with pytest.raises(ValueError, match=r"indptr|columns"):
            _core.Layout(*arguments)


@given(layouts())
def test_our_layouts_pass_their_check(pair):
    layout, _ = pair
    again = _core.Layout(
        layout.shape, layout.block_width, layout.indptr, layout.columns
    )
    np.testing.assert_array_equal(again.columns, layout.columns)


def test_a_layout_names_its_violation():
    with pytest.raises(ValueError, match=r"columns\[1\] = 2 in segment 2 lies outside"):
        _core.Layout((2, 4), 2, int32(0, 1, 1, 2, 2), np.array([0, 2], np.uint8))
    with pytest.raises(ValueError, match=r"columns\[1\] = 1 in segment 3 lies outside"):
        # The last block has one column only.
        _core.Layout((2, 3), 2, int32(0, 1, 1, 1, 2), np.array([0, 1], np.uint8))
    with pytest.raises(ValueError, match="block_width is 0"):
        _core.Layout((2, 4), 0, int32(0), np.zeros(0, np.uint8))
    with pytest.raises(ValueError, match="reach 256 columns, block_width is 257"):
        _core.Layout((1, 400), 257, int32(0, 0, 0), np.zeros(0, np.uint8))
    with pytest.raises(TypeError, match="uint8 or uint16 or int32"):
        _core.Layout((1, 4), 4, int32(0, 0), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match=r"n_blocks \* n_rows \+ 1 = 5"):
        _core.Layout((2, 4), 2, int32(0, 0, 0), np.zeros(0, np.uint8))


def test_a_layout_keeps_its_own_copy():
    indptr, columns = int32(0, 1, 2), np.array([1, 0], np.uint8)
    layout = _core.Layout((2, 2), 2, indptr, columns)
    indptr[:] = -7
    columns[:] = 200
    np.testing.assert_array_equal(layout.indptr, [0, 1, 2])
    np.testing.assert_array_equal(layout.columns, [1, 0])
    for array in (layout.indptr, layout.columns):
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            array.flags.writeable = True
    for name in ("shape", "indptr", "columns", "nnz", "block_width"):
        with pytest.raises(AttributeError):
            setattr(layout, name, None)
    with pytest.raises(TypeError, match="immutable"):
        layout.__init__((1, 1), 1, int32(0, 0), columns[:0])


def test_a_layout_that_was_never_initialised_is_empty():
    layout = _core.Layout.__new__(_core.Layout)
    assert layout.shape == (0, 0)
    assert [len(a) for a in _core.layout_to_csr(layout)] == [1, 0, 0]
    assert [len(a) for a in _core.layout_positions(layout)] == [0, 0]
    merged, source = _core.layout_merge(layout, np.zeros(0, bool), int32(0), int32())
    assert merged.shape == (0, 0)
    assert len(source) == 0
    with pytest.raises(TypeError):
        _core.layout_to_csr(None)
    with pytest.raises(TypeError):
        _core.layout_positions(Csr((0, 0), int32(0), int32()))


def test_what_a_blank_layout_was_used_for_is_forgotten():
    layout = _core.Layout.__new__(_core.Layout)
    _core.spmm_t(layout, np.zeros(0, np.float32), np.zeros((2, 0), np.float32))
    n = 3000
    layout.__init__((n, n), n, np.arange(n + 1, dtype=np.int32), int32(*range(n)))
    ones = np.ones((2, n), np.float32, order="F")
    np.testing.assert_array_equal(_core.spmm_t(layout, ones[0].copy(), ones), ones)


def test_sizes_beyond_32_bits_are_refused():
    with pytest.raises(ValueError, match="block_width is 2147483648"):
        _core.csr_to_layout((1, 1), int32(0, 0), int32(), 2**31, 4)
    # rows * columns needs 62 bits, which is no reason to fail.
    wide = 1, 2**31 - 1
    one = int32(0, 1), int32(2**31 - 2)
    layout, _ = _core.csr_to_layout(wide, *one, 2**31 - 1, 4)
    assert _core.layout_positions(layout)[1][0] == 2**31 - 2
    layout, _ = _core.csr_to_layout(wide, *one, 2**16, 2)
    assert _core.layout_positions(layout)[1][0] == 2**31 - 2
