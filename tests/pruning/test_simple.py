"""Pruning at random and by magnitude."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from pruning.nets import assert_masks, chain, dense, linears, masks, nets
from reference import foresight as twin

from sparsenn import nn, optim
from sparsenn.pruning import magnitude, random
from sparsenn.sparse import allocate

METHODS = ("erk", "er", "uniform", "igq")


@settings(max_examples=30, deadline=None)
@given(nets(), st.floats(0, 1), st.sampled_from(METHODS), st.integers(0, 99))
def test_random_gives_layers_their_allocation(net, density, allocation, seed):
    result = random(net.model, density, allocation=allocation, seed=seed)
    counts = allocate([w.shape for w in net.weights], density, allocation)
    assert [layer.after for layer in result.layers] == counts
    assert [int(m.sum()) for m in masks(net.model)] == counts


def test_lenet_at_a_tenth():
    model = chain([784, 300, 100, 10], dtype=np.float32)
    result = random(model, 0.1, seed=0)
    assert [layer.after for layer in result.layers] == [18714, 6906, 1000]
    assert result.after == 26620


def test_a_full_layer_becomes_what_a_sparse_one_of_its_seed_is():
    full = chain([30, 20, 10], seed=7)
    random(full, 0.25, allocation="uniform", seed=7)
    counts = [layer.weight.nnz for layer in linears(full)]
    sparse = [
        nn.Linear(30, 20, nnz=counts[0], seed=7, dtype=np.float64),
        nn.Linear(20, 10, nnz=counts[1], seed=7, number=1, dtype=np.float64),
    ]
    for ours, theirs in zip(linears(full), sparse, strict=True):
        assert ours.weight.pattern.same_positions(theirs.weight.pattern)
        np.testing.assert_array_equal(
            ours.weight.values.data, theirs.weight.values.data
        )
        np.testing.assert_array_equal(
            ours.weight.initial_values(), theirs.weight.values.data
        )


def test_random_among_the_connections_of_a_sparse_layer():
    before = chain([30, 20, 10], density=0.5)
    kept, redrawn = (chain([30, 20, 10], density=0.5) for _ in range(2))
    optimizer = optim.SGD(kept.parameters(), lr=0.1, momentum=0.9)
    for layer in linears(kept):
        optimizer.state(layer.weight)["momentum"][:] = layer.weight.values.data
    counts = np.zeros(300)
    random(kept, 0.2, values="keep", keep_dense=["last"], seed=1, optimizer=optimizer)
    random(redrawn, 0.2, values="redraw", seed=1)
    for old, new in zip(dense(before), linears(kept), strict=True):
        now = new.weight.to_scipy().toarray()
        assert (now[now != 0] == old[now != 0]).all()
        np.testing.assert_array_equal(
            optimizer.state(new.weight)["momentum"], new.weight.values.data
        )
    assert linears(kept)[1].weight.nnz == 100
    assert linears(kept)[0].weight.nnz == 60
    for old, new in zip(dense(before), dense(redrawn), strict=True):
        assert not ((new != 0) & (old == 0)).any()
        assert not ((new != 0) & (new == old)).any()
    for seed in range(200):  # every connection is kept as often as any other
        model = chain([30, 10], density=0.5, dtype=np.float32)
        random(model, 0.1, values="keep", seed=seed)
        counts += masks(model)[0].reshape(-1)
    start = masks(chain([30, 10], density=0.5, dtype=np.float32))[0].reshape(-1)
    assert not counts[~start].any()
    assert abs(counts[start] - 40).max() < 6 * np.sqrt(200 * 0.2 * 0.8)


@settings(max_examples=30, deadline=None)
@given(nets(), st.floats(0, 1), st.booleans())
def test_magnitude_is_a_global_sort(net, density, invert):
    k = round(density * net.size)
    magnitude(net.model, density, invert=invert)
    sign = -1 if invert else 1
    expected = twin.keep_highest([sign * np.abs(w) for w in net.weights], k)
    assert_masks(net.model, expected)
    for w, m, kept in zip(net.weights, expected, dense(net.model), strict=True):
        np.testing.assert_array_equal(kept, w * m)


@settings(max_examples=20, deadline=None)
@given(nets(), st.floats(0, 1), st.sampled_from(METHODS))
def test_magnitude_by_layer(net, density, allocation):
    magnitude(net.model, density, scope="layer", allocation=allocation)
    counts = allocate([w.shape for w in net.weights], density, allocation)
    expected = [
        twin.keep_highest([np.abs(w)], k)[0]
        for w, k in zip(net.weights, counts, strict=True)
    ]
    assert_masks(net.model, expected)


def test_equal_magnitudes_keep_the_first():
    model = chain([4, 3, 2], init=nn.init.Constant(-0.5))
    magnitude(model, 10 / 18)
    flat = np.concatenate([m.reshape(-1) for m in masks(model)])
    np.testing.assert_array_equal(flat, np.arange(18) < 10)


def test_values_cannot_be_drawn_if_nobody_knows_from_what():
    model = chain([4, 3])
    linears(model)[0].weight.origin = None
    with pytest.raises(RuntimeError, match="use values='keep'"):
        random(model, 0.5)
    assert linears(model)[0].weight.pattern.is_full
    random(model, 0.5, values="keep")
    assert linears(model)[0].weight.nnz == 6
