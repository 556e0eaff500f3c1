"""Frozen models: another storage order, the same model."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

import sparsenn as snn
from sparsenn import nn, optim, topology
from sparsenn.autograd import Tensor
from sparsenn.sparse import SparsePattern


def model(dtype: type = np.float32) -> nn.Sequential:
    """Wide enough for several column blocks; one layer full, one without a bias."""
    return nn.Sequential(
        nn.Linear(700, 300, 0.1, seed=0, dtype=dtype),
        nn.ReLU(),
        nn.BatchNorm1d(300, dtype=dtype),
        nn.Linear(300, 260, 0.2, bias=False, seed=1, dtype=dtype),
        nn.Dropout(0.5, seed=0),
        nn.Linear(260, 10, seed=2, dtype=dtype),
    )


def batch(n: int = 1, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((n, 700)).astype(dtype)


def train(m: nn.Module, optimizer: optim.Optimizer) -> None:
    optimizer.zero_grad()
    (m(batch(8)) ** 2).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 4, 40])
def test_results_are_equal_up_to_rounding(dtype: type, size: int) -> None:
    m = model(dtype).eval()
    for n in (1, 2, 17, 64):
        x = batch(n, dtype)
        expected = m(x).numpy()
        actual = m.freeze(size)(x).numpy()
        m.unfreeze()
        tolerance = 1e4 * np.finfo(dtype).eps * np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
        assert actual.dtype == dtype


def test_the_order_is_that_of_rows() -> None:
    m = model()
    assert m.frozen is None
    assert m[0].weight.pattern.layout.n_blocks > 1
    assert m.freeze() is m
    assert m.frozen == 1 and not m.training
    layout = m[0].weight.pattern.layout
    assert layout.n_blocks == 1 and layout.index_bytes == 2
    assert m[3].weight.pattern.is_canonical
    assert m[5].weight.pattern.is_full
    assert m.freeze(batch=40).frozen == 40
    assert m[0].weight.pattern.layout.n_blocks > 1


def test_four_byte_columns_above_65536() -> None:
    layer = nn.Linear(70000, 3, 0.01, seed=0)
    x = np.random.default_rng(0).standard_normal((1, 70000)).astype(np.float32)
    expected = layer(x).numpy()
    layer.freeze()
    assert layer.weight.pattern.layout.index_bytes == 4
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_parameters_keep_their_names_and_take_no_gradient() -> None:
    m = model()
    names = [name for name, _ in m.named_parameters()]
    m.freeze()
    assert [name for name, _ in m.named_parameters()] == names
    x = Tensor(batch(), requires_grad=True)
    m(x).sum().backward()
    assert x.grad is not None
    for p in m.parameters():
        assert p.grad is None


def test_training_is_refused() -> None:
    m = model()
    optimizer = optim.SGD(m.parameters(), lr=0.1)
    topo = topology.SET(m.parameters(), optimizer=optimizer, every=1)
    recorded = m(batch(4)).sum()
    m.freeze()
    with pytest.raises(RuntimeError, match=r"Sequential is frozen .*unfreeze\(\)"):
        m.train()
    with pytest.raises(RuntimeError, match=r"'0.weight' is frozen .*unfreeze\(\)"):
        optim.SGD(m.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match=r"frozen model \(unfreeze\(\) it to train"):
        m(batch(4)).sum().backward()
    with pytest.raises(RuntimeError, match="replaced after this graph"):
        recorded.backward()
    with pytest.raises(RuntimeError, match=r"is frozen .*unfreeze\(\)"):
        topo.update(0.3)
    weight = m[0].weight
    with pytest.raises(RuntimeError, match=r"'0\.weight' is frozen"):
        weight.set(SparsePattern.full((300, 700)), np.zeros(210000, np.float32))
    m.unfreeze()
    train(m, optimizer)


@pytest.mark.parametrize("size", [0, -1, 1.0, True, "1", None])
def test_bad_batches_are_refused(size: object) -> None:
    m = model()
    with pytest.raises(ValueError, match="batch must be an integer of at least 1"):
        m.freeze(size)  # type: ignore[arg-type]
    assert m.frozen is None and m.training


def test_unfreezing_brings_training_back_to_the_bit() -> None:
    """A pause for inference changes nothing of the training around it."""
    ends = []
    for pause in (False, True):
        m = model()
        optimizer = optim.SGD(m.parameters(), lr=0.01, momentum=0.9)
        for _ in range(2):
            train(m, optimizer)
            if pause:
                m.freeze()
                m(batch())
                assert m.unfreeze() is m
                assert m.frozen is None and m.training
        ends.append(m)
    for a, b in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        for p in (a, b):
            assert (p.values if hasattr(p, "values") else p).requires_grad
        a, b = (getattr(p, "values", p).data for p in (a, b))
        assert a.tobytes() == b.tobytes()


def test_files_have_the_same_bytes(tmp_path) -> None:
    m = model()
    snn.save(m, tmp_path / "a")
    m.freeze()
    snn.save(m, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = snn.load(tmp_path / "b")
    assert loaded.frozen is None
    frozen = loaded.freeze()(batch()).numpy()
    assert frozen.tobytes() == m(batch()).numpy().tobytes()
    with pytest.raises(RuntimeError, match="frozen"):
        snn.load(tmp_path / "a", into=m)
    assert m(batch()).numpy().tobytes() == frozen.tobytes()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_are_frozen_too(copied) -> None:
    m = model().freeze()
    other = copied(m)
    assert other.frozen == 1
    assert other(batch()).numpy().tobytes() == m(batch()).numpy().tobytes()
    other.unfreeze()
    assert m.frozen == 1
    expected = m.unfreeze().eval()(batch()).numpy()
    assert other.eval()(batch()).numpy().tobytes() == expected.tobytes()


def test_a_part_may_be_frozen_while_the_rest_is_trained() -> None:
    m = model()
    m[2].freeze()
    m[0].freeze()
    m.train()
    assert m.training and m[4].training and not m[0].training and not m[2].training
    before = m[0].weight.values.data.copy()
    rest = [p for layer in m.layers[3:] for p in layer.parameters()]
    train(m, optim.SGD(rest, lr=0.1))
    assert m[0].weight.values.data.tobytes() == before.tobytes()
    m.freeze(batch=2)
    assert m[0].frozen == 2
    m.unfreeze()
    assert m.training and all(layer.frozen is None for layer in m.layers)
    assert m[2].weight.requires_grad and m[0].bias.requires_grad


def test_shared_parameters() -> None:
    a, b = (nn.Linear(300, 300, 0.1, seed=i) for i in range(2))
    b.weight, b.bias = a.weight, a.bias
    m = nn.Sequential(a, b).freeze()
    assert len(m.parameters()) == 4
    x = np.ones((1, 300), np.float32)
    frozen = m(x).numpy()
    m.unfreeze()
    assert b.bias.requires_grad and b.weight.values.requires_grad
    np.testing.assert_allclose(m(x).numpy(), frozen, rtol=1e-4, atol=1e-5)


def test_sparse_batches_and_layers_stored_by_column() -> None:
    for sparse_input in (False, True):
        layer = nn.Linear(700, 40, 0.1, seed=0, sparse_input=sparse_input)
        x = csr_array(np.where(np.arange(700) % 9 == 0, batch(3), 0))
        expected, dense = layer(x).numpy(), layer(batch()).numpy()
        layer.freeze()
        assert layer.weight.pattern.by_column == sparse_input
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer(batch()).numpy(), dense, rtol=1e-4, atol=1e-5)


def test_winners_still_go_by_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of zeros is not lost where nothing is recorded."""
    from sparsenn.ops import event_linear

    calls = []
    walk = event_linear.event_linear
    monkeypatch.setattr(
        event_linear, "event_linear", lambda *a: calls.append(1) or walk(*a)
    )
    m = nn.Sequential(
        nn.Linear(700, 600, 0.1, seed=0),
        nn.KWinners(600, 0.05),
        nn.Linear(600, 500, 0.1, seed=1),
    ).eval()
    with snn.no_grad():
        expected = m(batch()).numpy()
    actual = m.freeze()(batch()).numpy()
    assert len(calls) == 2
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_summary_says_so() -> None:
    m = model()
    assert "frozen" not in m.summary()
    assert "frozen for batches of 1" in m.freeze().summary()


def test_errors_are_those_of_any_model() -> None:
    m = nn.Linear(700, 4, 0.1, seed=0)
    for x in (np.zeros((1, 3), np.float32), np.zeros((2, 700, 1), np.float32)):
        with pytest.raises(ValueError) as plain:
            m(x)
        with pytest.raises(ValueError) as frozen:
            m.freeze()(x)
        assert str(frozen.value) == str(plain.value)
        m.unfreeze()
