"""SRigL: constant fan-in, ablation, and each update against dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.structured import srigl

from sparsenn import models, nn, optim, topology
from sparsenn.autograd import Tensor
from sparsenn.ops import OuterSum
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.topology import rows as rowwise


def even(shape: tuple[int, int], fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """A mask of a constant fan-in."""
    return np.argsort(rng.random(shape), axis=1) < fan_in


def integers(mask: np.ndarray, rng: np.random.Generator) -> SparseParameter:
    """Small integers, which are exact and full of ties."""
    pattern = SparsePattern.from_mask(mask)
    values = rng.integers(-3, 4, pattern.nnz).astype(np.float32)
    return SparseParameter(pattern, values, "w")


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    shape = draw(st.integers(1, 9)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    fan_in = draw(st.integers(1, shape[1] - 1))
    batch = draw(st.integers(1, 3))
    return {
        "rng": rng,
        "mask": even(shape, fan_in, rng),
        "dy": rng.integers(-2, 3, (batch, shape[0])).astype(np.float32),
        "x": rng.integers(-2, 3, (batch, shape[1])).astype(np.float32),
    }


def updated(
    layer: dict[str, Any], fractions: list[float], saliency: float, ablate: bool
) -> None:
    """Updates of a layer and of its twin, equal after each."""
    rng = layer["rng"]
    w = integers(layer["mask"], rng)
    last = SparseParameter(SparsePattern.full((2, len(layer["mask"]))), np.ones(
        2 * len(layer["mask"]), np.float32), "last")  # fmt: skip
    params = [w, last] if ablate else [w]  # the last one is never ablated
    opt = optim.SGD(params, lr=0.1, momentum=0.9)
    topo = topology.SRigL(params, opt, saliency=saliency)
    budget = w.nnz
    assert topo.budgets == {0: budget}
    for fraction in fractions:
        mask, dense = w.pattern.to_mask(), w.to_scipy().toarray()
        momentum = rng.integers(1, 9, mask.shape) * mask
        opt.state(w)["momentum"][:] = momentum[w.positions()]
        gradient = layer["dy"].T @ layer["x"]
        new, values = srigl(dense, mask, gradient, fraction, budget, saliency, ablate)
        topo.announce()
        w.factors.append((layer["dy"], layer["x"]))
        topo.update(fraction)
        assert np.array_equal(w.pattern.to_mask(), new)
        assert np.array_equal(w.to_scipy().toarray(), values)
        found = w.pattern.to_scipy(opt.state(w)["momentum"]).toarray()
        assert np.array_equal(found, np.where(new & mask, momentum, 0))
        promises(w, budget, ablate)
        w.set(w.pattern, rng.integers(-3, 4, w.nnz).astype(np.float32))
        layer["dy"] = rng.integers(-2, 3, layer["dy"].shape).astype(np.float32)


def promises(w: SparseParameter, budget: int, ablate: bool) -> None:
    counts = np.diff(w.pattern.indptr)
    active = counts[counts > 0]
    assert len(set(active)) == 1
    fan_in = active[0]
    assert fan_in * len(active) <= budget
    # An own maximum is the only reason for a smaller fan-in than would fit.
    assert budget < (fan_in + 1) * len(active) or fan_in == w.shape[1]
    assert len(active) >= budget // w.shape[1]
    if not ablate:
        assert len(active) == len(counts)


@given(
    layer=layers(),
    fractions=st.lists(st.sampled_from([0.0, 0.3, 0.6, 0.9]), min_size=1, max_size=3),
    saliency=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    ablate=st.booleans(),
)
@settings(max_examples=60)
def test_srigl_equals_its_paper(
    layer: dict[str, Any], fractions: list[float], saliency: float, ablate: bool
) -> None:
    if layer["mask"].all():
        return
    updated(layer, fractions, saliency, ablate)


@pytest.mark.parametrize(
    ("ablated", "fan_in", "nnz"), [(0, 2, 8), (1, 2, 6), (2, 4, 8), (3, 4, 8)]
)
def test_ablation_by_hand(ablated: int, fan_in: int, nnz: int) -> None:
    """4 x 5 at 60 % sparsity; one neuron could not have eight of five inputs."""
    mask = even((4, 5), 2, np.random.default_rng(0))
    w = integers(mask, np.random.default_rng(0))
    values = np.where(w.positions()[0] < ablated, 0.01, 1.0).astype(np.float32)
    w.set(w.pattern, values)
    last = SparseParameter(SparsePattern.full((2, 4)), np.ones(8, np.float32), "last")
    topo = topology.SRigL([w, last], saliency=1.0)
    topo.announce()
    # The small weights are all that is dropped, and gradients are where others are.
    dy = np.array([[0, 1, 2, 3]], np.float32)
    dy[0, :ablated] = 0
    w.factors.append((dy, np.ones((1, 5), np.float32)))
    topo.update(2 * ablated / 8 if ablated else 0.1)
    counts = np.diff(w.pattern.indptr)
    assert topo.fan_in(0) == fan_in
    assert w.nnz == nnz
    assert (counts == 0).sum() == min(ablated, 2)


def test_rows_keep_their_largest() -> None:
    """The authors' sort of booleans keeps 1 and 2 here."""
    pattern = SparsePattern.full((1, 6))
    scores = np.arange(1.0, 7.0)
    keep = rowwise.trim(pattern, scores, np.ones(6, bool), 2)
    assert np.flatnonzero(keep).tolist() == [4, 5]


