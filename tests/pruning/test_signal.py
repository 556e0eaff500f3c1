"""Paths and flow through models that are no chain."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import models, nn, pruning
from sparsenn.pruning.signal import Signal, is_chain
from sparsenn.sparse import SparseParameter


def weights(model: nn.Module) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


def linear(n_in: int, n_out: int, number: int, density: float = 0.4) -> nn.Linear:
    return nn.Linear(n_in, n_out, density, seed=3, number=number, dtype=np.float64)


def branched(density: float) -> nn.Sequential:
    """Two branches that are added, and a layer before and after."""
    branch = nn.Sequential(
        linear(4, 3, 1, density), nn.Tanh(), linear(3, 4, 2, density)
    )
    return nn.Sequential(
        linear(5, 4, 0, density),
        nn.BatchNorm1d(4, dtype=np.float64),
        nn.Residual(branch, linear(4, 4, 3, density)),
        nn.ReLU(),
        linear(4, 2, 4, density),
    )


def reference(model: nn.Sequential) -> list[np.ndarray]:
    """Scores of `branched` by the product rule on dense matrices."""
    a, b, c, d, e = (np.abs(w.to_scipy().toarray()) for w in weights(model))
    middle = c @ b + d
    start, end = np.ones(5), np.ones(2)
    x = a @ start
    back = end @ e
    return [
        np.outer(back @ middle, start) * a,
        np.outer(back @ c, x) * b,
        np.outer(back, b @ x) * c,
        np.outer(back, x) * d,
        np.outer(end, middle @ x) * e,
    ]


def dense(param: SparseParameter, values: np.ndarray) -> np.ndarray:
    out = np.zeros(param.shape)
    out[param.positions()] = values
    return out


@given(st.floats(0.1, 1.0))
def test_what_each_connection_carries(density: float) -> None:
    model = branched(density)
    model[1].running_mean += 5  # norms and biases are left out
    model[0].bias.assign_(np.full(4, 3.0))
    signal = Signal(model)
    values = [np.abs(w.values.data) for w in weights(model)]
    for param, carried, wanted in zip(
        weights(model), signal.carried(values), reference(model), strict=True
    ):
        np.testing.assert_allclose(dense(param, carried), wanted, rtol=1e-12)


@given(st.floats(0.1, 0.6))
def test_effective_connections_carry_something(density: float) -> None:
    model = branched(density)
    found = pruning.effective(model)
    for param, layer, wanted in zip(
        weights(model), found.layers, reference(model), strict=True
    ):
        mask = dense(param, layer.mask.astype(float)) > 0
        assert np.array_equal(mask, wanted > 0)
        assert layer.name == param.name
    assert found.collapsed == all(not (w > 0).any() for w in reference(model))
    assert "effective" in repr(found)


def test_a_chain_gives_the_same_either_way() -> None:
    chain = models.mlp([20, 30, 10, 4], 0.1, seed=0)
    by_graph = pruning.effective(chain)
    signal = Signal(chain, every_path=True)
    carried = signal.carried([np.ones(w.nnz) for w in weights(chain)])
    for layer, amount in zip(by_graph.layers, carried, strict=True):
        assert np.array_equal(layer.mask, amount > 0)


def test_every_pixel_of_a_pooled_window_is_a_path() -> None:
    model = nn.Sequential(
        nn.ToImage(1, 2, 2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1, 1, seed=0, dtype=np.float64),
    )
    before = nn.Sequential(nn.Linear(4, 4, seed=0, dtype=np.float64), *model.layers)
    assert not is_chain(nn.Sequential(nn.Residual(nn.Linear(2, 2, seed=0))))
    signal = Signal(before, every_path=True)
    carried = signal.carried([np.ones(16), np.ones(1)])
    assert (carried[0] > 0).all()


@pytest.mark.parametrize("schedule", ["exponential", "adaptive"])
@pytest.mark.parametrize("rounds", [1, 7])
def test_synflow_of_a_branched_model(schedule: Any, rounds: int) -> None:
    model = branched(1.0)
    matrices = [w.to_scipy().toarray() for w in weights(model)]
    result = pruning.synflow(model, 0.3, rounds=rounds, schedule=schedule)
    positions = sum(m.size for m in matrices)
    assert result.after == round(0.3 * positions)
    assert not pruning.collapsed(model)
    if schedule == "exponential" and rounds == 1:
        scores = np.concatenate([s.ravel() for s in reference(branched(1.0))])
        kept = np.concatenate(
            [(w.to_scipy().toarray() != 0).ravel() for w in weights(model)]
        )
        order = np.argsort(-scores, kind="stable")[: result.after]
        assert np.array_equal(np.flatnonzero(kept), np.sort(order))


def test_synflow_of_a_branched_chain_agrees_with_that_of_a_chain() -> None:
    def mlp() -> nn.Sequential:
        return models.mlp([12, 9, 7, 5], seed=1, dtype=np.float64)

    class Hidden(nn.Module):
        """The same network, which does not say that it is a chain."""

        def __init__(self) -> None:
            self.inner = mlp()

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    known, hidden = mlp(), Hidden()
    pruning.synflow(known, 0.2, rounds=20)
    pruning.synflow(hidden, 0.2, rounds=20, input_shape=(12,))
    for a, b in itertools.zip_longest(weights(known), weights(hidden)):
        assert np.array_equal(a.to_scipy().toarray(), b.to_scipy().toarray())


def test_the_weakest_and_layers_kept_dense() -> None:
    model = branched(1.0)
    pruning.synflow(model, 0.5, rounds=1, invert=True, keep_dense=["first"])
    assert weights(model)[0].nnz == 20
    scores = reference(branched(1.0))
    kept = [w.to_scipy().toarray() != 0 for w in weights(model)]
    low = np.concatenate([s[k] for s, k in zip(scores[1:], kept[1:], strict=True)])
    high = np.concatenate([s[~k] for s, k in zip(scores[1:], kept[1:], strict=True)])
    assert low.max() <= high.min()


def test_drop_ineffective_keeps_the_function() -> None:
    model = branched(0.3)
    for module in model.layers:
        if isinstance(module, nn.Linear):
            module.bias = None
    model[2].branch[0].bias = model[2].branch[2].bias = model[2].shortcut.bias = None
    model.eval()
    x = np.random.default_rng(0).standard_normal((6, 5))
    before = model(x).data
    result = pruning.drop_ineffective(model)
    assert result.after == pruning.effective(model).effective
    np.testing.assert_allclose(model(x).data, before, rtol=1e-12, atol=1e-12)


def test_what_overflows_is_told() -> None:
    model = branched(1.0)
    for param in weights(model):
        param.values.assign_(np.full(param.nnz, 1e200))
    with pytest.raises(OverflowError, match="scale the weights down"):
        pruning.synflow(model, 0.5)


def magnitudes(model: nn.Module) -> list[np.ndarray]:
    return [np.abs(w.to_scipy().toarray()) for w in weights(model)]


@given(st.floats(0.1, 1.0))
def test_what_attention_and_blocks_carry(density: float) -> None:
    """Every token by itself: the factors of attention add, shortcuts do, too."""
    model = models.gpt(7, 5, 1, 4, density=density, init="er", seed=1, dtype=np.float64)
    q, k, v, o, up, down, last = magnitudes(model)
    x = np.ones(4)  # after the embedding
    block = x + o @ (q + k + v) @ x
    end = block + down @ up @ block
    back = np.ones(7) @ last
    before = back + back @ down @ up
    wanted = [
        *(np.outer(before @ o, x) * w for w in (q, k, v)),
        np.outer(before, (q + k + v) @ x) * o,
        np.outer(back @ down, block) * up,
        np.outer(back, up @ block) * down,
        np.outer(np.ones(7), end) * last,
    ]
    found = Signal(model).carried([np.abs(w.values.data) for w in weights(model)])
    for param, carried, one in zip(weights(model), found, wanted, strict=True):
        np.testing.assert_allclose(dense(param, carried), 2 * one, rtol=1e-12)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_what_gates_carry_over_two_steps(kind: str) -> None:
    model = models.recurrent(kind, 3, 4, 2, density=0.6, seed=1, dtype=np.float64)
    w, u, last = magnitudes(model)
    fold = np.tile(np.eye(4), len(w) // 4)  # a state is the sum of its gates
    x, h = np.ones(3), fold @ w @ np.ones(3)
    back = np.ones(2) @ last  # from the second state
    wanted = [
        (np.outer(back @ fold, x) + np.outer(back @ fold @ u @ fold, x)) * w,
        np.outer(back @ fold, h) * u,
        np.outer(np.ones(2), h + fold @ u @ h) * last,
    ]
    found = Signal(model).carried([np.abs(w.values.data) for w in weights(model)])
    for param, carried, one in zip(weights(model), found, wanted, strict=True):
        np.testing.assert_allclose(dense(param, carried), one, rtol=1e-12)


@pytest.mark.parametrize("density", [1.0, None])
@pytest.mark.parametrize("arch", ["bilstm:2x6", "gru:5", "text-lstm:2x8", "gpt:2x8"])
def test_synflow_of_models_of_sequences(arch: str, density: float | None) -> None:
    kind = "sequences" if arch in ("bilstm:2x6", "gru:5") else "text"
    name = arch.removeprefix("text-")
    model = models.build(name, 6, 9, density, kind=kind, seed=2, dtype=np.float64)
    positions = sum(w.shape[0] * w.shape[1] for w in weights(model))
    result = pruning.synflow(model, 0.2, rounds=20)
    found = weights(model)
    assert sum(w.nnz for w in found) == result.after == round(0.2 * positions)
    assert not pruning.collapsed(model)
    assert kind == "sequences" or all(w.nnz for w in found)
    x = np.arange(12).reshape(2, 6) % 9
    inputs = x if kind == "text" else np.ones((2, 3, 6))
    assert np.isfinite(model(inputs).data).all()


def test_a_state_that_nothing_enters_is_no_path() -> None:
    layers = nn.GRU(3, 4, nnz=[0, 20], seed=0, dtype=np.float64)
    model = nn.Sequential(layers, nn.FinalState(), linear(4, 2, 2))
    assert pruning.collapsed(model)
    assert pruning.effective(model).effective == 0


@pytest.mark.parametrize(
    "first", [nn.LayerNorm(6), nn.Dropout(0.1), nn.Linear(6, 6, seed=0)]
)
def test_a_recurrent_layer_need_not_come_first(first: nn.Module) -> None:
    following = nn.GRU(6, 4, density=0.5, seed=0, number=1)
    last = nn.Linear(4, 2, 0.5, seed=0, number=3)
    model = nn.Sequential(first, following, nn.FinalState(), last)
    pruning.synflow(model, 0.4, rounds=5)
    assert not pruning.collapsed(model)
