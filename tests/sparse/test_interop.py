"""Exchange with scipy.sparse, including what scipy itself would not survive."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse
from strategies import generators, masks, patterns

from sparsenn.sparse import SparsePattern, pattern_and_values


@given(patterns(), st.sampled_from((np.float32, np.float64)))
def test_there_and_back(pattern, dtype):
    values = np.arange(pattern.nnz, dtype=dtype)  # a stored zero among them
    matrix = pattern.to_scipy(values)
    assert isinstance(matrix, sparse.csr_array)
    assert matrix.dtype == dtype
    assert matrix.has_canonical_format
    assert matrix.nnz == pattern.nnz
    dense = np.zeros(pattern.shape, dtype)
    dense[pattern.positions()] = values
    np.testing.assert_array_equal(matrix.toarray(), dense)
    again, found = pattern_and_values(matrix)
    assert again.same_positions(pattern)
    np.testing.assert_array_equal(
        again.to_canonical(found), pattern.to_canonical(values)
    )
    assert found.dtype == dtype


@given(masks(), generators())
def test_every_format(mask, rng):
    dense = np.where(mask, rng.integers(1, 9, mask.shape), 0).astype(np.float32)
    expected = SparsePattern.from_mask(dense)
    for name in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr"):
        if name == "bsr" and 0 in dense.shape:
            continue  # scipy has no blocks of nothing
        for base in (sparse.coo_array, sparse.coo_matrix):
            matrix = base(dense).asformat(name)
            pattern, values = pattern_and_values(matrix)
            found = pattern.to_scipy(values).toarray()
            np.testing.assert_array_equal(found, dense)
            if name != "bsr":  # whose blocks store zeros
                assert pattern.same_positions(expected)


def test_unsorted_and_duplicate_entries():
    data = np.array([1.0, 2, 4, 8, 16])
    arrays = data, np.array([2, 0, 2, 1, 1]), np.array([0, 3, 5])
    matrix = sparse.csr_array(arrays, shape=(2, 3))
    matrix.has_canonical_format = True  # a lie that scipy would believe
    before = [a.copy() for a in (matrix.data, matrix.indices, matrix.indptr)]
    pattern, values = pattern_and_values(matrix)
    np.testing.assert_array_equal(pattern.to_mask(), [[1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(pattern.to_canonical(values), [2, 5, 24])
    for was, now in zip(
        before, (matrix.data, matrix.indices, matrix.indptr), strict=True
    ):
        np.testing.assert_array_equal(was, now)
    assert SparsePattern.from_scipy(matrix.tocoo()).same_positions(pattern)


def test_stored_zeros_stay():
    matrix = sparse.csr_array(([0.0, 1.0, -1.0], [0, 2, 2], [0, 1, 3]), shape=(2, 3))
    pattern, values = pattern_and_values(matrix)
    np.testing.assert_array_equal(pattern.to_mask(), [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(values, [0, 0])


def test_spare_room_behind_the_arrays_is_ignored():
    matrix = sparse.csr_array(([1.0, 2.0], [0, 1], [0, 1, 2]), shape=(2, 2))
    matrix.indices = np.array([0, 1, 99], np.int32)
    matrix.data = np.array([1.0, 2.0, 3.0])
    pattern, values = pattern_and_values(matrix)
    np.testing.assert_array_equal(pattern.to_mask(), np.eye(2))
    np.testing.assert_array_equal(values, [1, 2])


def test_wide_indices():
    arrays = np.ones(2), np.array([0, 2], np.int64), np.array([0, 1, 2], np.int64)
    matrix = sparse.csr_array(arrays, shape=(2, 3))
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    assert SparsePattern.from_scipy(matrix).indices.tolist() == [0, 2]
    with pytest.raises(ValueError, match="n_cols is 4294967296"):
        SparsePattern.from_scipy(sparse.coo_array((2, 2**32)))


def broken(format_: str, **arrays: np.ndarray) -> sparse.sparray:
    matrix = sparse.coo_array(np.eye(4)).asformat(format_)
    for name, array in arrays.items():
        setattr(matrix, name, array)
    return matrix


@pytest.mark.parametrize("format_", ["csr", "csc", "bsr"])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"indices": np.array([0, 1, 2, 10**6])}, r"indices\[3\] = 1000000 lies out"),
        ({"indices": np.array([0, -5, 2, 3])}, r"indices\[1\] = -5 lies outside"),
        ({"indptr": np.array([0, 1, 2, 3, 10**6])}, "indptr ends at 1000000, beyond"),
        ({"indptr": np.array([0, 3, 1, 3, 4])}, "never decrease"),
        ({"indptr": np.array([-2, 1, 2, 3, 4])}, "must start at 0"),
        ({"indptr": np.array([0, 4])}, "indptr has length 2, not 5"),
    ],
)
def test_broken_matrices_are_refused_before_scipy_reads_them(format_, arrays, message):
    with pytest.raises(ValueError, match=message):
        SparsePattern.from_scipy(broken(format_, **arrays))


def test_broken_coordinates_are_refused():
    matrix = broken("coo")
    matrix.coords = np.array([0, 1, 2, 99]), np.array([0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"coords\[0\]\[3\] = 99 lies outside 0..3"):
        SparsePattern.from_scipy(matrix)


def test_what_is_not_a_sparse_matrix_is_refused():
    with pytest.raises(TypeError, match="matrix is ndarray"):
        SparsePattern.from_scipy(np.eye(3))
    with pytest.raises(ValueError, match="must have two axes"):
        SparsePattern.from_scipy(sparse.coo_array(np.ones(3)))


def test_to_scipy_owns_its_arrays():
    pattern = SparsePattern.from_mask(np.eye(3, 70_000))
    values = np.arange(3.0)
    matrix = pattern.to_scipy(values)
    matrix.data[:] = 7
    matrix.indices[:] = 0
    matrix.indptr[:] = 0
    np.testing.assert_array_equal(values, [0, 1, 2])
    assert pattern.indices.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(pattern.to_scipy().data, np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        pattern.to_scipy(np.zeros(4))
    with pytest.raises(ValueError, match="1-D"):
        pattern.to_scipy(np.zeros((2, 3)))
