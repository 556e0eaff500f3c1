"""TopologyChange: where every connection went."""

from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import Csr, generators, masks

from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern, TopologyChange, smallest


@st.composite
def edits(draw: st.DrawFn) -> tuple[SparsePattern, np.ndarray, Csr]:
    """A pattern, the slots to keep, and disjoint positions to add."""
    mask = draw(masks())
    rng = draw(generators())
    pattern = SparsePattern.from_mask(mask)
    keep = rng.random(pattern.nnz) < draw(st.sampled_from((0.0, 0.5, 0.9, 1.0)))
    kept = np.zeros_like(mask)
    kept[tuple(p[keep] for p in pattern.positions())] = True
    grow = rng.random(mask.shape) < draw(st.sampled_from((0.0, 0.05, 0.5, 1.0)))
    return pattern, keep, Csr.of(grow & ~kept)


@given(edits())
def test_a_change_is_the_edit_of_a_dense_matrix(edit):
    old, keep, added = edit
    change = old.with_changes(keep, added[1:])
    change.check()
    new = change.new
    assert change.old is old
    assert change.n_dropped == np.count_nonzero(~keep)
    assert change.n_newborn == added.nnz == np.count_nonzero(change.newborn)
    kept = np.zeros(old.shape, np.bool_)
    kept[tuple(p[keep] for p in old.positions())] = True
    np.testing.assert_array_equal(new.to_mask(), kept | added.mask)

    values = np.arange(1.0, old.nnz + 1)
    dense = np.zeros(old.shape)
    dense[old.positions()] = values
    expected = np.where(kept, dense, np.where(added.mask, -5.0, 0.0))
    found = np.zeros(old.shape)
    found[new.positions()] = change.remap(values, fill=-5.0)
    np.testing.assert_array_equal(found, expected)


@given(edits())
def test_remap_takes_any_aligned_array(edit):
    old, keep, added = edit
    change = old.with_changes(keep, added[1:])
    ages = np.arange(2 * old.nnz, dtype=np.int32).reshape(2, -1)
    moved = change.remap(ages)
    assert moved.dtype == np.int32
    assert moved.shape == (2, change.new.nnz)
    np.testing.assert_array_equal(moved[1], change.remap(ages[1]))
    born = np.arange(float(change.n_newborn))
    filled = change.remap(np.zeros(old.nnz), fill=born)
    np.testing.assert_array_equal(filled[change.newborn], born)


@given(masks())
def test_keeping_all_changes_nothing(mask):
    old = SparsePattern.from_mask(mask)
    change = old.with_changes(np.ones(old.nnz, np.bool_))
    assert change.new.same_positions(old)
    np.testing.assert_array_equal(change.source, np.arange(old.nnz))


def test_full_to_sparse_and_back():
    old = SparsePattern.full((3, 4))
    keep = np.arange(12) % 2 == 0
    change = old.with_changes(keep)
    change.check()
    np.testing.assert_array_equal(change.new.to_mask(), keep.reshape(3, 4))
    odd = Csr.of(~keep.reshape(3, 4))
    back = change.new.with_changes(np.ones(6, np.bool_), odd[1:])
    back.check()
    assert back.new.is_full
    np.testing.assert_array_equal(back.newborn, ~keep)


def test_a_dropped_position_may_return_as_a_newborn():
    old = SparsePattern.from_mask(np.eye(3))
    corner = Csr.of(np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]], np.bool_))
    change = old.with_changes(np.array([False, True, True]), corner[1:])
    change.check()
    assert change.new.same_positions(old)
    assert change.source.tolist() == [-1, 1, 2]


def test_rigl_known_answer():
    """Magnitude drop and gradient growth on a 3 x 4 matrix, by hand."""
    weight = np.array([[0, 0.5, 0, -0.1], [0.2, 0, -0.3, 0], [0, 0, -0.7, 0.05]])
    old = SparsePattern.from_mask(weight)
    values = old.from_canonical(weight[weight != 0])
    keep = ~smallest(old, np.abs(values), 2)
    grown = np.zeros((3, 4), np.bool_)
    grown[[1, 2], [1, 1]] = True
    change = old.with_changes(keep, Csr.of(grown)[1:])
    assert change.new.indptr.tolist() == [0, 1, 4, 6]
    assert change.new.indices.tolist() == [1, 0, 1, 2, 1, 2]
    data = change.new.to_canonical(change.remap(values))
    assert data.tolist() == [0.5, 0.2, 0.0, -0.3, 0.0, -0.7]


def test_bad_edits_are_refused():
    old = SparsePattern.from_mask(np.eye(3))
    one = Csr.of(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.bool_))
    all_kept = np.ones(3, np.bool_)
    with pytest.raises(ValueError, match=r"position \(1, 1\) is both kept and added"):
        old.with_changes(all_kept, one[1:])
    with pytest.raises(ValueError, match=r"keep is int64 of shape \(3,\)"):
        old.with_changes(np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"keep is bool of shape \(2,\)"):
        old.with_changes(all_kept[:2])
    with pytest.raises(ValueError, match="added indptr has length 3"):
        old.with_changes(all_kept, (one.indptr[:-1], one.indices))
    with pytest.raises(ValueError, match=r"added indices\[0\] = 3 in row 1"):
        old.with_changes(all_kept, (one.indptr, [3]))


def test_remap_refuses_an_array_of_another_pattern():
    change = SparsePattern.empty((2, 2)).with_changes(np.zeros(0, np.bool_))
    with pytest.raises(ValueError, match=r"shape \(3,\).*nnz=0"):
        change.remap(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(\)"):
        change.remap(np.float32(1))


def test_a_change_is_checked_and_frozen():
    old = SparsePattern.from_mask(np.eye(3))
    new = SparsePattern.from_mask(np.ones((3, 3)))
    good = np.array([0, -1, -1, -1, 1, -1, -1, -1, 2], np.int32)
    change = TopologyChange(old, new, good)
    change.check()
    assert repr(change) == "TopologyChange(3 x 3, nnz 3 -> 9, 0 dropped, 6 newborn)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        change.source = good
    with pytest.raises(ValueError, match="old has shape"):
        TopologyChange(SparsePattern.empty((2, 3)), new, good)
    with pytest.raises(ValueError, match="source is int64"):
        TopologyChange(old, new, good.astype(np.int64))
    with pytest.raises(ValueError, match="source holds 3"):
        TopologyChange(old, new, np.where(good == 2, 3, good).astype(np.int32)).check()
    with pytest.raises(ValueError, match="new slot 3 continues old slot 1"):
        TopologyChange(old, new, np.roll(good, -1)).check()
    twice = good.copy()
    twice[1] = 0
    with pytest.raises(ValueError, match="new slot 1 continues old slot 0"):
        TopologyChange(old, new, twice).check()


def test_growth_by_sampling_conserves_the_budget():
    from sparsenn import _core

    pattern = SparsePattern.random((40, 300), 1200, seed=3)
    for step in range(5):
        scores = Stream(1, Purpose.TEST, step=step).uniform(pattern.nnz)
        keep = ~smallest(pattern, scores, 400)
        stream = Stream(1, Purpose.GROW, step=step)
        added = _core.complement_sample(pattern.shape, *pattern.csr(), 400, stream)
        change = pattern.with_changes(keep, added)
        change.check()
        assert change.new.nnz == 1200
        assert change.n_newborn == change.n_dropped == 400
        pattern = change.new
