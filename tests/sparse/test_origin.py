"""First values drawn again, without a copy; observers of what a weight multiplies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sparsenn import nn, no_grad, ops, topology
from sparsenn.random import Purpose, Stream

INITS = [
    nn.init.KaimingNormal(),
    nn.init.KaimingUniform(),
    nn.init.XavierNormal(),
    nn.init.Normal(0.3),
    nn.init.Constant(2.0),
]


@pytest.mark.parametrize("init", INITS, ids=lambda init: type(init).__name__)
@pytest.mark.parametrize("by_column", [False, True])
def test_what_a_full_weight_started_with(init: object, by_column: bool) -> None:
    layer = nn.Linear(40, 300, seed=5, number=2, init=init)  # type: ignore[arg-type]
    weight = layer.weight
    first = weight.values.data.reshape(300, 40).copy()
    assert np.array_equal(weight.initial_values(), first.reshape(-1))
    keep = np.random.default_rng(0).random(weight.nnz) < 0.1
    weight.replace(weight.pattern.with_changes(keep))
    if by_column:
        weight.set(weight.pattern.stored_by_column(), weight.values.data)
    weight.values.data[:] = 7
    assert np.array_equal(weight.initial_values(), first[weight.positions()])


def test_what_a_sparse_weight_started_with() -> None:
    weight = nn.Linear(40, 30, 0.2, seed=5).weight
    first = weight.values.data.copy()
    weight.values.data[:] = 7
    assert np.array_equal(weight.initial_values(), first)
    topology.SET([weight], seed=0).update(0.5)
    again = weight.initial_values()
    stream = Stream(5, Purpose.INIT)
    expected = nn.init.KaimingNormal()(weight.pattern, stream, weight.dtype)
    assert np.array_equal(again, expected)


def test_a_weight_from_a_file_does_not_know() -> None:
    weight = nn.Linear.from_config({"n_in": 3, "n_out": 2}).weight
    with pytest.raises(RuntimeError, match="read from a file"):
        weight.initial_values()


@pytest.mark.parametrize("record", [False, True])
def test_an_observer_gets_every_batch(record: bool) -> None:
    layer = nn.Linear(6, 4, 0.5, seed=0)
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    seen: list[object] = []
    layer.weight.observer = seen.append
    expected = x @ layer.weight.to_scipy().toarray().T
    if record:
        y = layer(x)
    else:
        with no_grad():
            y = layer(x)
    np.testing.assert_allclose(y.data, expected, rtol=1e-5, atol=1e-6)
    layer(sparse.csr_array(x))
    dense, batch = seen
    assert np.array_equal(dense.data, x)  # type: ignore[attr-defined]
    assert isinstance(batch, ops.SparseBatch)
    assert np.array_equal(batch.to_dense(), x)
