"""What the parts of an update see of one sparse parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from sparsenn.ops import OuterSum
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
    gradients : sequence of OuterSum
        The weight's gradient at every position, active or not, in the last steps that a
        part asked for, the present one last; empty if none did.
    flow : OuterSum or None
        Hessian times gradient at every position, if a part asked for it.
    """

    index: int
    param: SparseParameter
    optimizer: Optimizer | None
    seed: int
    update: int
    protected: np.ndarray | None = None
    gradients: Sequence[OuterSum] = ()
    flow: OuterSum | None = None

    @property
    def pattern(self) -> SparsePattern:
        """The pattern before this update."""
        return self.param.pattern

    @property
    def values(self) -> np.ndarray:
        """The values before this update, shape (nnz,), storage order."""
        return self.param.values.data

    @property
    def gradient(self) -> np.ndarray:
        """Gradient of the connections, shape (nnz,), storage order."""
        if self.param.grad is None:
            raise ValueError(
                f"parameter {self.param.name!r} has no gradient; call topo.step() "
                "after backward() and before zero_grad()"
            )
        return self.param.grad.data

    def stream(self, purpose: Purpose) -> Stream:
        """Random numbers of this layer, update and purpose."""
        return Stream(self.seed, purpose, layer=self.index, step=self.update)
