"""GraSP against the dense twin, finite differences and known answers."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from pruning.nets import assert_masks, cross_entropy, dense, linears, masks, net, nets
from reference import foresight as twin

from sparsenn import nn
from sparsenn.pruning import grasp
from sparsenn.pruning.batches import batches_of
from sparsenn.pruning.grasp import _hessian_gradients
from sparsenn.pruning.weights import weights_of


def products(model, loss_fn, batches, temperature=1.0):
    weights = weights_of(model)
    return _hessian_gradients(model, loss_fn, batches_of(batches), weights, temperature)


def half_square(output, y):
    return ((output - y) * (output - y)).sum() * 0.5


@settings(max_examples=30, deadline=None)
@given(nets(), st.floats(0, 1), st.sampled_from((1.0, 200.0)), st.booleans())
def test_masks_are_those_of_the_dense_twin(net, density, temperature, absolute):
    k = round(density * net.size)
    found = products(net.model, cross_entropy, net.batches, temperature)
    expected = twin.hessian_gradient(*net.twin, temperature)
    for ours, theirs in zip(found, expected, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(
            ours, theirs.reshape(-1), rtol=1e-9, atol=scale * 1e-12
        )
    result = grasp(
        net.model, cross_entropy, net.batches, density, temperature=temperature,
        absolute=absolute,
    )  # fmt: skip
    expected = twin.grasp(*net.twin, k, temperature, absolute)
    assert_masks(net.model, expected)
    assert result.after == k
    for w, m, kept in zip(net.weights, expected, dense(net.model), strict=True):
        np.testing.assert_array_equal(kept, w * m)


@settings(max_examples=10, deadline=None)
@given(nets(), st.sampled_from((1.0, 20.0)))
def test_a_score_is_the_derivative_of_half_the_squared_gradient(net, temperature):
    found = products(net.model, cross_entropy, net.batches, temperature)

    def energy(weights):
        g = twin.gradients(weights, *net.twin[1:], temperature)
        return sum(float((a**2).sum()) for a in g) / 2

    scale = max(
        float(np.abs(w.reshape(-1) * h).max())
        for w, h in zip(net.weights, found, strict=True)
    )
    rng = np.random.default_rng(0)
    for number, w in enumerate(net.weights):
        place, eps = int(rng.integers(w.size)), 1e-5
        moved = [[a.copy() for a in net.weights] for _ in range(2)]
        moved[0][number].flat[place] *= 1 + eps
        moved[1][number].flat[place] *= 1 - eps
        slope = (energy(moved[0]) - energy(moved[1])) / (2 * eps)
        score = w.flat[place] * found[number][place]
        np.testing.assert_allclose(score, slope, rtol=1e-4, atol=scale * 1e-4)


@settings(max_examples=20, deadline=None)
@given(nets(), st.floats(0.1, 0.9), st.integers(0, 6), st.integers(-8, 8))
def test_batches_and_a_factor_of_the_loss(net, density, cut, power):
    whole = products(net.model, cross_entropy, net.batches)
    parts = [(net.x[:cut], net.labels[:cut]), (net.x[cut:], net.labels[cut:])]
    times = 2.0**power
    scaled = products(net.model, lambda z, y: cross_entropy(z, y) * times, net.batches)
    for a, b, c in zip(
        whole, products(net.model, cross_entropy, parts), scaled, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=np.abs(a).max() * 1e-12)
        np.testing.assert_array_equal(a * times**2, c)


def test_known_answer_of_a_regression():
    # L = 1/2 (w.x - y)^2, w = (1, -2, .5), x = (1, 1, 2), y = 1: Hg = (-6, -6, -12).
    layer = nn.Linear(3, 1, bias=False, dtype=np.float64, seed=0)
    layer.weight.values.data[...] = [1, -2, 0.5]
    model = nn.Sequential(layer)
    batches = [(np.array([[1.0, 1.0, 2.0]]), np.ones((1, 1)))]
    assert products(model, half_square, batches)[0].tolist() == [-6, -6, -12]
    grasp(model, half_square, batches, 1 / 3, temperature=1.0)
    assert masks(model)[0].tolist() == [[False, True, False]]  # S = (6, -12, 6)


def test_known_answer_of_two_classes():
    layer = nn.Linear(2, 2, bias=False, dtype=np.float64, seed=0)
    layer.weight.values.data[...] = [1, 0, 0, 1]
    batches = [(np.array([[1.0, 2.0]]), np.array([0]))]
    (found,) = products(nn.Sequential(layer), cross_entropy, batches, 2.0)
    expected = [-0.18285032, -0.36570063, 0.18285032, 0.36570063]
    np.testing.assert_allclose(found, expected, atol=5e-9)


def test_the_lowest_scores_stay_and_the_highest_when_inverted():
    case = net([6, 5, 3], seed=4)
    flow = [
        w * h
        for w, h in zip(
            case.weights, twin.hessian_gradient(*case.twin, 200.0), strict=True
        )
    ]
    grasp(case.model, cross_entropy, case.batches, 0.4, invert=True)
    assert_masks(case.model, twin.keep_highest([-f for f in flow], round(0.4 * 45)))


def test_exempt_layers_take_part_in_the_gradient():
    case = net([6, 5, 3], seed=4)
    flow = [
        w * h
        for w, h in zip(
            case.weights, twin.hessian_gradient(*case.twin, 200.0), strict=True
        )
    ]
    grasp(case.model, cross_entropy, case.batches, 0.6, keep_dense=["last"])
    k = round(0.6 * 45) - 15
    assert_masks(case.model, [*twin.keep_highest(flow[:1], k), np.ones((3, 5), bool)])


def test_keeping_the_lowest_strengthens_the_gradient():
    case = net([20, 30, 10, 5], seed=1, batch=40)

    def after(**options):
        model = net([20, 30, 10, 5], seed=1, batch=40).model
        grasp(model, cross_entropy, case.batches, 0.95, **options)
        g = twin.gradients(dense(model), *case.twin[1:], 200.0)
        kept = masks(model)
        return sum(float((a[m] ** 2).sum()) for a, m in zip(g, kept, strict=True))

    assert after() > 1.2 * after(invert=True)


def test_it_is_not_invariant_to_a_rescaling_that_keeps_the_function():
    # A documented difference from SNIP and SynFlow.
    case, other = net([9, 8, 5], seed=2), net([9, 8, 5], seed=2)
    first, second = linears(other.model)
    first.weight.values.data[...] *= 8
    first.bias.data[...] *= 8
    second.weight.values.data[...] /= 8
    for model in (case.model, other.model):
        grasp(model, cross_entropy, case.batches, 0.3)
    assert any(
        (a != b).any()
        for a, b in zip(masks(case.model), masks(other.model), strict=True)
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_temperatures_are_positive(temperature):
    case = net([3, 2])
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        grasp(case.model, cross_entropy, case.batches, 0.5, temperature=temperature)


def test_factors_and_gradients_stay_as_they_were():
    case = net([5, 4, 3])
    first, second = linears(case.model)
    first.weight.factors = held = []
    cross_entropy(case.model(case.x), case.labels).backward()
    before = second.bias.grad.data.copy()
    grasp(case.model, cross_entropy, [*case.batches, *case.batches], 0.5)
    assert first.weight.factors is held
    assert len(held) == 1
    assert second.weight.factors is None
    np.testing.assert_array_equal(second.bias.grad.data, before)
