"""Showing progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from sparsenn.train.callbacks import Callback

if TYPE_CHECKING:
    from sparsenn.train.state import State


def epoch_line(state: State) -> str:
    """One line that says what the last epoch did."""
    row = state.logs
    width = len(str(state.epochs))
    parts = [f"epoch {row['epoch']:{width}d}/{state.epochs}"]
    parts.append(f"loss {row['train_loss']:.4f}")
    for part in ("val", "test"):
        if f"{part}_accuracy" in row:
            parts.append(f"{part} accuracy {row[f'{part}_accuracy']:.4f}")
    parts.append(f"{row['nnz']:,} connections")
    if row["grown"]:
        parts.append(f"{row['grown']:,} regrown")
    parts.append(f"{row['seconds']:.1f} s")
    return "  ".join(parts)


class ProgressBar(Callback):
    """A line an epoch, and within the epoch a bar if the stream is a terminal.

    The bar needs tqdm (``pip install 'sparsenn[progress]'``); without it, and on
    streams that are not terminals, only the lines are printed.

    Parameters
    ----------
    stream : file, optional
        Where to write; standard error by default.
    label : str
        Begins every line.
    every : int
        Print the line of every so many epochs, and of the first and the last.
    """

    def __init__(
        self, stream: TextIO | None = None, label: str = "", every: int = 1
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 epoch, got {every}")
        self._stream = stream
        self._every = every
        self._label = f"{label}  " if label else ""
        self._bar: Any = None

    @property
    def stream(self) -> TextIO:
        """Where this writes (looked up late, as standard error may be redirected)."""
        return sys.stderr if self._stream is None else self._stream

    def on_epoch_begin(self, state: State) -> None:
        if not self.stream.isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._bar = tqdm(
            total=state.steps_per_epoch,
            initial=state.batch,
            desc=f"{self._label}epoch {state.epoch + 1}/{state.epochs}",
            file=self.stream,
            leave=False,
            mininterval=0.2,
        )

    def on_batch_end(self, state: State) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_epoch_end(self, state: State) -> None:
        self._close()
        due = state.epoch % self._every == 0 or state.epoch in (1, state.epochs)
        if due or state.stop:
            print(self._label + epoch_line(state), file=self.stream, flush=True)

    def on_interrupt(self, state: State) -> None:
        self._close()

    def on_nonfinite_loss(self, state: State) -> None:
        self._close()

    def on_train_end(self, state: State) -> None:
        self._close()
        if state.stop_reason:
            print(f"{self._label}stopped: {state.stop_reason}", file=self.stream)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
