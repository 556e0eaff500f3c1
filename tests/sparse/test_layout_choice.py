"""The block width, and that nothing a user sees depends on it."""

from __future__ import annotations

import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import BLOCK_WIDTHS, csr_patterns, generators

import sparsenn.sparse.change
import sparsenn.sparse.pattern
from sparsenn.sparse import (
    SparsePattern,
    choose_block_width,
    choose_index_bytes,
    largest,
    smallest,
)


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_row_pointers_stay_small(n_rows, n_cols, nnz):
    nnz = min(nnz, n_rows * n_cols)
    width = choose_block_width((n_rows, n_cols), nnz)
    assert 1 <= width <= n_cols
    if width < n_cols:
        assert width >= 64
        assert width & (width - 1) == 0
        # At most half a byte of row pointer a connection, but for the last block.
        assert 4 * n_rows * (n_cols // width) <= nnz / 2
    assert width <= {1: 2**8, 2: 2**16, 4: 2**31}[choose_index_bytes(width)]


@pytest.mark.parametrize(
    ("shape", "nnz", "width", "index_bytes"),
    [
        ((10, 100), 100, 100, 1),  # small: one block
        ((4096, 4096), 4096 * 820, 64, 1),
        ((4096, 4096), 4096 * 409, 128, 1),
        ((4096, 4096), 4096 * 205, 256, 1),
        ((4096, 4096), 4096 * 41, 1024, 2),
        ((4096, 4096), 4096, 4096, 2),  # too thin for two blocks
        ((10**6, 10**6), 10**6, 10**6, 4),
        ((0, 0), 0, 1, 1),
    ],
)
def test_choices(shape, nnz, width, index_bytes):
    assert choose_block_width(shape, nnz) == width
    assert choose_index_bytes(width) == index_bytes


@pytest.mark.parametrize(
    ("batch", "shape", "density", "width"),
    [
        (1, (4096, 4096), 0.1, 4096),
        (1, (10, 10**6), 0.5, 10**6),
        (1, (5, 0), 0.0, 1),
        (2, (4096, 4096), 0.1, 4096),
        (16, (4096, 10**5), 0.1, 8192),
        (16, (4096, 10**5), 1e-4, 10**5),  # too thin for two blocks
        (17, (4096, 4096), 0.1, 512),
        (32, (4096, 4096), 0.005, 2048),
        (33, (4096, 4096), 0.1, 128),
        (10**6, (4096, 4096), 0.1, 128),
    ],
)
def test_choices_for_a_batch(batch, shape, density, width):
    nnz = round(density * shape[0] * shape[1])
    assert choose_block_width(shape, nnz, batch) == width


@given(
    csr_patterns(), generators(), st.sampled_from((1, 16, 40)), st.sampled_from((3, 64))
)
def test_stored_for_a_batch(csr, rng, batch, width):
    """The same positions in another order, which every array follows, and back."""
    with pytest.MonkeyPatch.context() as patch:

        def choose(shape, nnz, batch=None):
            if batch is None:
                return width
            return max(1, shape[1]) if batch == 1 else 2 * width

        for module in (sparsenn.sparse.pattern, sparsenn.sparse.change):
            patch.setattr(module, "choose_block_width", choose)
        pattern = SparsePattern(*csr)
        values = rng.standard_normal((2, csr.nnz))
        stored = pattern.from_canonical(values)
        change = pattern.stored_for(batch)
        if pattern.is_full or pattern.layout.block_width == choose(csr.shape, 0, batch):
            assert change is None
            return
        change.check()
        new = change.new
        assert change.old is pattern and new.batch == batch
        assert new.same_positions(pattern)
        assert new.layout.block_width == choose(csr.shape, 0, batch)
        np.testing.assert_array_equal(new.to_canonical(change.remap(stored)), values)
        assert new.stored_for(batch) is None
        again = pickle.loads(pickle.dumps(new))
        assert again.batch == batch
        np.testing.assert_array_equal(again.ranks(), new.ranks())
        back = new.stored_for(None)
        assert back.new.batch is None
        np.testing.assert_array_equal(back.remap(change.remap(stored)), stored)


@given(csr_patterns())
def test_patterns_stored_by_column_stay_so(csr):
    pattern = SparsePattern(*csr).stored_by_column()
    if pattern.by_column:
        assert pattern.stored_for(1) is None and pattern.batch is None


@given(csr_patterns(), generators(), st.sampled_from(BLOCK_WIDTHS))
def test_canonical_results_do_not_depend_on_the_width(csr, rng, width):
    plain = SparsePattern(*csr)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sparsenn.sparse.pattern, "choose_block_width", lambda shape, nnz: width
        )
        blocked = SparsePattern(*csr)
        scores = rng.integers(-3, 3, csr.nnz).astype(np.float32)
        k = int(rng.integers(csr.nnz + 1))
        results = []
        for pattern in (plain, blocked):
            stored = pattern.from_canonical(scores)
            masks = [choose(pattern, stored, k) for choose in (largest, smallest)]
            change = pattern.with_changes(masks[0])
            change.check()
            results.append(
                [
                    *pattern.csr(),
                    pattern.indptr,
                    pattern.indices,
                    pattern.to_mask(),
                    pattern.to_scipy(stored).toarray(),
                    *(pattern.to_canonical(mask) for mask in masks),
                    *change.new.csr(),
                    change.new.to_canonical(change.remap(stored, fill=9)),
                ]
            )
    if not plain.is_full:
        assert blocked.layout.block_width == width
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
