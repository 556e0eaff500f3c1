"""Changing a model for a while, and putting it back exactly."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.sparse import SparseParameter, SparsePattern


@final
class Undo:
    """Puts weights and tensors back as they were, to the bit.

    Made before a change. As a context manager it undoes at the end of the block::

        with pruning.reset(model, "2"):
            print(evaluate(model))

    Parameters
    ----------
    weights : sequence of SparseParameter
        Their patterns and values are kept by reference: a change must give them other
        arrays, as ``set`` and ``replace`` do.
    tensors : sequence of Tensor
        Kept as copies.

    Notes
    -----
    The same pattern objects return, so an optimiser's state fits again. Gradients are
    forgotten.
    """

    def __init__(
        self, weights: Sequence[SparseParameter], tensors: Sequence[Tensor] = ()
    ) -> None:
        self._weights: list[tuple[SparseParameter, SparsePattern, np.ndarray]] = [
            (param, param.pattern, param.values.data) for param in weights
        ]
        self._tensors = [(tensor, tensor.data.copy()) for tensor in tensors]

    def undo(self) -> None:
        """Puts everything back; may be called again."""
        for param, pattern, values in self._weights:
            if param.pattern is not pattern or param.values.data is not values:
                param.set(pattern, values)
        for tensor, data in self._tensors:
            write(tensor, data)

    def __enter__(self) -> Undo:
        """This object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Puts everything back, after an error too."""
        self.undo()


def write(tensor: Tensor, data: Any) -> None:
    """Overwrites a dense parameter in place; its gradient is forgotten."""
    tensor.data[...] = data
    tensor.touch()
    tensor.grad = None
