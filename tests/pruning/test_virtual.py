"""A virtual network is pruned to what the same network built full is pruned to."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from pruning.nets import cross_entropy, linears, net
from scipy import sparse

from sparsenn import nn, optim
from sparsenn.pruning import force, grasp, lamp, magnitude, random, snip

INITS = (nn.init.KaimingNormal(), nn.init.XavierUniform(), nn.init.KaimingUniform(0.5))


def pairs(layers=(1, 3), dtype=np.float64):
    """A full and a virtual network of the same numbers."""
    sizes = st.lists(st.integers(1, 70), min_size=layers[0], max_size=layers[1])

    def build(n_in, hidden, n_out, seed, init):
        widths = [n_in, *hidden, n_out]
        full = net(widths, seed, dtype=dtype, init=init)
        return full, net(widths, seed, dtype=dtype, init=init, density=None)

    return st.builds(
        build,
        st.integers(1, 70),
        sizes,
        st.integers(2, 5),
        st.integers(0, 2**16),
        st.sampled_from(INITS),
    )


def assert_same(full, virtual):
    for ours, theirs in zip(linears(virtual.model), linears(full.model), strict=True):
        assert ours.weight.virtual is None
        assert ours.weight.pattern.same_positions(theirs.weight.pattern)
        np.testing.assert_array_equal(
            ours.weight.to_scipy().data, theirs.weight.to_scipy().data
        )
        np.testing.assert_array_equal(
            ours.weight.initial_values(), ours.weight.values.data
        )


@settings(max_examples=40, deadline=None)
@given(
    pairs(),
    st.sampled_from((snip, force)),
    st.floats(0, 1),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(("global", "layer")),
    st.sampled_from(("keep", "redraw", "rescale")),
)
def test_by_sensitivity(pair, method, density, rounds, invert, scope, values):
    results = [
        method(
            case.model, cross_entropy, case.batches, density, rounds=rounds,
            invert=invert, scope=scope, values=values, seed=1,
        )
        for case in pair
    ]  # fmt: skip
    assert_same(*pair)
    assert results[0].layers == results[1].layers
    assert results[0].after == round(density * pair[0].size)


@settings(max_examples=40, deadline=None)
@given(pairs(), st.floats(0, 1), st.booleans(), st.booleans(), st.integers(0, 6))
def test_grasp(pair, density, absolute, invert, cut):
    for case in pair:
        parts = [(case.x[:cut], case.labels[:cut]), (case.x[cut:], case.labels[cut:])]
        grasp(
            case.model, cross_entropy, parts, density, absolute=absolute, invert=invert
        )
    assert_same(*pair)


@settings(max_examples=40, deadline=None)
@given(pairs(), st.floats(0, 1), st.booleans(), st.sampled_from(("global", "layer")))
def test_magnitude_and_chance(pair, density, invert, scope):
    for case in pair:
        magnitude(case.model, density, invert=invert, scope=scope)
    assert_same(*pair)


@settings(max_examples=20, deadline=None)
@given(pairs(), st.floats(0, 1), st.integers(0, 99))
def test_chance(pair, density, seed):
    for case in pair:
        random(case.model, density, seed=seed)
    assert_same(*pair)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 1), st.integers(1, 3), st.sampled_from((snip, force)))
def test_stored_and_virtual_layers_together(density, rounds, method):
    full = net([30, 40, 20, 3])
    mixed = net([30, 40, 20, 3], density=None)
    for number in (0, 2):
        mixed.model.layers[2 * number] = net([30, 40, 20, 3]).model.layers[2 * number]
    for case in (full, mixed):
        method(case.model, cross_entropy, case.batches, density, rounds=rounds,
               values="keep", keep_dense=["last"])  # fmt: skip
    for ours, theirs in zip(linears(mixed.model), linears(full.model), strict=True):
        assert ours.weight.pattern.same_positions(theirs.weight.pattern)
        np.testing.assert_array_equal(
            ours.weight.to_scipy().data, theirs.weight.to_scipy().data
        )


def test_a_layer_kept_dense_becomes_full():
    case = net([20, 30, 5], density=None)
    result = snip(case.model, cross_entropy, case.batches, 0.5, keep_dense=["last"])
    assert result.layers[1].after == 150
    assert linears(case.model)[1].weight.pattern.is_full


def test_float32_and_many_columns():
    # More columns than a tile has, and factors of several batches.
    cases = [
        net([3000, 40, 5], 1, 20, dtype=np.float32, density=d) for d in (1.0, None)
    ]
    for case in cases:
        snip(
            case.model, cross_entropy, [(case.x, case.labels)] * 2, 0.02, values="keep"
        )
    full, virtual = (linears(c.model) for c in cases)
    for ours, theirs in zip(virtual, full, strict=True):
        # Rounding of float32 sums may swap neighbours in rank.
        common = set(ours.weight.pattern.ranks()) & set(theirs.weight.pattern.ranks())
        assert len(common) > 0.99 * theirs.weight.nnz


def test_what_comes_after_is_an_ordinary_network():
    case = net([50, 40, 3], density=None, dtype=np.float32, batch=32)
    with pytest.raises(RuntimeError, match="virtual"):
        lamp(case.model, 0.1)
    snip(case.model, cross_entropy, case.batches, 0.1, seed=0)
    optimizer = optim.SGD(case.model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(30):
        loss = cross_entropy(case.model(case.x), case.labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_an_error_leaves_the_network_virtual():
    case = net([5, 4, 3], density=None)
    case.x[0, 0] = np.nan
    before = [layer.weight.virtual for layer in linears(case.model)]
    for method, options in (
        (snip, {"rounds": 3}),
        (force, {}),
        (grasp, {}),
        (snip, {}),
    ):
        with pytest.raises(ValueError, match="finite"):
            method(case.model, cross_entropy, case.batches, 0.5, **options)
        after = [layer.weight.virtual for layer in linears(case.model)]
        assert after == before
        assert all(layer.weight.factors is None for layer in linears(case.model))


@pytest.mark.parametrize("density", [1.0, 0.6, None])
@pytest.mark.parametrize("method", [snip, force, grasp])
def test_sparse_batches_give_what_dense_ones_do(method, density):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 30)) * (rng.random((7, 30)) < 0.3)
    labels = rng.integers(0, 3, 7)
    chosen = []
    for given_x in (x, sparse.csr_array(x)):
        case = net([30, 20, 3], density=density, sparse_input=True)
        batches = [(given_x[:4], labels[:4]), (given_x[4:], labels[4:])]
        method(case.model, cross_entropy, batches, 0.2, values="keep")
        chosen.append([layer.weight for layer in linears(case.model)])
    for ours, theirs in zip(*chosen, strict=True):
        assert ours.pattern.same_positions(theirs.pattern)
        np.testing.assert_array_equal(ours.to_scipy().data, theirs.to_scipy().data)
