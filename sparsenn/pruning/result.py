"""What a pruning function did, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from sparsenn.pruning.weights import Weight


@final
@dataclass(frozen=True)
class LayerResult:
    """One weight before and after pruning.

    Attributes
    ----------
    name : str
    shape : tuple of int
        (n_out, n_in).
    before, after : int
        Connections.
    """

    name: str
    shape: tuple[int, ...]
    before: int
    after: int

    @property
    def density(self) -> float:
        """Connections afterwards over positions; 0 if there is no position."""
        positions = self.shape[0] * self.shape[1]
        return self.after / positions if positions else 0.0


@final
@dataclass(frozen=True)
class Result:
    """What a pruning function did to a network.

    Attributes
    ----------
    method : str
    layers : tuple of LayerResult
    rounds : int
        Times that connections were scored.
    effective : int or None
        Connections on a path from an input to an output, where the method knows.
    warnings : tuple of str
        For instance layers that lost every connection.
    """

    method: str
    layers: tuple[LayerResult, ...]
    rounds: int = 1
    effective: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def before(self) -> int:
        """Connections of the network before."""
        return sum(layer.before for layer in self.layers)

    @property
    def after(self) -> int:
        """Connections of the network afterwards."""
        return sum(layer.after for layer in self.layers)

    @property
    def density(self) -> float:
        """Of the whole network afterwards, all weights counted."""
        positions = sum(layer.shape[0] * layer.shape[1] for layer in self.layers)
        return self.after / positions if positions else 0.0

    def __repr__(self) -> str:
        """A table of the layers, then warnings."""
        rounds = f", {self.rounds} rounds" if self.rounds != 1 else ""
        lines = [
            f"{self.method}: {self.before:,} -> {self.after:,} connections, density "
            f"{self.density:.4g}{rounds}"
        ]
        if self.effective is not None:
            lines[0] += f", {self.effective:,} on a path from input to output"
        width = max((len(layer.name) for layer in self.layers), default=0)
        shapes = [" x ".join(map(str, layer.shape)) for layer in self.layers]
        shape_width = max(map(len, shapes), default=0)
        for layer, shape in zip(self.layers, shapes, strict=True):
            lines.append(
                f"  {layer.name:<{width}}  {shape:>{shape_width}}  "
                f"{layer.before:>13,} -> {layer.after:>11,}  {layer.density:.4g}"
            )
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def result_of(
    method: str,
    weights: Sequence[Weight],
    *,
    rounds: int = 1,
    effective: int | None = None,
    warnings: Sequence[str] = (),
) -> Result:
    """The result, once the weights have changed; warns of layers that became empty."""
    layers = tuple(
        LayerResult(w.name, w.param.shape, w.before, w.param.nnz) for w in weights
    )
    empty = [layer.name for layer in layers if layer.before and not layer.after]
    found = list(warnings)
    if empty:
        found.append(
            f"no connection is left in {', '.join(empty)}; the output does not depend "
            "on the input any more unless another path leads around"
        )
    return Result(method, layers, rounds, effective, tuple(found))
