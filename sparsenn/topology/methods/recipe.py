"""A method as it is made by name, and the plan of the training that it is made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class Plan:
    """What a recipe derives its defaults from.

    Attributes
    ----------
    steps_per_epoch, total_steps : int
    density : float
        Of the whole network at the end of training.
    """

    steps_per_epoch: int
    total_steps: int
    density: float

    def until(self, share: float) -> int:
        """A share of the steps, at least 1."""
        return max(int(share * self.total_steps), 1)

    def interval(self, wanted: int, updates: int = 10) -> int:
        """Steps between updates: as wanted, less where training is too short.

        At least `updates` of them should fit.
        """
        return max(min(wanted, self.total_steps // (updates + 1)), 1)


@final
@dataclass(frozen=True)
class Recipe:
    """A method as it is made by name.

    Attributes
    ----------
    build : callable
        ``build(params, optimizer, plan, **options)`` makes the updater.
    options : tuple of str
        Keyword arguments that `build` takes besides `seed` and `exempt`.
    start : callable
        Density to build the network with, from that of the end.
    """

    build: Callable[..., Any]
    options: tuple[str, ...] = ()
    start: Callable[[float], float] = float


def choose(what: str, name: str, table: dict[str, Any]) -> Any:
    """Looks a name up, or says which there are."""
    if name not in table:
        raise ValueError(f"{what} must be one of {', '.join(table)}; got {name!r}")
    return table[name]
