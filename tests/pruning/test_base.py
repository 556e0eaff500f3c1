"""What all pruning functions share: who takes part, how many stay, which, and how."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from strategies import generators, patterns

from sparsenn import SparseParameter, Tensor, nn, optim
from sparsenn.pruning.apply import mode, prune
from sparsenn.pruning.choose import keep_by_layer, keep_globally
from sparsenn.pruning.result import result_of
from sparsenn.pruning.weights import target, weights_of


class Bag:
    """A model that is nothing but its parameters."""

    def __init__(self, *params):
        self.params = params

    def parameters(self):
        return list(self.params)


def chain(*densities):
    layers = [nn.Linear(6, 6, d, seed=i) for i, d in enumerate(densities)]
    return nn.Sequential(*layers)


@st.composite
def bags(draw):
    chosen = draw(st.lists(patterns(), min_size=1, max_size=3))
    return Bag(*(SparseParameter(p, np.ones(p.nnz, np.float32)) for p in chosen))


def test_each_sparse_parameter_takes_part_once():
    a, b = chain(1, 0.5).parameters()[::2]
    bag = Bag(a, Tensor(np.zeros(3), requires_grad=True), b, a)
    assert [w.param for w in weights_of(bag)] == [a, b]
    assert [w.name for w in weights_of(chain(1, 1))] == [
        "0.weight",
        "1.weight",
    ]
    with pytest.raises(ValueError, match="no sparse parameter"):
        weights_of(Bag(Tensor(np.zeros(3), requires_grad=True)))


@pytest.mark.parametrize(
    ("named", "numbers"),
    [
        ([], []),
        (["first"], [0]),
        (["last", -3], [0, 2]),
        ([1, np.int64(-1)], [1, 2]),
        (["1.weight"], [1]),
        (["1"], [1]),
        ("2", [2]),
        (1, [1]),
    ],
)
def test_layers_are_named(named, numbers):
    weights = weights_of(chain(1, 1, 1), named)
    assert [w.number for w in weights if w.exempt] == numbers


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ([3], "holds 3, the model has 3 sparse weights"),
        (["3"], "'3', which names no weight; there are '0.weight', '1.weight'"),
    ],
)
def test_wrong_names_say_what_there_is(named, error):
    with pytest.raises(ValueError, match=error):
        weights_of(chain(1, 1, 1), named)
    with pytest.raises(TypeError, match="must hold numbers or names"):
        weights_of(chain(1), [True])


def test_frozen_weights_are_refused():
    model = chain(0.5).freeze()
    with pytest.raises(RuntimeError, match="frozen"):
        weights_of(model)


def test_target_counts_the_whole_network_half_to_even():
    weights = weights_of(chain(1, 0.5))
    assert target(weights, 0.5) == 36
    assert target(weights, 0.5 / 72) == 0  # half to even
    assert target(weights, 1.5 / 72) == 2
    with pytest.raises(ValueError, match=r"is 72 connections, the model has 54"):
        target(weights, 1.0)
    with pytest.raises(ValueError, match=r"it must lie in 0\.\.1"):
        target(weights, -0.1)
    with pytest.raises(ValueError, match=r"kept dense have 36 connections.* allows 7"):
        target(weights_of(chain(1, 0.5), ["first"]), 0.1)
    assert target(weights_of(chain(1, 0.5), ["first"]), 0.5) == 36


@settings(max_examples=50)
@given(bags(), generators(), st.data())
def test_global_choice_is_a_stable_sort(bag, rng, data):
    weights = weights_of(bag)
    exempt = data.draw(st.sets(st.integers(0, len(weights) - 1)))
    weights = weights_of(bag, sorted(exempt))
    scores = [rng.integers(-2, 2, w.param.nnz).astype(np.float32) for w in weights]
    open_ = [w for w in weights if not w.exempt]
    left = data.draw(st.integers(0, sum(w.param.nnz for w in open_)))
    total = left + sum(w.param.nnz for w in weights if w.exempt)

    layer = np.concatenate([np.full(w.param.nnz, w.number) for w in weights])
    rank = np.concatenate([w.param.pattern.ranks() for w in weights])
    score = np.concatenate(scores)
    is_open = ~np.isin(layer, list(exempt))
    order = [i for i in np.lexsort((rank, layer, -score)) if is_open[i]][:left]
    expected = ~is_open
    expected[order] = True

    for w in weights:
        if w.exempt:
            scores[w.number][:] = np.nan  # nobody looks
    keeps = keep_globally(weights, scores, total)
    np.testing.assert_array_equal(np.concatenate(keeps), expected)


@settings(max_examples=30)
@given(bags(), generators())
def test_choice_by_layer_is_a_stable_sort(bag, rng):
    weights = weights_of(bag)
    scores = [rng.integers(-2, 2, w.param.nnz).astype(np.float64) for w in weights]
    counts = [int(rng.integers(w.param.nnz + 1)) for w in weights]
    keeps = keep_by_layer(weights, scores, counts)
    for w, s, k, keep in zip(weights, scores, counts, keeps, strict=True):
        order = np.lexsort((w.param.pattern.ranks(), -s))[:k]
        np.testing.assert_array_equal(np.flatnonzero(keep), np.sort(order))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_must_be_finite(bad):
    weights = weights_of(chain(1, 1))
    scores = [np.ones(36), np.ones(36)]
    scores[1][8] = bad
    with pytest.raises(ValueError, match=r"1.weight.*\n?.*row 1, column 2"):
        keep_globally(weights, scores, 10)
    with pytest.raises(ValueError, match=r"1 of 36 scores"):
        keep_by_layer(weights, scores, [5, 5])


@settings(max_examples=30)
@given(patterns(), generators())
def test_values_and_optimizer_state_follow(pattern, rng):
    values = rng.standard_normal(pattern.nnz)
    dense = np.zeros((2, *pattern.shape))
    dense[0][pattern.positions()] = values
    param = SparseParameter(pattern, values)
    optimizer = optim.SGD([param], lr=0.1, momentum=0.9)
    momentum = rng.standard_normal(pattern.nnz)
    dense[1][pattern.positions()] = momentum
    optimizer.state(param)["momentum"][:] = momentum
    keep = rng.random(pattern.nnz) < 0.5
    dense *= SparseParameter(pattern, keep.astype(float)).to_scipy().toarray()

    (change,) = prune(weights_of(Bag(param)), [keep], optimizer)
    assert (change is None) == keep.all()
    assert param.nnz == keep.sum()
    positions = param.positions()
    np.testing.assert_array_equal(param.values.data, dense[0][positions])
    np.testing.assert_array_equal(
        optimizer.state(param)["momentum"], dense[1][positions]
    )


def test_a_name_may_mean_several_weights():
    model = nn.Sequential(chain(1, 1), chain(1))
    with pytest.raises(ValueError, match="'0', which means 2 weights"):
        weights_of(model, ["0"])
    assert [w.exempt for w in weights_of(model, ["0.1", "1"])] == [False, True, True]


def test_modes_and_buffers_come_back_even_after_an_error():
    model = nn.Sequential(nn.Linear(3, 3, seed=0), nn.Dropout(0.5, seed=0))
    model.layers[1].eval()
    with pytest.raises(KeyError), mode(model, True):
        assert model.layers[1].training
        model(np.ones((2, 3)))
        assert model.layers[1].calls == 1
        raise KeyError
    assert model.training
    assert not model.layers[1].training
    assert model.layers[1].calls == 0
    with mode(Bag(), True):
        assert model.training


def test_a_result_is_a_table_and_warns_of_empty_layers():
    model = chain(1, 1)
    weights = weights_of(model)
    prune(weights, [np.arange(36) < 9, np.zeros(36, bool)])
    result = result_of("test", weights, rounds=3)
    assert (result.before, result.after, result.density) == (72, 9, 0.125)
    assert [layer.density for layer in result.layers] == [0.25, 0.0]
    text = repr(result)
    assert "72 -> 9 connections, density 0.125, 3 rounds" in text
    assert "warning: no connection is left in 1.weight" in text
