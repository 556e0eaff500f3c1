"""Hessian-gradient products at every position, against differences of a dense twin."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.curvature import Twin
from scipy import sparse

from sparsenn import hvp, ops
from sparsenn.autograd import Tensor
from sparsenn.ops import OuterSum, SparseBatch
from sparsenn.sparse import SparseParameter, SparsePattern

KINDS = ("tanh", "relu", "fused", "winners")


class Net:
    """Sparse layers with one activation between them, and cross-entropy."""

    def __init__(self, sizes: tuple[int, ...], density: float, kind: str, seed: int):
        self.rng = np.random.default_rng(seed)
        self.kind = kind
        self.weights, self.biases = [], []
        for n_in, n_out in pairwise(sizes):
            nnz = round(density * n_in * n_out)
            pattern = SparsePattern.random((n_out, n_in), nnz, seed=seed)
            values = self.rng.standard_normal(nnz)
            self.weights.append(SparseParameter(pattern, values / 2, f"w{n_in}"))
            bias = self.rng.standard_normal(n_out)
            self.biases.append(Tensor(bias, requires_grad=True))

    def loss(self, x: Any, labels: np.ndarray) -> Tensor:
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            if self.kind == "fused":
                x = ops.linear(x, w, b, activation="relu")
                continue
            x = ops.linear(x, w, b)
            if self.kind == "winners":
                x = ops.k_winners(x, 2)
            else:
                x = ops.tanh(x) if self.kind == "tanh" else ops.relu(x)
        logits = ops.linear(x, self.weights[-1], self.biases[-1])
        return ops.cross_entropy(logits, labels)


def dense(total: OuterSum) -> np.ndarray:
    return np.concatenate([tile for _, tile in total.tiles()])


def case(kind: str, density: float, batch: int, seed: int, as_sparse: bool = False):
    net = Net((6, 5, 4, 3), density, kind, seed)
    if as_sparse and seed % 2:
        first = net.weights[0]
        pattern = first.pattern.stored_by_column()
        values = pattern.from_canonical(first.pattern.to_canonical(first.values.data))
        first.set(pattern, values)
    x = net.rng.standard_normal((batch, 6)) * (net.rng.random((batch, 6)) < 0.7)
    labels = net.rng.integers(0, 3, batch)
    given = SparseBatch(sparse.csr_array(x)) if as_sparse else np.asfortranarray(x)
    for w in net.weights:
        w.factors = []
    weights = [w.to_scipy().toarray() for w in net.weights]
    biases = [b.data for b in net.biases]
    return net, Twin(weights, biases, x, labels, kind), given, labels


@pytest.mark.parametrize("as_sparse", [False, True], ids=["array", "sparse"])
@pytest.mark.parametrize("kind", KINDS)
@given(
    density=st.sampled_from([0.3, 0.6, 1.0]),
    batch=st.sampled_from([1, 5]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=15)
def test_products_equal_differences_of_the_dense_gradient(
    kind: str, as_sparse: bool, density: float, batch: int, seed: int
) -> None:
    net, twin, x, labels = case(kind, density, batch, seed, as_sparse)
    loss = net.loss(x, labels)
    gradients, products = ops.gradient_flow(loss, net.weights)
    expected = twin.gradients(twin.weights)
    masks = [w.pattern.to_scipy(np.ones(w.nnz)).toarray() for w in net.weights]
    vectors = [g * m for g, m in zip(expected, masks, strict=True)]
    for found, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(dense(found), wanted, atol=1e-12)
    for found, wanted in zip(products, twin.hessian_product(vectors), strict=True):
        scale = max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(dense(found), wanted, rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize("as_sparse", [False, True], ids=["array", "sparse"])
@pytest.mark.parametrize("kind", KINDS)
def test_products_on_connections_equal_the_ordinary_ones(
    kind: str, as_sparse: bool
) -> None:
    net, _, x, labels = case(kind, 0.5, 4, 1, as_sparse)
    vectors = [net.rng.standard_normal(w.nnz) for w in net.weights]
    loss = net.loss(x, labels)
    products = ops.hessian_product(loss, net.weights, vectors)
    values = [w.values for w in net.weights]
    expected = hvp(lambda *_: net.loss(x, labels), values, vectors)
    for w, found, wanted in zip(net.weights, products, expected, strict=True):
        np.testing.assert_allclose(found.on(w.pattern), wanted.data, atol=1e-13)
        assert np.any(wanted.data)


@pytest.mark.parametrize("as_sparse", [False, True], ids=["array", "sparse"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_and_factors_are_those_of_backward(
    kind: str, as_sparse: bool
) -> None:
    net, _, x, labels = case(kind, 0.5, 4, 2, as_sparse)
    net.loss(x, labels).backward()  # what is there already stays, and is added to
    net.loss(x, labels).backward()
    variables = [w.values for w in net.weights] + net.biases
    expected = [v.grad.data.tobytes() for v in variables]
    factors = [list(w.factors) for w in net.weights]
    for v in variables:
        v.grad = None
    for w in net.weights:
        w.factors.clear()
    net.loss(x, labels).backward()
    ops.gradient_flow(net.loss(x, labels), net.weights)
    assert [v.grad.data.tobytes() for v in variables] == expected
    for w, wanted in zip(net.weights, factors, strict=True):
        assert len(w.factors) == len(wanted) == 2
        for (a, b), (c, d) in zip(w.factors, wanted, strict=True):
            assert np.array_equal(a, c)
            assert b is d if isinstance(b, SparseBatch) else np.array_equal(b, d)


def test_a_weight_used_twice_has_both_its_parts() -> None:
    rng = np.random.default_rng(0)
    pattern = SparsePattern.random((4, 4), 8, seed=0)
    w = SparseParameter(pattern, rng.standard_normal(8), "w")
    w.factors = []
    x = np.asfortranarray(rng.standard_normal((3, 4)))

    def f(*_: Tensor) -> Tensor:
        return (ops.tanh(ops.linear(ops.tanh(ops.linear(x, w)), w)) ** 2).sum()

    _, (product,) = ops.gradient_flow(f(), [w])
    (expected,) = hvp(f, [w.values], [w.grad])
    np.testing.assert_allclose(product.on(pattern), expected.data, rtol=1e-12)


def test_third_derivatives_note_theirs() -> None:
    """Differences of H v along a direction, at inactive positions as well."""
    net, twin, x, labels = case("tanh", 0.5, 4, 3)
    values = [w.values for w in net.weights]
    masks = [w.pattern.to_scipy(np.ones(w.nnz)).toarray() for w in net.weights]
    v = [net.rng.standard_normal(m.shape) * m for m in masks]
    on = [a[w.positions()] for a, w in zip(v, net.weights, strict=True)]
    from sparsenn import grad

    current = net.loss(x, labels)
    for _ in range(2):
        found = grad(current, values, create_graph=True)
        current = sum(((g * c).sum() for g, c in zip(found, on, strict=True)), 0.0)
    for w in net.weights:
        w.factors.clear()
    grad(current, values)
    eps = 1e-4
    up, down = (
        Twin.hessian_product(twin, v)
        for twin.weights in (
            [w.to_scipy().toarray() + s * eps * a
             for w, a in zip(net.weights, v, strict=True)] for s in (1, -1)
        )
    )  # fmt: skip
    for w, a, b in zip(net.weights, up, down, strict=True):
        np.testing.assert_allclose(
            dense(OuterSum(w.factors)), (a - b) / (2 * eps), atol=1e-4
        )


def test_what_a_loss_is_not_made_of_has_no_flow() -> None:
    net, _, x, labels = case("tanh", 0.5, 4, 3)
    other = SparseParameter(SparsePattern.random((3, 2), 3, seed=0), np.ones(3), "o")
    other.factors = []
    gradients, products = ops.gradient_flow(net.loss(x, labels), [*net.weights, other])
    assert not dense(gradients[-1]).any()
    assert not dense(products[-1]).any()
    straight = ops.linear(x, net.weights[0]).sum()  # no second derivative
    _, (product,) = ops.gradient_flow(straight, net.weights[:1])
    assert not dense(product).any()


def test_factors_must_have_been_asked_for() -> None:
    net, _, x, labels = case("tanh", 0.5, 4, 3)
    net.weights[1].factors = None
    loss = net.loss(x, labels)
    with pytest.raises(RuntimeError, match="'w5' keeps no factors"):
        ops.gradient_flow(loss, net.weights)
    net.weights[1].factors = []
    with pytest.raises(RuntimeError, match="'w5' kept no factors of this loss"):
        ops.gradient_flow(loss, net.weights)
