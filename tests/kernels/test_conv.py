"""Convolutions on every instruction set against dense float64, within the bound."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from kernels.cases import ISAS, REALS, Case, assert_near, case, running, same_bits

from sparsenn import _core
from sparsenn.autograd import REGISTRY
from sparsenn.autograd.array import as_order
from sparsenn.ops.conv_shape import ConvShape
from sparsenn.ops.dense_conv import dense_conv, dense_conv_t, dense_conv_w
from sparsenn.sparse import SparsePattern

REFERENCE = {name: REGISTRY[name].reference for name in ("conv", "conv_t", "conv_w")}


@st.composite
def shapes(draw: Any) -> tuple[ConvShape, int]:
    """A shape that has outputs, and output channels."""
    groups = draw(st.integers(1, 3))
    kernel, stride, padding, dilation, size = [], [], [], [], []
    for _ in range(2):
        k, d = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        p = draw(st.integers(0, 4))
        least = max(1, (k - 1) * d + 1 - 2 * p)
        kernel.append(k)
        dilation.append(d)
        padding.append(p)
        stride.append(draw(st.integers(1, 4)))
        size.append(draw(st.integers(least, least + 8)))
    batch = draw(st.sampled_from([0, 1, 2, 5, 8, 16, 33]))
    channels = groups * draw(st.integers(1, 4))
    x = (batch, channels, *size)
    rest = (tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), groups)
    return ConvShape.of(x, *rest), groups * draw(st.integers(1, 5))


def weight(shape: ConvShape, n_out: int, density: float, seed: int, width: int) -> Case:
    columns = shape.channels // shape.groups * shape.taps
    mask = np.random.default_rng(seed).random((n_out, columns)) < density
    return case(mask, width, 1 if width <= 256 else 4)


def arrays(shape: ConvShape, n_out: int, seed: int, dtype: Any) -> list[np.ndarray]:
    """x and dy as images, and a bias."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((shape.batch, shape.channels, *shape.size)).astype(dtype)
    dy = rng.standard_normal((shape.batch, n_out, *shape.out)).astype(dtype)
    bias = rng.standard_normal(n_out).astype(dtype)
    return [as_order(x, True), as_order(dy, True), bias]


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), int(np.prod(images.shape[1:])))


class _Positions:
    """As much of a pattern as the references ask for."""

    def __init__(self, c: Case) -> None:
        self.case, self.shape = c, c.layout.shape

    def to_scipy(self, values: np.ndarray) -> Any:
        dense = self.case.dense(values)

        class Array:
            def toarray(self) -> np.ndarray:
                return dense

        return Array()

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        return self.case.rows, self.case.cols


def check(
    shape: ConvShape, n_out: int, density: float, seed: int, width: int, dtype: Any
) -> None:
    c = weight(shape, n_out, density, seed, width)
    pattern: Any = _Positions(c)
    x, dy, bias = arrays(shape, n_out, seed, dtype)
    values = np.random.default_rng(seed + 1).standard_normal(c.nnz).astype(dtype)
    for kind, operands, terms in (
        ("conv", (values, x, bias), c.layout.shape[1] + 1),
        ("conv_t", (values, dy), n_out * shape.taps),
        ("conv_w", (dy, x), max(shape.batch, 1) * shape.out[0] * shape.out[1]),
    ):
        more = {"activation": 0, "factors": None} if kind == "conv" else {}
        static = {"pattern": pattern, "shape": shape, **more}
        wide = [a.astype(np.float64) for a in operands]
        exact = REFERENCE[kind](*wide, **static)
        magnitude = REFERENCE[kind](*map(np.abs, wide), **static)
        images = [flat(a) if a.ndim == 4 else a for a in operands]
        found = getattr(_core, kind)(c.layout, shape, *images)
        assert_near(found.reshape(exact.shape), exact, magnitude, terms)
    products(c, shape, values, x, dy, bias)


