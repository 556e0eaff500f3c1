"""SNIP and FORCE against the dense twin, their invariances and known answers."""

from __future__ import annotations

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from pruning.nets import assert_masks, cross_entropy, dense, linears, masks, net, nets
from reference import foresight as twin

from sparsenn import nn, optim
from sparsenn.pruning import force, snip
from sparsenn.pruning.batches import batches_of, gradients
from sparsenn.pruning.weights import weights_of
from sparsenn.sparse import SparsePattern, allocate


def scores_of(model, x, y, loss_fn=cross_entropy):
    weights = weights_of(model)
    found = gradients(model, loss_fn, batches_of([(x, y)]), weights)
    return [
        np.abs(w.param.values.data * g) for w, g in zip(weights, found, strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(
    nets(),
    st.floats(0, 1),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from((snip, force)),
)
def test_masks_are_those_of_the_dense_twin(net, density, rounds, invert, method):
    k = round(density * net.size)
    result = method(
        net.model, cross_entropy, net.batches, density, rounds=rounds, invert=invert,
        values="keep",
    )  # fmt: skip
    expected = twin.snip(*net.twin, k, rounds, invert, revive=method is force)
    assert_masks(net.model, expected)
    assert result.after == k
    assert result.rounds == rounds
    for w, m, kept in zip(net.weights, expected, dense(net.model), strict=True):
        np.testing.assert_array_equal(kept, w * m)


@settings(max_examples=20, deadline=None)
@given(nets(), st.floats(0.1, 1), st.integers(2, 3))
def test_one_layer_may_be_exempt(net, density, rounds):
    size = net.weights[-1].size
    density = max(density, (size + 1) / net.size)
    if density >= 1:
        return
    snip(net.model, cross_entropy, net.batches, density, rounds=rounds,
         keep_dense=["last"], values="keep")  # fmt: skip
    kept = masks(net.model)
    assert kept[-1].all()
    assert sum(m.sum() for m in kept) == round(density * net.size)
    if rounds == 2:
        n, k = net.size - size, round(density * net.size) - size
        first = twin.gradients(*net.twin)
        scores = [np.abs(w * g) for w, g in zip(net.weights, first, strict=True)][:-1]
        steps = twin.schedule(n, k, 2) if k else [0, 0]
        alive = [*twin.keep_highest(scores, steps[0]), np.ones_like(kept[-1])]
        pruned = [w * m for w, m in zip(net.weights, alive, strict=True)]
        g = twin.gradients(pruned, *net.twin[1:])
        scores = [np.abs(w * d) for w, d in zip(net.weights, g, strict=True)][:-1]
        expected = twin.keep_highest(scores, k, alive[:-1])
        assert_masks(net.model, [*expected, kept[-1]])


@settings(max_examples=20, deadline=None)
@given(nets(), st.floats(0.05, 1), st.sampled_from(("erk", "igq", "uniform")))
def test_layers_ranked_by_themselves_get_their_allocation(net, density, allocation):
    g = twin.gradients(*net.twin)
    snip(net.model, cross_entropy, net.batches, density, scope="layer",
         allocation=allocation, values="keep")  # fmt: skip
    counts = allocate([w.shape for w in net.weights], density, allocation)
    expected = [
        twin.keep_highest([np.abs(w * d)], k)[0]
        for w, d, k in zip(net.weights, g, counts, strict=True)
    ]
    assert_masks(net.model, expected)


@settings(max_examples=20, deadline=None)
@given(nets(), st.floats(0.3, 1), st.floats(0, 1), st.integers(1, 3))
def test_a_sparse_start_offers_its_connections_only(net, first, share, rounds):
    rng = np.random.default_rng(0)
    start = [rng.random(w.shape) < first for w in net.weights]
    weights = [w * m for w, m in zip(net.weights, start, strict=True)]
    for layer, w, m in zip(linears(net.model), weights, start, strict=True):
        pattern = SparsePattern.from_mask(m)
        layer.weight.set(pattern, w[pattern.positions()])
    n = sum(int(m.sum()) for m in start)
    k = int(share * n)
    density = k / net.size
    if round(density * net.size) > n:
        return
    snip(net.model, cross_entropy, net.batches, density, rounds=rounds, values="keep")
    alive = start
    for step in twin.schedule(n, k, rounds) if k else [0]:
        pruned = [w * m for w, m in zip(weights, alive, strict=True)]
        g = twin.gradients(pruned, *net.twin[1:])
        scores = [np.abs(w * d) for w, d in zip(weights, g, strict=True)]
        alive = twin.keep_highest(scores, step, alive)
    assert_masks(net.model, alive)


def test_known_answer_of_a_regression():
    # L = 1/2 (w.x - y)^2 with w = (1, -2, .5), x = (1, 1, 2): w.x = 0.
    def half_square(output, y):
        return ((output - y) * (output - y)).sum() * 0.5

    def fresh():
        layer = nn.Linear(3, 1, bias=False, dtype=np.float64, seed=0)
        layer.weight.values.data[...] = [1, -2, 0.5]
        return nn.Sequential(layer)

    x = np.array([[1.0, 1.0, 2.0]])
    assert scores_of(fresh(), x, np.zeros((1, 1)), half_square)[0].tolist() == [0, 0, 0]
    scores = scores_of(fresh(), x, np.ones((1, 1)), half_square)[0]
    assert (scores / scores.sum()).tolist() == [0.25, 0.5, 0.25]
    model = fresh()
    snip(model, half_square, [(x, np.ones((1, 1)))], 2 / 3, values="keep")
    assert masks(model)[0].tolist() == [[True, True, False]]
    model = fresh()  # all scores 0: the lowest positions stay
    snip(model, half_square, [(x, np.zeros((1, 1)))], 1 / 3, values="keep")
    assert masks(model)[0].tolist() == [[True, False, False]]


def test_known_answer_of_two_classes():
    layer = nn.Linear(2, 2, bias=False, dtype=np.float64, seed=0)
    layer.weight.values.data[...] = [1, 0, 0, 1]
    scores = scores_of(nn.Sequential(layer), np.array([[1.0, 2.0]]), np.array([0]))
    np.testing.assert_allclose(scores[0], [0.73105858, 0, 0, 1.46211716], atol=5e-9)


@settings(max_examples=20, deadline=None)
@given(nets(), st.floats(0.1, 0.9), st.data())
def test_what_does_not_change_the_choice(net, density, data):
    others = [copy.deepcopy(net.model) for _ in range(4)]
    snip(net.model, cross_entropy, net.batches, density, values="keep")
    expected = masks(net.model)

    power = data.draw(st.integers(-20, 20))
    snip(others[0], lambda z, y: cross_entropy(z, y) * 2.0**power, net.batches, density)
    assert_masks(others[0], expected)

    order = np.random.default_rng(power + 30).permutation(len(net.x))
    snip(others[1], cross_entropy, [(net.x[order], net.labels[order])], density)
    assert_masks(others[1], expected)

    cut = data.draw(st.integers(0, len(net.x)))  # batches of unequal size
    parts = [(net.x[:cut], net.labels[:cut]), (net.x[cut:], net.labels[cut:])]
    snip(others[2], cross_entropy, parts, density)
    assert_masks(others[2], expected)

    first, second = linears(others[3])[:2]  # W1 * c, W2 / c compute the same
    first.weight.values.data[...] *= 4
    first.bias.data[...] *= 4
    second.weight.values.data[...] /= 4
    snip(others[3], cross_entropy, net.batches, density)
    assert_masks(others[3], expected)


@settings(max_examples=10, deadline=None)
@given(nets())
def test_a_score_is_the_derivative_for_a_factor_on_the_connection(net):
    scores = [s.copy() for s in scores_of(net.model, net.x, net.labels)]
    rng = np.random.default_rng(0)
    for number, w in enumerate(net.weights):
        place = int(rng.integers(w.size))
        values, eps = [], 1e-5
        for factor in (1 + eps, 1 - eps):
            moved = [a.copy() for a in net.weights]
            moved[number].flat[place] *= factor
            values.append(twin.loss(moved, *net.twin[1:]))
        slope = abs(values[0] - values[1]) / (2 * eps)
        # A kink of ReLU within eps would spoil the difference; none is that near here.
        np.testing.assert_allclose(scores[number][place], slope, rtol=1e-4, atol=1e-9)


def test_signed_scores_are_conserved_without_biases():
    case = net([7, 6, 5, 4])
    zeros = [np.zeros_like(b) for b in case.biases]
    found = twin.gradients(case.weights, zeros, case.x, case.labels)
    for layer in linears(case.model):
        layer.bias.data[...] = 0
    weights = weights_of(case.model)
    ours = gradients(case.model, cross_entropy, batches_of(case.batches), weights)
    sums = []
    for w, g, theirs in zip(weights, ours, found, strict=True):
        np.testing.assert_allclose(g, theirs.reshape(-1), rtol=1e-10, atol=1e-14)
        sums.append(float((w.param.values.data * g).sum()))
    np.testing.assert_allclose(sums, sums[0], rtol=1e-10)


def test_inputs_that_are_always_zero_keep_nothing():
    case = net([6, 5, 3])
    case.x[:, [1, 4]] = 0
    snip(case.model, cross_entropy, case.batches, 0.6, values="keep")
    assert not masks(case.model)[0][:, [1, 4]].any()


def test_what_stays_is_drawn_anew_at_the_real_fan_in():
    kept = net([40, 30, 3], seed=3)
    redrawn, again, other, rescaled = (copy.deepcopy(kept.model) for _ in range(4))
    optimizer = optim.SGD(redrawn.parameters(), lr=0.1, momentum=0.9)
    for p in linears(redrawn):
        optimizer.state(p.weight)["momentum"][:] = 1
    snip(kept.model, cross_entropy, kept.batches, 0.2, values="keep")
    snip(redrawn, cross_entropy, kept.batches, 0.2, seed=5, optimizer=optimizer)
    snip(again, cross_entropy, kept.batches, 0.2, seed=5)
    snip(other, cross_entropy, kept.batches, 0.2, seed=6)
    snip(rescaled, cross_entropy, kept.batches, 0.2, values="rescale")
    for a, b, c, d, e, before in zip(
        *map(linears, (kept.model, redrawn, again, other, rescaled)),
        kept.weights,
        strict=True,
    ):
        assert a.weight.pattern.same_positions(b.weight.pattern)
        np.testing.assert_array_equal(b.weight.values.data, c.weight.values.data)
        assert not np.isin(b.weight.values.data, before).any()
        assert not np.isin(b.weight.values.data, d.weight.values.data).any()
        np.testing.assert_array_equal(b.weight.initial_values(), b.weight.values.data)
        assert not optimizer.state(b.weight)["momentum"].any()
        # The same draws, at the scale of the connections into each row.
        rows = a.weight.positions()[0]
        fan_in = np.bincount(rows, minlength=a.n_out)[rows]
        np.testing.assert_allclose(
            e.weight.values.data * np.sqrt(fan_in / a.n_in), a.weight.values.data
        )
    z = np.concatenate(
        [
            p.weight.values.data
            * np.sqrt(np.bincount(p.weight.positions()[0])[p.weight.positions()[0]] / 2)
            for p in linears(redrawn)
        ]
    )
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * len(z))


def test_scores_that_are_not_finite_change_nothing():
    case = net([5, 4, 3])
    linears(case.model)[0].weight.values.data[7] = np.nan
    values = [v.copy() for v in dense(case.model)]
    case.model.train()
    for rounds in (1, 3):
        with pytest.raises(ValueError, match="not finite"):
            snip(case.model, cross_entropy, case.batches, 0.5, rounds=rounds)
    for before, after in zip(values, dense(case.model), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(m.all() for m in masks(case.model))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"rounds": 0}, "rounds must be an integer of at least 1, got 0"),
        ({"scope": "row"}, "scope must be 'global' or 'layer', got 'row'"),
        ({"values": "new"}, "values must be 'keep', 'rescale' or 'redraw'"),
        ({"scope": "layer", "allocation": "x"}, "method is 'x'"),
        ({"batches": []}, "at least one sample"),
        ({"batches": [np.zeros((2, 5))]}, "pairs"),
        ({"density": 1.5}, "must lie in"),
    ],
)
def test_refusals_say_what_is_allowed(arguments, error):
    case = net([5, 4, 3])
    arguments = {"batches": case.batches, "density": 0.5, **arguments}
    with pytest.raises(ValueError, match=error):
        snip(case.model, cross_entropy, **arguments)


def test_gradients_and_modes_stay_as_they_were():
    model = nn.Sequential(
        nn.Linear(5, 6, seed=0), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5, seed=0),
        nn.Linear(6, 3, seed=0, number=1),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 5)).astype(np.float32), rng.integers(0, 3, 8)
    cross_entropy(model(x), y).backward()
    held = model.layers[0].bias.grad.data.copy()
    buffers = [(b, b.copy()) for _, b in model.named_buffers()]
    other = copy.deepcopy(model)
    snip(model, cross_entropy, [(x, y)], 0.5, values="keep")
    snip(other, cross_entropy, [(x, y)], 0.5, values="keep", training=True)
    assert model.training
    np.testing.assert_array_equal(model.layers[0].bias.grad.data, held)
    for live, before in buffers:
        np.testing.assert_array_equal(live, before)
    assert not np.array_equal(
        model.layers[0].weight.pattern.to_mask(),
        other.layers[0].weight.pattern.to_mask(),
    )
