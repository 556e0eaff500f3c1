"""Learning-rate schedules: pure functions of the step, so resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

Schedule: TypeAlias = Callable[[int], float]
"""Step (from 0) -> learning rate."""


@final
@dataclass(frozen=True)
class Constant:
    """Always `lr`."""

    lr: float

    def __call__(self, step: int) -> float:
        """Learning rate at `step`."""
        return self.lr


@final
@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `lr` at step 0 down to `end` at `total_steps` and after.

    References
    ----------
    Loshchilov & Hutter, "SGDR", arXiv:1608.03983, without restarts.
    """

    lr: float
    total_steps: int
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """Learning rate at `step`."""
        progress = min(step / max(self.total_steps, 1), 1.0)
        return self.end + (self.lr - self.end) * 0.5 * (
            1.0 + math.cos(math.pi * progress)
        )


@final
@dataclass(frozen=True)
class Linear:
    """A straight line from `lr` at step 0 to `end` at `total_steps` and after."""

    lr: float
    total_steps: int
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """Learning rate at `step`."""
        progress = min(step / max(self.total_steps, 1), 1.0)
        return self.lr + (self.end - self.lr) * progress


@final
@dataclass(frozen=True)
class Step:
    """`lr` times `gamma` for each of the `milestones` (steps) that has been reached."""

    lr: float
    milestones: Sequence[int]
    gamma: float = 0.1

    def __call__(self, step: int) -> float:
        """Learning rate at `step`."""
        return self.lr * self.gamma ** sum(step >= m for m in self.milestones)


@final
@dataclass(frozen=True)
class Exponential:
    """`lr` times `gamma` to the power of the step."""

    lr: float
    gamma: float

    def __call__(self, step: int) -> float:
        """Learning rate at `step`."""
        return self.lr * self.gamma**step


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """The same schedule after a linear rise from 0 over the first `steps` steps."""
    if steps < 1:
        return schedule
    return lambda step: schedule(step) * min((step + 1) / steps, 1.0)
