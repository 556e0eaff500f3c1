"""Winners as an operation, and layers on what they leave, against dense twins."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import sparsenn as snn
from sparsenn import _core, nn, ops
from sparsenn.autograd import Tensor
from sparsenn.ops import event_linear as rooms
from sparsenn.ops.event_choice import backward_by_events, forward_by_events
from sparsenn.sparse import SparsePattern
from tests.strategies import densities, generators, sizes

DTYPES = (np.float32, np.float64)


def top(rows: np.ndarray, k: int) -> np.ndarray:
    """Mask of the k largest of each row, the first among equals."""
    mask = np.zeros(rows.shape, bool)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    np.put_along_axis(mask, order, True, axis=1)
    return mask


@given(generators(), st.sampled_from(DTYPES), st.integers(0, 6))
def test_values_pass_and_gradients_reach_the_winners_only(
    rng: np.random.Generator, dtype: type, k: int
) -> None:
    x = Tensor(rng.integers(-3, 4, (5, 6)).astype(dtype), requires_grad=True)
    boost = np.exp(rng.standard_normal(6))
    y = ops.k_winners(x, k, boost=boost)
    mask = top(x.data * boost.astype(dtype), k)
    assert np.array_equal(y.data, np.where(mask, x.data, 0))
    assert y.dtype == dtype
    g = rng.standard_normal((5, 6)).astype(dtype)
    y.backward(g)
    assert np.array_equal(x.grad.data, np.where(mask, g, 0))
    assert np.array_equal(np.nonzero(mask)[1], y.active.features)


@pytest.mark.parametrize("order", ["C", "F"])
def test_competitions_of_images(order: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 5, 2))
    given_ = np.array(x, order=order)
    boost = np.array([1.0, 3.0, 0.1, 1.0])
    scores = x * boost[:, None, None]
    sample = top(scores.reshape(3, -1), 7).reshape(x.shape)
    place = np.moveaxis(scores, 1, -1).reshape(-1, 4)
    location = np.moveaxis(top(place, 2).reshape(3, 5, 2, 4), -1, 1)
    channel = top(x.reshape(12, -1), 3).reshape(x.shape)
    for per, k, mask in (
        ("sample", 7, sample),
        ("location", 2, location),
        ("channel", 3, channel),
    ):
        t = Tensor(given_, requires_grad=True)
        y = ops.k_winners(t, k, boost=boost, per=per)
        assert np.array_equal(y.data, x * mask)
        assert y.active is None
        (y * y).sum().backward()
        assert np.array_equal(t.grad.data, 2 * x * mask)


def test_other_operations_and_changes_forget_who_is_active() -> None:
    y = ops.k_winners(np.eye(3), 1)
    assert y.active.count == 3
    assert (y * 2).active is None
    assert y.reshape(9).active is None
    assert y.detach().active is None
    y.data *= 2
    assert y.active is None
    assert Tensor(np.eye(3)).active is None


def test_bad_arguments_are_refused() -> None:
    x = np.zeros((2, 3, 4))
    with pytest.raises(ValueError, match=r"\(batch, features, \.\.\.\), got"):
        ops.k_winners(x[0, 0], 1)
    with pytest.raises(ValueError, match="per must be sample, location or channel"):
        ops.k_winners(x, 1, per="row")
    with pytest.raises(ValueError, match=r"takes \(3,\)"):
        ops.k_winners(x, 1, boost=np.ones(4))
    with pytest.raises(ValueError, match=r"there are 0\.\.3 features"):
        ops.k_winners(x, 4, per="location")


# ---------------------------------------------------------------- the linear layer


def layer_and_twin(
    rng: np.random.Generator, pattern: SparsePattern, dtype: type
) -> tuple[nn.Linear, np.ndarray, np.ndarray]:
    n_out, n_in = pattern.shape
    layer = nn.Linear(n_in, n_out, pattern=pattern, seed=0, dtype=dtype)
    layer.bias.data[...] = rng.standard_normal(n_out)
    weight = layer.weight.to_scipy().toarray().astype(np.float64)
    return layer, weight, layer.bias.data.astype(np.float64)


@pytest.mark.parametrize("path", ["chosen", "events", "dense"])
@given(
    rng=generators(),
    dtype=st.sampled_from(DTYPES),
    batch=st.sampled_from((1, 2, 5, 20)),
    n_in=sizes(),
    n_out=sizes(),
    density=densities(),
    by_column=st.booleans(),
    relu=st.booleans(),
)
def test_every_path_is_the_product_of_the_winners(
    path: str,
    rng: np.random.Generator,
    dtype: type,
    batch: int,
    n_in: int,
    n_out: int,
    density: float,
    by_column: bool,
    relu: bool,
) -> None:
    pattern = SparsePattern.from_mask(rng.random((n_out, n_in)) < density)
    if by_column:
        pattern = pattern.stored_by_column()
    layer, w, bias = layer_and_twin(rng, pattern, dtype)
    x = Tensor(rng.standard_normal((batch, n_in)).astype(dtype), requires_grad=True)
    k = int(rng.integers(0, n_in + 1))
    with pytest.MonkeyPatch.context() as patch:
        if path != "chosen":
            answer = path == "events" and not pattern.is_full
            patch.setattr(rooms, "forward_by_events", lambda *a: answer)
            patch.setattr(rooms, "backward_by_events", lambda *a: answer)
        h = ops.k_winners(x, k)
        y = layer.forward(h, activation="relu" if relu else None)
        g = rng.standard_normal(y.shape).astype(dtype)
        y.backward(g)

    mask = top(x.data, k)
    kept = np.where(mask, x.data, 0).astype(np.float64)
    want, size = kept @ w.T + bias, np.abs(kept) @ np.abs(w).T + np.abs(bias)
    dz = g.astype(np.float64)
    if relu:
        want = np.maximum(want, 0)
        dz = dz * (y.data > 0)
    rows, cols = pattern.positions()
    eps = 100 * np.finfo(dtype).eps
    assert (np.abs(y.data - want) <= eps * size).all()
    for got, exact, terms in (
        (x.grad.data, dz @ w * mask, np.abs(dz) @ np.abs(w)),
        (
            layer.weight.grad.data,
            (dz.T @ kept)[rows, cols],
            (np.abs(dz).T @ np.abs(kept))[rows, cols],
        ),
        (layer.bias.grad.data, dz.sum(0), np.abs(dz).sum(0)),
    ):
        assert (np.abs(got - exact) <= eps * terms).all()


@pytest.mark.parametrize("sparse_input", [False, True])
@pytest.mark.parametrize("batch", [1, 6])
def test_second_derivatives_are_those_of_the_masked_layer(
    sparse_input: bool, batch: int
) -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(30, 12, 0.3, seed=0, dtype=np.float64, sparse_input=sparse_input)
    x = Tensor(rng.standard_normal((batch, 30)), requires_grad=True)
    found = []
    for winners in (
        lambda t: ops.k_winners(t, 4),
        lambda t: t * ops.k_winners(t, 4).numpy().astype(bool).astype(float),
    ):
        wrt = [layer.weight.values, x]
        gs = snn.grad((layer(winners(x)) ** 3).sum(), wrt, create_graph=True)
        hs = snn.grad(sum((g * g).sum() for g in gs), wrt)
        found.append([t.data for t in (*gs, *hs)])
    for ours, masked in zip(*found, strict=True):
        np.testing.assert_allclose(ours, masked, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_the_winners_is_zero_elsewhere_on_every_path() -> None:
    rng = np.random.default_rng(0)
    for batch, density in ((1, 0.1), (40, 0.9), (40, 1.0)):
        layer = nn.Linear(30, 12, density, seed=0)
        x = Tensor(rng.random((batch, 30), np.float32), requires_grad=True)
        h = ops.k_winners(x, 5)
        (g,) = snn.grad(layer(h).sum(), [h])
        assert not g.data[h.data == 0].any()
        assert g.data[h.data != 0].any()


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("wanted", [(True, False, True), (False, True, False)])
def test_gradients_that_nobody_wants_are_left_out(batch: int, wanted: tuple) -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(300, 200, 0.1, seed=0, sparse_input=True)
    x = Tensor(rng.random((batch, 300), np.float32), requires_grad=True)
    g = rng.standard_normal((batch, 200)).astype(np.float32)
    whole = (layer.weight.values, x, layer.bias)
    layer(ops.k_winners(x, 5)).backward(g)
    want = [t.grad.data for t in whole]
    for t, needed in zip(whole, wanted, strict=True):
        t.grad = None
        t.requires_grad = needed
    layer(ops.k_winners(x, 5)).backward(g)
    for t, needed, gradient in zip(whole, wanted, want, strict=True):
        assert (t.grad is not None) == needed
        assert not needed or np.array_equal(t.grad.data, gradient)


def test_the_choice_is_made_by_sizes_alone() -> None:
    rows = SparsePattern.random((512, 512), 13_107, seed=0)
    stored = rows.stored_by_column()
    before = _core.isa()
    try:
        for isa in _core.available_isas():
            _core.set_isa(isa)
            for choose in (forward_by_events, backward_by_events):
                assert choose(stored, 1, 10, 4)
                assert choose(rows, 1, 10, 4)
                assert choose(stored, 64, 64 * 4, 4)
                assert not choose(rows, 64, 64 * 400, 4)
                assert not choose(SparsePattern.full((512, 512)), 1, 1, 4)
                wins = [choose(rows, 64, 64 * k, 4) for k in range(0, 512, 8)]
                assert wins == sorted(wins, reverse=True)  # once lost, lost for good
    finally:
        _core.set_isa(before)


def test_changed_winners_are_noticed() -> None:
    layer = nn.Linear(6, 4, 0.5, seed=0)
    h = ops.k_winners(Tensor(np.random.default_rng(0).random((2, 6), np.float32)), 2)
    y = layer(h)
    h.data *= 2
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()
    assert np.allclose(layer(h).data - layer.bias.data, 2 * (y.data - layer.bias.data))


def test_factors_hold_what_counts() -> None:
    layer = nn.Linear(30, 12, 0.2, seed=0, dtype=np.float64, sparse_input=True)
    layer.weight.factors = []
    h = ops.k_winners(np.random.default_rng(0).standard_normal((3, 30)), 4)
    (layer(h) ** 2).sum().backward()
    ((dy, x),) = layer.weight.factors
    on = ops.OuterSum([(dy, x)]).on(layer.weight.pattern)
    np.testing.assert_allclose(on, layer.weight.grad.data, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_of_one_sample_are_left_out_of_columns(dtype: type) -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(80, 60, 0.2, seed=0, dtype=dtype, sparse_input=True)
    layer.bias.data[...] = rng.standard_normal(60)
    w = layer.weight.to_scipy().toarray().astype(np.float64)
    x = Tensor(np.maximum(rng.standard_normal((1, 80)), 0).astype(dtype))
    x.requires_grad = True
    y = layer.forward(x, activation="relu")
    want = np.maximum(x.data @ w.T + layer.bias.data, 0)
    np.testing.assert_allclose(y.data, want, atol=100 * np.finfo(dtype).eps)
    g = rng.standard_normal((1, 60)).astype(dtype)
    y.backward(g)  # the gradient reaches the zeros too
    want = (g * (y.data > 0)) @ w
    np.testing.assert_allclose(x.grad.data, want, atol=100 * np.finfo(dtype).eps)
    assert x.grad.data[x.data == 0].any()
