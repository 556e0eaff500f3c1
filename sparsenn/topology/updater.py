"""The updater: one update drops, allocates, grows, and carries all state along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.random import as_seed
from sparsenn.sparse import SparseParameter, TopologyChange
from sparsenn.topology.allocate import Allocate, same
from sparsenn.topology.drop import Drop
from sparsenn.topology.grow import Grow
from sparsenn.topology.layer import Layer
from sparsenn.topology.newborn import Newborn, zero

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


@final
@dataclass(frozen=True)
class Change:
    """What one update did to one parameter."""

    name: str
    dropped: int
    grown: int


@final
class TopologyUpdater:
    """Evolves the patterns of sparse parameters while they train.

    Call :meth:`step` after ``backward()`` and before the optimiser's step::

        topo.step() or opt.step()

    Parameters
    ----------
    params : iterable
        A model's parameters; full patterns and dense tensors are left alone.
    optimizer : Optimizer or None
        Its state follows every change.
    drop, allocate, grow, newborn
        The four choices of an update, see their modules.
    schedule : callable
        Step -> fraction to drop, or None for no update
        (:class:`~sparsenn.topology.Periodic`).
    protect : int
        Updates during which a newborn connection cannot be dropped.
    replaces_step : bool
        Whether an update takes the place of the optimiser's step (RigL) or comes
        before it (SET); it is what :meth:`step` returns after an update.
    seed : int, Generator or None
        Seed of random growth.

    Attributes
    ----------
    steps, updates : int
        Calls of :meth:`step`, and updates made, so far.
    last_changes : list of Change
        What the last update did.
    """

    def __init__(
        self,
        params: Iterable[Any],
        optimizer: Optimizer | None = None,
        *,
        drop: Drop,
        grow: Grow,
        schedule: Callable[[int], float | None],
        allocate: Allocate = same,
        newborn: Newborn = zero,
        protect: int = 0,
        replaces_step: bool = True,
        seed: int | np.random.Generator | None = 0,
    ) -> None:
        if protect < 0:
            raise ValueError(f"protect must be at least 0 updates, got {protect}")
        params = list(params)
        for p in params:
            if not isinstance(p, SparseParameter | Tensor):
                raise TypeError(
                    "a parameter is a SparseParameter or a Tensor, not "
                    f"{type(p).__name__}; give model.parameters()"
                )
        self.params = [p for p in params if isinstance(p, SparseParameter)]
        self.optimizer = optimizer
        self.drop = drop
        self.allocate = allocate
        self.grow = grow
        self.newborn = newborn
        self.schedule = schedule
        self.protect = protect
        self.replaces_step = replaces_step
        self.seed = as_seed(seed)
        self.steps = 0
        self.updates = 0
        self.last_changes: list[Change] = []
        # Update in which each connection was born, only kept where it is needed.
        self._born: dict[int, np.ndarray] = {}

    def step(self) -> bool:
        """Counts a step and updates the topology if one is due.

        Returns
        -------
        bool
            True if the topology changed and that replaces the optimiser's step.
        """
        fraction = self.schedule(self.steps)
        self.steps += 1
        if fraction is None:
            return False
        self.update(fraction)
        return self.replaces_step

    def update(self, fraction: float) -> list[TopologyChange]:
        """Makes one update now.

        Parameters
        ----------
        fraction : float
            Fraction of the connections to drop.

        Returns
        -------
        list of TopologyChange
            One for each sparse parameter that evolves.
        """
        for p in self.params:
            p.check_trainable()
        layers = [
            Layer(i, p, self.optimizer, self.seed, self.updates, self._protected(i, p))
            for i, p in enumerate(self.params)
            if not p.pattern.is_full
        ]
        keeps = [self.drop(layer, fraction) for layer in layers]
        freed = [int(k.size - np.count_nonzero(k)) for k in keeps]
        capacities = [
            self._free(layer, f) for layer, f in zip(layers, freed, strict=True)
        ]
        for i, (layer, capacity) in enumerate(zip(layers, capacities, strict=True)):
            if freed[i] > capacity:
                # Nearly full, and what was dropped may not return: drop fewer.
                keeps[i] = self._drop_at_most(layer, fraction, capacity)
                freed[i] = int(keeps[i].size - np.count_nonzero(keeps[i]))
        counts = self.allocate(layers, freed, capacities)
        if sum(counts) != sum(freed):
            raise RuntimeError(f"allocation {counts} does not conserve {freed}")

        changes = []
        self.last_changes = []
        for layer, keep, n_drop, n_grow in zip(
            layers, keeps, freed, counts, strict=True
        ):
            added = self.grow(layer, keep, n_grow)
            change = layer.pattern.with_changes(keep, added)
            self._apply(layer, change)
            changes.append(change)
            self.last_changes.append(Change(layer.param.name, n_drop, n_grow))
        self.updates += 1
        return changes

    def __repr__(self) -> str:
        """How much evolves, by which parts, and how far it is."""
        n = sum(not p.pattern.is_full for p in self.params)
        parts = ", ".join(
            f"{name}={_named(getattr(self, name))}"
            for name in ("drop", "allocate", "grow", "newborn", "schedule")
        )
        return (
            f"TopologyUpdater({n} evolving parameter{'s' * (n != 1)}, {parts}, "
            f"steps={self.steps}, updates={self.updates})"
        )

    def state(self) -> dict[str, Any]:
        """What resuming needs: counters, and birth dates in storage order."""
        return {
            "steps": self.steps,
            "updates": self.updates,
            "seed": self.seed,
            "born": {self.params[i].name: born for i, born in self._born.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state` gave, on the patterns of that moment."""
        born = {}
        for i, param in enumerate(self.params):
            if param.name in state["born"]:
                born[i] = np.array(state["born"][param.name], dtype=np.int32)
                if born[i].shape != (param.nnz,):
                    raise ValueError(
                        f"birth dates of {param.name!r} have shape {born[i].shape}, "
                        f"its pattern has nnz={param.nnz}"
                    )
        self.steps = int(state["steps"])
        self.updates = int(state["updates"])
        self.seed = int(state["seed"])
        self._born = born

    def _protected(self, index: int, param: SparseParameter) -> np.ndarray | None:
        """Mask of connections born less than `protect` updates ago."""
        born = self._born.get(index)
        return None if born is None else self.updates - born <= self.protect

    def _free(self, layer: Layer, freed: int) -> int:
        """How many connections a layer can grow after dropping `freed`."""
        n_rows, n_cols = layer.pattern.shape
        free = n_rows * n_cols - layer.pattern.nnz
        return free + freed if self.grow.regrow else free

    def _drop_at_most(self, layer: Layer, fraction: float, limit: int) -> np.ndarray:
        """Drops by a smaller fraction, so that at most `limit` connections go."""
        if limit == 0:
            return np.ones(layer.pattern.nnz, dtype=bool)
        return self.drop(layer, min(fraction, limit / layer.pattern.nnz))

    def _apply(self, layer: Layer, change: TopologyChange) -> None:
        """Moves values, gradient, optimiser state and birth dates along."""
        layer.param.replace(change, self.newborn(layer, change))
        if self.optimizer is not None:
            self.optimizer.remap(layer.param, change)
        if self.protect:
            # Int32 counters cannot run out: the first connections are always old.
            born = self._born.get(layer.index)
            if born is None:
                born = np.full(change.old.nnz, -self.protect - 1, dtype=np.int32)
            self._born[layer.index] = change.remap(born, fill=self.updates)


def _named(part: Any) -> str:
    """A part's name: functions show their own, objects their repr."""
    return getattr(part, "__name__", None) or repr(part)
