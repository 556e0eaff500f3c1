"""When to update, what fraction to drop then, and how many connections there may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final

Decay = Literal["constant", "cosine", "linear", "inverse-power", "step"]
DECAYS = ("constant", "cosine", "linear", "inverse-power", "step")


@final
@dataclass(frozen=True)
class Periodic:
    """Every `every` steps, after the first `every` and before `end_step`.

    Parameters
    ----------
    fraction : float
        Fraction of the connections dropped by the first update, in [0, 1).
    every : int
        Steps between updates.
    end_step : int or None
        No update at this step or later; None: no end.
    decay : {"constant", "cosine", "linear", "inverse-power", "step"}
        How the fraction falls from `fraction` to `floor` at `end_step`. With t = step /
        end_step the part above the floor is multiplied by ``(1 + cos(pi t)) / 2``
        (RigL, equation 1), ``1 - t``, or ``(1 - t)^3`` (Zhu & Gupta, as RigL's appendix
        G); "step" keeps it to 9/16 of the way, halves it to 3/4, and then drops nothing
        (MEST: epochs 90 and 120 of 160).
    floor : float
        What the fraction falls to (SNFS: 0.005).
    doublings : tuple of int
        Steps from which on `every` counts double, again and again (DSR).
    """

    fraction: float = 0.3
    every: int = 100
    end_step: int | None = None
    decay: Decay = "constant"
    floor: float = 0.0
    doublings: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if not 0.0 <= self.fraction < 1.0:
            raise ValueError(f"drop_fraction must be in [0, 1), got {self.fraction}")
        if not 0.0 <= self.floor < 1.0:
            raise ValueError(f"floor must be in [0, 1), got {self.floor}")
        if self.every < 1:
            raise ValueError(f"every must be at least 1 step, got {self.every}")
        if self.end_step is not None and self.end_step < 0:
            raise ValueError(f"end_step must be at least 0, got {self.end_step}")
        if self.decay not in DECAYS:
            raise ValueError(
                f"decay must be one of {', '.join(DECAYS)}; got {self.decay!r}"
            )
        if self.decay != "constant" and self.end_step is None:
            raise ValueError(f"decay={self.decay!r} needs an end_step to fall until")

    def __call__(self, step: int) -> float | None:
        """Fraction to drop before step `step` (from 0), None for no update."""
        every = self.every << sum(step >= d for d in self.doublings)
        if step == 0 or step % every:
            return None
        if self.end_step is None:
            return self.fraction
        if step >= self.end_step:
            return None
        top = max(self.fraction - self.floor, 0.0)
        return min(self.floor, self.fraction) + top * self._left(step / self.end_step)

    def _left(self, t: float) -> float:
        """Share of the fraction that is left at a part of the way."""
        if self.decay == "cosine":
            return 0.5 * (1 + math.cos(math.pi * t))
        if self.decay == "linear":
            return 1 - t
        if self.decay == "inverse-power":
            return (1 - t) ** 3
        if self.decay == "step":
            return 1.0 if t < 9 / 16 else 0.5 if t < 12 / 16 else 0.0
        return 1.0


@final
@dataclass(frozen=True)
class Cubic:
    """A density that falls quickly first and slowly then (Zhu & Gupta, GraNet).

    ``final + (initial - final) (1 - (step - start) / (end - start))^3`` between `start`
    and `end`, constant outside.

    Parameters
    ----------
    initial, final : float
        Densities of the whole network.
    start, end : int
        Steps. An update must fall on `end`, else the last one before it stays.

    References
    ----------
    Zhu & Gupta, "To prune, or not to prune", arXiv:1710.01878, equation 1.
    """

    initial: float
    final: float
    start: int
    end: int

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if not 0 <= self.final <= self.initial <= 1:
            raise ValueError(
                f"densities must fall within [0, 1], got {self.initial} to {self.final}"
            )
        if not 0 <= self.start <= self.end:
            raise ValueError(
                f"start and end must be steps in order, got {self.start}, {self.end}"
            )

    def __call__(self, step: int) -> float:
        """Density after an update before step `step`."""
        if step >= self.end:
            return self.final
        left = 1 - max(step - self.start, 0) / (self.end - self.start)
        return self.final + (self.initial - self.final) * left**3


@final
@dataclass(frozen=True)
class Stages:
    """A density that changes in stages (MEST's elastic mutation with a soft bound).

    Parameters
    ----------
    densities : tuple of float
        One more than `steps`.
    steps : tuple of int
        Where the next density begins, ascending.
    """

    densities: tuple[float, ...]
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if len(self.densities) != len(self.steps) + 1:
            raise ValueError(
                f"{len(self.densities)} densities need {len(self.densities) - 1} "
                f"steps between them, got {len(self.steps)}"
            )
        if not all(0 <= d <= 1 for d in self.densities):
            raise ValueError(f"densities must lie in [0, 1], got {self.densities}")
        # From a file they come as lists.
        object.__setattr__(self, "densities", tuple(self.densities))
        object.__setattr__(self, "steps", tuple(self.steps))
        if list(self.steps) != sorted(self.steps):
            raise ValueError(f"steps must ascend, got {self.steps}")

    def __call__(self, step: int) -> float:
        """Density after an update before step `step`."""
        return self.densities[sum(step >= s for s in self.steps)]
