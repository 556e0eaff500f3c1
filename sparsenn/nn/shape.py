"""Between rows of features, images, and their places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self, final

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.config import from_config, layer, to_config
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


@final
@layer
class OverPlaces(Module):
    """A module for rows of features, applied to the places of each channel.

    Parameters
    ----------
    module : Module
        (samples, places) to (samples, places); it sees batch * channels samples.

    References
    ----------
    The token mixing of Tolstikhin et al., "MLP-Mixer", arXiv:2105.01601.
    """

    def __init__(self, module: Module) -> None:
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, channels, height, width) in and out."""
        if x.ndim != 4:
            raise ValueError(
                f"OverPlaces takes (batch, channels, height, width), got {x.shape}"
            )
        batch, channels, height, width = x.shape
        places = height * width
        # In memory places come before channels here, and (channels, batch) is the
        # sample axis: what the module gets and returns is a view.
        x = ops.transpose(ops.reshape(x, (batch, channels, places)), (0, 2, 1))
        x = ops.transpose(ops.contiguous(x), (2, 0, 1))
        y = self.module(ops.reshape(x, (channels * batch, places)))
        y = ops.transpose(ops.reshape(y, (channels, batch, places)), (1, 0, 2))
        return ops.reshape(ops.contiguous(y), (batch, channels, height, width))

    def config(self) -> dict[str, Any]:
        """The module's own configuration."""
        return {"layers": [to_config(self.module)]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Builds the module from its configuration."""
        layers = config.get("layers")
        if set(config) != {"layers"} or not isinstance(layers, list):
            raise ValueError("an OverPlaces is described by a list of one layer")
        return cls(*map(from_config, layers))

    def children(self) -> Iterator[tuple[str, Module]]:
        """The module."""
        yield "module", self.module
