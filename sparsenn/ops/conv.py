"""Sparse convolutions and their derivatives, over images (batch, channels, h, w).

With S the pattern of W, whose columns are (channel of the group, tap row, tap column)::

    conv(v, x)    = W * x              (batch, n_out, out_h, out_w)
    conv_t(v, y)  = its gradient for x, given y for the result
    conv_w(a, b)  = its gradient for the values, given a for the result and b for x

As with `spmm`, `spmm_t` and `sddmm`, each one's derivatives are the other two, and
where nothing records one kernel gives both at once, in the same bits. There is no
im2col: every connection has an offset into a copy of x with margins
(``src/products/conv.h``). A full pattern with many channels a group goes to BLAS, tap
by tap.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, Literal

import numpy as np

from sparsenn import _core
from sparsenn.autograd import Tensor, is_recording
from sparsenn.autograd.array import as_order
from sparsenn.autograd.registry import Primitive, Sample, apply, primitive
from sparsenn.autograd.tensor import as_tensor, wrap
from sparsenn.ops.conv_shape import ConvShape, Pair
from sparsenn.ops.dense_conv import dense_conv, dense_conv_t, dense_conv_w
from sparsenn.ops.linear_activation import IDENTITY, RELU, activation_backward
from sparsenn.ops.patches import Patches
from sparsenn.ops.shape import reshape, transpose
from sparsenn.ops.sparse import linear
from sparsenn.sizes import pair, whole
from sparsenn.sparse import SparseParameter, SparsePattern

Factors = list[tuple[Any, Any]]


def _features(images: np.ndarray) -> np.ndarray:
    """(batch, channels * h * w), feature-major: a view of an activation."""
    return as_order(images, True).reshape(len(images), prod(images.shape[1:]))


def _conv(
    values: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    pattern: SparsePattern,
    shape: ConvShape,
    activation: int = IDENTITY,
    factors: Factors | None = None,
) -> np.ndarray:
    layout = shape.layout(pattern)
    out = (len(x), pattern.shape[0], *shape.out)
    if layout is None:
        y = dense_conv(values, x, shape=shape)
        if bias is not None:
            y += bias[:, None, None]
        return np.maximum(y, 0, out=y) if activation == RELU else y
    y = _core.conv(layout, shape, values, _features(x), bias, activation)
    return y.reshape(out)


def _conv_t(
    values: np.ndarray,
    y: np.ndarray,
    *,
    pattern: SparsePattern,
    shape: ConvShape,
    factors: Factors | None = None,
) -> np.ndarray:
    layout = shape.layout(pattern)
    if layout is None:
        return dense_conv_t(values, y, shape=shape)
    dx = _core.conv_t(layout, shape, values, _features(y))
    return dx.reshape(len(y), shape.channels, *shape.size)


def _conv_w(
    a: np.ndarray, b: np.ndarray, *, pattern: SparsePattern, shape: ConvShape
) -> np.ndarray:
    layout = shape.layout(pattern)
    if layout is None:
        return dense_conv_w(a, b, shape=shape)
    return _core.conv_w(layout, shape, _features(a), _features(b))


# ---------------------------------------------------------------- derivatives


def _backward(
    values: Tensor,
    g: Tensor,
    x: Tensor,
    needs: tuple[bool, bool],
    static: dict[str, Any],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of ``conv(values, x)`` for the values and for x."""
    static = {name: static[name] for name in ("pattern", "shape", "factors")}
    pattern, shape = static["pattern"], static["shape"]
    where = {"pattern": pattern, "shape": shape}
    if needs[0]:
        _note(static["factors"], g, x, shape)
    layout = shape.layout(pattern)
    if layout is not None and all(needs) and not is_recording():
        dx, dvalues = _core.conv_backward(
            layout, shape, values.data, _features(g.data), _features(x.data)
        )
        return wrap(dvalues), wrap(dx.reshape(x.shape))
    return (
        apply(conv_w_, (g, x), where) if needs[0] else None,
        apply(conv_t_, (values, g), static) if needs[1] else None,
    )


