"""Whether operations are being recorded, for each thread separately."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from typing import Any, final

__all__ = ["MODE", "enable_grad", "is_recording", "no_grad"]


class _Mode(threading.local):
    recording: bool = True


MODE = _Mode()


def is_recording() -> bool:
    """Whether operations on tensors that require gradients are recorded now.

    A VJP may call a fused kernel that has no derivative of its own when this is
    False; when it is True its result must be written with ops.

    Returns
    -------
    bool
        False inside ``no_grad`` and in a backward pass without ``create_graph``.
    """
    return MODE.recording


class _Switch(ContextDecorator):
    """Set the mode on entry and put the former one back on exit."""

    __slots__ = ("_former",)
    _value = True

    def __init__(self) -> None:
        self._former: list[bool] = []

    def _recreate_cm(self) -> _Switch:
        # A decorated function may run in several threads: each call its own stack.
        return type(self)()

    def __enter__(self) -> None:
        self._former.append(MODE.recording)
        MODE.recording = self._value

    def __exit__(self, *exc: Any) -> None:
        MODE.recording = self._former.pop()


@final
class no_grad(_Switch):
    """Context manager and decorator: results are constants, nothing is kept.

    Examples
    --------
    >>> with no_grad():
    ...     prediction = model(x)  # doctest: +SKIP
    """

    _value = False


@final
class enable_grad(_Switch):
    """Context manager and decorator: record again inside a ``no_grad`` region."""

    _value = True
