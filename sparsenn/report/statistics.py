"""Means over seeds, and how sure one may be of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean over runs and the half-width of its confidence interval.

    Attributes
    ----------
    mean : float
    half : float or None
        The interval is ``mean - half .. mean + half``; None for fewer than two runs.
    n : int
        Runs.
    """

    mean: float
    half: float | None
    n: int


def estimate(values: Iterable[float], level: float = 0.95) -> Estimate:
    """The mean of independent runs with Student's interval of a level.

    Parameters
    ----------
    values : iterable of float
        One a run, at least one.
    level : float
        In (0, 1).

    Returns
    -------
    Estimate
        ``half`` is ``t * s / sqrt(n)`` with the sample deviation `s` and the quantile
        `t` of Student's law of n - 1 degrees of freedom.

    Raises
    ------
    ValueError
        If there is no value, or the level is not in (0, 1).
    """
    found = [float(value) for value in values]
    n = len(found)
    if not n:
        raise ValueError("an estimate needs at least one value")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    mean = math.fsum(found) / n
    if n == 1:
        return Estimate(mean, None, 1)
    from scipy.special import stdtrit

    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in found) / (n - 1))
    quantile = float(stdtrit(n - 1, (1 + level) / 2))
    return Estimate(mean, quantile * deviation / math.sqrt(n), n)