def _note(factors: Factors | None, dy: Tensor, x: Tensor, shape: ConvShape) -> None:
    """Factors of a derivative for the values, as `OuterSum` takes them."""
    if factors is not None:
        factors.append((tokens(dy).data, Patches(x.data, shape)))


def _conv_vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor, Tensor],
    needs: tuple[bool, bool, bool],
    *,
    activation: int,
    **static: Any,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    values, x, _ = inputs
    if out is not None or needs[2]:
        like = g.shape
        g, dbias = activation_backward(
            tokens(g), None if out is None else tokens(out), needs[2], activation
        )
        g = images(g, like)
    else:
        dbias = None
    return (*_backward(values, g, x, needs[:2], static), dbias)


def _conv_t_vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor],
    needs: tuple[bool, bool],
    *,
    pattern: SparsePattern,
    shape: ConvShape,
    factors: Factors | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    values, y = inputs
    where = {"pattern": pattern, "shape": shape}
    if needs[0]:
        _note(factors, y, g, shape)
    return (
        apply(conv_w_, (y, g), where) if needs[0] else None,
        _product(values, g, where | {"factors": factors}) if needs[1] else None,
    )


def _conv_w_vjp(
    g: Tensor,
    out: Tensor | None,
    inputs: tuple[Tensor, Tensor],
    needs: tuple[bool, bool],
    *,
    pattern: SparsePattern,
    shape: ConvShape,
) -> tuple[Tensor | None, Tensor | None]:
    a, b = inputs
    where = {"pattern": pattern, "shape": shape, "factors": None}
    return (
        _product(g, b, where) if needs[0] else None,
        apply(conv_t_, (g, a), where) if needs[1] else None,
    )


def _product(values: Tensor, x: Tensor, static: dict[str, Any]) -> Tensor:
    """Without bias and activation."""
    bias = wrap(np.zeros(static["pattern"].shape[0], values.dtype))
    return apply(conv_, (values, x, bias), {**static, "activation": IDENTITY})


# ---------------------------------------------------------------- primitives


def _shapes() -> Iterator[tuple[SparsePattern, ConvShape]]:
    """Patterns and shapes on which the primitives are tested."""
    rng = np.random.default_rng(0)
    for x, n_out, rest, density in (
        ((2, 3, 5, 4), 4, ((3, 3), (1, 1), (1, 1), (1, 1), 1), 0.4),
        ((1, 4, 7, 6), 6, ((3, 2), (2, 3), (2, 0), (1, 2), 2), 0.5),
        ((2, 3, 4, 4), 3, ((2, 2), (1, 1), (0, 0), (1, 1), 3), 1.0),
        ((2, 17, 3, 3), 18, ((2, 1), (2, 1), (1, 0), (1, 1), 1), 1.0),  # BLAS
        ((3, 2, 1, 9), 5, ((1, 4), (1, 2), (0, 3), (1, 1), 1), 0.3),
        ((2, 2, 5, 5), 3, ((1, 1), (2, 2), (0, 0), (1, 1), 1), 0.6),
        ((1, 34, 2, 2), 34, ((2, 1), (1, 1), (0, 0), (1, 1), 2), 1.0),  # BLAS
    ):
        shape = ConvShape.of(x, *rest)
        columns = shape.channels // shape.groups * shape.taps
        mask = rng.random((n_out, columns)) < density
        yield SparsePattern.from_mask(mask), shape


def _samples(kind: str, rng: np.random.Generator) -> Iterator[Sample]:
    for pattern, shape in _shapes():
        x = rng.standard_normal((shape.batch, shape.channels, *shape.size))
        y = rng.standard_normal((shape.batch, pattern.shape[0], *shape.out))
        x, y = as_order(x, True), as_order(y, True)
        values = rng.standard_normal(pattern.nnz)
        bias = rng.standard_normal(pattern.shape[0])
        static: dict[str, Any] = {"pattern": pattern, "shape": shape}
        if kind == "conv_t":
            yield Sample((values, y), static)
        elif kind == "conv_w":
            yield Sample((y, x), static)
        else:
            activation = IDENTITY
            if kind == "conv_relu":  # channels that are on, and off, as a whole
                activation, bias = RELU, np.where(bias > 0, 30.0, -30.0)
            static |= {"activation": activation, "factors": None}
            yield Sample((values, x, bias), static)


