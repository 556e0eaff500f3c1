"""SynFlow: the authors' theorems, answers by hand, a dense twin, virtual weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import synaptic_flow as dense

from sparsenn import models, nn, optim, pruning
from sparsenn.pruning.flow import Flow
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.sparse.living import LivingWeight


def network(weights: Sequence[np.ndarray], masks: Any = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, w in enumerate(weights):
        mask = np.ones(w.shape, bool) if masks is None else masks[number]
        pattern = SparsePattern.from_mask(mask)
        layer = nn.Linear(w.shape[1], w.shape[0], pattern=pattern, dtype=np.float64)
        values = pattern.from_canonical(np.asarray(w, np.float64)[mask])
        layer.weight.set(pattern, values)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def weights_of(model: Any) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


def masks_of(model: Any) -> list[np.ndarray]:
    return [w.pattern.to_mask() for w in weights_of(model)]


def scores_of(model: Any) -> list[np.ndarray]:
    """The library's scores as dense matrices, up to one factor for all layers."""
    weights = weights_of(model)
    flow = Flow([LivingWeight((w.pattern, w.values.data)) for w in weights])
    return [
        g[:, None] * np.abs(w.to_scipy().toarray()) * x
        for w, (g, x) in zip(weights, flow.vectors(), strict=True)
    ]


BY_HAND = [np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([[2.0, -1.0]])]


def test_scores_by_hand() -> None:
    """h = (3, 3.5), R = 9.5."""
    found = scores_of(network(BY_HAND))
    scale = found[0][0, 0] / 2
    assert (found[0] / scale).tolist() == [[2, 4], [3, 0.5]]
    assert (found[1] / scale).tolist() == [[6, 3.5]]


@pytest.mark.parametrize(
    ("density", "kept"),
    [
        (0.5, [[[False, True], [False, False]], [[True, True]]]),  # the last is dead
        (1 / 6, [[[False, False], [False, False]], [[True, False]]]),
    ],
)
def test_one_shot_by_hand(density: float, kept: list[Any]) -> None:
    model = network(BY_HAND)
    result = pruning.synflow(model, density, rounds=1)
    assert [m.tolist() for m in masks_of(model)] == kept
    assert result.effective == (2 if density == 0.5 else 0)


def test_one_by_one_by_hand() -> None:
    """First 0.5, then 2, then the tie of 3 and 3, which the lower position wins."""
    model = network(BY_HAND)
    for removed in ((0, 1, 1), (0, 0, 0), (1, 0, 1), (0, 1, 0)):
        nnz = sum(w.nnz for w in weights_of(model))
        pruning.synflow(model, (nnz - 1) / 6, rounds=1)
        layer, row, col = removed
        assert not masks_of(model)[layer][row, col]
    # One connection a layer is left, and they meet: Tanaka et al., theorem 3.
    assert [int(m.sum()) for m in masks_of(model)] == [1, 1]
    assert not pruning.collapsed(model)


@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=3, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_one_by_one_ends_with_one_connection_a_layer(
    sizes: list[int], seed: int
) -> None:
    """Maximal critical compression, theorem 3."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    model = network([rng.uniform(0.5, 2, shape) for shape in shapes])
    total = sum(a * b for a, b in shapes)
    pruning.synflow(model, len(shapes) / total, rounds=10_000)
    assert [w.nnz for w in weights_of(model)] == [1] * len(shapes)
    assert pruning.effective(model).effective == len(shapes)


nets = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.integers(1, 9), min_size=2, max_size=5),
        "density": st.sampled_from([0.2, 0.6, 1.0]),
        "seed": st.integers(0, 2**32),
    }
)


def draw(net: dict[str, Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(net["seed"])
    shapes = list(zip(net["sizes"][1:], net["sizes"][:-1], strict=True))
    weights = [rng.standard_normal(shape) for shape in shapes]
    return weights, [rng.random(s) < net["density"] for s in shapes]


@given(net=nets)
def test_flow_is_conserved(net: dict[str, Any]) -> None:
    """Every layer's scores sum to R; what enters a neuron leaves it."""
    weights, masks = draw(net)
    found = scores_of(network(weights, masks))
    totals = [float(s.sum()) for s in found]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-12)
    for a, b in pairwise(found):
        np.testing.assert_allclose(
            a.sum(axis=1), b.sum(axis=0), rtol=1e-12, atol=1e-12 * totals[0]
        )
    expected = dense.scores([w * m for w, m in zip(weights, masks, strict=True)])
    if totals[0] > 0:
        factor = expected[0].sum() / totals[0]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours * factor, theirs, rtol=1e-12)


