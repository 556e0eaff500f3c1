"""A gate between a weight's values and every product with them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import sparsenn as snn
from sparsenn import nn, ops
from sparsenn.autograd import Tensor
from sparsenn.ops import SparseBatch
from sparsenn.sparse import SparseParameter, SparsePattern, TopologyChange


class Scale:
    """Each connection times a number of its own."""

    def __init__(self, scale: np.ndarray) -> None:
        self.scale = Tensor(scale, requires_grad=True)

    def __call__(self, values: Tensor) -> Tensor:
        return values * self.scale

    def carry(self, change: TopologyChange) -> None:
        self.scale.replace_(change.remap(self.scale.data, fill=7.0))


def gated(density: float = 0.5, by_column: bool = False) -> SparseParameter:
    rng = np.random.default_rng(0)
    pattern = SparsePattern.random((5, 6), round(density * 30), seed=0)
    if by_column:
        pattern = pattern.stored_by_column()
    w = SparseParameter(pattern, rng.standard_normal(pattern.nnz), "w")
    w.gate = Scale(rng.standard_normal(pattern.nnz))
    return w


INPUTS = ("array", "sparse", "winners")


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("batch", [1, 4])
def test_every_way_through_a_layer_sees_the_gate(
    recorded: bool, by_column: bool, kind: str, batch: int
) -> None:
    w = gated(by_column=by_column)
    rng = np.random.default_rng(1)
    x = np.asfortranarray(rng.standard_normal((batch, 6)))
    given: Any = Tensor(x)
    if kind == "sparse":
        given = SparseBatch(sparse.csr_array(x))
    if kind == "winners":
        given = ops.k_winners(x, 2)
        x = given.data
    scale = w.gate.scale.data
    dense = w.to_scipy().toarray()
    effective = w.pattern.to_scipy(w.values.data * scale).toarray()
    if not recorded:
        with snn.no_grad():
            y = ops.linear(given, w)
        np.testing.assert_allclose(y.data, x @ effective.T, rtol=1e-12)
        return
    y = ops.linear(given, w)
    np.testing.assert_allclose(y.data, x @ effective.T, rtol=1e-12)
    y.sum().backward()
    g = np.repeat(x.sum(axis=0)[None], 5, axis=0)[w.positions()]
    np.testing.assert_allclose(w.grad.data, g * scale, rtol=1e-12)
    on = dense[w.positions()]
    np.testing.assert_allclose(w.gate.scale.grad.data, g * on, rtol=1e-12)


def test_a_gate_follows_a_change_and_leaves_with_another_pattern() -> None:
    w = gated()
    gate, scale = w.gate, w.gate.scale.data.copy()
    keep = np.arange(w.nnz) % 3 > 0
    added = w.pattern.sample_free(2, snn.random.Stream(0, snn.random.Purpose.TEST))
    change = w.pattern.with_changes(keep, added)
    w.replace(change)
    assert w.gate is gate
    assert np.array_equal(gate.scale.data, change.remap(scale, fill=7.0))
    w.set(w.pattern, np.zeros(w.nnz))
    assert w.gate is gate
    w.set(SparsePattern.random((5, 6), w.nnz, seed=3), w.values.data)
    assert w.gate is None


def test_a_gated_weight_is_neither_frozen_nor_saved(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 5, 0.5, seed=0), nn.Linear(5, 4, 0.5, seed=0))
    weight = model.parameters()[2]
    weight.gate = Scale(np.ones(weight.nnz, np.float32))
    with pytest.raises(RuntimeError, match=r"gates .* cannot be frozen.*finish\(\)"):
        model.freeze()
    assert model.frozen is None
    assert model.parameters()[0].frozen is None
    with pytest.raises(RuntimeError, match="cannot be frozen"):
        weight.freeze()
    with pytest.raises(RuntimeError, match="cannot be saved as a model"):
        snn.save(model, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
    weight.factors = []
    with pytest.raises(RuntimeError, match="cannot be differentiated by position"):
        ops.gradient_flow(model(np.ones((2, 6))).sum(), [weight])


def test_a_copy_has_a_gate_of_its_own() -> None:
    w = gated()
    other = copy.deepcopy(w)
    assert other.gate is not w.gate
    assert other.gate.scale is not w.gate.scale
    assert np.array_equal(other.gate.scale.data, w.gate.scale.data)
