"""When to update, and what fraction to drop then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final


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
    decay : {"constant", "cosine"}
        "cosine" lowers the fraction to 0 at `end_step`:
        ``fraction / 2 * (1 + cos(pi * step / end_step))`` (RigL, equation 1).
    """

    fraction: float = 0.3
    every: int = 100
    end_step: int | None = None
    decay: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if not 0.0 <= self.fraction < 1.0:
            raise ValueError(f"drop_fraction must be in [0, 1), got {self.fraction}")
        if self.every < 1:
            raise ValueError(f"every must be at least 1 step, got {self.every}")
        if self.end_step is not None and self.end_step < 0:
            raise ValueError(f"end_step must be at least 0, got {self.end_step}")
        if self.decay not in ("constant", "cosine"):
            raise ValueError(
                f"decay must be 'constant' or 'cosine', got {self.decay!r}"
            )
        if self.decay == "cosine" and self.end_step is None:
            raise ValueError("decay='cosine' needs an end_step to reach zero at")

    def __call__(self, step: int) -> float | None:
        """Fraction to drop before step `step` (from 0), None for no update."""
        if step == 0 or step % self.every:
            return None
        if self.end_step is None:
            return self.fraction
        if step >= self.end_step:
            return None
        if self.decay == "constant":
            return self.fraction
        return self.fraction / 2 * (1 + math.cos(math.pi * step / self.end_step))