@settings(max_examples=50)
@given(net=nets, share=st.floats(0, 1), rounds=st.sampled_from([1, 2, 5]))
def test_rounds_equal_the_dense_twin(
    net: dict[str, Any], share: float, rounds: int
) -> None:
    weights, masks = draw(net)
    # Powers of two: products are exact, so that ties are ties in both.
    weights = [np.sign(w) * np.exp2(np.round(w)) for w in weights]
    model = network(weights, masks)
    present = sum(int(m.sum()) for m in masks)
    positions = sum(m.size for m in masks)
    total = int(share * present)
    pruning.synflow(model, total / positions, rounds=rounds)
    ratio = total / present if present else 1.0
    counts = [
        total if k == rounds else max(round(present * ratio ** (k / rounds)), total)
        for k in range(1, rounds + 1)
    ]
    expected = dense.prune(weights, masks, counts)
    found = masks_of(model)
    assert sum(int(m.sum()) for m in found) == total
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours, theirs)
    for weight, w, mask in zip(weights_of(model), weights, found, strict=True):
        matrix = weight.pattern.to_scipy(weight.values.data).toarray()
        assert np.array_equal(matrix, np.where(mask, w, 0))


@given(net=nets, scale=st.sampled_from([2.0**-9, 0.5, 2.0**12]))
def test_moving_scale_between_layers_changes_nothing(
    net: dict[str, Any], scale: float
) -> None:
    weights, masks = draw(net)
    if len(weights) < 2:
        return
    moved = [weights[0] * scale, weights[1] / scale, *weights[2:]]
    one, two = network(weights, masks), network(moved, masks)
    density = sum(int(m.sum()) for m in masks) // 2 / sum(m.size for m in masks)
    pruning.synflow(one, density, rounds=3)
    pruning.synflow(two, density, rounds=3)
    for a, b in zip(masks_of(one), masks_of(two), strict=True):
        assert np.array_equal(a, b)


def test_signs_do_not_matter() -> None:
    weights, masks = draw({"sizes": [9, 8, 7], "density": 0.7, "seed": 3})
    one = network(weights, masks)
    two = network([np.abs(w) for w in weights], masks)
    for model in (one, two):
        pruning.synflow(model, 0.2, rounds=10)
    for a, b in zip(masks_of(one), masks_of(two), strict=True):
        assert np.array_equal(a, b)


def test_one_layer_is_pruned_by_magnitude() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((6, 7))
    model = network([w])
    pruning.synflow(model, 0.25, rounds=4)
    order = np.argsort(-np.abs(w).ravel(), kind="stable")[:10]
    assert np.flatnonzero(masks_of(model)[0]).tolist() == sorted(order)


@pytest.mark.parametrize("depth", [3, 400])
def test_deep_networks_neither_overflow_nor_underflow(depth: int) -> None:
    """Kaiming's normal gains a factor of 5 a layer here, 1e280 over 400."""
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal((20, 20)) for _ in range(depth)]
    for factor in (1.0, 1e-3):
        model = network([w * factor for w in weights])
        result = pruning.synflow(model, 0.1, rounds=20)
        assert result.after == round(0.1 * 400 * depth)
        assert not pruning.collapsed(model)


