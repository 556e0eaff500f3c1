"""What every evolving method promises, whatever it drops and grows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import models, nn, optim, topology
from sparsenn.sparse import SparseParameter

EVOLVING = sorted(name for name, recipe in topology.METHODS.items() if recipe)


def train(
    method: str,
    steps: int,
    *,
    break_at: int | None = None,
    threads: int = 2,
    protect: int = 0,
) -> tuple[list[np.ndarray], list[int]]:
    """Values and positions after some steps of a small network, and nnz after each."""
    usual = snn.get_num_threads()
    snn.set_num_threads(threads)
    try:
        recipe = topology.METHODS[method]
        assert recipe is not None
        model = models.mlp([20, 30, 25, 5], recipe.start(0.2), seed=3)
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def make() -> Any:
            return topology.make(
                method,
                model.parameters(),
                opt,
                steps_per_epoch=7,
                total_steps=steps,
                density=0.2,
                every=7,
                seed=5,
            )

        topo = make()
        rng = np.random.default_rng(1)
        totals = []
        for step in range(steps):
            if step == break_at:
                state = topo.state()
                topo = make()
                topo.load_state(state)
            x = rng.standard_normal((16, 20)).astype(np.float32)
            loss = nn.functional.cross_entropy(model(x), rng.integers(0, 5, 16))
            topo.backward(loss)
            topo.step() or opt.step()
            opt.zero_grad()
            totals.append(sum(p.nnz for p in topo.params))
        topo.finish()
        arrays = []
        for p in topo.params:
            indptr, indices = p.pattern.csr()
            snn._core.csr_check(p.shape, indptr, indices)
            arrays += [indices, p.pattern.to_canonical(p.values.data)]
        return arrays, totals
    finally:
        snn.set_num_threads(usual)


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("method", EVOLVING)
def test_the_same_bits_for_any_number_of_threads_and_when_resumed(method: str) -> None:
    whole, totals = train(method, 40)
    assert equal(whole, train(method, 40, threads=1)[0])
    for break_at in (6, 7, 8, 20):
        assert equal(whole, train(method, 40, break_at=break_at)[0])
    recipe = topology.METHODS[method]
    assert recipe is not None
    if recipe.start(0.2) == 0.2 and method != "srigl":
        positions = 20 * 30 + 30 * 25 + 25 * 5
        assert set(totals) == {round(0.2 * positions)}


@pytest.mark.parametrize("method", EVOLVING)
def test_exempt_layers_stay_and_count(method: str) -> None:
    recipe = topology.METHODS[method]
    assert recipe is not None
    model = models.mlp([20, 30, 25, 5], recipe.start(0.3), keep_dense=[-1], seed=3)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    weights = [p for p in model.parameters() if isinstance(p, SparseParameter)]
    topo = topology.make(
        method,
        model.parameters(),
        opt,
        steps_per_epoch=7,
        total_steps=60,
        density=0.3,
        every=7,
        exempt=weights[-1:],
        seed=5,
    )
    assert topo is not None
    rng = np.random.default_rng(1)
    for _ in range(60):
        x = rng.standard_normal((16, 20)).astype(np.float32)
        topo.backward(nn.functional.cross_entropy(model(x), rng.integers(0, 5, 16)))
        topo.step() or opt.step()
        opt.zero_grad()
    topo.finish()
    assert topo.updates > 0
    assert weights[-1].pattern.is_full
    if method not in ("cs", "srigl"):
        assert sum(w.nnz for w in weights) == round(0.3 * (600 + 750 + 125))


def test_switching_methods() -> None:
    layer = nn.Linear(30, 20, 0.2, seed=0)
    opt = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    first = topology.SET(layer.parameters(), opt, every=3)
    second = topology.RigL(layer.parameters(), opt, every=4)
    topo = topology.Switch((0, first), (10, second))
    replaced = []
    for _ in range(20):
        topo.backward(layer(np.ones((4, 30), np.float32)).sum())
        replaced.append(topo.step())
        if not replaced[-1]:
            opt.step()
        opt.zero_grad()
    assert [i for i, r in enumerate(replaced) if r] == [14, 18]
    assert (first.updates, second.updates) == (3, 2)
    with pytest.raises(ValueError, match="begin at 0 and ascend"):
        topology.Switch((1, first))


def test_methods_that_are_not_here_are_refused() -> None:
    layer = nn.Linear(4, 3, 0.5, seed=0)
    opt = optim.SGD(layer.parameters())
    for method in topology.REFUSED:
        with pytest.raises(ValueError, match=f"{method} is not here: it "):
            topology.make(method, layer.parameters(), opt, steps_per_epoch=10)


def test_updates_by_gradient_say_what_they_lack() -> None:
    layer = nn.Linear(30, 20, 0.2, seed=0)
    topo = topology.RigL(layer.parameters())
    layer(np.ones((4, 30), np.float32)).sum().backward()
    with pytest.raises(ValueError, match=r"call announce\(\) before the backward"):
        topo.update(0.3)


def test_ordinary_steps_keep_no_factors() -> None:
    layer = nn.Linear(30, 20, 0.2, seed=0)
    topo = topology.RigL(layer.parameters(), every=5)
    kept = []
    for _ in range(11):
        kept.append(layer.weight.factors is not None)
        layer(np.ones((4, 30), np.float32)).sum().backward()
        topo.step()
    assert [i for i, k in enumerate(kept) if k] == [5, 10]
