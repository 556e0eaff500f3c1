"""ITOP's exploration rate against a dense union of masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn, topology
from sparsenn.sparse import SparseParameter, SparsePattern


def parameter(
    mask: np.ndarray, *, by_column: bool = False, name: str = "w"
) -> SparseParameter:
    pattern = SparsePattern.from_mask(mask)
    if by_column:
        pattern = pattern.stored_by_column()
    return SparseParameter(pattern, np.zeros(pattern.nnz, np.float32), name)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    shape=st.tuples(st.integers(0, 20), st.integers(0, 300)),
    densities=st.lists(st.sampled_from([0.0, 0.05, 0.3, 1.0]), min_size=1, max_size=4),
    by_column=st.booleans(),
)
def test_the_rate_is_that_of_the_union(
    seed: int, shape: tuple[int, int], densities: list[float], by_column: bool
) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random(shape) < d for d in densities]
    other = parameter(np.ones((2, 3), bool), name="other")
    param = parameter(masks[0], by_column=by_column)
    explored = topology.Exploration([param, other])
    seen = np.zeros(shape, bool)
    for mask in masks:
        pattern = SparsePattern.from_mask(mask)
        param.set(pattern, np.zeros(pattern.nnz, np.float32))
        rate = explored.update()
        seen |= mask
        assert rate == explored.rate == (seen.sum() + 6) / (seen.size + 6)
        if seen.size:
            assert explored.layers()["w"] == seen.mean()
    assert explored.nbytes <= -(-seen.size // 8)


def test_a_resumed_metric_goes_on_with_the_same_numbers() -> None:
    model = nn.Sequential(nn.Linear(20, 10, 0.1, seed=0), nn.Linear(10, 5, seed=1))
    topo = topology.SET(model.parameters(), seed=0)
    explored = topology.Exploration(model.parameters())
    topo.update(0.5)
    explored.update()
    again = topology.Exploration(model.parameters())
    assert again.rate < explored.rate
    again.load_state(explored.state())
    assert again.rate == explored.rate
    assert again.layers() == explored.layers()
    topo.update(0.5)
    assert again.update() == explored.update()


def test_the_state_of_other_weights_is_refused() -> None:
    small = topology.Exploration([parameter(np.eye(3, dtype=bool))])
    large = topology.Exploration([parameter(np.eye(9, dtype=bool))])
    with pytest.raises(ValueError, match=r"\[2\] bytes of bits, these weights take"):
        large.load_state(small.state())
    assert large.rate == 1 / 9


def test_full_weights_cost_nothing() -> None:
    explored = topology.Exploration(nn.Linear(30, 20).parameters())
    assert explored.rate == 1.0
    assert explored.nbytes == 0
