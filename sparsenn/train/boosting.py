"""Boosting of k-winners fades with the epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsenn.nn import KWinners
from sparsenn.train.callbacks import Callback

if TYPE_CHECKING:
    from sparsenn.train.state import State


class Boosting(Callback):
    """After each epoch multiplies the boost strength of every KWinners by its factor.

    The strengths are buffers of the layers, so that checkpoints carry them.
    """

    def on_epoch_end(self, state: State) -> None:
        """After an epoch and its evaluation."""
        for _, module in state.model.named_modules():
            if isinstance(module, KWinners):
                module.update_boost_strength()
