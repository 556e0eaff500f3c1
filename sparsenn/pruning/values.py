"""What connections weigh after pruning: what they did, or a fresh start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from sparsenn.optim import Optimizer
from sparsenn.pruning.weights import Weight
from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.sparse import Origin, TopologyChange

Values: TypeAlias = Literal["keep", "rescale", "redraw"]
Seed: TypeAlias = int | np.random.Generator | None

_REDRAW = 1  # step of the streams of Purpose.FORESIGHT


def revaluer(
    weights: Sequence[Weight],
    values: Values,
    seed: Seed,
    optimizer: Optimizer | None = None,
) -> Callable[[Weight], None]:
    """What gives the remaining connections of a weight their values.

    Parameters
    ----------
    weights : sequence of Weight
    values : {"keep", "rescale", "redraw"}
        ``keep``: their own. ``rescale``: the draws that they began with, scaled for the
        connections that there are now. ``redraw``: other draws, scaled likewise.
    seed : int, Generator or None
        Of redrawn values.
    optimizer : Optimizer, optional
        Its state starts anew where values do.

    Returns
    -------
    callable
        To be called with every weight once its pattern has changed.

    Raises
    ------
    RuntimeError
        If a weight has no initializer to draw from, or none to scale again.
    """
    if values not in ("keep", "rescale", "redraw"):
        raise ValueError(
            f"values must be 'keep', 'rescale' or 'redraw', got {values!r}"
        )
    if values == "keep":
        return lambda weight: None
    for weight in weights:
        param = weight.param
        known = param.knows_origin if values == "rescale" else param.initializer
        if not weight.exempt and not known:
            raise RuntimeError(
                f"weight {weight.name!r} does not know what its values were drawn from "
                "(it was read from a file, or built from values), which values="
                f"{values!r} needs; use values='keep', or set its `initializer`"
            )
    number = as_seed(seed)

    def revalue(weight: Weight) -> None:
        param = weight.param
        if weight.exempt:
            return
        if values == "redraw":
            stream = Stream(
                number, Purpose.FORESIGHT, layer=weight.number, step=_REDRAW
            )
        else:
            assert param.origin is not None
            stream = param.origin.stream
        param.origin = Origin(stream, full=False)
        pattern = param.pattern
        param.set(pattern, param.initial_values())
        if optimizer is not None and any(param is p for p in optimizer.params):
            nothing = np.full(pattern.nnz, -1, np.int32)
            optimizer.remap(param, TopologyChange(pattern, pattern, nothing))

    return revalue
