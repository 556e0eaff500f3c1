"""Layers one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, final

from sparsenn.autograd import Tensor
from sparsenn.nn.activation import ReLU
from sparsenn.nn.config import from_config, is_layer, layer, to_config
from sparsenn.nn.conv import Conv1d, Conv2d
from sparsenn.nn.linear import Linear
from sparsenn.nn.module import Module
from sparsenn.nn.recurrent import FinalState, Outputs
from sparsenn.nn.residual import Identity, Residual
from sparsenn.sparse import SparseParameter

# Their kernels apply a ReLU that follows.
_FUSED = (Linear, Conv1d, Conv2d)

# They take what a recurrent layer gives, or pass it on.
_TAKE_TUPLES = (Outputs, FinalState, Identity, Residual)


@final
@layer
class Sequential(Module):
    """Applies modules in order.

    A linear or convolutional layer followed by a :class:`ReLU` runs as one fused
    kernel, with the same bits.

    Parameters
    ----------
    *layers : Module
    """

    def __init__(self, *layers: Module) -> None:
        for i, module in enumerate(layers):
            if not isinstance(module, Module):
                raise TypeError(
                    f"layer {i} of a Sequential is a {type(module).__name__}, "
                    "not a Module"
                )
        self.layers = list(layers)

    takes_sparse: ClassVar[bool] = True

    def accept(self, x: Any) -> Any:
        """What the first layer accepts."""
        return self.layers[0].accept(x) if self.layers else super().accept(x)

    def forward(self, x: Any) -> Tensor:
        """Output of the last layer."""
        i = 0
        while i < len(self.layers):
            module = self.layers[i]
            if i and isinstance(x, tuple):
                _check_takes_tuple(module, self.layers[i - 1], i)
            x = module.accept(x)
            following = self.layers[i + 1] if i + 1 < len(self.layers) else None
            if isinstance(module, _FUSED) and type(following) is ReLU:
                x = module.forward(x, activation="relu")
                i += 2
            else:
                x = module.forward(x)
                i += 1
        return x

    def children(self) -> Iterator[tuple[str, Module]]:
        """The layers, named by their numbers."""
        for i, module in enumerate(self.layers):
            yield str(i), module

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """What the first layer takes, as far as it says."""
        return self.layers[0].input_shape if self.layers else None

    @property
    def signal_shape(self) -> tuple[int, ...] | None:
        """That of the first layer which says one, over two steps if states follow."""
        found = (layer.signal_shape for layer in self.layers)
        shape = next((shape for shape in found if shape is not None), None)
        walks = any(module.walks_steps for _, module in self.named_modules())
        return (2, *shape) if shape and len(shape) == 1 and walks else shape

    def chain(self) -> list[SparseParameter]:
        """The layers' weights, in order."""
        return [weight for module in self.layers for weight in module.chain()]

    def config(self) -> dict[str, Any]:
        """The layers' own configurations."""
        return {"layers": [to_config(module) for module in self.layers]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        """Builds each layer from its configuration."""
        layers = config.get("layers")
        if set(config) != {"layers"} or not isinstance(layers, list):
            raise ValueError("a Sequential is described by a list of layers")
        return cls(*map(from_config, layers))

    def __len__(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def __getitem__(self, index: int) -> Module:
        """Layer by number."""
        return self.layers[index]

    def __repr__(self) -> str:
        """The layers, one a line."""
        lines = "".join(
            f"\n({i}): {m!r}".replace("\n", "\n  ") for i, m in enumerate(self.layers)
        )
        return f"Sequential({lines}\n)" if lines else "Sequential()"


def _check_takes_tuple(module: Module, before: Module, i: int) -> None:
    """TypeError if layer i takes one array, not what a recurrent layer gives."""
    first = module
    while isinstance(first, Sequential) and first.layers:
        first = first.layers[0]
    if is_layer(first) and not isinstance(first, (*_TAKE_TUPLES, Sequential)):
        raise TypeError(
            f"layer {i} ({type(first).__name__}) takes one array, layer {i - 1} "
            f"({type(before).__name__}) gives a tuple of outputs and state; put "
            "nn.Outputs() or nn.FinalState() between them"
        )
