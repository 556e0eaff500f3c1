"""Virtual weights in products and derivatives, against the same model built full."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import sparsenn as snn
from sparsenn import models, nn, no_grad, ops
from sparsenn.ops import OuterSum
from sparsenn.sparse import SparseParameter


def weights(model: Any) -> list[SparseParameter]:
    return [p for p in model.parameters() if isinstance(p, SparseParameter)]


def dense(total: OuterSum) -> np.ndarray:
    return np.concatenate([tile for _, tile in total.tiles()])


def close(a: Any, b: Any) -> None:
    scale = np.abs(np.asarray(b)).max() + 1e-30
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * scale)


def pair(sizes: list[int], activation: str, seed: int) -> tuple[Any, Any]:
    options: dict[str, Any] = {
        "activation": activation,
        "seed": seed,
        "dtype": np.float64,
    }
    virtual, full = models.mlp(sizes, None, **options), models.mlp(sizes, **options)
    rng = np.random.default_rng(seed)
    for model in (virtual, full):
        for w in weights(model):
            w.factors = []
    for mine, other in zip(virtual.parameters(), full.parameters(), strict=True):
        if not isinstance(mine, SparseParameter):
            mine.data[:] = other.data[:] = rng.standard_normal(mine.shape)
    return virtual, full


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@given(batch=st.sampled_from([1, 6]), seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_derivatives_are_those_of_the_full_model(
    activation: str, batch: int, seed: int
) -> None:
    virtual, full = pair([9, 8, 7, 4], activation, seed)
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((batch, 9)), rng.integers(0, 4, batch)
    losses, flows, inputs = [], [], []
    for model in (virtual, full):
        given_x = snn.Tensor(np.asfortranarray(x), requires_grad=True)
        loss = nn.functional.cross_entropy(model(given_x), y)
        losses.append(loss)
        inputs.append(given_x)
        flows.append(ops.gradient_flow(loss, weights(model)))
    close(losses[0].data, losses[1].data)
    close(inputs[0].grad.data, inputs[1].grad.data)
    for order in range(2):
        for mine, other in zip(flows[0][order], flows[1][order], strict=True):
            close(dense(mine), dense(other))
    for mine, other in zip(virtual.parameters(), full.parameters(), strict=True):
        if not isinstance(mine, SparseParameter):
            close(mine.grad.data, other.grad.data)
        else:
            gradient = other.grad.data.reshape(other.shape)
            close(dense(OuterSum(mine.factors)), gradient)
            assert mine.values.data.shape == (0,)


def test_a_hessian_product_with_any_low_rank_vector() -> None:
    virtual, full = pair([9, 8, 4], "tanh", 3)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 9)), rng.integers(0, 4, 5)
    vectors = [
        OuterSum([(rng.standard_normal((2, n)), rng.standard_normal((2, m)))])
        for n, m in ((8, 9), (4, 8))
    ]
    flat = [dense(v).reshape(-1) for v in vectors]
    loss = nn.functional.cross_entropy(virtual(x), y)
    mine = ops.hessian_product(loss, weights(virtual), vectors)
    loss = nn.functional.cross_entropy(full(x), y)
    other = ops.hessian_product(loss, weights(full), flat)
    for a, b in zip(mine, other, strict=True):
        close(dense(a), dense(b))


def test_recorded_factors_are_tensors_and_others_arrays() -> None:
    virtual, _ = pair([5, 4, 3], "relu", 0)
    loss = virtual(np.ones((2, 5))).sum()
    values = [w.values for w in weights(virtual)]
    snn.grad(loss, values, create_graph=True)
    (a, b) = weights(virtual)[0].factors[0]
    assert a.requires_grad
    assert isinstance(b, snn.Tensor)
    for w in weights(virtual):
        w.factors.clear()
    virtual(np.ones((2, 5))).sum().backward()
    (a, b) = weights(virtual)[0].factors[0]
    assert isinstance(a, np.ndarray)
    assert isinstance(b, np.ndarray)


def test_wide_layers_are_sums_over_tiles() -> None:
    layer = nn.Linear(2300, 1500, None, seed=0, dtype=np.float64)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2300))
    w = layer.weight.virtual.rows(0, 1500)
    given_x = snn.Tensor(np.asfortranarray(x), requires_grad=True)
    y = layer(given_x)
    np.testing.assert_allclose(y.data, x @ w.T, rtol=0, atol=1e-11)
    g = rng.standard_normal(y.shape)
    (dx,) = snn.grad(y, [given_x], gradient=g)
    np.testing.assert_allclose(dx.data, g @ w, rtol=0, atol=1e-11)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    layer = nn.Linear(1100, 1000, None, seed=0)
    x = np.random.default_rng(0).standard_normal((20, 1100)).astype(np.float32)
    before = snn.get_num_threads()
    results = []
    try:
        for n in (1, threads):
            snn.set_num_threads(n)
            results.append(layer(x).data)
    finally:
        snn.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_sparse_batches_masks_and_other_dtypes() -> None:
    layer = nn.Linear(30, 20, None, seed=0)
    x = sparse.random_array((4, 30), density=0.2, rng=np.random.default_rng(0))
    with no_grad():
        expected = layer(x.toarray().astype(np.float32)).data
        np.testing.assert_array_equal(layer(x.tocsr()).data, expected)
        np.testing.assert_array_equal(layer(x.toarray()).data, expected)
        virtual = layer.weight.virtual
        odd = np.full((20, 1), 0x2AAA_AAAA, np.uint64)
        layer.weight.virtual = virtual.masked(odd).magnitudes()
        y = layer(np.eye(30, dtype=np.float32)).data
    assert not y[::2].any()
    np.testing.assert_array_equal(y[1::2], np.abs(virtual.rows(0, 20).T[1::2]))
    with pytest.raises(ValueError, match=r"x must have shape \(batch, 30\)"):
        layer(np.ones((2, 3)))
