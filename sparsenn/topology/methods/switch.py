"""Methods one after another: schedules that switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from sparsenn.autograd import Tensor
from sparsenn.topology.updater import Change, TopologyUpdater


@final
class Switch:
    """Evolves by one updater until a step, then by the next.

    It is used like a :class:`~sparsenn.topology.TopologyUpdater`. Each updater counts
    its own steps from its turn on.

    Parameters
    ----------
    *phases : (int, TopologyUpdater)
        The step from which on each updater has its turn, ascending, the first 0.

    Examples
    --------
    >>> topo = Switch((0, SET(p, opt)), (5000, RigL(p, opt)))  # doctest: +SKIP
    """

    def __init__(self, *phases: tuple[int, TopologyUpdater]) -> None:
        starts = [start for start, _ in phases]
        if not phases or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(
                f"phases must begin at 0 and ascend, got steps {starts or 'none'}"
            )
        self.starts: Sequence[int] = starts
        self.updaters = [updater for _, updater in phases]
        self.steps = 0

    @property
    def current(self) -> TopologyUpdater:
        """The updater whose turn it is."""
        return self.updaters[sum(self.steps >= s for s in self.starts) - 1]

    @property
    def updates(self) -> int:
        """Updates made so far, by all."""
        return sum(updater.updates for updater in self.updaters)

    @property
    def flops(self) -> int:
        """Operations of all searches for where to grow."""
        return sum(updater.flops for updater in self.updaters)

    @property
    def last_changes(self) -> list[Change]:
        """What the last update of the present updater did."""
        return self.current.last_changes

    def backward(self, loss: Tensor) -> None:
        """The backward pass that the present updater needs."""
        self.current.backward(loss)

    def step(self) -> bool:
        """Counts a step; True if an update replaces the optimiser's step."""
        present = self.current
        replaced = present.step()
        self.steps += 1
        if self.current is not present:
            present.finish()
        return replaced

    def finish(self) -> None:
        """Finishes the present updater."""
        self.current.finish()

    def state(self) -> dict[str, Any]:
        """What resuming needs."""
        return {
            "steps": self.steps,
            "phases": [updater.state() for updater in self.updaters],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave."""
        if len(state["phases"]) != len(self.updaters):
            raise ValueError(
                f"the state is of {len(state['phases'])} phases, there are "
                f"{len(self.updaters)}"
            )
        for updater, part in zip(self.updaters, state["phases"], strict=True):
            updater.load_state(part)
        self.steps = int(state["steps"])

    def __repr__(self) -> str:
        """The phases."""
        phases = zip(self.starts, self.updaters, strict=True)
        return f"Switch({', '.join(f'({s}, {u!r})' for s, u in phases)})"