def products(
    c: Case,
    shape: ConvShape,
    values: np.ndarray,
    x: np.ndarray,
    dy: np.ndarray,
    bias: np.ndarray,
) -> list[np.ndarray]:
    """All of them; the gradients together, which must be those apart."""
    dx, dvalues = _core.conv_backward(c.layout, shape, values, flat(dy), flat(x))
    assert same_bits(dx, _core.conv_t(c.layout, shape, values, flat(dy)))
    assert same_bits(dvalues, _core.conv_w(c.layout, shape, flat(dy), flat(x)))
    return [_core.conv(c.layout, shape, values, flat(x), bias, 1), dx, dvalues]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", REALS)
@given(
    sizes=shapes(),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
    width=st.sampled_from([2, 7, 64, 300]),
)
@example((ConvShape.of((16, 3, 9, 9), (3, 3), (1, 1), (1, 1), (1, 1), 1), 5), 0.5, 0, 7)
@example((ConvShape.of((2, 6, 9, 8), (3, 3), (2, 2), (1, 1), (1, 1), 6), 6), 1.0, 1, 64)
@example((ConvShape.of((3, 4, 5, 5), (1, 1), (3, 2), (0, 0), (1, 1), 2), 4), 0.5, 2, 2)
def test_products_are_those_of_a_dense_convolution(
    isa: str,
    dtype: Any,
    sizes: tuple[ConvShape, int],
    density: float,
    seed: int,
    width: int,
) -> None:
    with running(isa):
        check(*sizes, density, seed, width, dtype)


