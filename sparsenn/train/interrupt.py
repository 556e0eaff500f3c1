"""Ctrl-C between two steps rather than inside one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from sparsenn.train.callbacks import Callback

if TYPE_CHECKING:
    from sparsenn.train.state import State


class InterruptBetweenSteps(Callback):
    """Holds the first Ctrl-C back until the current step is done.

    Use as a context manager around `fit` and as one of its callbacks: the
    KeyboardInterrupt is then raised where the model and the optimiser agree, so that a
    `Checkpoint` can write the very point. A second Ctrl-C interrupts at once. Outside
    of the main thread, where Python delivers no signals, it does nothing.

    Examples
    --------
    >>> with InterruptBetweenSteps() as interrupt:  # doctest: +SKIP
    ...     fit(model, data, callbacks=[interrupt, Checkpoint(path)], ...)
    """

    last = True

    def __init__(self) -> None:
        self.pending = False
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> InterruptBetweenSteps:
        self.pending = False
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._hold)
            self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)
            self._installed = False
        if self.pending and kind is None:
            raise KeyboardInterrupt

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True

    def on_batch_end(self, state: State) -> None:
        if self.pending:
            raise KeyboardInterrupt

    def on_epoch_end(self, state: State) -> None:
        if self.pending:
            raise KeyboardInterrupt
