"""Between rows of features and images."""

from __future__ import annotations

from typing import Any, ClassVar, final

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module


@final
@layer
class Flatten(Module):
    """(batch, ...) to (batch, features), a view of the same memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, features)."""
        return ops.flatten(x)

    def config(self) -> dict[str, Any]:
        """No arguments."""
        return {}


@final
@layer
class ToImage(Module):
    """Rows of a data set to images (batch, channels, height, width).

    Data sets hold images as (height, width, channels), flattened in a batch. Of one
    channel the result is a view; of more, channels move before places, a copy of whole
    batches of one pixel. What is an image of these sizes already stays as it is.

    Parameters
    ----------
    channels, height, width : int
    """

    takes_sparse: ClassVar[bool] = False

    def __init__(self, channels: int, height: int, width: int) -> None:
        if min(channels, height, width) < 1:
            raise ValueError(
                f"channels, height and width must be at least 1, got {channels}, "
                f"{height}, {width}"
            )
        self.channels, self.height, self.width = channels, height, width

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One row."""
        return (self.channels * self.height * self.width,)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height * width * channels) to (batch, channels, height, width)."""
        shape = (self.channels, self.height, self.width)
        if x.shape[1:] == shape:
            return x
        if x.shape[1:] != self.input_shape:
            raise ValueError(
                f"ToImage{shape} takes rows of {self.input_shape[0]} features, or "
                f"(batch, {', '.join(map(str, shape))}); got {x.shape}"
            )
        x = ops.reshape(x, (x.shape[0], self.height, self.width, self.channels))
        return ops.contiguous(ops.transpose(x, (0, 3, 1, 2)))

    def config(self) -> dict[str, Any]:
        """Sizes."""
        return {"channels": self.channels, "height": self.height, "width": self.width}
