"""The updater: one update drops, allocates, grows, and carries all state along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.ops import OuterSum, gradient_flow
from sparsenn.random import as_seed
from sparsenn.sparse import SparseParameter, TopologyChange
from sparsenn.topology.allocate import Allocate, same
from sparsenn.topology.capture import Capture
from sparsenn.topology.drop import Drop, prune_globally
from sparsenn.topology.grow import Grow
from sparsenn.topology.layer import Layer
from sparsenn.topology.newborn import Newborn, zero
from sparsenn.topology.plan import Edit, drop_at_most, nothing, revive

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer

Prune = Callable[[Sequence[Layer], int], list[np.ndarray]]
After = Callable[[Sequence[Layer]], None]


@final
@dataclass(frozen=True)
class Change:
    """What one update did to one parameter."""

    name: str
    dropped: int
    grown: int


class TopologyUpdater:
    """Evolves the patterns of sparse parameters while they train.

    Call :meth:`step` after the backward pass and before the optimiser's step::

        topo.backward(loss)          # or loss.backward(), where no curvature is needed
        topo.step() or opt.step()

    Parameters
    ----------
    params : iterable
        A model's parameters; dense tensors are left alone.
    optimizer : Optimizer or None
        Its state follows every change.
    drop, allocate, grow, newborn
        The four choices of an update, see their modules.
    schedule : callable
        Step -> fraction to drop, or None for no update
        (:class:`~sparsenn.topology.Periodic`).
    budget : callable or None
        Step -> density of the whole network after an update; None: it stays.
    prune : callable
        ``(layers, total) -> keeps`` where the budget falls, before anything else.
    after : iterable of callable
        ``(layers) -> None``, called when an update has been made, on the new patterns.
    exempt : iterable of SparseParameter
        Parameters that stay as they are; they count towards the density.
    full : bool
        Whether layers with every connection evolve too, or are left alone.
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
    flops : int
        Floating-point operations of all searches for where to grow, so far.
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
        budget: Callable[[int], float] | None = None,
        prune: Prune = prune_globally,
        after: Iterable[After] = (),
        exempt: Iterable[SparseParameter] = (),
        full: bool = False,
        protect: int = 0,
        replaces_step: bool = True,
        seed: int | np.random.Generator | None = 0,
    ) -> None:
        if protect < 0:
            raise ValueError(f"protect must be at least 0 updates, got {protect}")
        self.params = sparse_parameters(params)
        self.exempt = {id(p) for p in exempt}
        self.optimizer = optimizer
        self.drop = drop
        self.allocate = allocate
        self.grow = grow
        self.newborn = newborn
        self.schedule = schedule
        self.budget = budget
        self.prune = prune
        self.after = tuple(after)
        self.full = full
        self.protect = protect
        self.replaces_step = replaces_step
        self.seed = as_seed(seed)
        self.steps = 0
        self.updates = 0
        self.flops = 0
        self.last_changes: list[Change] = []
        # Update in which each connection was born, only kept where it is needed.
        self._born: dict[int, np.ndarray] = {}
        # Parts that look at the Hessian's product with the gradient say so.
        self._wants_flow = any(getattr(part, "flow", False) for part in (drop, grow))
        self._flows: list[OuterSum] | None = None
        self._capture = Capture(
            self.params,
            max(grow.window, int(self._wants_flow)),
            getattr(grow, "limit_bytes", None),
        )
        self._due = False
        self._announce()

    # ------------------------------------------------------------ one step

    def backward(self, loss: Tensor) -> None:
        """``loss.backward()``, with whatever else the next :meth:`step` needs.

        Where a part looks at the Hessian's product with the gradient, a second backward
        pass makes it before each update. Gradients are those of ``loss.backward()``.
        """
        if self._wants_flow and self._due:
            _, self._flows = gradient_flow(loss, self.params)
        else:
            loss.backward()

    def step(self) -> bool:
        """Counts a step and updates the topology if one is due.

        Returns
        -------
        bool
            True if the topology changed and that replaces the optimiser's step.
        """
        self._capture.collect()
        fraction = self.schedule(self.steps)
        if fraction is not None:
            self.update(fraction)
        self.steps += 1
        self._flows = None
        self._announce()
        return fraction is not None and self.replaces_step

    def finish(self) -> None:
        """Called when training is over; most methods have nothing left to do."""

    def announce(self) -> None:
        """Asks the next backward pass for what an update needs, whatever the schedule.

        For those who call :meth:`update` themselves.
        """
        self._due = True
        self._capture.announce(True)

    def _announce(self) -> None:
        self._due = self.schedule(self.steps) is not None
        ahead = range(self.steps, self.steps + self._capture.window)
        self._capture.announce(any(self.schedule(s) is not None for s in ahead))

    # ------------------------------------------------------------ one update

    def update(self, fraction: float) -> list[TopologyChange]:
        """Makes one update now.

        Parameters
        ----------
        fraction : float
            Fraction of the connections to drop and grow again.

        Returns
        -------
        list of TopologyChange
            In the order in which they were made, at least one for each sparse parameter
            that evolves; two where a falling budget was met first.
        """
        self._capture.collect()
        for p in self.params:
            p.check_trainable()
        layers = self._layers()
        now = sum(layer.pattern.nnz for layer in layers)
        total = now if self.budget is None else self._total(self.budget(self.steps))
        changes = []
        names = {layer.index: layer.param.name for layer in layers}
        tally = {index: [0, 0] for index in names}
        if total < now:
            keeps = self.prune(layers, total)
            edits = [
                Edit(keep, nothing(layer.pattern))
                for layer, keep in zip(layers, keeps, strict=True)
            ]
            changes += self._edit(layers, edits, tally)
            layers = self._layers()
        if fraction > 0 or total >= now:
            self.flops += sum(map(_searched, layers))
            changes += self._edit(layers, self.plan(layers, fraction, total), tally)
        if self.after:
            layers = self._layers()
            for part in self.after:
                part(layers)
        self._flows = None
        self.last_changes = [Change(names[i], *tally[i]) for i in names]
        self.updates += 1
        return changes

    def plan(
        self, layers: Sequence[Layer], fraction: float, total: int
    ) -> Sequence[Edit]:
        """What an update does to each layer.

        Parameters
        ----------
        layers : sequence of Layer
        fraction : float
            To drop.
        total : int
            Connections of all layers together afterwards.
        """
        if self._capture.window and not all(layer.gradients for layer in layers):
            raise ValueError(
                f"growth by {self.grow!r} needs the factors of the last backward pass; "
                "let step() follow every backward(), or call announce() before the "
                "backward pass and update() after it"
            )
        if self._wants_flow and not all(layer.flow for layer in layers):
            raise ValueError(
                "the gradient's flow needs the loss itself; call topo.backward(loss) "
                "in place of loss.backward()"
            )
        keeps = self.drop(layers, fraction)
        rooms = [
            layer.pattern.shape[0] * layer.pattern.shape[1] - layer.pattern.nnz
            for layer in layers
        ]
        kept = [int(np.count_nonzero(keep)) for keep in keeps]
        tight = self.allocate is same or total - sum(kept) > sum(rooms)
        for i, (layer, room) in enumerate(zip(layers, rooms, strict=True)):
            if tight and not self.grow.regrow and layer.pattern.nnz - kept[i] > room:
                # Nearly full, and what was dropped may not return: drop fewer.
                keeps[i] = drop_at_most(layer, keeps[i], room)
                kept[i] = layer.pattern.nnz - room
        capacities = [
            layer.pattern.nnz + room - k if self.grow.regrow else room
            for layer, room, k in zip(layers, rooms, kept, strict=True)
        ]
        counts = self.allocate(layers, kept, total - sum(kept), capacities)
        if sum(counts) + sum(kept) != total:
            raise RuntimeError(f"growing {counts} after keeping {kept} is not {total}")
        edits = []
        for layer, keep, count in zip(layers, keeps, counts, strict=True):
            added = self.grow(layer, keep, count)
            edits.append(
                revive(layer, keep, added) if self.grow.revive else Edit(keep, added)
            )
        return edits

    def _layers(self) -> list[Layer]:
        return [
            Layer(
                i,
                p,
                self.optimizer,
                self.seed,
                self.updates,
                self._protected(i),
                tuple(self._capture.history[i]),
                self._flows[i] if self._flows is not None else None,
            )
            for i, p in enumerate(self.params)
            if self._evolves(p)
        ]

    def _evolves(self, param: SparseParameter) -> bool:
        if id(param) in self.exempt:
            return False
        return self.full or not param.pattern.is_full

    def _total(self, density: float) -> int:
        """Connections of what evolves, for a density of the whole network."""
        positions = sum(p.shape[0] * p.shape[1] for p in self.params)
        others = sum(p.nnz for p in self.params if not self._evolves(p))
        total = round(density * positions) - others
        if total < 0:
            raise ValueError(
                f"density {density:g} of {positions} positions leaves less than the "
                f"{others} connections of the layers that do not evolve"
            )
        return total

    def _protected(self, index: int) -> np.ndarray | None:
        """Mask of connections born less than `protect` updates ago."""
        born = self._born.get(index)
        return None if born is None else self.updates - born <= self.protect

    def _edit(
        self,
        layers: Sequence[Layer],
        edits: Sequence[Edit],
        tally: dict[int, list[int]],
    ) -> list[TopologyChange]:
        changes = []
        for layer, edit in zip(layers, edits, strict=True):
            change = layer.pattern.with_changes(*edit)
            tally[layer.index][0] += change.n_dropped
            tally[layer.index][1] += change.n_newborn
            self.apply(layer, change)
            changes.append(change)
        return changes

    def apply(self, layer: Layer, change: TopologyChange) -> None:
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

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """What resuming needs: counters, birth dates in storage order, parts' state."""
        return {
            "steps": self.steps,
            "updates": self.updates,
            "seed": self.seed,
            "born": {self.params[i].name: born for i, born in self._born.items()},
            "drop": self.drop.state() if hasattr(self.drop, "state") else {},
            # It may begin at the density that the network had when it was made.
            "budget": asdict(self.budget) if is_dataclass(self.budget) else {},
            "window": self._capture.state(),
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
        if hasattr(self.drop, "load_state"):
            self.drop.load_state(state["drop"])
        if is_dataclass(self.budget) and state.get("budget"):
            self.budget = type(self.budget)(**state["budget"])
        self._capture.load_state(state.get("window", {}))
        self.steps = int(state["steps"])
        self.updates = int(state["updates"])
        self.seed = int(state["seed"])
        self._born = born
        self._announce()

    def __repr__(self) -> str:
        """How much evolves, by which parts, and how far it is."""
        n = sum(self._evolves(p) for p in self.params)
        names = ["drop", "allocate", "grow", "newborn", "schedule"]
        names += ["budget"] if self.budget is not None else []
        parts = ", ".join(f"{name}={_named(getattr(self, name))}" for name in names)
        return (
            f"{type(self).__name__}({n} evolving parameter{'s' * (n != 1)}, {parts}, "
            f"steps={self.steps}, updates={self.updates})"
        )


def _searched(layer: Layer) -> int:
    """Operations of making the matrix whose largest entries grow."""
    if layer.flow is not None:
        return layer.flow.flops
    return sum(outer.flops for outer in layer.gradients)


def sparse_parameters(params: Iterable[Any]) -> list[SparseParameter]:
    """The sparse ones of a model's parameters; TypeError for anything else."""
    found = list(params)
    for p in found:
        if not isinstance(p, SparseParameter | Tensor):
            raise TypeError(
                "a parameter is a SparseParameter or a Tensor, not "
                f"{type(p).__name__}; give model.parameters()"
            )
    return [p for p in found if isinstance(p, SparseParameter)]


def _named(part: Any) -> str:
    """A part's name: functions show their own, objects their repr."""
    return getattr(part, "__name__", None) or repr(part)
