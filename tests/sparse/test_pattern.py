"""SparsePattern against dense masks."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import Csr, csr_patterns, masks, patterns, shapes

from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern


@given(csr_patterns())
def test_a_pattern_is_its_positions(csr):
    pattern = SparsePattern(*csr)
    assert pattern.shape == csr.shape
    assert pattern.nnz == csr.nnz
    np.testing.assert_array_equal(pattern.indptr, csr.indptr)
    np.testing.assert_array_equal(pattern.indices, csr.indices)
    for ours, theirs in zip(pattern.csr(), csr[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == np.int32
    np.testing.assert_array_equal(pattern.to_mask(), csr.mask)


@given(patterns())
def test_storage_order(pattern):
    rows, cols = pattern.positions()
    assert rows.dtype == cols.dtype == np.int32
    ranks = pattern.ranks()
    assert ranks.dtype == np.int64
    np.testing.assert_array_equal(
        ranks, rows.astype(np.int64) * pattern.shape[1] + cols
    )
    canonical = pattern.to_canonical(ranks)
    assert (np.diff(canonical) > 0).all()
    np.testing.assert_array_equal(pattern.from_canonical(canonical), ranks)
    np.testing.assert_array_equal(ranks[pattern.canonical_slots()], canonical)


@given(patterns(), st.sampled_from((np.float32, np.int8, np.bool_)))
def test_reordering_keeps_leading_axes_and_dtype(pattern, dtype):
    values = (np.arange(3 * pattern.nnz).reshape(3, -1) % 100).astype(dtype)
    canonical = pattern.to_canonical(values)
    assert canonical.dtype == dtype
    for row, expected in zip(canonical, values, strict=True):
        np.testing.assert_array_equal(row, pattern.to_canonical(expected))
    stored = pattern.from_canonical(canonical)
    np.testing.assert_array_equal(stored, values)
    assert not np.shares_memory(stored, canonical)
    assert not np.shares_memory(canonical, values)


@given(masks())
def test_full_is_a_matter_of_positions(mask):
    pattern = SparsePattern.from_mask(mask)
    assert pattern.is_full == bool(mask.all())
    assert pattern.is_full == (pattern.layout is None)
    assert pattern.nbytes == (0 if pattern.is_full else pattern.layout.nbytes)
    size = mask.size
    assert pattern.density == (mask.sum() / size if size else 0)


@given(shapes())
def test_a_full_pattern_is_the_dense_matrix(shape):
    full = SparsePattern.full(shape)
    assert full.is_full
    assert full.nbytes == 0
    assert full.same_positions(SparsePattern.from_mask(np.ones(shape)))
    matrix = np.arange(shape[0] * shape[1]).reshape(shape)
    np.testing.assert_array_equal(matrix[full.positions()], matrix.ravel())
    np.testing.assert_array_equal(full.ranks(), matrix.ravel())
    np.testing.assert_array_equal(full.to_canonical(matrix.ravel()), matrix.ravel())


@given(shapes())
def test_an_empty_pattern(shape):
    empty = SparsePattern.empty(shape)
    assert empty.nnz == 0
    assert empty.density == 0
    assert not empty.to_mask().any()


@given(masks(), masks())
def test_same_positions(a, b):
    pattern, other = SparsePattern.from_mask(a), SparsePattern.from_mask(b)
    assert pattern.same_positions(SparsePattern(pattern.shape, *pattern.csr()))
    assert pattern.same_positions(other) == np.array_equal(a, b)


def test_same_positions_sees_a_moved_connection():
    mask = np.eye(4, 300, dtype=np.bool_)
    moved = mask.copy()
    moved[0, 0], moved[0, 299] = False, True
    pattern = SparsePattern.from_mask(mask)
    assert not pattern.same_positions(SparsePattern.from_mask(moved))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex64, np.uint8])
def test_from_mask_of_numbers(dtype):
    matrix = np.array([[0, 2, 0], [1, 0, 0]], dtype)
    np.testing.assert_array_equal(SparsePattern.from_mask(matrix).indices, [1, 0])
    nan = SparsePattern.from_mask([[np.nan, -0.0]])
    np.testing.assert_array_equal(nan.indices, [0])


def test_from_mask_refuses():
    with pytest.raises(ValueError, match="must have two axes"):
        SparsePattern.from_mask(np.ones(3))
    with pytest.raises(TypeError, match="must be bool or numeric"):
        SparsePattern.from_mask([["a", ""]])


@given(shapes(), st.floats(0, 1), st.integers(0, 2**64 - 1))
def test_random_has_exactly_nnz(shape, share, seed):
    nnz = round(share * shape[0] * shape[1])
    pattern = SparsePattern.random(shape, nnz, seed=seed)
    assert pattern.nnz == nnz
    assert pattern.shape == shape
    again = SparsePattern.random(shape, nnz, stream=Stream(seed, Purpose.PATTERN))
    assert pattern.same_positions(again)


def test_random_refuses():
    with pytest.raises(ValueError, match=r"nnz is 7, a 2 x 3 pattern has 0\.\.6"):
        SparsePattern.random((2, 3), 7, seed=0)
    with pytest.raises(ValueError, match="nnz is -1"):
        SparsePattern.random((2, 3), -1, seed=0)
    with pytest.raises(TypeError):
        SparsePattern.random((2, 3), 2.0, seed=0)
    with pytest.raises(ValueError, match="nnz=2147483648, at most 2147483647"):
        SparsePattern.random((2**16, 2**16), 2**31, seed=0)


def test_erdos_renyi():
    pattern = SparsePattern.erdos_renyi((300, 100), 20, seed=1)
    assert pattern.nnz == 8000
    assert SparsePattern.erdos_renyi((30, 10), 20, seed=1).is_full
    with pytest.raises(ValueError, match="epsilon is -1"):
        SparsePattern.erdos_renyi((30, 10), -1, seed=1)


@pytest.mark.parametrize(
    ("indptr", "indices", "error", "message"),
    [
        ([0, 2, 1], [0], ValueError, "indptr decreases from 2 to 1 at row 1"),
        ([0, 1, 2], [0, 3], ValueError, r"indices\[1\] = 3 in row 1 lies outside 0..2"),
        ([0, 2, 2], [1, 1], ValueError, r"indices\[1\] = 1 in row 0 follows 1"),
        ([0, 1], [0], ValueError, "indptr has length 2"),
        ([[0, 1, 1]], [0], ValueError, "indptr has shape"),
        ([0, 0, 0], [[0]], ValueError, "indices has shape"),
        ([0.0, 1.0, 1.0], [0], TypeError, "indptr has dtype float64"),
        ([0, 1, 1], [True], TypeError, "indices has dtype bool"),
        ([0, 1, 1], [None], TypeError, "indices has dtype object"),
        ([0, 1, 2**31], [0], ValueError, "indptr holds 2147483648"),
        ([0, 1, 1], [-(2**40)], ValueError, "indices holds -1099511627776"),
        ([0, 1, 1], np.array([2**63], np.uint64), ValueError, "indices holds 9223"),
    ],
)
def test_arrays_are_checked(indptr, indices, error, message):
    with pytest.raises(error, match=message):
        SparsePattern((2, 3), indptr, indices)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.int64, np.uint64, ">i4", ">i8"]
)
def test_any_integer_dtype_is_taken(dtype):
    pattern = SparsePattern(
        (2, 3), np.array([0, 2, 3], dtype), np.array([0, 2, 1], dtype)
    )
    expected = np.array([[1, 0, 1], [0, 1, 0]], np.bool_)
    np.testing.assert_array_equal(pattern.to_mask(), expected)


@pytest.mark.parametrize(
    "shape", [(2,), 3, (2, 3, 4), (2.0, 3), ("2", "3"), (-1, 3), (3, 2**31), None]
)
def test_shapes_are_checked(shape):
    for make in (
        SparsePattern.full,
        SparsePattern.empty,
        lambda s: SparsePattern.random(s, 0),
        lambda s: SparsePattern(s, [0], []),
    ):
        with pytest.raises(ValueError, match=r"shape is|n_rows is|n_cols is"):
            make(shape)


def test_too_many_positions_are_refused():
    with pytest.raises(ValueError, match="nnz=4294967296, at most 2147483647"):
        SparsePattern.full((2**16, 2**16))
    assert SparsePattern.full((2**16, 2**15 - 1)).nnz == 2**16 * (2**15 - 1)


def test_arguments_are_copied_and_results_read_only():
    indptr, indices = np.array([0, 1, 3], np.int32), np.array([1, 0, 2], np.int32)
    pattern = SparsePattern((2, 3), indptr, indices)
    indptr[:], indices[:] = -1, -1
    expected = np.array([[0, 1, 0], [1, 0, 1]], np.bool_)
    np.testing.assert_array_equal(pattern.to_mask(), expected)
    for array in (pattern.indptr, pattern.indices):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_pattern_is_immutable_and_compared_by_identity():
    a, b = SparsePattern.empty((2, 3)), SparsePattern.empty((2, 3))
    assert a == a
    assert a != b
    assert len({a, b}) == 2
    for name in ("shape", "nnz", "layout", "_shape", "other"):
        with pytest.raises(AttributeError):
            setattr(a, name, None)
    with pytest.raises(AttributeError):
        del a._shape
    with pytest.raises(TypeError, match="immutable"):
        a.__init__((1, 1), [0, 0], [])
    assert copy.copy(a) is a
    assert copy.deepcopy([a, a])[1] is a


@given(patterns())
def test_pickling_rebuilds_the_positions(pattern):
    one, two = pickle.loads(pickle.dumps((pattern, pattern)))
    assert one is two
    assert one is not pattern
    assert one.same_positions(pattern)
    np.testing.assert_array_equal(one.ranks(), pattern.ranks())


def test_no_reference_cycles():
    gc.disable()
    try:
        pattern = SparsePattern.random((50, 60), 100, seed=0)
        change = pattern.with_changes(np.zeros(100, np.bool_))
        gone = weakref.ref(pattern), weakref.ref(change.new)
        del pattern, change
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


def test_repr():
    pattern = SparsePattern.random((300, 784), 11_760, seed=0)
    text = (
        f"SparsePattern(300 x 784, nnz=11,760, density=0.05, {pattern.nbytes:,} bytes)"
    )
    assert repr(pattern) == text
    assert repr(SparsePattern.full((3, 4))) == "SparsePattern(3 x 4, nnz=12, full)"


def test_values_must_be_aligned():
    pattern = SparsePattern.random((5, 6), 7, seed=0)
    for reorder in (pattern.to_canonical, pattern.from_canonical):
        with pytest.raises(ValueError, match=r"shape \(6,\).*nnz=7"):
            reorder(np.zeros(6))
        with pytest.raises(ValueError, match=r"shape \(\).*nnz=7"):
            reorder(np.float64(3))


def test_csr_of_one_block_is_lent_out():
    csr = Csr.of(np.eye(3, 70_000, dtype=np.bool_))
    pattern = SparsePattern(*csr)
    assert pattern.layout.index_bytes == 4
    assert np.shares_memory(pattern.csr()[1], pattern.layout.columns)