@given(
    sizes=shapes(),
    density=st.sampled_from([0.1, 0.7]),
    threads=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_bits_do_not_depend_on_threads(
    sizes: tuple[ConvShape, int], density: float, threads: int, seed: int
) -> None:
    shape, n_out = sizes
    c = weight(shape, n_out, density, seed, 16)
    x, dy, bias = arrays(shape, n_out, seed, np.float32)
    values = np.random.default_rng(seed).standard_normal(c.nnz).astype(np.float32)
    found = []
    for n in (1, threads):
        with running(threads=n):
            found.append(products(c, shape, values, x, dy, bias))
    for one, other in zip(*found, strict=True):
        assert same_bits(one, other)


@pytest.mark.parametrize("channels", [16, 2])  # and fewer than threads
def test_large_enough_for_several_threads(channels: int) -> None:
    size = (32, channels, 12, 12)
    shape = ConvShape.of(size, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    check(shape, 24, 0.3, 0, 32, np.float32)
    c = weight(shape, 24, 0.3, 0, 32)
    x, dy, bias = arrays(shape, 24, 0, np.float32)
    values = np.random.default_rng(0).standard_normal(c.nnz).astype(np.float32)
    found = []
    for n in (1, 2, 3):
        with running(threads=n):
            found.append(products(c, shape, values, x, dy, bias))
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert same_bits(one, other)


@given(sizes=shapes(), seed=st.integers(0, 99))
def test_a_full_weight_by_blas(sizes: tuple[ConvShape, int], seed: int) -> None:
    shape, n_out = sizes
    columns = shape.channels // shape.groups * shape.taps
    pattern = SparsePattern.full((n_out, columns))
    x, dy, bias = arrays(shape, n_out, seed, np.float64)
    values = np.random.default_rng(seed).standard_normal(pattern.nnz)
    static = {"pattern": pattern, "shape": shape}
    exact = REFERENCE["conv"](values, x, 0 * bias, **static, activation=0, factors=None)
    np.testing.assert_allclose(dense_conv(values, x, shape=shape), exact, atol=1e-11)
    exact = REFERENCE["conv_t"](values, dy, **static)
    np.testing.assert_allclose(dense_conv_t(values, dy, shape=shape), exact, atol=1e-11)
    exact = REFERENCE["conv_w"](dy, x, **static)
    np.testing.assert_allclose(dense_conv_w(dy, x, shape=shape), exact, atol=1e-11)


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding"), [(3, 16, 16, 0), (8, 3, 1, 1)]
)
def test_large_images_are_taken(
    channels: int, kernel: int, stride: int, padding: int
) -> None:
    pairs = [(n, n) for n in (kernel, stride, padding, 1)]
    shape = ConvShape.of((0, channels, 2048, 2048), *pairs, 1)  # no samples: no memory
    layout = case(np.ones((128, channels * kernel**2), bool), 4096, 4).layout
    values = np.ones(layout.nnz, np.float32)
    x = np.ones((0, channels * 2048**2), np.float32)
    assert _core.conv(layout, shape, values, x).shape == (0, 128 * shape.out[0] ** 2)


@pytest.mark.parametrize("size", [14, 30])
def test_what_lay_in_memory_before_does_not_show(size: int) -> None:
    # Planes of 16 x 16 or 32 x 32 x 3 samples are set apart by a pixel that is no part
    # of them; vectors at the end of a plane reach into it.
    shape = ConvShape.of((3, 4, size, size), (3, 3), (1, 1), (1, 1), (1, 1), 1)
    w = weight(shape, 8, 0.5, 0, 36)
    x, dy, _ = (flat(a) if a.ndim == 4 else a for a in arrays(shape, 8, 0, np.float32))
    values = np.ones(w.layout.nnz, np.float32)
    for _ in range(3):
        junk = [np.full(8 * i, np.nan, np.float32) for i in range(250, 4000)]
        del junk
        dx, dvalues = _core.conv_backward(w.layout, shape, values, dy, x)
        assert np.isfinite(dx).all() and np.isfinite(dvalues).all()


def test_bad_arguments() -> None:
    shape = ConvShape.of((2, 4, 5, 5), (3, 3), (1, 1), (1, 1), (1, 1), 2)
    layout = case(np.ones((6, 18), bool), 18, 1).layout
    values, x = np.ones(108, np.float32), np.ones((2, 100), np.float32, "F")
    good = _core.conv(layout, shape, values, x)
    assert good.shape == (2, 150)
    for change, words in (
        ({"channels": 6}, "does not take 6 channels"),
        ({"groups": 3}, "does not take"),
        ({"out": (4, 5)}, "does not have 4 outputs"),
        ({"stride": (0, 1)}, "at least 1"),
        ({"kernel": (9, 1), "out": (1, 7)}, "does not have 1 outputs"),
        ({"padding": (-1, 1)}, "must lie in"),
        ({"batch": -1}, "needs a batch"),
        ({"batch": 3}, r"expected \(3, 100\)"),
        ({"size": (10**9, 10**9), "out": (10**9, 10**9)}, "too large"),
        ({"size": (3,)}, "pairs of sizes"),
        ({"kernel": ()}, "pairs of sizes"),
        ({"stride": (1, 1, 1)}, "pairs of sizes"),
    ):
        with pytest.raises(ValueError, match=words):
            _core.conv(layout, shape._replace(**change), values, x)
    with pytest.raises(ValueError, match="nnz"):
        _core.conv(layout, shape, values[:5], x)
    with pytest.raises(ValueError, match="feature-major"):
        _core.conv(layout, shape, values, np.ones((2, 100), np.float32))
    with pytest.raises(TypeError, match="float64"):
        _core.conv(layout, shape, values, x.astype(np.float64))
    with pytest.raises(ValueError, match="activation"):
        _core.conv(layout, shape, values, x, None, 2)
    dy = np.ones((2, 150), np.float32, "F")
    _core.conv_backward(layout, shape, values, dy, x)
    for operands, words in (
        ((values[:5], dy, x), "nnz"),
        ((values, x, x), r"expected \(batch, 150\)"),
        ((values, dy, dy), r"expected \(batch, 100\)"),
    ):
        with pytest.raises(ValueError, match=words):
            _core.conv_backward(layout, shape, *operands)
    for x64 in (x.astype(np.float64), None):
        with pytest.raises(TypeError):
            _core.conv_backward(layout, shape, values, dy, x64)
    with pytest.raises(ValueError, match="does not fit"):
        ConvShape.of((1, 1, 2, 2), (3, 3), (1, 1), (0, 0), (1, 1), 1)
