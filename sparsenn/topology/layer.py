"""What the parts of an update see of one sparse parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparseParameter, SparsePattern

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


@final
@dataclass(frozen=True)
class Layer:
    """One sparse parameter during one update.

    Attributes
    ----------
    index : int
        Position among the updater's parameters; keys the random streams.
    param : SparseParameter
    optimizer : Optimizer or None
    seed, update : int
        Seed of the updater and number of this update; they key the random streams.
    protected : ndarray of bool, shape (nnz,), or None
        Connections too young to be dropped, in storage order.
    """

    index: int
    param: SparseParameter
    optimizer: Optimizer | None
    seed: int
    update: int
    protected: np.ndarray | None = None

    @property
    def pattern(self) -> SparsePattern:
        """The pattern before this update."""
        return self.param.pattern

    @property
    def values(self) -> np.ndarray:
        """The values before this update, shape (nnz,), storage order."""
        return self.param.values.data

    def stream(self, purpose: Purpose) -> Stream:
        """Random numbers of this layer, update and purpose."""
        return Stream(self.seed, purpose, layer=self.index, step=self.update)
