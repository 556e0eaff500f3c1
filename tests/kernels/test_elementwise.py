"""Activation masks and optimiser steps of every instruction set."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from kernels.cases import (
    BATCHES,
    ISAS,
    REALS,
    assert_near,
    feature_major,
    running,
    same_bits,
)
from numpy.typing import DTypeLike

from sparsenn import _core

everywhere = pytest.mark.parametrize(
    ("isa", "dtype"), [(isa, dtype) for isa in ISAS for dtype in REALS]
)
SIZES = (0, 1, 3, 7, 16, 17, 33, 100, 20_000, 40_001)


@everywhere
@given(
    n=st.sampled_from((0, 1, 5, 17)),
    batch=st.sampled_from(BATCHES),
    gap=st.sampled_from((0, 1, 3)),
    activation=st.sampled_from((0, 1)),
    seed=st.integers(0, 2**16),
)
def test_activation_backward(
    isa: str, dtype: DTypeLike, n: int, batch: int, gap: int, activation: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = np.maximum(rng.standard_normal((batch, n)), 0).astype(dtype)
    dy = rng.standard_normal((batch, n)).astype(dtype)
    with running(isa):
        dz, dbias = _core.activation_backward(
            activation,
            feature_major(y, gap) if activation else None,
            feature_major(dy, 2 * gap),
        )
    exact = np.where(y > 0, dy, 0) if activation else dy
    assert np.array_equal(dz, exact)
    exact = exact.astype(np.float64)
    assert_near(dbias, exact.sum(axis=0), np.abs(exact).sum(axis=0), batch)


@everywhere
def test_a_nan_output_passes_its_gradient(isa: str, dtype: DTypeLike) -> None:
    y = np.full((20, 1), np.nan, dtype)
    with running(isa):
        dz, _ = _core.activation_backward(1, y, np.ones((20, 1), dtype))
    assert np.array_equal(dz, np.ones((20, 1)))


def arrays(n: int, dtype: DTypeLike, k: int) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    out = [rng.standard_normal(n).astype(dtype) for _ in range(k)]
    out[-1] = np.abs(out[-1])
    return out


def assert_step(actual: np.ndarray, exact: np.ndarray) -> None:
    """A step is a few operations on numbers of size one."""
    eps = np.finfo(actual.dtype).eps
    assert np.all(np.abs(actual - exact) <= 16 * eps * (1 + np.abs(exact)))


@everywhere
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("kind", ["plain", "momentum", "nesterov"])
def test_sgd(isa: str, dtype: DTypeLike, n: int, decay: float, kind: str) -> None:
    w, g, m = arrays(n, dtype, 3)
    lr, mu = 0.1, 0.0 if kind == "plain" else 0.9
    w1, m1 = w.copy(), None if kind == "plain" else m.copy()
    with running(isa):
        _core.sgd(w1, g, m1, lr, mu, decay, kind == "nesterov")
    # PyTorch's definition, torch.optim.SGD
    d = g.astype(np.float64) + decay * w
    buffer = mu * m.astype(np.float64) + d
    step = {"plain": d, "momentum": buffer, "nesterov": d + mu * buffer}[kind]
    assert_step(w1, w - lr * step)
    if m1 is not None:
        assert_step(m1, buffer)


@everywhere
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(
    isa: str, dtype: DTypeLike, n: int, decay: float, decoupled: bool
) -> None:
    w, g, m, v = arrays(n, dtype, 4)
    lr, b1, b2, eps, t = 0.01, 0.9, 0.999, 1e-3, 3
    w1, m1, v1 = w.copy(), m.copy(), v.copy()
    c1, c2 = 1 - b1**t, 1 - b2**t
    with running(isa):
        _core.adam(w1, g, m1, v1, lr, b1, b2, eps, decay, decoupled, c1, c2)
    # PyTorch's definition, torch.optim.Adam and AdamW; v / c2 magnifies v's rounding
    exact = w.astype(np.float64)
    d = g.astype(np.float64)
    if decoupled:
        exact = exact * (1 - lr * decay)
    else:
        d = d + decay * exact
    m2 = b1 * m.astype(np.float64) + (1 - b1) * d
    v2 = b2 * v.astype(np.float64) + (1 - b2) * d * d
    exact = exact - lr / c1 * m2 / (np.sqrt(v2 / c2) + eps)
    assert_step(m1, m2)
    assert_step(v1, v2)
    assert_step(w1, exact)


@pytest.mark.parametrize("dtype", REALS)
def test_steps_do_not_depend_on_threads(dtype: DTypeLike) -> None:
    n = 300_000
    start = arrays(n, dtype, 4)
    results = []
    for threads in (1, 2, 3, 5):
        w, g, m, v = (a.copy() for a in start)
        with running(threads=threads):
            _core.sgd(w, g, m, 0.1, 0.9, 0.01, True)
            _core.adam(w, g, m, v, 0.1, 0.9, 0.99, 1e-8, 0.01, True, 0.1, 0.01)
        results.append([w, m, v])
    for other in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))


def test_any_contiguous_shape() -> None:
    w = np.asfortranarray(np.ones((3, 4)))
    _core.sgd(w, np.full((3, 4), 2.0, order="F"), None, 0.5)
    assert np.array_equal(w, np.zeros((3, 4)))