def _weight(values: np.ndarray, pattern: SparsePattern, shape: ConvShape) -> np.ndarray:
    """Dense, (groups, n_out / groups, channels / groups, taps)."""
    dense = pattern.to_scipy(values).toarray()
    each = shape.channels // shape.groups
    return dense.reshape(shape.groups, -1, each, shape.taps)


def _unfold(x: np.ndarray, shape: ConvShape) -> np.ndarray:
    """im2col, (batch, groups, channels / groups, taps, out_h, out_w)."""
    (ph, pw), (sh, sw), (dh, dw) = shape.padding, shape.stride, shape.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    down, along = sh * (shape.out[0] - 1) + 1, sw * (shape.out[1] - 1) + 1
    taps = [
        padded[:, :, i * dh : i * dh + down : sh, j * dw : j * dw + along : sw]
        for i in range(shape.kernel[0])
        for j in range(shape.kernel[1])
    ]
    columns = np.stack(taps, axis=2)
    each = shape.channels // shape.groups
    return columns.reshape(len(x), shape.groups, each, *columns.shape[2:])


def _conv_reference(
    values: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray,
    *,
    pattern: SparsePattern,
    shape: ConvShape,
    activation: int,
    factors: Factors | None,
) -> np.ndarray:
    w = _weight(values, pattern, shape)
    y = np.einsum("goct,bgcthw->bgohw", w, _unfold(x, shape))
    y = y.reshape(len(x), len(bias), *shape.out) + bias[:, None, None]
    return np.maximum(y, 0) if activation == RELU else y


def _conv_t_reference(
    values: np.ndarray, y: np.ndarray, *, pattern: SparsePattern, shape: ConvShape
) -> np.ndarray:
    w = _weight(values, pattern, shape)
    grouped = y.reshape(len(y), shape.groups, w.shape[1], *shape.out)
    columns = np.einsum("goct,bgohw->bgcthw", w, grouped)
    (ph, pw), (sh, sw), (dh, dw) = shape.padding, shape.stride, shape.dilation
    height, width = shape.size[0] + 2 * ph, shape.size[1] + 2 * pw
    padded = np.zeros((len(y), shape.channels, height, width))
    down, along = sh * (shape.out[0] - 1) + 1, sw * (shape.out[1] - 1) + 1
    parts = columns.reshape(len(y), shape.channels, shape.taps, *shape.out)
    for tap in range(shape.taps):
        i, j = divmod(tap, shape.kernel[1])
        rows = slice(i * dh, i * dh + down, sh)
        padded[:, :, rows, j * dw : j * dw + along : sw] += parts[:, :, tap]
    return padded[:, :, ph : height - ph, pw : width - pw]


def _conv_w_reference(
    a: np.ndarray, b: np.ndarray, *, pattern: SparsePattern, shape: ConvShape
) -> np.ndarray:
    each = a.shape[1] // shape.groups
    grouped = a.reshape(len(a), shape.groups, each, *shape.out)
    w = np.einsum("bgohw,bgcthw->goct", grouped, _unfold(b, shape))
    return w.reshape(pattern.shape)[pattern.positions()]


# Two primitives, because only the one with an activation needs its result again.
conv_: Primitive = primitive(
    "conv",
    _conv,
    _conv_vjp,
    saves=("1", "0", ""),
    sample=lambda rng: _samples("conv", rng),
    reference=_conv_reference,
)
conv_relu_: Primitive = primitive(
    "conv_relu",
    _conv,
    _conv_vjp,
    saves=("1o", "0o", "o"),
    sample=lambda rng: _samples("conv_relu", rng),
    reference=_conv_reference,
)
conv_t_: Primitive = primitive(
    "conv_t",
    _conv_t,
    _conv_t_vjp,
    saves=("1", "0"),
    sample=lambda rng: _samples("conv_t", rng),
    reference=_conv_t_reference,
)
conv_w_: Primitive = primitive(
    "conv_w",
    _conv_w,
    _conv_w_vjp,
    saves=("1", "0"),
    sample=lambda rng: _samples("conv_w", rng),
    reference=_conv_w_reference,
)


