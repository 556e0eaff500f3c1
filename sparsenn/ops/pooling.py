"""Maxima and means over windows of images.

Every tap of a window, as (row, column) within it, is one strided view of the image; in
memory the samples of a pixel lie together, so that each pass over a tap is contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsenn.autograd.array import as_order, empty, is_activation
from sparsenn.autograd.registry import Sample, apply1, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor
from sparsenn.ops.arithmetic import mul
from sparsenn.sizes import pair

__all__ = ["avg_pool2d", "max_pool2d"]

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the windows of a pooling lie on an image of height and width `size`."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair

    @property
    def out(self) -> Pair:
        """Windows along each axis."""
        height, width = (
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(
                self.size, self.kernel, self.stride, self.padding, strict=True
            )
        )
        return height, width

    def taps(self) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """Of each tap the pixels that it meets, and the windows that meet one there."""
        everything = (slice(None), slice(None))
        for i in range(self.kernel[0]):
            rows = self._along(0, i)
            for j in range(self.kernel[1]):
                columns = self._along(1, j)
                yield (
                    (*everything, rows[0], columns[0]),
                    (*everything, rows[1], columns[1]),
                )

    def _along(self, axis: int, tap: int) -> tuple[slice, slice]:
        n, step = self.size[axis], self.stride[axis]
        first = tap - self.padding[axis]  # the pixel that the first window meets
        start = max(0, -(first // step))
        stop = min(self.out[axis], (n - 1 - first) // step + 1)
        stop = max(stop, start)
        pixel = first + start * step
        return slice(pixel, pixel + (stop - start - 1) * step + 1 if stop > start
                     else pixel, step), slice(start, stop)  # fmt: skip


def _outer(x: np.ndarray, windows: Windows) -> tuple[int, ...]:
    return (*x.shape[:2], *windows.out)


# ----------------------------------------------------------------------------- maxima


def _max_forward(x: np.ndarray, windows: Windows) -> np.ndarray:
    out = empty(_outer(x, windows), x.dtype)
    out[...] = -np.inf
    for pixels, met in windows.taps():
        np.maximum(out[met], x[pixels], out=out[met])
    return out


def _winners(x: np.ndarray, out: np.ndarray, windows: Windows) -> np.ndarray:
    """The first tap that holds the maximum of each window."""
    taps = list(windows.taps())
    found = empty(out.shape, np.min_scalar_type(len(taps)))
    found[...] = 0
    for tap in range(len(taps) - 1, -1, -1):
        pixels, met = taps[tap]
        np.copyto(found[met], tap, where=x[pixels] == out[met], casting="unsafe")
    return found


def _max_vjp(
    g: Tensor, out: Tensor, inputs: tuple, needs: tuple, windows: Windows
) -> tuple:
    x = inputs[0]._data
    static = {
        "windows": windows,
        "winners": _winners(x, out._data, windows),
        "activation": is_activation(x),
    }
    return (apply1(_SPREAD_TO_WINNERS, g, static),)


def _spread_forward(
    g: np.ndarray, windows: Windows, winners: np.ndarray, activation: bool
) -> np.ndarray:
    x = empty((*g.shape[:2], *windows.size), g.dtype)
    x[...] = 0
    for tap, (pixels, met) in enumerate(windows.taps()):
        x[pixels] += g[met] * (winners[met] == tap)
    return as_order(x, activation)


def _spread_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    windows: Windows,
    winners: np.ndarray,
    activation: bool,
) -> tuple:
    static = {"windows": windows, "winners": winners, "activation": activation}
    return (apply1(_PICK_WINNERS, g, static),)


def _pick_forward(
    x: np.ndarray, windows: Windows, winners: np.ndarray, activation: bool
) -> np.ndarray:
    out = empty(_outer(x, windows), x.dtype)
    out[...] = 0
    for tap, (pixels, met) in enumerate(windows.taps()):
        np.copyto(out[met], x[pixels], where=winners[met] == tap)
    return as_order(out, activation)


def _pick_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    windows: Windows,
    winners: np.ndarray,
    activation: bool,
) -> tuple:
    static = {"windows": windows, "winners": winners, "activation": activation}
    return (apply1(_SPREAD_TO_WINNERS, g, static),)


# ------------------------------------------------------------------------------- sums


def _sum_forward(x: np.ndarray, windows: Windows, activation: bool) -> np.ndarray:
    out = empty(_outer(x, windows), x.dtype)
    out[...] = 0
    for pixels, met in windows.taps():
        out[met] += x[pixels]
    return as_order(out, activation)


def _sum_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    windows: Windows,
    activation: bool,
) -> tuple:
    return (apply1(_SPREAD, g, {"windows": windows, "activation": activation}),)


def _spread_sum_forward(
    g: np.ndarray, windows: Windows, activation: bool
) -> np.ndarray:
    x = empty((*g.shape[:2], *windows.size), g.dtype)
    x[...] = 0
    for pixels, met in windows.taps():
        x[pixels] += g[met]
    return as_order(x, activation)


def _spread_sum_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    windows: Windows,
    activation: bool,
) -> tuple:
    return (apply1(_SUM_WINDOWS, g, {"windows": windows, "activation": activation}),)


# ----------------------------------------------------------------------- registration

_WINDOWS = (
    Windows((4, 5), (2, 2), (2, 2), (0, 0)),
    Windows((3, 4), (3, 2), (1, 2), (1, 0)),  # windows overlap and stick out
    Windows((5, 3), (2, 3), (3, 1), (1, 1)),  # and leave gaps
)


def _cases(rng: np.random.Generator, *, outer: bool, **static: Any) -> list[Sample]:
    return [
        Sample(
            (draw(rng, (2, 2, *(windows.out if outer else windows.size))),),
            {"windows": windows, **static},
        )
        for windows in _WINDOWS
    ]


def _with_winners(rng: np.random.Generator, *, outer: bool) -> list[Sample]:
    found = []
    for sample in _cases(rng, outer=outer, activation=True):
        windows = sample.static["windows"]
        x = draw(rng, (2, 2, *windows.size))
        winners = _winners(x, _max_forward(x, windows), windows)
        found.append(Sample(sample.inputs, {**sample.static, "winners": winners}))
    return found


def _reference(x: np.ndarray, windows: Windows, fill: float) -> np.ndarray:
    """The numbers of each window along two new last axes."""
    (p, q), (s, t) = windows.padding, windows.stride
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, windows.kernel, (2, 3))
    return view[:, :, ::s, ::t]


_MAX_POOL = primitive(
    "max_pool2d",
    _max_forward,
    _max_vjp,
    saves=("0o",),
    sample=lambda rng: _cases(rng, outer=False),
    reference=lambda x, windows: _reference(x, windows, -np.inf).max((-2, -1)),
)
_SPREAD_TO_WINNERS = primitive(
    "spread_to_winners",
    _spread_forward,
    _spread_vjp,
    sample=lambda rng: _with_winners(rng, outer=True),
)
_PICK_WINNERS = primitive(
    "pick_winners",
    _pick_forward,
    _pick_vjp,
    sample=lambda rng: _with_winners(rng, outer=False),
)
_SUM_WINDOWS = primitive(
    "sum_windows",
    _sum_forward,
    _sum_vjp,
    sample=lambda rng: _cases(rng, outer=False, activation=True),
    reference=lambda x, windows, activation: _reference(x, windows, 0).sum((-2, -1)),
)
_SPREAD = primitive(
    "spread_windows",
    _spread_sum_forward,
    _spread_sum_vjp,
    sample=lambda rng: _cases(rng, outer=True, activation=True),
)


# --------------------------------------------------------------------------- functions


def _windows(
    x: Tensor,
    kernel: int | Pair,
    stride: int | Pair | None,
    padding: int | Pair,
) -> Windows:
    if x.ndim != 4:
        raise ValueError(
            f"pooling takes (batch, channels, height, width), got {x.shape}"
        )
    windows = Windows(
        (x.shape[2], x.shape[3]),
        pair("kernel_size", kernel),
        pair("stride", kernel if stride is None else stride),
        pair("padding", padding, 0),
    )
    for k, p in zip(windows.kernel, windows.padding, strict=True):
        if 2 * p > k:
            raise ValueError(
                f"padding {windows.padding} is more than half of the kernel "
                f"{windows.kernel}: a window could lie outside of the image"
            )
    if min(windows.out) < 1:
        raise ValueError(
            f"an image of {windows.size} with padding {windows.padding} is smaller "
            f"than the kernel {windows.kernel}"
        )
    return windows


def max_pool2d(
    x: Any,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
) -> Tensor:
    """The largest number of each window.

    Parameters
    ----------
    x : Tensor or array_like, shape (batch, channels, height, width)
    kernel_size : int or pair
        Height and width of a window.
    stride : int or pair, optional
        Between windows; by default `kernel_size`, so that they do not overlap.
    padding : int or pair
        Pixels around the image that no window picks; at most half of `kernel_size`.

    Returns
    -------
    Tensor, shape (batch, channels, height', width')
        ``height' = (height + 2 padding - kernel_size) // stride + 1``. Of equal numbers
        the first in the window gets the gradient.
    """
    x = as_tensor(x)
    static = {"windows": _windows(x, kernel_size, stride, padding)}
    return apply1(_MAX_POOL, x, static)


def avg_pool2d(
    x: Any,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
) -> Tensor:
    """The mean of each window, in which padding counts as zeros.

    Parameters and result as for `max_pool2d`.
    """
    x = as_tensor(x)
    windows = _windows(x, kernel_size, stride, padding)
    static = {"windows": windows, "activation": is_activation(x._data)}
    total = apply1(_SUM_WINDOWS, x, static)
    return mul(total, 1 / (windows.kernel[0] * windows.kernel[1]))
