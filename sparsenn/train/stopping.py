"""Ending training early, with the best model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparsenn.train.callbacks import Callback

if TYPE_CHECKING:
    from sparsenn.train.state import State


class EarlyStopping(Callback):
    """Stops when a column of the history has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        A column of the history. Names with "loss" are minimised, others maximised,
        unless `mode` says otherwise.
    patience : int or None
        Epochs without improvement before training stops; None never stops (and with
        `restore_best` still ends with the best model).
    min_delta : float
        What counts as an improvement: more than this.
    mode : {"auto", "min", "max"}
        Direction of improvement.
    restore_best : bool
        Keep a copy of the best epoch's weights (O(nnz)) and put it back at the end.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int | None = 5,
        *,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'mode must be "auto", "min" or "max", got {mode!r}')
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1 or None, got {patience}")
        if min_delta < 0:
            raise ValueError(f"min_delta must not be negative, got {min_delta}")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = float(min_delta)
        if mode == "auto":
            mode = "min" if "loss" in monitor else "max"
        self.mode = mode
        self.restore_best = restore_best
        self.best: float | None = None
        self.best_epoch = 0
        self._weights: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return f"EarlyStopping({self.monitor})"

    def state(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "weights": self._weights,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self.best_epoch = int(state["best_epoch"])
        self._weights = state["weights"]

    def improved(self, value: float) -> bool:
        """Whether a value is better than the best so far."""
        if value != value:
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

    def on_epoch_end(self, state: State) -> None:
        if self.monitor not in state.logs:
            columns = ", ".join(state.logs)
            raise ValueError(
                f"EarlyStopping watches {self.monitor!r}, which is not in the history; "
                f"columns: {columns}"
            )
        value = float(state.logs[self.monitor])
        if self.improved(value):
            self.best, self.best_epoch = value, state.epoch
            if self.restore_best:
                from sparsenn.export.model import model_arrays

                self._weights = model_arrays(state.model, effective=True)
        elif (
            self.patience is not None and state.epoch - self.best_epoch >= self.patience
        ):
            state.stop = True
            state.stop_reason = (
                f"{self.monitor} has not improved for {self.patience} epochs "
                f"(best {self.best:.6g} in epoch {self.best_epoch})"
            )

    def on_train_end(self, state: State) -> None:
        if self.restore_best and self._weights and self.best_epoch != state.epoch:
            from sparsenn.export.model import set_model_arrays

            set_model_arrays(state.model, self._weights)
