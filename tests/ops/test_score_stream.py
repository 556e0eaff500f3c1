"""The k largest of streamed scores, against a full sort of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn
from sparsenn.config import get_num_threads, set_num_threads
from sparsenn.ops import OuterSum
from sparsenn.ops.score_stream import (
    ArrayScores,
    Scores,
    TileScores,
    WeightScores,
    largest_scores,
)
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern, VirtualWeight

STREAM = Stream(seed=3, purpose=Purpose.INIT)


def reference(dense: list[np.ndarray], k: int) -> list[np.ndarray]:
    """Masks of the k largest; ties to the lower layer, row, column."""
    joined = np.concatenate([d.reshape(-1) for d in dense])
    chosen = np.zeros(joined.size, bool)
    chosen[np.argsort(-joined, kind="stable")[:k]] = True
    ends = np.cumsum([d.size for d in dense])[:-1]
    parts = np.split(chosen, ends)
    return [m.reshape(d.shape) for m, d in zip(parts, dense, strict=True)]


def masks(sources: list[Scores], k: int) -> list[np.ndarray]:
    """What `largest_scores` keeps, as masks."""
    found = []
    for source, kept in zip(sources, largest_scores(sources, k), strict=True):
        if isinstance(source, ArrayScores):
            assert isinstance(kept, np.ndarray)
            found.append(kept)
            continue
        indptr, indices = kept
        assert indptr.dtype == indices.dtype == np.int32
        mask = np.zeros(source.shape, bool)
        pattern = SparsePattern(source.shape, indptr, indices)  # checks that it is CSR
        mask[pattern.positions()] = True
        found.append(mask)
    return found


def tiled(dense: np.ndarray, height: int) -> TileScores:
    def tiles() -> Any:
        for first in range(0, len(dense), height):
            yield first, dense[first : first + height].copy()

    flat = dense.reshape(-1)
    return TileScores(dense.shape, dense.dtype, tiles, lambda ranks: flat[ranks])


@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 30)), min_size=1, max_size=4
    ),
    dtypes=st.lists(st.sampled_from([np.float32, np.float64]), min_size=4, max_size=4),
    height=st.integers(1, 5),
    fraction=st.floats(0, 1),
    spread=st.sampled_from([1, 4, 1000]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60)
def test_exactly_the_largest_with_ties_by_position(
    shapes: list[tuple[int, int]],
    dtypes: list[Any],
    height: int,
    fraction: float,
    spread: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    dense, sources = [], []
    for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=False)):
        scores = rng.integers(-spread, spread + 1, shape).astype(dtype)
        if i % 2:
            scores = scores[:1]
        dense.append(scores)
        sources.append(ArrayScores(scores[0]) if i % 2 else tiled(scores, height))
    k = round(fraction * sum(d.size for d in dense))
    for mine, other in zip(masks(sources, k), reference(dense, k), strict=True):
        np.testing.assert_array_equal(mine.reshape(other.shape), other)


@pytest.mark.parametrize("kind", ["value", "magnitude", "negative"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 200)),
    with_gradient=st.booleans(),
    with_mask=st.booleans(),
    fraction=st.floats(0.01, 1),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=15)
def test_scores_of_a_virtual_weight(
    kind: str,
    dtype: Any,
    shape: tuple[int, int],
    with_gradient: bool,
    with_mask: bool,
    fraction: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    # Constant weights and integer factors: every product is exact.
    weight = VirtualWeight(shape, nn.init.Constant(0.5), STREAM, dtype)
    there = np.ones(shape, bool)
    if with_mask:
        there = rng.random(shape) < 0.5
        bits = np.zeros((shape[0], -(-shape[1] // 64) * 64), np.uint8)
        bits[:, : shape[1]] = there
        words = np.packbits(bits, axis=1, bitorder="little").view("<u8")
        weight = weight.masked(words.astype(np.uint64))
    gradient = None
    dense = np.full(shape, 0.5)
    if with_gradient:
        factors = [
            (rng.integers(-3, 4, (b, shape[0])), rng.integers(-3, 4, (b, shape[1])))
            for b in (2, 3)
        ]
        gradient = OuterSum([(a.astype(dtype), b.astype(dtype)) for a, b in factors])
        dense = 0.5 * sum(a.T @ b for a, b in factors)
    if kind == "magnitude":
        dense = np.abs(dense)
    elif kind == "negative":
        dense = -dense
    dense[~there] = -np.inf
    k = round(fraction * np.count_nonzero(there))
    (mine,) = masks([WeightScores(weight, gradient, kind)], k)
    np.testing.assert_array_equal(mine, reference([dense], k)[0])
    if with_mask and not there.all():
        with pytest.raises(ValueError, match=f"only {np.count_nonzero(there)} candid"):
            largest_scores([WeightScores(weight, gradient, kind)], there.sum() + 1)


@pytest.mark.parametrize("threads", [1, 3])
def test_wide_layers_in_tiles_by_a_sampled_threshold(threads: int) -> None:
    rng = np.random.default_rng(0)
    sources, dense = [], []
    for shape in ((1500, 2300), (10, 1500)):
        weight = VirtualWeight(shape, nn.init.KaimingNormal(), STREAM)
        a, b = (rng.standard_normal((3, n)).astype(np.float32) for n in shape)
        gradient = OuterSum([(a, b)])
        sources.append(WeightScores(weight, gradient))
        whole = np.concatenate([tile for _, tile in gradient.tiles()])
        dense.append(np.abs(weight.rows(0, shape[0]) * whole))
    before = get_num_threads()
    set_num_threads(threads)
    try:
        found = masks(sources, 20_000)
    finally:
        set_num_threads(before)
    assert sum(m.sum() for m in found) == 20_000
    # BLAS may round the products of another tile otherwise: only the border may differ.
    for mine, other in zip(found, reference(dense, 20_000), strict=True):
        assert np.count_nonzero(mine != other) <= 4


def test_a_sample_unlike_the_rest_is_no_harm() -> None:
    dense = np.zeros((300, 1000), np.float32)
    dense[250:] = 1
    source = tiled(dense, 50)
    source._sample = lambda ranks: np.full(len(ranks), 2.0)
    (mine,) = masks([source], 40_000)
    assert mine.sum() == 40_000
    np.testing.assert_array_equal(mine, reference([dense], 40_000)[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_that_are_not_finite_raise(bad: float, dtype: Any) -> None:
    scores = np.zeros((40, 100), dtype)
    scores[35, 77] = bad
    fine = tiled(np.zeros((3, 4), dtype), 2)
    for source in (tiled(scores, 8), ArrayScores(scores.reshape(-1))):
        with pytest.raises(ValueError, match="layer 1: scores are not all finite"):
            largest_scores([fine, source], 5)


def test_bad_arguments() -> None:
    source = ArrayScores(np.zeros(5, np.float32))
    for k in (-1, 6):
        with pytest.raises(ValueError, match=r"k must be in \[0, 5\]"):
            largest_scores([source], k)
    assert not largest_scores([source], 0)[0].any()
    with pytest.raises(ValueError, match="of one axis"):
        ArrayScores(np.zeros((2, 2), np.float32))
    weight = VirtualWeight((3, 4), nn.init.Constant(1.0), STREAM)
    gradient = OuterSum([(np.zeros((1, 4)), np.zeros((1, 3)))])
    with pytest.raises(ValueError, match=r"the gradient has shape \(4, 3\)"):
        WeightScores(weight, gradient)
    with pytest.raises(ValueError, match="kind is 'other'"):
        largest_scores([WeightScores(weight, None, "other")], 1)
