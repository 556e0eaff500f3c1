"""Whole training runs against the dense twin: outputs, gradients, state, topology."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.twin import Twin, drop_by_magnitude, drop_by_sign

from sparsenn import models, nn, optim, topology
from sparsenn.sparse import SparseParameter

# Sums of at most a few hundred terms of order 1 in float64, over a few dozen steps.
TOLERANCE = 1e-9


def dense(param: SparseParameter, values: np.ndarray) -> np.ndarray:
    """Values in storage order -> dense matrix, by the public positions."""
    out = np.zeros(param.shape)
    out[param.positions()] = values
    return out


def linears(model: nn.Module) -> list[nn.Linear]:
    return [m for _, m in model.named_modules() if isinstance(m, nn.Linear)]


def twin_of(model: nn.Module) -> Twin:
    layers = linears(model)
    weights = [dense(layer.weight, layer.weight.values.data) for layer in layers]
    masks = [dense(layer.weight, np.ones(layer.weight.nnz)) for layer in layers]
    return Twin(weights, masks, [layer.bias.data for layer in layers])


def close(ours: Any, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes, density and seeds of a small run."""
    hidden = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    return {
        "sizes": [draw(st.integers(1, 40)), *hidden, draw(st.integers(2, 10))],
        "density": draw(st.sampled_from([0.02, 0.1, 0.3, 0.7, 1.0])),
        "allocation": draw(st.sampled_from(["erk", "uniform"])),
        "batch": draw(st.sampled_from([1, 2, 7, 16, 33])),
        "seed": draw(st.integers(0, 2**32)),
    }


def batch_of(rng: np.random.Generator, run: dict[str, Any]) -> tuple[Any, Any]:
    x = rng.standard_normal((run["batch"], run["sizes"][0]))
    return x, rng.integers(0, run["sizes"][-1], run["batch"])


def compare_state(
    optimizer: optim.Optimizer, layers: list[nn.Linear], twin: Twin
) -> None:
    for number, layer in enumerate(layers):
        close(dense(layer.weight, layer.weight.values.data), twin.weights[number])
        close(layer.bias.data, twin.biases[number])
        for name, array in optimizer.state(layer.weight).items():
            close(dense(layer.weight, array), twin.state[name][number])


@settings(max_examples=25)
@given(
    run=runs(),
    optimizer=st.sampled_from(["sgd", "nesterov", "adam", "adamw"]),
    drop=st.sampled_from(["sign", "magnitude"]),
    fraction=st.sampled_from([0.1, 0.3, 0.9]),
)
def test_training_equals_the_dense_twin(
    run: dict[str, Any], optimizer: str, drop: str, fraction: float
) -> None:
    rng = np.random.default_rng(run["seed"])
    model = models.mlp(
        run["sizes"],
        run["density"],
        init=run["allocation"],
        seed=run["seed"],
        dtype=np.float64,
    )
    layers = linears(model)
    twin = twin_of(model)
    sgd = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
    adam: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.02}
    opt: optim.Optimizer = {
        "sgd": lambda: optim.SGD(model.parameters(), **sgd),
        "nesterov": lambda: optim.SGD(model.parameters(), **sgd, nesterov=True),
        "adam": lambda: optim.Adam(model.parameters(), **adam),
        "adamw": lambda: optim.AdamW(model.parameters(), **adam),
    }[optimizer]()
    topo = topology.SET(
        model.parameters(),
        opt,
        drop_fraction=fraction,
        every=3,
        drop=drop,  # type: ignore[arg-type]
        seed=run["seed"],
    )
    budget = [layer.weight.nnz for layer in layers]
    for step in range(8):
        x, labels = batch_of(rng, run)
        logits = model(x)
        close(logits.data, twin.forward(x)[-1])
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        value, d_weights, d_biases = twin.gradients(x, labels)
        close(loss.item(), value)
        for number, layer in enumerate(layers):
            assert layer.weight.grad is not None
            close(dense(layer.weight, layer.weight.grad.data), d_weights[number])
            close(layer.bias.grad.data, d_biases[number])

        before = [dense(layer.weight, np.ones(layer.weight.nnz)) for layer in layers]
        assert topo.step() is False
        if step and step % 3 == 0:
            for number, layer in enumerate(layers):
                after = dense(layer.weight, np.ones(layer.weight.nnz))
                kept = kept_by_set(twin, number, before[number], after, drop, fraction)
                twin.change(number, kept, after)
                d_weights[number] *= kept
        opt.step()
        opt.zero_grad()
        if optimizer in ("sgd", "nesterov"):
            twin.sgd(
                (d_weights, d_biases),
                nesterov=optimizer == "nesterov",
                **sgd,
            )
        else:
            twin.adam(
                (d_weights, d_biases),
                betas=(0.9, 0.999),
                eps=1e-8,
                decoupled=optimizer == "adamw",
                **adam,
            )
        compare_state(opt, layers, twin)
        assert [layer.weight.nnz for layer in layers] == budget


def kept_by_set(
    twin: Twin,
    number: int,
    before: np.ndarray,
    after: np.ndarray,
    drop: str,
    fraction: float,
) -> np.ndarray:
    """What the rule keeps; the update must hold it, and keep the count."""
    w = twin.weights[number]
    if before.all():
        assert after.all()
        return before
    if drop == "sign":
        kept = drop_by_sign(w, before, fraction)
    else:
        kept = drop_by_magnitude(w, before, int(fraction * before.sum()))
    assert not np.any(kept * (1 - after)), "a connection that had to stay is gone"
    assert after.sum() == before.sum()
    return kept


def test_the_twin_would_notice() -> None:
    """A twin without the momentum of the survivors must disagree."""
    model = models.mlp([10, 12, 3], 0.4, seed=1, dtype=np.float64)
    twin = twin_of(model)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rng = np.random.default_rng(0)
    run = {"batch": 8, "sizes": [10, 12, 3]}
    for _ in range(2):
        x, labels = batch_of(rng, run)
        nn.functional.cross_entropy(model(x), labels).backward()
        opt.step()
        opt.zero_grad()
        _, d_weights, d_biases = twin.gradients(x, labels)
        twin.sgd((d_weights, d_biases), 0.1, 0.9, 0.0, False)
        twin.state.clear()
    with pytest.raises(AssertionError):
        close(model(x).data, twin.forward(x)[-1])
