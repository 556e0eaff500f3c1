"""A few figures whose history is kept: see ``python -m benchmarks history``.

Small enough for every commit: the products of a layer, a training step, an update.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from benchmarks import ours, products
from benchmarks.problem import problem
from sparsenn import topology


@pytest.mark.parametrize("product", [products.FORWARD, products.TRAINING])
@pytest.mark.parametrize("density", [0.1, 0.02])
def test_layer(benchmark: Any, product: str, density: float) -> None:
    """1024 x 1024, batch 128."""
    case = products.Case((1024, 1024), density, 128)
    benchmark(products.runs(case, [products.OURS], 1)[0][products.OURS][product])


@pytest.mark.parametrize(
    ("arch", "density", "batch"),
    [("784-1000-1000-1000-10", 0.04, 128), ("784-300-100-10", 0.1, 32)],
)
def test_step(benchmark: Any, arch: str, density: float, batch: int) -> None:
    """Forward, loss, backward and SGD with momentum."""
    task = problem([int(n) for n in arch.split("-")], density, batch, n_batches=8)
    step = ours.sparsenn(task, 1)
    feed = itertools.cycle(task.batches)
    benchmark(lambda: step(*next(feed)))


def test_update(benchmark: Any) -> None:
    """An update of SET."""
    task = problem([784, 1000, 1000, 1000, 10], 0.04, 128, n_batches=1)
    model, optimizer, step = ours.train(task, 1)
    step(*task.batches[0])
    updater = topology.SET(model.parameters(), optimizer, seed=0)
    benchmark(lambda: updater.update(0.3))