@given(seed=st.integers(0, 2**16), density=st.sampled_from([0.0, 0.3, 0.7]))
@settings(max_examples=25)
def test_growth_in_rows_equals_a_dense_sort(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 2))
    mask = rng.random(shape) < density
    pattern = SparsePattern.from_mask(mask)
    counts = np.array([rng.integers(0, n + 1) for n in (~mask).sum(axis=1)], int)
    a = rng.integers(-2, 3, (3, shape[0])).astype(np.float32)
    b = rng.integers(-2, 3, (3, shape[1])).astype(np.float32)
    indptr, indices = rowwise.largest_outside(OuterSum([(a, b)]), pattern, counts)
    assert np.array_equal(np.diff(indptr), counts)
    size = np.where(mask, -1, np.abs(a.T @ b))
    for i, count in enumerate(counts):
        order = np.argsort(-size[i], kind="stable")[:count]
        assert indices[indptr[i] : indptr[i + 1]].tolist() == sorted(order)


def test_nan_does_not_grow_in_rows() -> None:
    a = np.array([[np.nan, 1]], np.float32)
    b = np.ones((1, 3), np.float32)
    pattern = SparsePattern.empty((2, 3))
    grown = rowwise.largest_outside(OuterSum([(a, b)]), pattern, np.array([0, 2]))
    assert grown[1].tolist() == [0, 1]
    with pytest.raises(ValueError, match="NaN"):
        rowwise.largest_outside(OuterSum([(a, b)]), pattern, np.array([1, 0]))


def test_a_start_has_the_largest_fan_in_that_fits() -> None:
    layer = nn.Linear(40, 30, 0.2, seed=0)
    nnz = layer.weight.nnz
    opt = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer.weight.values.grad = Tensor(np.ones(nnz, np.float32))
    opt.step()
    before = layer.weight.to_scipy().toarray()
    topology.SRigL(layer.parameters(), opt)
    after = layer.weight.to_scipy().toarray()
    counts = np.diff(layer.weight.pattern.indptr)
    assert set(counts) == {nnz // 30}
    for old, new in zip(before, after, strict=True):
        kept = np.flatnonzero((old != 0) & (new != 0))
        largest = np.argsort(-np.abs(old))[: min(np.count_nonzero(old), nnz // 30)]
        assert set(kept) == set(largest)
        assert np.array_equal(old[kept], new[kept])
    assert np.count_nonzero(after) == layer.weight.nnz  # newborns are drawn
    state = layer.weight.pattern.to_scipy(opt.state(layer.weight)["momentum"])
    assert np.array_equal(state.toarray() != 0, (before != 0) & (after != 0))


def test_different_seeds_start_differently() -> None:
    found = []
    for seed in (0, 0, 1):
        layer = nn.Linear(40, 30, 0.2, seed=0)
        topology.SRigL(layer.parameters(), seed=seed)
        found.append(layer.weight.pattern.ranks().tolist())
    assert found[0] == found[1] != found[2]


def test_fewer_connections_than_neurons_are_refused() -> None:
    layer = nn.Linear(40, 30, nnz=29, seed=0)
    with pytest.raises(ValueError, match="29 connections for 30 neurons"):
        topology.SRigL(layer.parameters())
    with pytest.raises(ValueError, match=r"saliency must be in \[0, 1\]"):
        topology.SRigL(layer.parameters(), saliency=2)


def test_training_never_ablates_classes_nor_everything() -> None:
    model = models.mlp([20, 30, 25, 5], 0.1, seed=3)
    opt = optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    topo = topology.SRigL(model.parameters(), opt, every=2, saliency=1.0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        x = rng.standard_normal((16, 20)).astype(np.float32)
        nn.functional.cross_entropy(model(x), rng.integers(0, 5, 16)).backward()
        topo.step() or opt.step()
        opt.zero_grad()
    for i, w in enumerate(topo.params):
        promises(w, topo.budgets[i], ablate=i < 2)
    assert any((np.diff(w.pattern.indptr) == 0).any() for w in topo.params[:2])
