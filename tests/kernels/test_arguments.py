"""What the products refuse, and that they say why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from kernels.cases import case, feature_major

from sparsenn import _core

C = case(np.ones((3, 4), bool), 4, 1)
V = np.ones(12, np.float32)
X = feature_major(np.ones((5, 4), np.float32))
DY = feature_major(np.ones((5, 3), np.float32))
READ_ONLY = V.copy()
READ_ONLY.flags.writeable = False


def unaligned(a: np.ndarray) -> np.ndarray:
    """`a` one byte off its alignment."""
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape, order="F")
    view[...] = a
    return view


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: _core.spmm(None, V, X), TypeError, "layout"),
        (lambda: _core.spmm(C.layout, V[:11], X), ValueError, r"nnz \(12,\)"),
        (lambda: _core.spmm(C.layout, [1.0], X), TypeError, "list"),
        (lambda: _core.spmm(C.layout, V.astype(int), X), TypeError, "int64"),
        (lambda: _core.spmm(C.layout, V.astype(">f4"), X), TypeError, ">f4"),
        (lambda: _core.spmm(C.layout, V[::-1], X), ValueError, "contiguous"),
        (lambda: _core.spmm(C.layout, unaligned(V), X), ValueError, "aligned"),
        (lambda: _core.spmm(C.layout, V, X.astype(float)), TypeError, "float64"),
        (lambda: _core.spmm(C.layout, V, X[:, :3]), ValueError, r"\(batch, 4\)"),
        (lambda: _core.spmm(C.layout, V, X[0]), ValueError, r"\(batch, 4\)"),
        (
            lambda: _core.spmm(C.layout, V, np.ascontiguousarray(X)),
            ValueError,
            "strides",
        ),
        (lambda: _core.spmm(C.layout, V, X[::2]), ValueError, "strides"),
        (lambda: _core.spmm(C.layout, V, X[:, ::-1]), ValueError, "strides"),
        (lambda: _core.spmm(C.layout, V, unaligned(X)), ValueError, "aligned"),
        (
            lambda: _core.spmm(C.layout, V, np.broadcast_to(X[:, :1], (5, 4))),
            ValueError,
            "strides",
        ),
        (lambda: _core.spmm(C.layout, V, X, V[:4]), ValueError, r"\(3,\)"),
        (lambda: _core.spmm(C.layout, V, X, None, 2), ValueError, "activation is 2"),
        (lambda: _core.spmm_t(C.layout, V, X), ValueError, r"\(batch, 3\)"),
        (lambda: _core.sddmm(C.layout, DY[:4], X), ValueError, "batches differ"),
        (lambda: _core.sddmm(C.layout, X, DY), ValueError, r"\(batch, 3\)"),
        (lambda: _core.spmm_backward(C.layout, V, DY, X[1:]), ValueError, "differ"),
        (lambda: _core.activation_backward(1, None, DY), TypeError, "NoneType"),
        (lambda: _core.activation_backward(1, DY[1:], DY), ValueError, "differ"),
        (lambda: _core.activation_backward(3, DY, DY), ValueError, "activation is 3"),
        (lambda: _core.sgd(V.copy(), V[1:], None, 0.1), ValueError, r"\(11,\)"),
        (lambda: _core.sgd(V.copy(), V, None, 0.1, 0.9), ValueError, "mu is 0.9"),
        (lambda: _core.sgd(READ_ONLY, V, None, 0.1), ValueError, "read-only"),
        (lambda: _core.sgd(V[::2].copy(), V[::2], None, 0.1), ValueError, "strides"),
        (
            lambda: _core.adam(V.copy(), V, V.copy(), V.copy(), *[0.1] * 5, True, 0, 1),
            ValueError,
            "bias1",
        ),
    ],
)
def test_refused(call: Callable[[], object], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        call()


@pytest.mark.parametrize("batch", [0, 1])
def test_strides_of_a_short_axis_do_not_matter(batch: int) -> None:
    x = np.ones((batch, 4), np.float32)
    assert _core.spmm(C.layout, V, x).shape == (batch, 3)


def test_one_feature_of_any_stride() -> None:
    column = case(np.ones((2, 1), bool), 1, 1)
    x = np.arange(6, dtype=np.float32).reshape(6, 1)
    y = _core.spmm(column.layout, np.ones(2, np.float32), x)
    assert np.array_equal(y, np.repeat(x, 2, axis=1))


def test_a_slice_of_the_batch_is_not_copied_wrongly() -> None:
    big = feature_major(np.random.default_rng(0).standard_normal((9, 4)))
    v = np.arange(12.0)
    y = _core.spmm(C.layout, v, big[2:7])
    assert np.array_equal(y, _core.spmm(C.layout, v, feature_major(big[2:7])))
