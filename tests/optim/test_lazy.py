"""Lazy SGD equals SGD, whoever reads the weights and whenever."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

from sparsenn import nn, optim, topology
from sparsenn.optim import lazy as lazy_module
from sparsenn.sparse import SparseGradient
from tests.strategies import generators

EPS = np.finfo(float).eps


def layer(n_in: int = 30, n_out: int = 12, **how: Any) -> nn.Linear:
    how = {"dtype": np.float64, "sparse_input": True, "bias": False} | how
    return nn.Linear(n_in, n_out, 0.3, seed=1, **how)


def batches(rng: np.random.Generator, n: int, n_in: int = 30) -> list[Any]:
    """CSR batches in which most features are rare."""
    share = 1 / (1 + np.arange(n_in))
    return [
        sparse.csr_array((rng.random((4, n_in)) < share) * rng.random((4, n_in)))
        for _ in range(n)
    ]


def run(
    model: nn.Linear, optimizer: Any, found: list[Any], rates: Any, slope: float = 1.0
) -> None:
    """Steps along the gradient of ``sin(slope y + k)``, k the number of the element."""
    for x, lr in zip(found, rates, strict=True):
        optimizer.lr = lr
        y = model(x)
        k = np.arange(y.size).reshape(y.shape)
        y.backward(np.asfortranarray(np.cos(slope * y.data + k).astype(y.dtype)))
        optimizer.step()
        optimizer.zero_grad()


def both(
    found: list[Any], rates: list[float], slope: float = 1.0, **how: Any
) -> tuple[Any, ...]:
    """Weights and momentum of an eager and a lazy run."""
    result = []
    for lazy in (False, True):
        model = layer()
        optimizer = optim.SGD(model.parameters(), lazy=lazy, **how)
        run(model, optimizer, found, rates, slope)
        state = optimizer.state(model.weight).get("momentum", np.zeros(1))
        result += [model.weight.values.data, state]
    return tuple(result)


settings = st.sampled_from(
    [
        {},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.9, "weight_decay": 0.01},
        {"momentum": 0.99, "nesterov": True},
        {"momentum": 0.5, "nesterov": True, "weight_decay": 0.3},
    ]
)


@given(generators(), st.integers(1, 60), settings)
def test_lazy_equals_eager(
    rng: np.random.Generator, steps: int, how: dict[str, Any]
) -> None:
    found = batches(rng, steps)
    rates = list(0.1 * rng.random(steps))
    # Gradients that do not depend on the weights hand no error on, so that errors add
    # up: each step rounds a few times, at the size of what it moves.
    w, m, lazy_w, lazy_m = both(found, rates, 0.0, **how)
    size = 1 + np.abs(w).max() + np.abs(m).max()
    bound = 100 * steps * EPS * size / (1 - how.get("momentum", 0.0))
    assert np.abs(w - lazy_w).max() <= bound
    assert np.abs(m - lazy_m).max() <= bound


@pytest.mark.parametrize("most", [1, 3, 512])
def test_the_table_of_powers_may_end_at_any_step(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_module, "MOST", most)
    rng = np.random.default_rng(0)
    found = batches(rng, 700)
    how = {"momentum": 0.95, "weight_decay": 1e-3, "nesterov": True}
    schedule = optim.Cosine(0.05, 700)
    w, m, lazy_w, lazy_m = both(found, [schedule(t) for t in range(700)], 0.0, **how)
    np.testing.assert_allclose(lazy_w, w, rtol=0, atol=1e-11)
    np.testing.assert_allclose(lazy_m, m, rtol=0, atol=1e-11)


def test_without_state_or_decay_a_lazy_step_has_the_bits_of_an_eager_one() -> None:
    found = batches(np.random.default_rng(0), 20)
    w, _, lazy_w, _ = both(found, [0.1] * 20)
    assert np.array_equal(w, lazy_w)


def test_columns_wait_until_somebody_reads_them() -> None:
    model = layer()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, lazy=True)
    one, other = (sparse.csr_array(([1.0], ([0], [j])), shape=(1, 30)) for j in (3, 5))
    run(model, optimizer, [one, other], [0.1, 0.1])
    weight = model.weight
    third = slice(*weight.pattern.layout.indptr[3:5])
    waiting = weight.stored.data.copy()
    assert weight.behind is not None
    model(other)
    assert np.array_equal(weight.stored.data, waiting)
    model(one)
    assert (weight.stored.data[third] != waiting[third]).all()
    weight.stored.data[third] = waiting[third]  # only those moved
    assert np.array_equal(weight.stored.data, waiting)
    _ = weight.values
    assert weight.behind is None


READERS = {
    "values": lambda m: m.weight.values,
    "to_scipy": lambda m: m.weight.to_scipy(),
    "a dense batch": lambda m: m(np.ones((2, 30))),
    "state": None,
    "a copy": lambda m: copy.deepcopy(m.weight),
    "sparse evaluation": lambda m: m(sparse.csr_array(np.eye(30))),
    "repr": repr,
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_see_current_values_and_change_nothing(reader: str) -> None:
    found = batches(np.random.default_rng(1), 40)
    how = {"momentum": 0.9, "weight_decay": 0.01}
    eager, lazy = layer(), layer()
    a = optim.SGD(eager.parameters(), **how)
    b = optim.SGD(lazy.parameters(), lazy=True, **how)
    x = np.random.default_rng(2).standard_normal((5, 30))
    for i in range(0, 40, 8):
        for model, optimizer in ((eager, a), (lazy, b)):
            run(model, optimizer, found[i : i + 8], [0.1] * 8)
        read = READERS[reader] or (lambda m: b.state(m.weight))
        read(lazy)
    np.testing.assert_allclose(lazy(x).data, eager(x).data, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        b.state(lazy.weight)["momentum"], a.state(eager.weight)["momentum"], atol=1e-12
    )


@pytest.mark.parametrize("replaces_step", [False, True])
def test_topology_updates_carry_what_waits(replaces_step: bool) -> None:
    results = []
    for lazy in (False, True):
        model = layer()
        how = {"momentum": 0.9, "weight_decay": 0.01, "lazy": lazy}
        optimizer = optim.SGD(model.parameters(), lr=0.1, **how)
        updater = topology.SET(model.parameters(), optimizer, every=7)
        updater.replaces_step = replaces_step
        for x in batches(np.random.default_rng(3), 50):
            y = model(x)
            y.backward(np.asfortranarray(np.cos(y.data)))
            updater.step() or optimizer.step()
            optimizer.zero_grad()
        assert updater.updates
        results.append(model.weight.to_scipy().toarray())
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-12)


def test_dense_gradients_two_batches_and_clipping() -> None:
    results = []
    for lazy in (False, True):
        model = layer()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, lazy=lazy)
        found = batches(np.random.default_rng(4), 30)
        for i, x in enumerate(found):
            for given_ in (x, found[i - 1], x.toarray() if i % 5 == 0 else x):
                y = model(given_)
                y.backward(np.asfortranarray(np.sin(y.data)))
            kind = isinstance(model.weight.grad, SparseGradient)
            assert kind == (i % 5 != 0)
            norms = [optim.clip_grad_norm(model.parameters(), n) for n in (0.5, 0.5)]
            assert norms[1] <= 0.5 * (1 + 1e-12)
            optimizer.step()
            optimizer.zero_grad()
        results.append(model.weight.values.data)
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-12)


def test_two_optimisers_may_take_turns() -> None:
    results = []
    for lazy in (False, True):
        model = layer()
        how = {"momentum": 0.9, "lazy": lazy}
        first = optim.SGD(model.parameters(), **how)
        second = optim.SGD(model.parameters(), **how)
        third = optim.Adam(model.parameters())
        for i, x in enumerate(batches(np.random.default_rng(5), 30)):
            run(model, (first, second, third)[i % 3], [x], [0.01])
        results.append(model.weight.values.data)
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-12)


def test_a_weight_may_be_replaced_while_columns_wait() -> None:
    model = layer()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, lazy=True)
    run(model, optimizer, batches(np.random.default_rng(6), 5), [0.1] * 5)
    y = model(batches(np.random.default_rng(7), 1)[0])
    weight = model.weight
    weight.set(weight.pattern, np.ones(weight.nnz))
    assert np.array_equal(weight.values.data, np.ones(weight.nnz))
    with pytest.raises(RuntimeError, match="replaced"):
        y.sum().backward()


def test_float32_stays_close() -> None:
    found = batches(np.random.default_rng(8), 300)
    results = []
    for lazy in (False, True):
        model = layer(dtype=np.float32)
        how = {"momentum": 0.9, "weight_decay": 1e-3, "lazy": lazy}
        run(model, optim.SGD(model.parameters(), **how), found, [0.01] * 300)
        results.append(model.weight.values.data)
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-4)
