"""Dropping and growing by the gradient's flow, against a dense twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference.curvature import Twin

from sparsenn import nn, ops, optim, topology
from sparsenn.sparse import SparseParameter, SparsePattern


def known() -> SparseParameter:
    """Weights 1, -2, 1/2 of inputs 0, 1, 2 out of five."""
    pattern = SparsePattern.from_mask(np.array([[1, 1, 1, 0, 0]], bool))
    return SparseParameter(pattern, np.array([1.0, -2.0, 0.5]), "w")


@pytest.mark.parametrize("growth", ["flow", "gradient"])
@pytest.mark.parametrize(
    ("drop", "x0", "kept"),
    [
        ("flow", 1.0, [0, 1]),  # of equal scores the lower position stays
        ("flow", 3.0, [0, 1]),
        ("grasp", 1.0, [0, 1]),
        ("grasp", 3.0, [1, 2]),
    ],
)
def test_known_answer(drop: Any, growth: Any, x0: float, kept: list[int]) -> None:
    """L = (w x - y)^2 / 2 with w x - y = -1: g = -x and Hg = -(x x) x.

    At x = 1, 1, 2 that is -6 x, so that w Hg = -6, 12, -6; at 3, 1, 2 it is -14 x and
    w Hg = -42, 28, -14.
    """
    w = known()
    topo = topology.GradientFlow([w], drop=drop, growth=growth)
    topo.announce()
    y = ops.linear(np.array([[x0, 1.0, 2.0, 3.0, -4.0]]), w)
    topo.backward(((y - y.item() - 1) ** 2).sum() / 2)
    assert w.grad.data.tolist() == [-x0, -1, -2]
    topo.update(0.34)
    _, cols = w.positions()
    assert cols.tolist() == [*kept, 4]
    assert w.values.data.tolist() == [*([1, -2, 0.5][k] for k in kept), 0]


def test_growth_by_the_gradient_maximises_its_norm() -> None:
    """Exhaustively: no other choice of as many positions has a larger norm after."""
    from itertools import combinations

    rng = np.random.default_rng(0)
    layer = nn.Linear(5, 3, 0.4, seed=0, dtype=np.float64)
    w = layer.weight
    x, target = rng.standard_normal((4, 5)), rng.standard_normal((4, 3))
    topo = topology.GradientFlow([w], growth="gradient", drop="magnitude", regrow=True)
    topo.announce()
    topo.backward(((layer(x) - target) ** 2).sum())
    mask, values = w.pattern.to_mask(), w.to_scipy().toarray()
    keep = topology.drop.magnitude(topo._layers(), 0.5)[0]
    kept = np.zeros_like(mask)
    kept[tuple(a[keep] for a in w.positions())] = True
    g = 2 * (x @ values.T + layer.bias.data - target).T @ x
    topo.update(0.5)
    grown = w.pattern.to_mask() & ~kept
    ours = np.sum(g[grown] ** 2)
    free = list(zip(*np.nonzero(~kept), strict=True))
    best = max(
        sum(g[p] ** 2 for p in chosen)
        for chosen in combinations(free, int(grown.sum()))
    )
    assert grown.sum() == 3
    assert ours == pytest.approx(best, rel=1e-12)


@given(
    seed=st.integers(0, 2**16),
    density=st.sampled_from([0.3, 0.6]),
    growth=st.sampled_from(["flow", "gradient"]),
    drop=st.sampled_from(["flow", "grasp"]),
    regrow=st.booleans(),
    fraction=st.sampled_from([0.0, 0.3, 0.5]),
)
@settings(max_examples=40)
def test_an_update_is_that_of_the_twin(
    seed: int, density: float, growth: Any, drop: Any, regrow: bool, fraction: float
) -> None:
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Linear(7, 6, density, seed=seed, dtype=np.float64),
        nn.ReLU(),
        nn.Linear(6, 4, density, seed=seed + 1, dtype=np.float64),
    )
    params = model.parameters()
    weights = [p for p in params if isinstance(p, SparseParameter)]
    opt = optim.SGD(params, lr=0.1, momentum=0.9)
    topo = topology.GradientFlow(params, opt, growth=growth, drop=drop, regrow=regrow)
    x, labels = rng.standard_normal((5, 7)), rng.integers(0, 4, 5)
    dense = [w.to_scipy().toarray() for w in weights]
    masks = [w.pattern.to_mask() for w in weights]
    biases = [p.data.copy() for p in params if not isinstance(p, SparseParameter)]
    twin = Twin(dense, biases, x, labels, "relu")
    gradients = twin.gradients(dense)
    vectors = [g * m for g, m in zip(gradients, masks, strict=True)]
    products = twin.hessian_product(vectors)
    topo.announce()
    topo.backward(nn.functional.cross_entropy(model(x), labels))
    before = [w.pattern for w in weights]
    topo.update(fraction)
    for number, w in enumerate(weights):
        mask, hg = masks[number], products[number]
        score = dense[number] * hg
        score = np.where(mask, score if drop == "grasp" else np.abs(score), np.inf)
        count = int(fraction * mask.sum())
        order = np.argsort(score, axis=None)
        assume(gap(score.ravel()[order], count))
        kept = mask.copy()
        kept.flat[order[:count]] = False
        free = ~kept if regrow else ~mask
        count = min(count, int(free.sum()))
        worth = np.abs(hg if growth == "flow" else gradients[number])
        worth = np.where(free, worth, -1.0)
        order = np.argsort(-worth, axis=None)
        assume(gap(worth.ravel()[order], count))
        if int(mask.sum() - kept.sum()) != count:
            assume(False)  # nearly full: fewer are dropped
        expected = kept.copy()
        expected.flat[order[:count]] = True
        assert np.array_equal(w.pattern.to_mask(), expected)
        values = np.where(mask & expected, dense[number], 0)
        if not regrow:
            values *= kept
        assert np.array_equal(w.to_scipy().toarray(), values)
        assert w.nnz == before[number].nnz


def gap(ordered: np.ndarray, count: int) -> bool:
    """Whether differences tell the count-th from the next."""
    if not 0 < count < len(ordered):
        return True
    a, b = ordered[count - 1], ordered[count]
    return abs(a - b) > 1e-6 * max(1.0, abs(a))


def test_gradients_of_the_step_are_those_of_backward() -> None:
    layer = nn.Linear(6, 5, 0.5, seed=0)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)

    def run(with_flow: bool) -> list[bytes]:
        for p in layer.parameters():
            (p.values if isinstance(p, SparseParameter) else p).grad = None
        loss = (layer(x) ** 2).sum()
        if with_flow:
            topo.backward(loss)
        else:
            loss.backward()
        return [layer.weight.grad.data.tobytes(), layer.bias.grad.data.tobytes()]

    topo = topology.GradientFlow(layer.parameters())
    topo.announce()
    assert run(True) == run(False)


def test_only_steps_with_an_update_take_a_second_pass() -> None:
    layer = nn.Linear(6, 5, 0.5, seed=0)
    opt = optim.SGD(layer.parameters(), lr=0.1)
    topo = topology.GradientFlow(layer.parameters(), opt, every=3, end_step=10)
    seen = []
    for _ in range(11):
        topo.backward((layer(np.ones((2, 6))) ** 2).sum())
        seen.append(topo._flows is not None)
        topo.step() or opt.step()
        opt.zero_grad()
        assert topo._flows is None
    assert [step for step, flow in enumerate(seen) if flow] == [3, 6, 9]


def test_backward_of_the_loss_alone_is_not_enough() -> None:
    layer = nn.Linear(6, 5, 0.5, seed=0)
    topo = topology.GradientFlow(layer.parameters())
    topo.announce()
    (layer(np.ones((2, 6))) ** 2).sum().backward()
    with pytest.raises(ValueError, match=r"call topo.backward\(loss\)"):
        topo.update(0.3)


def test_what_is_done_after_an_update_sees_the_new_layers() -> None:
    layer = nn.Linear(6, 5, 0.5, seed=0)
    seen = []
    topo = topology.GradientFlow(
        layer.parameters(), after=[lambda layers: seen.append(layers[0].pattern)]
    )
    topo.announce()
    topo.backward((layer(np.ones((2, 6))) ** 2).sum())
    (change,) = topo.update(0.3)
    assert seen == [change.new]
