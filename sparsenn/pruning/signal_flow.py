"""SynFlow's rounds on models that are no chain, by the gradient of a signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from sparsenn.pruning.choose import keep_globally
from sparsenn.pruning.signal import Signal
from sparsenn.pruning.weights import Kept, Weight

__all__ = ["SignalFlow"]


@final
class SignalFlow:
    """Connections of a model that die by their share in what flows.

    What :class:`sparsenn.pruning.flow.Flow` does for a chain, with the same methods, at
    the cost of one forward and backward pass of a single sample a round.

    Parameters
    ----------
    signal : Signal
        Of the model.
    weights : sequence of Weight
        Its weights; those that are exempt never die.
    weakest : bool
        Let the connections of *lowest* score live on, a control.
    """

    def __init__(
        self, signal: Signal, weights: Sequence[Weight], *, weakest: bool = False
    ) -> None:
        self._signal = signal
        self._weights = weights
        self._weakest = weakest
        self._magnitudes = [param.values.data.copy() for param in signal.params]
        self._alive = [np.ones(m.size, bool) for m in self._magnitudes]
        self._open = [i for i, w in enumerate(weights) if not w.exempt]

    @property
    def live(self) -> int:
        """Connections that live, those of exempt weights aside."""
        return sum(int(np.count_nonzero(self._alive[i])) for i in self._open)

    def keep(self, k: int) -> None:
        """Lets the k connections of highest score live on, ties by position."""
        self._let_live(self._scores(), k)

    def shed(self, share: float, least: int) -> None:
        """Lets the weakest die that carry at most a share of the sum of the outputs.

        Parameters
        ----------
        share : float
        least : int
            This many live on in any case.
        """
        scores = self._scores()
        living = [np.sort(scores[i][self._alive[i]]) for i in self._open]
        carried = np.cumsum(np.sort(np.concatenate(living)))
        dead = int(np.searchsorted(carried, share * self._signal.total, side="right"))
        self._let_live(scores, max(self.live - max(dead, 1), least))

    def finish(self) -> list[Kept]:
        """The living of each weight, masks in storage order."""
        return list(self._alive)

    def _scores(self) -> list[np.ndarray]:
        values = [
            np.where(alive, magnitudes, 0.0)
            for alive, magnitudes in zip(self._alive, self._magnitudes, strict=True)
        ]
        return self._signal.carried(values)

    def _let_live(self, scores: list[np.ndarray], k: int) -> None:
        if self._weakest:
            top = max((s.max(initial=0.0) for s in scores), default=0.0)
            scores = [top - score for score in scores]
        # Scores are not negative: whoever died comes last.
        scores = [
            np.where(alive, score, -1.0)
            for alive, score in zip(self._alive, scores, strict=True)
        ]
        exempt = sum(w.before for w in self._weights if w.exempt)
        kept = keep_globally(self._weights, scores, k + exempt)
        self._alive = [np.asarray(mask) for mask in kept]