# ---------------------------------------------------------------- functions


def tokens(images: Tensor) -> Tensor:
    """(batch, channels, h, w) as (h * w * batch, channels), a view of an activation."""
    batch, channels, height, width = images.shape
    pixels = transpose(images, (2, 3, 0, 1))
    return reshape(pixels, (height * width * batch, channels))


def images(tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The inverse of `tokens`."""
    batch, channels, height, width = shape
    pixels = reshape(tokens, (height, width, batch, channels))
    return transpose(pixels, (2, 3, 0, 1))


def conv2d(
    x: Any,
    weight: SparseParameter,
    bias: Tensor | None = None,
    *,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    activation: Literal["relu"] | None = None,
) -> Tensor:
    """``activation(W * x + bias)``, cross-correlation of images with sparse kernels.

    Parameters
    ----------
    x : Tensor or ndarray, shape (batch, channels, height, width)
        Converted to the weight's dtype.
    weight : SparseParameter, shape (n_out, channels / groups * kernel h * kernel w)
        Columns run through the channels of a group, and for each through the rows and
        columns of its kernel.
    bias : Tensor, shape (n_out,), or None
    kernel, stride, padding, dilation : tuple of int
        (height, width); padding with zeros on both sides.
    groups : int
        Output channels of a group see its share of the channels only.
    activation : {"relu"} or None

    Returns
    -------
    Tensor, shape (batch, n_out, out height, out width)

    Raises
    ------
    ValueError
        If a size is out of range, or shapes do not fit each other.

    Notes
    -----
    Time and memory are those of the connections: nothing is unfolded. A pointwise
    convolution is the product of :func:`linear`.
    """
    if activation not in (None, "relu"):
        raise ValueError(f"activation must be None or 'relu', got {activation!r}")
    x = as_tensor(x)
    weight.check_stored("used by a convolution")
    pattern, dtype = weight.pattern, weight.dtype
    kernel, stride = pair("kernel", kernel), pair("stride", stride)
    padding, dilation = pair("padding", padding, 0), pair("dilation", dilation)
    groups = whole("groups", groups)
    n_out, n_columns = pattern.shape
    channels = n_columns // (kernel[0] * kernel[1]) * groups
    if n_out % groups or n_columns % (kernel[0] * kernel[1]):
        raise ValueError(
            f"conv2d: a weight of shape {pattern.shape} has no rows for {groups} "
            f"group(s) or no columns for kernels of {kernel}: numbers must be multiples"
        )
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(
            f"conv2d: x must have shape (batch, {channels}, height, width) for a "
            f"weight of shape {pattern.shape}, kernels of {kernel} and {groups} "
            f"group(s), got {x.shape}"
        )
    if x.dtype != dtype:
        x = x.astype(dtype)
    shape = ConvShape.of(x.shape, kernel, stride, padding, dilation, groups)
    if shape.pointwise:
        y = linear(tokens(x), weight, bias, activation=activation)
        return images(y, (len(x), n_out, *shape.out))
    if weight.observer is not None:
        weight.observer(Patches(x.data, shape))
    values = weight.values if weight.gate is None else weight.gate(weight.values)
    if bias is None:
        bias = wrap(np.zeros(n_out, dtype))
    elif bias.shape != (n_out,) or bias.dtype != dtype:
        raise ValueError(
            f"bias must be {dtype} of shape ({n_out},), got {bias.dtype} of shape "
            f"{bias.shape}"
        )
    static = {
        "pattern": pattern,
        "shape": shape,
        "activation": IDENTITY if activation is None else RELU,
        "factors": weight.factors,
    }
    return apply(conv_ if activation is None else conv_relu_, (values, x, bias), static)
