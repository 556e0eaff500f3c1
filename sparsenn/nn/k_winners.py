"""k-winners: sparse activations, with boosting of those that seldom win."""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn._core import Events
from sparsenn.autograd import Tensor
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module
from sparsenn.ops.k_winners import Competition

MAX_EXPONENT = 60
_PER: tuple[Competition, ...] = ("sample", "location", "channel")


@final
@layer
class KWinners(Module):
    """Keeps the k largest units of each sample and sets all others to zero.

    Replaces an activation function. Units compete with boosted values, ``x_i *
    exp(strength * (k / n - duty_i))``, where duty_i is a running mean of how often unit
    i wins with a positive value; values pass unboosted, and gradients flow to the
    winners. A sparse :class:`sparsenn.nn.Linear` that follows walks the winners alone
    when that is faster; give it ``sparse_input=True`` if few units win.

    Parameters
    ----------
    n_features : int
        Features of (batch, features), channels of (batch, channels, ...).
    percent_on : float
        Fraction of the units of one competition that win, in (0, 1]:
        k = ``round(percent_on * n)``, at least 1.
    k_inference_factor : float
        In evaluation ``int(k * k_inference_factor)`` win, at most all.
    boost_strength : float
        0: no boosting. Kept in the buffer `strength`.
    boost_strength_factor : float
        In [0, 1]; :meth:`update_boost_strength` multiplies the strength by it.
    duty_cycle_period : int
        Samples over which duty cycles are averaged.
    per : {"sample", "location", "channel"}
        Who competes, if there are axes after the channels: all units of a sample (the
        paper), the channels at each place, or the places of each channel (where
        boosting changes nothing). Duty cycles are per channel in every case.

    Notes
    -----
    Duty cycles are updated in training only, after the batch's winners are chosen::

        duty = (duty * (period - batch) + wins) / period,
        period = max(batch, min(duty_cycle_period, samples seen so far))

    and with the number of samples seen they are buffers, so that a resumed run goes on
    with the same bits.

    References
    ----------
    Ahmad & Scheinkman, "How can we be so dense? The benefits of using highly sparse
    representations", arXiv:1903.11257.
    """

    buffers: ClassVar[tuple[str, ...]] = ("duty_cycle", "seen", "strength")

    unitwise: ClassVar[bool] = False

    transparent: ClassVar[bool] = True

    def __init__(
        self,
        n_features: int,
        percent_on: float = 0.1,
        *,
        k_inference_factor: float = 1.5,
        boost_strength: float = 1.0,
        boost_strength_factor: float = 0.9,
        duty_cycle_period: int = 1000,
        per: Competition = "sample",
    ) -> None:
        if n_features < 1:
            raise ValueError(f"n_features must be at least 1, got {n_features}")
        if not 0.0 < percent_on <= 1.0:
            raise ValueError(f"percent_on must be in (0, 1], got {percent_on}")
        if not 0.0 < k_inference_factor < np.inf:
            raise ValueError(
                f"k_inference_factor must be positive, got {k_inference_factor}"
            )
        if not 0.0 <= boost_strength < np.inf:
            raise ValueError(f"boost_strength must be 0 or more, got {boost_strength}")
        if not 0.0 <= boost_strength_factor <= 1.0:
            raise ValueError(
                f"boost_strength_factor must be in [0, 1], got {boost_strength_factor}"
            )
        if duty_cycle_period < 1:
            raise ValueError(
                f"duty_cycle_period must be at least 1, got {duty_cycle_period}"
            )
        if per not in _PER:
            raise ValueError(f"per must be one of {', '.join(_PER)}; got {per!r}")
        self.n_features = n_features
        self.percent_on = percent_on
        self.k_inference_factor = k_inference_factor
        self.boost_strength = boost_strength
        self.boost_strength_factor = boost_strength_factor
        self.duty_cycle_period = duty_cycle_period
        self.per: Competition = per
        self.duty_cycle = np.zeros(n_features, np.float32)
        self.seen = np.zeros(1, np.int64)
        self.strength = np.array([boost_strength], np.float64)

    def forward(self, x: Tensor) -> Tensor:
        """The winners' values, shape of x: (batch, n_features, ...)."""
        if x.ndim < 2 or x.shape[1] != self.n_features:
            raise ValueError(
                f"KWinners({self.n_features}) takes (batch, {self.n_features}, ...), "
                f"got {x.shape}"
            )
        places = int(np.prod(x.shape[2:]))
        units = {
            "sample": self.n_features * places,
            "location": self.n_features,
            "channel": places,
        }[self.per]
        k = self.k(units)
        y = ops.k_winners(x, k, boost=self._boost(k / max(units, 1)), per=self.per)
        if self.training and x.shape[0]:
            self._update_duty_cycle(y)
        return y

    def k(self, units: int) -> int:
        """Winners among so many units, in training or in evaluation."""
        k = max(1, round(self.percent_on * units))
        if not self.training:
            k = max(1, int(k * self.k_inference_factor))
        return min(k, units)

    def update_boost_strength(self) -> None:
        """Multiplies the strength by its factor; call it after each epoch."""
        self.strength *= self.boost_strength_factor

    def _boost(self, target: float) -> np.ndarray | None:
        strength = np.float32(self.strength[0])
        if strength == 0 or self.per == "channel":
            return None
        exponent = (np.float32(target) - self.duty_cycle) * strength
        if strength > MAX_EXPONENT:  # so that no factor is zero or infinite
            np.clip(exponent, -MAX_EXPONENT, MAX_EXPONENT, out=exponent)
        return np.exp(exponent)

    def _update_duty_cycle(self, y: Tensor) -> None:
        batch = y.shape[0]
        self.seen += batch
        period = max(batch, min(self.duty_cycle_period, int(self.seen[0])))
        if y.active is not None:
            share = _wins(y.data, y.active)
        else:
            wins = np.count_nonzero(y.data > 0, axis=(0, *range(2, y.ndim)))
            share = wins / np.prod(y.shape[2:])
        self.duty_cycle[...] = (self.duty_cycle * (period - batch) + share) / period

    def config(self) -> dict[str, Any]:
        """Sizes and constants; `per` as a number."""
        return {
            "n_features": self.n_features,
            "percent_on": self.percent_on,
            "k_inference_factor": self.k_inference_factor,
            "boost_strength": self.boost_strength,
            "boost_strength_factor": self.boost_strength_factor,
            "duty_cycle_period": self.duty_cycle_period,
            "per": _PER.index(self.per),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> KWinners:
        """The layer that :meth:`config` described."""
        per = config.get("per", 0)
        if per not in range(len(_PER)):
            raise ValueError(f"per must be a number below {len(_PER)}, got {per!r}")
        return cls(**config | {"per": _PER[int(per)]})


def _wins(y: np.ndarray, events: Events) -> np.ndarray:
    """How many samples each feature wins with a positive value, by the events alone."""
    batch, n = events.shape
    samples = np.repeat(np.arange(batch), np.diff(events.start))
    positive = y.T.reshape(-1)[events.features.astype(np.intp) * batch + samples] > 0
    return np.bincount(events.features[positive], minlength=n)
