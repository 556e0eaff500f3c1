"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import numpy as np

from sparsenn import _core
from sparsenn.optim.base import Optimizer, Parameter, check_number
from sparsenn.optim.lazy import LazyColumns
from sparsenn.sparse import SparseGradient, SparseParameter


@final
class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's variant and weight decay.

    With ``d = g + weight_decay * w`` and ``v = momentum * v + d``, a step is
    ``w -= lr * v`` or, with Nesterov, ``w -= lr * (d + momentum * v)``.

    Parameters
    ----------
    params : iterable of SparseParameter or Tensor
    lr : float
    momentum : float
        In [0, 1). Without momentum no state is held.
    nesterov : bool
    weight_decay : float
        L2 coefficient, added to the gradient and so multiplied by `lr`.
    lazy : bool
        On weights that are stored by column (``nn.Linear(sparse_input=True)``), a
        sparse batch moves only the columns that occur in it. What the step would have
        done to the others is made up for before somebody reads them, exactly but for
        rounding, under any schedule: the results are those of ``lazy=False`` up to the
        precision of the dtype, and time follows the batch and not the connections. A
        values tensor that was taken before a step must be taken again from
        ``param.values``. Everything else trains as without.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep
    learning", 2013.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 0.05,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        lazy: bool = False,
    ) -> None:
        super().__init__(params, lr)
        check_number("momentum", momentum, minimum=0.0, below=1.0)
        check_number("weight_decay", weight_decay, minimum=0.0)
        if nesterov and momentum == 0.0:
            raise ValueError("nesterov needs momentum > 0, got momentum=0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.lazy = bool(lazy)
        self.per_weight = ("momentum",) if momentum else ()
        self._behind: dict[int, LazyColumns] = {}

    def state(self, param: Parameter) -> dict[str, np.ndarray]:
        """State arrays of a parameter (live, current; zeros until its first step)."""
        if isinstance(param, SparseParameter) and param.behind is not None:
            _ = param.values
        return super().state(param)

    def waiting(self, param: Parameter) -> dict[str, np.ndarray]:
        """Copies of values, momentum and counters while columns wait; else empty."""
        lazy = self._behind.get(id(param))
        if not isinstance(param, SparseParameter) or lazy is None:
            return {}
        return lazy.arrays(param) if param.behind is lazy else {}

    def wait(self, param: Parameter, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `waiting` gave, on the pattern of that moment."""
        if not arrays:
            return
        if not self.lazy or not isinstance(param, SparseParameter):
            raise ValueError("only a lazy SGD lets steps on sparse weights wait")
        lazy = LazyColumns(param.shape[1], self.state(param).get("momentum"))
        lazy.load(param, arrays)
        self._behind[id(param)] = lazy
        param.behind = lazy

    def _update_columns(self, param: Parameter, gradient: SparseGradient) -> bool:
        if not self.lazy or not isinstance(param, SparseParameter):
            return False
        if gradient.pattern is not param.pattern:
            raise ValueError(
                f"the gradient is of {gradient.pattern!r}, the parameter has "
                f"{param.pattern!r}; was the pattern changed after backward()?"
            )
        lazy = self._behind.get(id(param))
        if lazy is None or param.behind is not lazy:
            # Nothing waits, and whatever another optimiser left has now been done.
            momentum = self.state(param).get("momentum")
            if lazy is None or lazy.momentum is not momentum:
                lazy = LazyColumns(param.shape[1], momentum)
                self._behind[id(param)] = lazy
        lazy.step(
            param.stored.data,
            gradient,
            self.lr,
            self.momentum,
            self.weight_decay,
            self.nesterov,
        )
        param.behind = lazy
        if lazy.full:
            _ = param.values
        return True

    def _update(
        self, values: np.ndarray, gradient: np.ndarray, state: dict[str, np.ndarray]
    ) -> None:
        _core.sgd(
            values,
            gradient,
            state.get("momentum"),
            self.lr,
            self.momentum,
            self.weight_decay,
            self.nesterov,
        )
