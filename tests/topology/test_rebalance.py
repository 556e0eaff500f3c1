"""Steps towards an isometry after an update."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn import nn, optim, topology
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.topology.layer import Layer


def error(w: SparseParameter, gain: float) -> float:
    dense = w.to_scipy().toarray() / gain
    gram = dense.T @ dense if dense.shape[1] <= dense.shape[0] else dense @ dense.T
    return float(np.sum((gram - np.eye(len(gram))) ** 2))


def test_one_step_by_hand() -> None:
    """W = diag(1, 1/2): the gradient on the connections is (0, 4 / 2 (1/4 - 1))."""
    pattern = SparsePattern.from_mask(np.eye(2, dtype=bool))
    w = SparseParameter(pattern, np.array([1.0, 0.5]), "w")
    topology.Rebalance(1, lr=0.1, gain=1.0)([Layer(0, w, None, 0, 0)])
    assert w.values.data.tolist() == [1.0, 0.5 + 0.1 * 1.5]
    w.set(pattern, np.array([3.0, 1.5]))
    topology.Rebalance(1, lr=0.1, gain=3.0)([Layer(0, w, None, 0, 0)])
    np.testing.assert_allclose(w.values.data, [3.0, 3 * 0.65], rtol=1e-15)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_the_error_falls_after_every_update_and_nothing_else_moves(
    shape: tuple[int, int], gain: float
) -> None:
    layer = nn.Linear(shape[1], shape[0], 0.5, seed=0, dtype=np.float64)
    w = layer.weight
    opt = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    seen = []

    def watch(layers: list[Layer]) -> None:
        seen.append((w.pattern, error(w, gain), opt.state(w)["momentum"].copy()))

    part = topology.Rebalance(3, gain=gain)
    topo = topology.GradientFlow(
        layer.parameters(), opt, every=1, after=[watch, part, watch]
    )
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = rng.standard_normal((4, shape[1]))
        topo.backward((layer(x) ** 2).sum() * 1e-3)
        topo.step() or opt.step()
        opt.zero_grad()
    assert len(seen) == 6
    for (p, before, momentum), (q, after, same) in zip(
        seen[::2], seen[1::2], strict=True
    ):
        assert p is q
        assert after < before
        assert np.array_equal(momentum, same)


def test_bad_arguments_are_refused() -> None:
    for argument in ({"steps": -1}, {"lr": 0.0}, {"gain": float("inf")}):
        with pytest.raises(ValueError, match=next(iter(argument))):
            topology.Rebalance(**argument)  # type: ignore[arg-type]