@settings(max_examples=25)
@given(net=nets, share=st.sampled_from([0.05, 0.2, 0.5]))
def test_the_adaptive_schedule_never_cuts_every_path(
    net: dict[str, Any], share: float
) -> None:
    weights, _ = draw(net)
    model = network(weights)
    total = sum(w.size for w in weights)
    wanted = max(total // 3, len(weights))
    if wanted < max(net["sizes"]):
        return  # then the last removals may have to take a whole share
    result = pruning.synflow(model, wanted / total, schedule="adaptive", share=share)
    assert result.after == wanted
    assert not pruning.collapsed(model)


@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(1, 70), min_size=2, max_size=4),
    density=st.floats(0, 0.9),
    schedule=st.sampled_from(["exponential", "adaptive"]),
    invert=st.booleans(),
    seed=st.integers(0, 99),
)
def test_virtual_weights_give_the_masks_of_full_ones(
    sizes: list[int], density: float, schedule: Any, invert: bool, seed: int
) -> None:
    full, virtual = (models.mlp(sizes, d, seed=seed) for d in (1.0, None))
    arguments: dict[str, Any] = {"rounds": 1 if invert else 7, "schedule": schedule}
    if invert:
        arguments = {"rounds": 1, "invert": True}
    ours = pruning.synflow(full, density, **arguments)
    theirs = pruning.synflow(virtual, density, **arguments)
    assert ours.layers == theirs.layers
    for a, b in zip(weights_of(full), weights_of(virtual), strict=True):
        assert a.pattern.same_positions(b.pattern)
        assert np.array_equal(a.values.data, b.values.data)


def test_what_is_exempt_stays_and_the_optimiser_follows() -> None:
    model = models.mlp([20, 30, 10], seed=0)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for w in weights_of(model):
        opt.state(w)["momentum"][:] = w.values.data
    result = pruning.synflow(model, 0.5, keep_dense=["last"], optimizer=opt)
    assert [layer.after for layer in result.layers] == [150, 300]
    for w in weights_of(model):
        assert np.array_equal(opt.state(w)["momentum"], w.values.data)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    pruning.synflow(
        models.mlp([20, 30, 10], seed=0),
        0.1,
        rounds=5,
        progress=lambda left, wanted: told.append((left, wanted)),
    )
    assert len(told) == 5
    assert told[-1] == (90, 90)
    assert [left for left, _ in told] == sorted((t[0] for t in told), reverse=True)


def test_the_schedule_by_hand() -> None:
    """Compression 10 in 4 rounds: .562341, .316228, .177828, .1."""
    told: list[int] = []
    pruning.synflow(
        models.mlp([100, 100], seed=0),
        0.1,
        rounds=4,
        progress=lambda left, wanted: told.append(left),
    )
    assert told == [5623, 3162, 1778, 1000]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"share": 1.0}, r"share must be in \(0, 1\)"),
        ({"schedule": "linear"}, "'exponential' or 'adaptive'"),
        (
            {"input_shape": (3, 7)},
            r"input_shape is \(3, 7\), the first weight takes 20",
        ),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    model = models.mlp([20, 30, 10], seed=0)
    with pytest.raises(ValueError, match=message):
        pruning.synflow(model, 0.1, **arguments)
    assert all(w.pattern.is_full for w in weights_of(model))


def test_refuses_values_that_are_not_finite_and_weights_that_do_not_meet() -> None:
    model = models.mlp([20, 30, 10], seed=0)
    model[0].weight.values.data[3] = np.nan
    with pytest.raises(ValueError, match=r"'0\.weight' holds values that are"):
        pruning.synflow(model, 0.1)
    apart = nn.Sequential(nn.Linear(4, 3, seed=0), nn.Linear(4, 2, seed=0))
    with pytest.raises(ValueError, match="follows a chain of weights"):
        pruning.synflow(apart, 0.5)


class Shortcut(nn.Module):
    """What enters the second layer is not what leaves the first alone."""

    def __init__(self) -> None:
        self.one = nn.Linear(5, 5, seed=0)
        self.two = nn.Linear(5, 5, seed=0, number=1)

    def forward(self, x: Any) -> Any:
        return self.two(self.one(x) + x)


def test_refuses_networks_that_are_no_chain() -> None:
    model = Shortcut()
    with pytest.raises(TypeError, match="how its 2 sparse weights are connected"):
        pruning.synflow(model, 0.5)
    model.chain = lambda: [model.two.weight]  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="lists 1 weights, the model has 2"):
        pruning.synflow(model, 0.5)
    assert model.one.weight.pattern.is_full
