"""Convolution with a full weight: one matrix product a tap and line, no im2col.

An image is copied once with its margins, sorted by phase as the compiled core does it
(``src/products/conv.h``), so that a line of outputs under one tap is a matrix
(channels, width * batch) that BLAS takes where it lies.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsenn.autograd.array import empty, sample_last
from sparsenn.autograd.matmul import share
from sparsenn.ops.conv_shape import ConvShape

# Of output (channels, lines, width * batch) and line: the matrix of each tap.
_Lines = Callable[[int, int], np.ndarray]


def _axis(shape: ConvShape, a: int) -> tuple[int, int, list[tuple[int, int]]]:
    """(stride, pixels of a phase, and (rest, shift) of every tap) along an axis."""
    stride, dilation = shape.stride[a], shape.dilation[a]
    taps = [divmod(i * dilation, stride) for i in range(shape.kernel[a])]
    reach = taps[-1][0]
    return stride, shape.out[a] + reach, [(rest, shift) for shift, rest in taps]


def _input_phases(shape: ConvShape, x: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """(channels, lines, width * batch) of x with its margins, by phase."""
    down, lines, rows = _axis(shape, 0)
    along, width, columns = _axis(shape, 1)
    images = sample_last(x)
    found: dict[tuple[int, int], np.ndarray] = {}
    for i in sorted({rest for rest, _ in rows}):
        for j in sorted({rest for rest, _ in columns}):
            phase = np.zeros((shape.channels, lines, width, shape.batch), x.dtype)
            (to_h, from_h) = _overlap(lines, down, i - shape.padding[0], shape.size[0])
            (to_w, from_w) = _overlap(width, along, j - shape.padding[1], shape.size[1])
            phase[:, to_h, to_w] = images[:, from_h, from_w]
            found[i, j] = phase.reshape(shape.channels, lines, width * shape.batch)
    return found


def _overlap(n: int, stride: int, first: int, size: int) -> tuple[slice, slice]:
    """The q in 0 .. n where ``stride * q + first`` is in 0 .. size; those places."""
    begin = max(0, -(first // stride))
    end = max(begin, min(n, (size - 1 - first) // stride + 1))
    if begin == end:
        return slice(0, 0), slice(0, 0)
    low = stride * begin + first
    return slice(begin, end), slice(low, low + stride * (end - begin - 1) + 1, stride)


def _groups(n: int, groups: int) -> list[slice]:
    return [slice(n // groups * g, n // groups * (g + 1)) for g in range(groups)]


def dense_conv(values: np.ndarray, x: np.ndarray, *, shape: ConvShape) -> np.ndarray:
    """``W * x``, shape (batch, n_out, out height, out width).

    Parameters
    ----------
    values : ndarray, shape (n_out * channels / groups * taps,)
        W in C order.
    x : ndarray, shape (batch, channels, height, width)
    shape : ConvShape
    """
    w = _weight(values, shape)
    n_out, batch = w.shape[2], shape.batch
    y = empty((batch, n_out, *shape.out), x.dtype)
    to = sample_last(y).reshape(n_out, shape.out[0], shape.out[1] * batch)
    phases = _input_phases(shape, x)
    taps = _taps(shape)
    outs, ins = _groups(n_out, shape.groups), _groups(shape.channels, shape.groups)
    length = shape.out[1] * batch

    def line(h: int) -> None:
        for g_out, g_in in zip(outs, ins, strict=True):
            total = np.zeros((n_out // shape.groups, length), x.dtype)
            for (i, j), phase, (down, along) in taps:
                begin = along * batch
                part = phases[phase][g_in, h + down, begin : begin + length]
                total += np.matmul(w[i, j, g_out], part)
            to[g_out, h] = total

    share(line, shape.out[0])
    return y


def dense_conv_t(values: np.ndarray, dy: np.ndarray, *, shape: ConvShape) -> np.ndarray:
    """The gradient of `dense_conv` for x."""
    w = _weight(values, shape)
    n_out, batch = w.shape[2], shape.batch
    _, lines, _ = _axis(shape, 0)
    _, width, _ = _axis(shape, 1)
    length = shape.out[1] * batch
    from_ = sample_last(dy).reshape(n_out, shape.out[0], length)
    dx = empty((batch, shape.channels, *shape.size), dy.dtype)
    dx[...] = 0
    images = sample_last(dx)
    outs, ins = _groups(n_out, shape.groups), _groups(shape.channels, shape.groups)
    taps = _taps(shape)
    for here in sorted({phase for _, phase, _ in taps}):
        total = np.zeros((shape.channels, lines, width * batch), dy.dtype)
        mine = [(at, shift) for at, phase, shift in taps if phase == here]

        def line(q: int, mine: list = mine, total: np.ndarray = total) -> None:
            for (i, j), (down, along) in mine:
                if not 0 <= q - down < shape.out[0]:
                    continue
                begin = along * batch
                for g_out, g_in in zip(outs, ins, strict=True):
                    part = np.matmul(w[i, j, g_out].T, from_[g_out, q - down])
                    total[g_in, q, begin : begin + length] += part

        share(line, lines)
        phase = total.reshape(shape.channels, lines, width, batch)
        to_h, from_h = _overlap(
            lines, shape.stride[0], here[0] - shape.padding[0], shape.size[0]
        )
        to_w, from_w = _overlap(
            width, shape.stride[1], here[1] - shape.padding[1], shape.size[1]
        )
        images[:, from_h, from_w] += phase[:, to_h, to_w]
    return dx


def dense_conv_w(dy: np.ndarray, x: np.ndarray, *, shape: ConvShape) -> np.ndarray:
    """The gradient of `dense_conv` for the values."""
    n_out, batch = dy.shape[1], shape.batch
    length = shape.out[1] * batch
    from_ = sample_last(dy).reshape(n_out, shape.out[0], length)
    phases = _input_phases(shape, x)
    outs, ins = _groups(n_out, shape.groups), _groups(shape.channels, shape.groups)
    each = shape.channels // shape.groups
    out = np.zeros((n_out, each, *shape.kernel), dy.dtype)
    taps = _taps(shape)

    def tap(t: int) -> None:
        (i, j), phase, (down, along) = taps[t]
        begin = along * batch
        for g_out, g_in in zip(outs, ins, strict=True):
            total = np.zeros((n_out // shape.groups, each), dy.dtype)
            for h in range(shape.out[0]):
                part = phases[phase][g_in, h + down, begin : begin + length]
                total += np.matmul(from_[g_out, h], part.T)
            out[g_out, :, i, j] = total

    share(tap, len(taps))
    return out.reshape(-1)


def _weight(values: np.ndarray, shape: ConvShape) -> np.ndarray:
    """W as (tap row, tap column, n_out, channels of a group), matrices in one piece."""
    each = shape.channels // shape.groups
    w = values.reshape(-1, each, *shape.kernel)
    return np.ascontiguousarray(w.transpose(2, 3, 0, 1))


def _taps(
    shape: ConvShape,
) -> list[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """(place in the kernel, phase, shift) of every tap."""
    _, _, rows = _axis(shape, 0)
    _, _, columns = _axis(shape, 1)
    return [
        ((i, j), (rows[i][0], columns[j][0]), (rows[i][1], columns[j][1]))
        for i in range(shape.kernel[0])
        for j in range(shape.kernel[1])
    ]
