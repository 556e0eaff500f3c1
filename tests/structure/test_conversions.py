"""Layouts, transposes and merges against dense masks."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given
from strategies import Csr, csr_patterns, generators, layouts

from sparsenn import _core
from sparsenn.random import Purpose, Stream


@given(layouts())
def test_slots_are_ordered_by_block_row_column(pair):
    layout, csr = pair
    rows, cols = _core.layout_positions(layout)
    order = np.lexsort((csr.indices, csr.rows, csr.indices // layout.block_width))
    np.testing.assert_array_equal(rows, csr.rows[order])
    np.testing.assert_array_equal(cols, csr.indices[order])
    assert rows.dtype == cols.dtype == np.int32


@given(layouts())
def test_layout_and_back(pair):
    layout, csr = pair
    indptr, indices, slot = _core.layout_to_csr(layout)
    np.testing.assert_array_equal(indptr, csr.indptr)
    np.testing.assert_array_equal(indices, csr.indices)
    again, source = _core.csr_to_layout(*csr, layout.block_width, layout.index_bytes)
    np.testing.assert_array_equal(again.indptr, layout.indptr)
    np.testing.assert_array_equal(again.columns, layout.columns)
    # The two maps are inverse to each other.
    np.testing.assert_array_equal(source[slot], np.arange(csr.nnz))


@given(layouts())
def test_layout_describes_itself(pair):
    layout, csr = pair
    assert layout.shape == csr.shape
    assert layout.nnz == csr.nnz
    assert layout.n_blocks == -(-csr.shape[1] // layout.block_width)
    assert len(layout.indptr) == layout.n_blocks * csr.shape[0] + 1
    assert layout.columns.itemsize == layout.index_bytes
    assert layout.nbytes == layout.indptr.nbytes + layout.columns.nbytes
    assert f"nnz={csr.nnz}" in repr(layout)


@pytest.mark.parametrize(
    ("width", "index_bytes"), [(256, 1), (300, 2), (65536, 2), (70_000, 4)]
)
def test_the_widest_columns_of_each_index_size(width, index_bytes):
    n_cols = 2 * width + 3
    indices = np.array([0, width - 1, width, 2 * width - 1, 2 * width + 2], np.int32)
    indptr = np.array([0, 5], np.int32)
    layout, _ = _core.csr_to_layout((1, n_cols), indptr, indices, width, index_bytes)
    np.testing.assert_array_equal(_core.layout_positions(layout)[1], indices)
    np.testing.assert_array_equal(_core.layout_to_csr(layout)[1], indices)


def test_index_bytes_must_reach_the_block():
    csr = Csr.of(np.ones((1, 300), np.bool_))
    with pytest.raises(ValueError, match="reach 256 columns, block_width is 257"):
        _core.csr_to_layout(*csr, 257, 1)
    with pytest.raises(ValueError, match="reach 65536 columns, block_width is 65537"):
        _core.csr_to_layout(*csr, 65537, 2)
    with pytest.raises(ValueError, match="index_bytes is 3"):
        _core.csr_to_layout(*csr, 16, 3)
    with pytest.raises(ValueError, match="block_width is 0"):
        _core.csr_to_layout(*csr, 0, 4)


@given(csr_patterns())
def test_transpose(csr):
    indptr, indices, source = _core.csr_transpose(*csr)
    expected = Csr.of(csr.mask.T)
    np.testing.assert_array_equal(indptr, expected.indptr)
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(csr.rows[source], expected.indices)
    np.testing.assert_array_equal(csr.indices[source], expected.rows)


@st.composite
def edits(draw: st.DrawFn) -> tuple[Csr, np.ndarray, Csr]:
    """A pattern, what is kept of it, and a disjoint pattern to add."""
    csr = draw(csr_patterns())
    rng = draw(generators())
    keep = rng.random(csr.nnz) < draw(st.sampled_from((0.0, 0.5, 0.9, 1.0)))
    kept = csr.mask
    kept[csr.rows, csr.indices] = keep
    grow = rng.random(csr.shape) < draw(st.sampled_from((0.0, 0.05, 0.5, 1.0)))
    return csr, keep, Csr.of(grow & ~kept)


@given(edits())
def test_merge(edit):
    csr, keep, added = edit
    indptr, indices, source = _core.csr_merge(*csr, keep, *added[1:])
    kept = csr.mask
    kept[csr.rows, csr.indices] = keep
    expected = Csr.of(kept | added.mask)
    np.testing.assert_array_equal(indptr, expected.indptr)
    np.testing.assert_array_equal(indices, expected.indices)
    index = np.full(csr.shape, -1)
    index[csr.rows, csr.indices] = np.where(keep, np.arange(csr.nnz), -1)
    np.testing.assert_array_equal(source, index[expected.rows, expected.indices])


@given(edits(), st.sampled_from((1, 3, 8, 64, 200)), st.sampled_from((1, 2, 4)))
def test_merge_of_a_layout(edit, width, index_bytes):
    csr, keep, added = edit
    layout, order = _core.csr_to_layout(*csr, width, index_bytes)
    merged, source = _core.layout_merge(layout, keep[order], *added[1:])
    indptr, indices, from_entry = _core.csr_merge(*csr, keep, *added[1:])
    expected, entry = _core.csr_to_layout(
        csr.shape, indptr, indices, width, index_bytes
    )
    np.testing.assert_array_equal(merged.indptr, expected.indptr)
    np.testing.assert_array_equal(merged.columns, expected.columns)
    slot = np.append(np.argsort(order), -1)  # a newborn's entry is -1
    np.testing.assert_array_equal(source, slot[from_entry[entry]])


@pytest.mark.parametrize("n_cols", [100, 128, 129, 1000, 70_000])
def test_merge_of_rows_of_any_width_on_any_threads(n_cols):
    rng = np.random.default_rng(n_cols)
    former = _core.get_num_threads()
    mask = rng.random((70, n_cols)) < 0.1
    grow = rng.random(mask.shape) < 0.03
    csr = Csr.of(mask)
    keep = rng.random(csr.nnz) < 0.7
    kept = mask.copy()
    kept[csr.rows, csr.indices] = keep
    added = Csr.of(grow & ~kept)
    expected = Csr.of(kept | grow)
    index = np.full(csr.shape, -1)
    index[csr.rows, csr.indices] = np.where(keep, np.arange(csr.nnz), -1)
    try:
        for threads in (1, 3):
            _core.set_num_threads(threads)
            indptr, indices, source = _core.csr_merge(*csr, keep, *added[1:])
            np.testing.assert_array_equal(indptr, expected.indptr)
            np.testing.assert_array_equal(indices, expected.indices)
            np.testing.assert_array_equal(
                source, index[expected.rows, expected.indices]
            )
    finally:
        _core.set_num_threads(former)


@given(edits(), generators())
def test_merge_refuses_a_position_that_is_kept_and_added(edit, rng):
    csr, keep, added = edit
    assume(keep.any())
    both = rng.choice(np.flatnonzero(keep))
    row, column = csr.rows[both], csr.indices[both]
    mask = added.mask
    mask[row, column] = True
    with pytest.raises(ValueError, match=rf"position \({row}, {column}\) is both"):
        _core.csr_merge(*csr, keep, *Csr.of(mask)[1:])
    layout, order = _core.csr_to_layout(*csr, 8, 1)
    with pytest.raises(ValueError, match=rf"position \({row}, {column}\) is both"):
        _core.layout_merge(layout, keep[order], *Csr.of(mask)[1:])


def test_merge_checks_its_arrays():
    csr = Csr.of(np.eye(3, dtype=np.bool_))
    with pytest.raises(ValueError, match="keep has length 2, the pattern has nnz=3"):
        _core.csr_merge(*csr, np.ones(2, np.bool_), *csr[1:])
    with pytest.raises(TypeError, match="keep has dtype uint8, it must be bool"):
        _core.csr_merge(*csr, np.ones(3, np.uint8), *csr[1:])
    with pytest.raises(ValueError, match="added indptr has length 3"):
        _core.csr_merge(*csr, np.ones(3, np.bool_), csr.indptr[:-1], csr.indices)


@pytest.mark.parametrize("byte", [2, 127, 255])
def test_any_byte_of_a_mask_but_zero_is_true(byte):
    mask = np.random.default_rng(0).random((64, 64)) < 0.5
    csr = Csr.of(mask)
    layout, _ = _core.csr_to_layout(*csr, 64, 1)
    odd = np.full(csr.nnz, byte, np.uint8).view(np.bool_)
    nothing = np.zeros(65, np.int32), np.zeros(0, np.int32)
    merged, source = _core.layout_merge(layout, odd, *nothing)
    np.testing.assert_array_equal(merged.columns, layout.columns)
    np.testing.assert_array_equal(source, np.arange(csr.nnz))
    _, indices, _ = _core.csr_merge(*csr, odd, *nothing)
    np.testing.assert_array_equal(indices, csr.indices)
    stream = Stream(0, Purpose.GROW)
    found = _core.layout_complement_sample(layout, odd, 100, stream)
    expected = _core.layout_complement_sample(layout, None, 100, stream)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
