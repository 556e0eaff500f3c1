"""Schedules at their ends and middle, and optimiser arguments."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn import nn, optim
from sparsenn.autograd import Tensor


def test_cosine() -> None:
    lr = optim.Cosine(0.1, 100, end=0.02)
    assert lr(0) == pytest.approx(0.1)
    assert lr(50) == pytest.approx(0.06)
    assert lr(100) == lr(1000) == pytest.approx(0.02)


def test_linear_step_exponential_constant() -> None:
    assert optim.Linear(1.0, 10)(4) == pytest.approx(0.6)
    step = optim.Step(1.0, (3, 5), gamma=0.5)
    assert [step(s) for s in (0, 2, 3, 5)] == [1.0, 1.0, 0.5, 0.25]
    assert optim.Exponential(1.0, 0.5)(3) == pytest.approx(0.125)
    assert optim.Constant(0.3)(10**6) == 0.3


def test_warmup_rises_to_the_schedule() -> None:
    lr = optim.warmup(optim.Constant(1.0), 4)
    assert [lr(s) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD([], lr=0.1), "no parameters"),
        (lambda p: optim.SGD(p, lr=-1), r"lr must be in \[0.0, inf\)"),
        (lambda p: optim.SGD(p, lr=float("nan")), "lr must be"),
        (lambda p: optim.SGD(p, momentum=1.0), r"momentum must be in \[0.0, 1.0\)"),
        (lambda p: optim.SGD(p, nesterov=True), "nesterov needs momentum"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), r"betas\[1\]"),
        (lambda p: optim.Adam(p + p), "twice"),
    ],
)
def test_optimisers_refuse(make, message: str) -> None:
    layer = nn.Linear(3, 2, seed=0)
    with pytest.raises(ValueError, match=message):
        make(layer.parameters())


def test_optimisers_take_parameters_only() -> None:
    with pytest.raises(TypeError, match="not ndarray"):
        optim.SGD([np.zeros(3)])


def test_clipping_scales_to_the_norm_whatever_the_layout() -> None:
    layer = nn.Linear(300, 20, 0.3, seed=0)
    rng = np.random.default_rng(0)
    gradient = rng.standard_normal(layer.weight.nnz).astype(np.float32)
    layer.weight.values.grad = Tensor(gradient.copy())
    norm = np.linalg.norm(gradient.astype(np.float64))
    assert optim.clip_grad_norm(layer.parameters(), 1e9) == pytest.approx(norm)
    assert np.array_equal(layer.weight.grad.data, gradient)
    optim.clip_grad_norm(layer.parameters(), 0.5)
    assert np.linalg.norm(layer.weight.grad.data) == pytest.approx(0.5, rel=1e-5)


def test_a_step_makes_stale_graphs_raise() -> None:
    layer = nn.Linear(3, 2, seed=0)
    y = layer(np.ones((2, 3), np.float32)).sum()
    y.backward(retain_graph=True)
    optim.SGD(layer.parameters(), lr=0.1).step()
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    z = layer(x).sum()
    layer.weight.values.touch()
    with pytest.raises(RuntimeError, match="chang"):
        z.backward()
