"""Losses against their definitions in float64, and far from zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import ops
from sparsenn.autograd import Tensor, grad, gradcheck

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


@st.composite
def scores(draw):
    n, k = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.asarray(rng.standard_normal((n, k)), order=draw(st.sampled_from("CF")))
    return x, rng.integers(0, k, n), rng.uniform(0.1, 2, k)


def definition(x, labels, smoothing=0.0, weight=None):
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))
    weight = np.ones(x.shape[1]) if weight is None else weight
    target = np.full(x.shape, smoothing / x.shape[1]) + (1 - smoothing) * (
        labels[:, None] == np.arange(x.shape[1])
    )
    return -(target * weight * logp).sum(1)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(case=scores(), smoothing=st.sampled_from([0.0, 0.1]), weighted=st.booleans())
def test_cross_entropy(reduction, case, smoothing, weighted):
    x, labels, weight = case
    weight = weight if weighted else None
    options = {"label_smoothing": smoothing, "weight": weight, "reduction": reduction}
    expected = definition(x, labels, smoothing, weight)
    if reduction == "mean" and weighted:
        expected = expected.sum() / weight[labels].sum()
    else:
        expected = REDUCTIONS[reduction](expected)
    out = ops.cross_entropy(x, labels, **options)
    np.testing.assert_allclose(out.data, expected, rtol=1e-13, atol=1e-13)
    assert gradcheck(lambda t: ops.cross_entropy(t, labels, **options), [x], order=1)


@given(case=scores())
def test_fused_and_recorded_gradients_agree(case):
    x, labels, _ = case
    t = Tensor(x, requires_grad=True)
    fused = grad(ops.cross_entropy(t, labels), t)
    recorded = grad(ops.cross_entropy(t, labels), t, create_graph=True)
    np.testing.assert_allclose(fused.data, recorded.data, rtol=0, atol=1e-15)


def test_cross_entropy_of_many_axes():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((2, 3, 4)), rng.integers(0, 4, (2, 3))
    out = ops.cross_entropy(x, labels, reduction="none")
    expected = definition(x.reshape(6, 4), labels.reshape(6)).reshape(2, 3)
    np.testing.assert_allclose(out.data, expected, rtol=1e-14)
    logp = ops.log_softmax(x)
    np.testing.assert_allclose(ops.nll(logp, labels).data, expected.mean(), rtol=1e-14)
    assert gradcheck(lambda t: ops.nll(ops.log_softmax(t), labels), [x])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_far_from_zero(dtype):
    x = Tensor(np.array([[1e4, -1e4], [-1e4, 1e4]], dtype), requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = ops.cross_entropy(x, [0, 0], reduction="none")
        (g,) = grad(loss, [x], gradient=np.ones(2, dtype))
    np.testing.assert_array_equal(loss.data, np.array([0, 2e4], dtype))
    np.testing.assert_array_equal(g.data, [[0, 0], [-1, 1]])


def test_softmax_with_minus_infinity():
    x = np.array([[0.0, -np.inf, 0.0], [-np.inf, -np.inf, 1.0]])
    np.testing.assert_array_equal(ops.softmax(x).data, [[0.5, 0, 0.5], [0, 0, 1]])
    assert ops.logsumexp(np.full(3, -np.inf)).item() == -np.inf
    assert ops.logsumexp(np.array([np.inf, 0])).item() == np.inf


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_mse(reduction):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 4, 3))
    expected = REDUCTIONS[reduction]((a - b) ** 2)
    np.testing.assert_allclose(ops.mse(a, b, reduction=reduction).data, expected)
    assert gradcheck(lambda x, y: ops.mse(x, y, reduction=reduction), [a, b])
    with pytest.raises(ValueError, match="must agree"):
        ops.mse(a, b[:, 0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((4, 3)), rng.random((4, 3))
    p = 1 / (1 + np.exp(-x))
    expected = REDUCTIONS[reduction](-(t * np.log(p) + (1 - t) * np.log(1 - p)))
    for f, v in ((ops.bce, p), (ops.bce_with_logits, x)):
        np.testing.assert_allclose(f(v, t, reduction=reduction).data, expected)
        assert gradcheck(lambda s, f=f: f(s, t, reduction=reduction), [v])
    weighted = -(3 * t * np.log(p) + (1 - t) * np.log(1 - p))
    got = ops.bce_with_logits(x, t, pos_weight=3.0, reduction=reduction)
    np.testing.assert_allclose(got.data, REDUCTIONS[reduction](weighted))


def test_binary_cross_entropy_at_the_ends():
    with np.errstate(all="raise", under="ignore"):
        sure = ops.bce_with_logits(np.array([1e4, -1e4, 1e4]), np.array([1.0, 0, 0]))
        assert sure.item() == pytest.approx(1e4 / 3)
        assert np.isfinite(ops.bce(np.array([0.0, 1.0]), np.array([1.0, 0.0])).item())


def test_bad_arguments():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match="0 to 2"):
        ops.cross_entropy(x, [0, 3])
    with pytest.raises(ValueError, match="-1"):
        ops.cross_entropy(x, [0, -1])
    with pytest.raises(ValueError, match="3 labels for 2 rows"):
        ops.cross_entropy(x, [0, 1, 2])
    with pytest.raises(TypeError, match="integers"):
        ops.cross_entropy(x, [0.0, 1.0])
    with pytest.raises(ValueError, match="label_smoothing"):
        ops.cross_entropy(x, [0, 1], label_smoothing=1.0)
    with pytest.raises(ValueError, match="weight has shape"):
        ops.cross_entropy(x, [0, 1], weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="'average'"):
        ops.mse(x, x, reduction="average")
