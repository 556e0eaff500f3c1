"""A graph from before a change of the topology raises; it never loses a gradient."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn import nn, optim, topology
from sparsenn.autograd import Tensor, grad


def _network():
    model = nn.Sequential(
        nn.Linear(20, 30, 0.2, seed=0), nn.ReLU(), nn.Linear(30, 5, 0.3, seed=1)
    )
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    updater = topology.SET(model.parameters(), optimizer, every=1)
    x = np.random.default_rng(0).standard_normal((8, 20)).astype(np.float32)
    y = np.arange(8) % 5
    return model, updater, lambda: nn.functional.cross_entropy(model(x), y)


def test_backward_after_a_topology_change_raises():
    model, updater, loss = _network()
    before = loss()
    updater.update(0.3)
    with pytest.raises(RuntimeError, match="replaced after this graph was recorded"):
        before.backward()
    loss().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_first_layer_raises_although_its_values_are_not_saved():
    layer = nn.Linear(20, 5, 0.3, seed=1)
    before = layer(np.ones((2, 20), np.float32)).sum()
    layer.weight.set(layer.weight.pattern, layer.weight.values.data.copy())
    with pytest.raises(RuntimeError, match="replaced"):
        before.backward()
    assert layer.weight.grad is None


def test_gradients_that_were_there_follow_the_change():
    _, updater, loss = _network()
    loss().backward()
    first = [p.values.grad.data.copy() for p in updater.params]
    changes = updater.update(0.3)
    for parameter, gradient, change in zip(updater.params, first, changes, strict=True):
        np.testing.assert_array_equal(parameter.grad.data, change.remap(gradient))
    loss().backward()  # and are added to


def test_a_replaced_tensor_raises_and_others_of_the_graph_do_not():
    a, b = (Tensor(np.ones(3), requires_grad=True) for _ in range(2))
    y = (a + b).sum()
    a.replace_(np.ones(4))
    (g,) = grad(y, [b], retain_graph=True)
    np.testing.assert_array_equal(g.data, np.ones(3))
    with pytest.raises(RuntimeError, match="replaced"):
        y.backward()
    assert a.grad is None and b.grad is None


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_a_dense_variable_in_fortran_order_can_be_trained(make):
    start = np.random.default_rng(0).standard_normal((4, 6))
    weights = [
        Tensor(np.array(start, order=order), requires_grad=True) for order in "CF"
    ]
    for w in weights:
        optimizer = make([w], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
    np.testing.assert_array_equal(weights[0].data, weights[1].data)
