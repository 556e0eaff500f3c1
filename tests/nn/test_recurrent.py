"""Recurrent layers against dense float64 arrays, and PyTorch where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import recurrent

import sparsenn as snn
from sparsenn import nn
from sparsenn.autograd import Tensor, gradcheck
from sparsenn.autograd.sequences import Sequences
from sparsenn.ops.packing import Packing
from sparsenn.sparse import SparsePattern

KINDS = (nn.RNN, nn.GRU, nn.LSTM)


def states_of(state: Any) -> list[Any]:
    return list(state) if isinstance(state, tuple) else [state]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, np.ndarray, np.ndarray, Any]:
    """Layers with random patterns and biases, a batch, lengths and a state."""
    kind = draw(st.sampled_from(KINDS))
    n_in, n_hidden = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    n_layers, both = draw(st.integers(1, 3)), draw(st.booleans())
    density = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))  # empty rows up to 0.5
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    options: dict[str, Any] = {"bias": draw(st.booleans())}
    if kind is nn.RNN:
        options["relu"] = draw(st.booleans())
    layer = kind(
        n_in, n_hidden, n_layers, bidirectional=both, density=density, seed=1,
        dtype=np.float64, **options,
    )  # fmt: skip
    for _, p in layer.named_parameters():
        if isinstance(p, Tensor):
            p.assign_(rng.standard_normal(p.shape))
    batch, time = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    x = rng.standard_normal((batch, time, n_in))
    lengths = rng.integers(1, time + 1, batch)
    state = None
    if draw(st.booleans()):
        shape = (n_layers * (1 + both), batch, n_hidden)
        state = [rng.standard_normal(shape) for _ in range(layer.n_states)]
    return layer, x, lengths, state


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_outputs_and_states_are_those_of_dense_arrays(case: Any) -> None:
    layer, x, lengths, state = case
    given_state = state if state is None or len(state) == 2 else state[0]
    outputs, last = layer(x, lengths, given_state)
    params = recurrent.arrays(layer)
    expected, expected_last = recurrent.run(layer, params, x, lengths, state)
    np.testing.assert_allclose(outputs.data, expected, rtol=1e-11, atol=1e-11)
    for ours, theirs in zip(states_of(last), expected_last, strict=True):
        np.testing.assert_allclose(ours.data, theirs, rtol=1e-11, atol=1e-11)
    past = np.arange(x.shape[1]) >= lengths[:, None]
    assert not outputs.data[past].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("both", [False, True])
def test_gradients_to_second_order(kind: Any, both: bool) -> None:
    layer = kind(3, 2, 2, bidirectional=both, density=0.6, seed=2, dtype=np.float64)
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((3, 3, 3)), requires_grad=True)
    shape = (2 * (1 + both), 3, 2)
    state = [
        Tensor(rng.standard_normal(shape), requires_grad=True)
        for _ in range(layer.n_states)
    ]
    variables = [p if isinstance(p, Tensor) else p.values for p in layer.parameters()]

    def loss(*_: Any) -> Tensor:
        outputs, last = layer(x, [2, 3, 1], state if len(state) == 2 else state[0])
        total = (outputs**2).sum()
        for part in states_of(last):
            total = total + (part**3).sum()
        return total

    assert gradcheck(loss, [x, *state, *variables])


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=9),
    more=st.integers(0, 2),
)
def test_packing_walks_every_token_once(lengths: list[int], more: int) -> None:
    n = np.array(lengths)
    packing = Packing(n, max(lengths) + more)
    assert packing.tokens == n.sum()
    assert list(packing.sizes) == [int((n > t).sum()) for t in range(max(lengths))]
    x = np.arange(n.size * (max(lengths) + more) * 2.0).reshape(n.size, -1, 2)
    inside = np.arange(x.shape[1]) < n[:, None]
    back = packing.unpack(packing.pack(x)).data
    np.testing.assert_array_equal(back, np.where(inside[:, :, None], x, 0))
    tokens = np.arange(packing.tokens)
    np.testing.assert_array_equal(packing.reverse[packing.reverse], tokens)


def test_a_sequence_does_not_see_its_padding_or_its_neighbours() -> None:
    layer = nn.LSTM(4, 5, 2, bidirectional=True, density=0.5, seed=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 6, 4)).astype(np.float32)
    lengths = np.array([2, 6, 3])
    outputs, (hidden, cells) = layer(Sequences(x, lengths))
    x[0, 2:], x[2, 3:] = np.nan, 1e30
    again, state = layer(x, lengths)
    assert np.array_equal(outputs.data, again.data)
    assert np.array_equal(hidden.data, state[0].data)
    alone, (one, _) = layer(x[:1, :2])
    np.testing.assert_allclose(alone.data[0], outputs.data[0, :2], rtol=1e-5)
    np.testing.assert_allclose(one.data[:, 0], hidden.data[:, 0], rtol=1e-5)
    assert cells.shape == (4, 3, 5)


def test_going_on_from_a_state_is_going_through() -> None:
    layer = nn.GRU(4, 5, 2, density=0.5, seed=0, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((3, 6, 4))
    whole, last = layer(x)
    first, state = layer(x[:, :4])
    second, ours = layer(x[:, 4:], None, state)
    np.testing.assert_allclose(whole.data[:, :4], first.data, rtol=1e-12)
    np.testing.assert_allclose(whole.data[:, 4:], second.data, rtol=1e-12)
    np.testing.assert_allclose(last.data, ours.data, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_for_any_number_of_threads(kind: Any) -> None:
    usual = snn.get_num_threads()
    x = np.random.default_rng(0).standard_normal((64, 5, 40)).astype(np.float32)
    found = []
    try:
        for threads in (1, 2):
            snn.set_num_threads(threads)
            layer = kind(40, 70, density=0.1, seed=0)
            outputs, _ = layer(x)
            (outputs**2).sum().backward()
            weight = layer.weight_hh_l0
            found.append((outputs.data, weight.grad.data))
    finally:
        snn.set_num_threads(usual)
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)


def test_the_weight_of_the_state_gives_one_pair_of_factors() -> None:
    layer = nn.GRU(4, 5, density=0.5, seed=0, dtype=np.float64)
    weight = layer.weight_hh_l0
    weight.factors = []
    outputs, _ = layer(np.random.default_rng(0).standard_normal((3, 6, 4)), [6, 2, 5])
    (outputs**2).sum().backward()
    (dy, x), *others = weight.factors
    assert not others
    assert len(dy) == len(x) == 13
    rows, columns = weight.positions()
    np.testing.assert_allclose((dy.T @ x)[rows, columns], weight.grad.data, rtol=1e-12)


def test_dropout_is_between_layers_and_in_training_alone() -> None:
    layer = nn.GRU(3, 40, 2, dropout=0.5, seed=0)
    x = np.ones((2, 3, 3), np.float32)
    trained = layer(x)[0].data
    assert not np.array_equal(trained, layer(x)[0].data)
    layer.eval()
    plain = nn.GRU(3, 40, 2, seed=0)(x)[0].data
    assert np.array_equal(layer(x)[0].data, plain)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_of_a_loaded_layer_goes_on(kind: Any, tmp_path: Path) -> None:
    layer = kind(3, 8, 2, dropout=0.5, seed=7, number=4)
    x = np.random.default_rng(0).standard_normal((2, 3, 3)).astype(np.float32)
    layer(x)
    snn.save(layer, tmp_path / "m.safetensors")
    loaded = snn.load(tmp_path / "m.safetensors").train()
    assert loaded.config() == layer.config()
    np.testing.assert_array_equal(loaded(x)[0].data, layer(x)[0].data)


def test_final_states_of_both_directions() -> None:
    layer = nn.LSTM(3, 4, 2, bidirectional=True, seed=0)
    x = Sequences(np.random.default_rng(0).standard_normal((5, 6, 3)), [1, 6, 2, 3, 3])
    model = nn.Sequential(layer, nn.FinalState(), nn.Linear(8, 2, seed=1))
    hidden = layer(x)[1][0].data
    features = model[1].forward(layer(x)).data
    np.testing.assert_array_equal(features, np.concatenate([hidden[2], hidden[3]], 1))
    assert features.flags.f_contiguous
    assert model(x).shape == (5, 2)


def test_what_does_not_fit_is_said() -> None:
    layer = nn.LSTM(3, 4, density=0.5, seed=0)
    x = np.zeros((2, 5, 3), np.float32)
    with pytest.raises(ValueError, match=r"takes \(batch, time, 3\)"):
        layer(np.zeros((2, 5, 4)))
    with pytest.raises(ValueError, match="a length must be from 1 to 5"):
        layer(x, [1, 6])
    with pytest.raises(ValueError, match="lengths must be 2 integers"):
        layer(x, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"a pair of shape \(1, 2, 4\)"):
        layer(x, None, np.zeros((1, 2, 4)))
    with pytest.raises(ValueError, match="Sequences have their own"):
        layer(Sequences(x, [5, 2]), [1, 1])
    for module in (nn.Outputs(), nn.FinalState()):
        with pytest.raises(TypeError, match=r"LSTM returns, got a Tensor of shape \(2"):
            module(x)
    with pytest.raises(ValueError, match="n_hidden must be an integer of at least 1"):
        nn.GRU(3, 4.5)
    with pytest.raises(ValueError, match="nnz has 1 entries, the layers have 2"):
        nn.GRU(3, 4, nnz=[5])
    with pytest.raises(ValueError, match="n_layers must be an integer of at least 1"):
        nn.GRU(3, 4, 0)


def test_sizes_and_patterns_are_as_given() -> None:
    assert (
        nn.GRU.shapes(3, 4, 2, True) == [(12, 3), (12, 4)] * 2 + [(12, 8), (12, 4)] * 2
    )
    layer = nn.GRU(3, 4, nnz=[5, 7], seed=0)
    assert [layer.weight_ih_l0.nnz, layer.weight_hh_l0.nnz] == [5, 7]
    patterns = [SparsePattern.from_mask(np.eye(4, 3, dtype=bool))]
    patterns.append(SparsePattern.from_mask(np.eye(4, dtype=bool)))
    layer = nn.RNN(3, 4, patterns=patterns, seed=0)
    assert layer.weight_hh_l0.pattern is patterns[1]
    names = [
        name for name, _ in nn.LSTM(2, 3, 2, bidirectional=True).named_parameters()
    ]
    assert {"weight_hh_l1_reverse", "bias_ih_l0_reverse", "weight_ih_l0"} <= set(names)


# ---------------------------------------------------------------- PyTorch


def twins(kind: Any, density: float) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    options: dict[str, Any] = {"bidirectional": True}
    ours = kind(5, 7, 2, density=density, seed=3, dtype=np.float64, **options)
    theirs = getattr(torch.nn, kind.__name__)(
        5, 7, 2, batch_first=True, dtype=torch.float64, **options
    )
    rng = np.random.default_rng(0)
    for p in ours.parameters():
        if isinstance(p, Tensor):
            p.assign_(rng.standard_normal(p.shape))
    with torch.no_grad():
        for name, array in recurrent.arrays(ours).items():
            getattr(theirs, name).copy_(torch.from_numpy(array))
    return ours, theirs


@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_pytorch(kind: Any, density: float) -> None:
    ours, theirs = twins(kind, density)
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    x = np.random.default_rng(1).standard_normal((6, 9, 5))
    lengths = np.array([9, 1, 4, 9, 2, 7])
    outputs, last = ours(x, lengths)
    packed = pack_padded_sequence(
        torch.from_numpy(x), lengths, batch_first=True, enforce_sorted=False
    )
    raw, expected_last = theirs(packed)
    expected = pad_packed_sequence(raw, batch_first=True)[0]
    np.testing.assert_allclose(outputs.data, expected.detach().numpy(), atol=1e-12)
    loss, target = (outputs**2).sum(), (expected**2).sum()
    for a, b in zip(states_of(last), states_of(expected_last), strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), atol=1e-12)
        loss, target = loss + (a**3).sum(), target + (b**3).sum()
    loss.backward()
    target.backward()
    for name, p in ours.named_parameters():
        dense = getattr(theirs, name).grad.numpy()
        if not isinstance(p, Tensor):
            dense = dense[p.positions()]
        np.testing.assert_allclose(p.grad.data, dense, rtol=1e-9, atol=1e-10)
