"""Approximate dynamical isometry of pruned weights, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from sparsenn.ops import descend_to_isometry, isometry_floor
from sparsenn.pruning.weights import LayerName, Model, weights_of


@final
@dataclass(frozen=True)
class IsometryLayer:
    """One weight on its way to an isometry.

    Attributes
    ----------
    name : str
    before, after : float
        ``|W^T W - I|^2`` of the weight over `gain` (of ``W W^T`` if it has more
        columns than rows).
    floor : int
        What the pattern leaves at least, see :func:`sparsenn.ops.isometry_floor`.
    errors : tuple of float
        Step by step.
    """

    name: str
    before: float
    after: float
    floor: int
    errors: tuple[float, ...]


@final
@dataclass(frozen=True)
class IsometryResult:
    """What `isometry` reached in each layer."""

    layers: tuple[IsometryLayer, ...]

    def __repr__(self) -> str:
        """A table: error before, after, and the pattern's floor; not squared."""
        width = max((len(layer.name) for layer in self.layers), default=0)
        lines = ["isometry: |W'W - I| before -> after (at least)"]
        lines += [
            f"  {layer.name:<{width}}  {math.sqrt(layer.before):8.4g} -> "
            f"{math.sqrt(layer.after):8.4g}  ({math.sqrt(layer.floor):.4g})"
            for layer in self.layers
        ]
        return "\n".join(lines)


def isometry(
    model: Model,
    steps: int = 200,
    lr: float | None = None,
    *,
    squared: bool = True,
    gain: float = 1.0,
    exempt: Iterable[LayerName] = (),
) -> IsometryResult:
    """Moves every weight towards a multiple of an isometry on its pattern.

    Pruning at initialisation breaks the orthogonality with which signals propagate
    faithfully; this restores as much of it as the patterns allow, before training and
    without data. Patterns and biases stay as they are.

    Parameters
    ----------
    model : Model
    steps : int
        For each weight.
    lr : float, optional
        Length of the first step; by default 0.05, or 0.1 if not squared.
    squared : bool
        Descend on ``|W^T W - I|^2`` with steps whose length adapts. False: on
        ``|W^T W - I|`` with steps of one length; with ``steps=10_000, lr=0.1`` the
        paper's procedure.
    gain : float
        The singular values aimed at; sqrt(2) under ReLU.
    exempt : iterable of int or str
        Layers to leave alone, named as in ``keep_dense`` elsewhere.

    Returns
    -------
    IsometryResult
        Errors, and the floor that a pattern leaves: 100 x 100 at density 0.1 rarely
        has full structural rank.

    Notes
    -----
    A step costs three sparse products with as many samples as the smaller side of the
    weight has rows or columns, in tiles: seconds for LeNet-300-100, too long for
    65536 x 65536. Memory is that of a few copies of the values, and 16 MB.

    References
    ----------
    Lee et al., "A signal propagation perspective for pruning neural networks at
    initialization", arXiv:1906.06307, section 4.3.
    """
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps}")
    if not 0 < gain < math.inf:
        raise ValueError(f"gain must be positive and finite, got {gain}")
    layers = []
    for weight in weights_of(model, exempt):
        if weight.exempt:
            continue
        param = weight.param
        scale = param.dtype.type(gain)
        values, errors = descend_to_isometry(
            param.values.data / scale, param.pattern, steps, lr=lr, squared=squared
        )
        param.set(param.pattern, values * scale)
        layers.append(
            IsometryLayer(
                weight.name,
                errors[0],
                min(errors),
                isometry_floor(param.pattern),
                tuple(errors),
            )
        )
    return IsometryResult(tuple(layers))
