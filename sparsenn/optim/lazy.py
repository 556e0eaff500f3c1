"""Lazy steps of SGD: columns without a gradient wait until somebody needs them.

A step without a gradient is linear in what a connection has::

    (m, w) <- M (m, w),   M = [[mu, decay], [-lr mu, 1 - lr decay]]

(with Nesterov's momentum other numbers, see `step_matrix`), the same for all
connections. So it is enough to know, for each column, the last step that it has seen,
and, for each step since, the product of the matrices from there to now. The products
are a short table, because after `MOST` steps everything is made current.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from sparsenn import _core

if TYPE_CHECKING:
    from sparsenn.sparse import SparseGradient, SparseParameter

MOST = (
    512  # steps that a column may wait: a pass over all of them costs next to nothing
)


def step_matrix(
    dtype: np.dtype, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> np.ndarray:
    """What a step of `SGD` without gradient does to (momentum, value).

    From ``d = decay w``, ``m' = mu m + d``, ``w' = w - lr (m' or d + mu m')``, with the
    numbers rounded as the kernels round them.
    """
    lr, mu, decay = (float(dtype.type(x)) for x in (lr, momentum, weight_decay))
    again = mu if nesterov else 1.0
    return np.array(
        [
            [mu, decay],
            [-lr * mu * again, 1.0 - lr * decay * (1.0 + (mu if nesterov else 0.0))],
        ]
    )


@final
class LazyColumns:
    """What an optimiser has left undone on one weight that is stored by column.

    Parameters
    ----------
    n_columns : int
    momentum : ndarray or None
        The optimiser's state; live.

    Attributes
    ----------
    now : int
        Steps since all columns were current.
    last : ndarray of int32, shape (n_columns,)
        How many of them each column has seen.
    power : ndarray of float64, shape (MOST + 1, 2, 2)
        ``power[a]`` is what steps a + 1 .. now do.
    """

    __slots__ = ("last", "momentum", "now", "power")

    def __init__(self, n_columns: int, momentum: np.ndarray | None) -> None:
        self.momentum = momentum
        self.now = 0
        self.last = np.zeros(n_columns, np.int32)
        self.power = np.empty((MOST + 1, 2, 2))
        self.power[0] = np.eye(2)

    def step(
        self,
        values: np.ndarray,
        gradient: SparseGradient,
        lr: float,
        momentum: float,
        weight_decay: float,
        nesterov: bool,
    ) -> None:
        """A step on the columns that have a gradient; the others fall behind."""
        _core.lazy_sgd(
            gradient.pattern.column_index(),
            values,
            self.momentum,
            self.last,
            self.power,
            self.now,
            gradient.columns,
            gradient.values,
            lr,
            momentum,
            weight_decay,
            nesterov,
        )
        (a, b), (c, d) = step_matrix(
            values.dtype, lr, momentum, weight_decay, nesterov
        ).tolist()
        self.now += 1
        past = self.power[: self.now]
        upper, lower = past[:, 0].copy(), past[:, 1]
        past[:, 0] = a * upper + b * lower
        past[:, 1] = c * upper + d * lower
        self.power[self.now] = np.eye(2)

    @property
    def full(self) -> bool:
        """Whether the table ends and everything must be made current."""
        return self.now == MOST

    def catch_up(self, param: SparseParameter, columns: np.ndarray | None) -> None:
        """Makes columns current, or all of them (None), which begins a new table."""
        _core.lazy_catch_up(
            param.pattern.column_index(),
            param.stored.data,
            self.momentum,
            self.last,
            self.power,
            self.now,
            columns,
        )
        if columns is None:
            self.now = 0
            self.last.fill(0)
            self.power[0] = np.eye(2)

    def arrays(self, param: SparseParameter) -> dict[str, np.ndarray]:
        """Copies of everything that catching up starts from."""
        found = {"values": param.stored.data.copy(), "last": self.last.copy()}
        found["power"] = self.power[: self.now + 1].copy()
        if self.momentum is not None:
            found["momentum"] = self.momentum.copy()
        return found

    def load(self, param: SparseParameter, arrays: dict[str, np.ndarray]) -> None:
        """Takes what `arrays` gave; ValueError, and nothing written, if it is wrong."""
        now = len(arrays["power"]) - 1
        wanted = {"values": param.stored.data, "last": self.last}
        wanted["power"] = self.power[: now + 1]
        if self.momentum is not None:
            wanted["momentum"] = self.momentum
        if set(arrays) != set(wanted):
            raise ValueError(
                f"what waits is {sorted(arrays)}, expected {sorted(wanted)}"
            )
        for name, array in arrays.items():
            like = wanted[name]
            if array.shape != like.shape or array.dtype != like.dtype:
                raise ValueError(
                    f"{name} of what waits is {array.dtype}{array.shape}, expected "
                    f"{like.dtype}{like.shape}"
                )
        last = arrays["last"]
        if not 0 <= now < MOST or (
            last.size and not 0 <= last.min() <= last.max() <= now
        ):
            raise ValueError(f"columns have seen {last} of {now} steps")
        for name, array in arrays.items():
            wanted[name][...] = array
        self.now = now
