"""Pooling over windows of images and sequences, and over all of their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, final

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module
from sparsenn.sizes import pair, whole


class _Pool(Module):
    """Sizes of windows, as numbers or pairs; files hold six numbers."""

    unitwise: ClassVar[bool] = False

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", self.kernel_size if stride is None else stride)
        self.padding = pair("padding", padding, 0)

    def config(self) -> dict[str, Any]:
        """Kernel, stride and padding along height and width."""
        names = ("kernel_size", "stride", "padding")
        return {
            f"{name}_{axis}": getattr(self, name)[i]
            for name in names
            for i, axis in enumerate(("height", "width"))
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Module:
        """Builds a layer of the sizes that :meth:`config` listed."""
        names = ("kernel_size", "stride", "padding")
        try:
            pairs = [(config[f"{n}_height"], config[f"{n}_width"]) for n in names]
        except KeyError as error:
            raise ValueError(f"{cls.__name__} lacks {error}") from error
        return cls(*pairs)

    def __repr__(self) -> str:
        """Class name and sizes."""
        return (
            f"{type(self).__name__}({self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding})"
        )


@final
@layer
class MaxPool2d(_Pool):
    """The largest number of each window (:func:`sparsenn.ops.max_pool2d`).

    Parameters
    ----------
    kernel_size : int or pair
        Height and width of a window.
    stride : int or pair, optional
        Between windows, by default `kernel_size`.
    padding : int or pair
        Around the image, at most half of `kernel_size`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels, height', width')."""
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding)

    def paths(self, x: Tensor) -> Tensor:
        """The mean: a path leads through every pixel of a window."""
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


@final
@layer
class AvgPool2d(_Pool):
    """The mean of each window, padding counted as zeros.

    Parameters are those of :class:`MaxPool2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels, height', width')."""
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class _Pool1d(Module):
    """Sizes of windows of sequences, which are images of height 1."""

    unitwise: ClassVar[bool] = False

    def __init__(
        self, kernel_size: int, stride: int | None = None, padding: int = 0
    ) -> None:
        self.kernel_size = whole("kernel_size", kernel_size)
        self.stride = whole("stride", kernel_size if stride is None else stride)
        self.padding = whole("padding", padding, 0)

    def config(self) -> dict[str, Any]:
        """Kernel, stride and padding."""
        names = ("kernel_size", "stride", "padding")
        return {name: getattr(self, name) for name in names}

    def _pool(self, pool: Callable[..., Tensor], x: Tensor) -> Tensor:
        if x.ndim != 3:
            raise ValueError(
                f"{type(self).__name__} takes (batch, channels, length), got {x.shape}"
            )
        sizes = (1, self.kernel_size), (1, self.stride), (0, self.padding)
        return ops.squeeze(pool(ops.expand_dims(x, 2), *sizes), 2)


@final
@layer
class MaxPool1d(_Pool1d):
    """The largest number of each window of a sequence.

    Parameters
    ----------
    kernel_size : int
        Places of a window.
    stride : int, optional
        Between windows, by default `kernel_size`.
    padding : int
        At both ends, at most half of `kernel_size`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, length) to (batch, channels, length')."""
        return self._pool(ops.max_pool2d, x)

    def paths(self, x: Tensor) -> Tensor:
        """The mean: a path leads through every place of a window."""
        return self._pool(ops.avg_pool2d, x)


@final
@layer
class AvgPool1d(_Pool1d):
    """The mean of each window of a sequence, padding counted as zeros.

    Parameters are those of :class:`MaxPool1d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, length) to (batch, channels, length')."""
        return self._pool(ops.avg_pool2d, x)


@final
@layer
class GlobalAvgPool(Module):
    """The mean of each channel over all places: (batch, channels, ...) to a matrix."""

    unitwise: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, channels)."""
        if x.ndim < 3:
            raise ValueError(
                f"GlobalAvgPool takes (batch, channels, ...) with axes to average "
                f"over, got {x.shape}"
            )
        return ops.mean(x, axis=tuple(range(2, x.ndim)))

    def config(self) -> dict[str, Any]:
        """No arguments."""
        return {}
