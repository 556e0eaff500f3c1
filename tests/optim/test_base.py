"""What every optimiser does when patterns change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparsenn import models, nn, optim, pruning, topology
from sparsenn.sparse import SparsePattern

OPTIMIZERS = [
    lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    lambda params: optim.AdamW(params, lr=0.1),
]


def stepped(make: Any) -> tuple[nn.Linear, Any]:
    layer = nn.Linear(9, 8, 0.5, seed=0)
    optimizer = make(layer.parameters())
    step(layer, optimizer)
    return layer, optimizer


def step(layer: nn.Linear, optimizer: Any) -> None:
    optimizer.zero_grad()
    layer(np.ones((2, 9), np.float32)).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_state_of_a_pattern_that_was_replaced_is_refused(make: Any) -> None:
    rng = np.random.default_rng(0)
    for change in (
        lambda layer: pruning.shuffle(layer, 1),
        lambda layer: topology.SET(layer.parameters(), every=1).update(0.5),
        lambda layer: pruning.magnitude(layer, 0.25),
        lambda layer: models.import_dense(
            layer, {"weight": rng.random((8, 9)), "bias": np.ones(8)}, 0.5
        ),
    ):
        layer, optimizer = stepped(make)
        change(layer)
        steps, values = optimizer.steps, layer.weight.values.data.copy()
        with pytest.raises(ValueError, match="pattern of 'weight' was replaced"):
            step(layer, optimizer)
        assert optimizer.steps == steps  # nothing has happened
        assert np.array_equal(layer.weight.values.data, values)
        step(layer, make(layer.parameters()))


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_state_that_follows_is_used(make: Any) -> None:
    layer, optimizer = stepped(make)
    pruning.shuffle(layer, 1, optimizer=optimizer)
    step(layer, optimizer)
    layer.freeze()
    layer.unfreeze()
    step(layer, optimizer)
    # The same connections as another object.
    rows, columns = layer.weight.positions()
    mask = np.zeros(layer.weight.shape, bool)
    mask[rows, columns] = True
    layer.weight.set(SparsePattern.from_mask(mask), layer.weight.values.data.copy())
    step(layer, optimizer)


def test_without_state_nothing_has_to_follow() -> None:
    layer = nn.Linear(9, 8, 0.5, seed=0)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    step(layer, optimizer)
    pruning.shuffle(layer, 1)
    step(layer, optimizer)
