"""The gradients of the last few steps as factors, kept only where an update is near."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from sparsenn.ops import OuterSum, Patches
from sparsenn.ops.conv_shape import ConvShape
from sparsenn.sparse import SparseParameter


@final
class Capture:
    """Collects `SparseParameter.factors` of the steps before an update.

    Parameters
    ----------
    params : sequence of SparseParameter
    window : int
        Steps to keep, 0 for none.
    limit_bytes : int or None
        Most bytes that the factors may take.
    """

    def __init__(
        self,
        params: Sequence[SparseParameter],
        window: int,
        limit_bytes: int | None = None,
    ) -> None:
        self.params = params
        self.window = window
        self.limit_bytes = limit_bytes
        self.history: list[deque[OuterSum]] = [deque(maxlen=window) for _ in params]

    def announce(self, due: bool) -> None:
        """Asks the next backward pass for factors, or forgets those that there are."""
        if not self.window:
            return
        for param, history in zip(self.params, self.history, strict=True):
            param.factors = [] if due else None
            if not due:
                history.clear()

    def collect(self) -> None:
        """Takes over what the last backward pass left.

        Raises
        ------
        ValueError
            If it is more than the limit.
        """
        if not self.window:
            return
        for param, history in zip(self.params, self.history, strict=True):
            if param.factors:
                history.append(OuterSum(param.factors))
                param.factors = []
        if self.limit_bytes is not None and self.nbytes > self.limit_bytes:
            needed = self.nbytes * self.window // max(map(len, self.history))
            raise ValueError(
                f"a window of {self.window} steps of factored gradients needs about "
                f"{needed:,} bytes, limit_bytes is {self.limit_bytes:,}; use a shorter "
                "window or smaller batches, or growth='gradient', which keeps one step"
            )

    @property
    def nbytes(self) -> int:
        """Bytes of the factors that are kept."""
        arrays = {
            id(array): array
            for history in self.history
            for outer in history
            for pair in outer.factors
            for array in pair
        }
        return sum(getattr(array, "nbytes", 0) for array in arrays.values())

    def state(self) -> dict[str, Any]:
        """The factors by parameter, if several steps are kept."""
        if self.window < 2:
            return {}
        found: dict[str, Any] = {}
        for param, history in zip(self.params, self.history, strict=True):
            found[param.name] = [
                [[_saved(x) for x in pair] for pair in outer.factors]
                for outer in history
            ]
        return found

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave."""
        for param, history in zip(self.params, self.history, strict=True):
            history.clear()
            for pairs in state.get(param.name, ()):
                history.append(OuterSum([(_read(a), _read(b)) for a, b in pairs]))


def _saved(factor: Any) -> Any:
    """A factor as arrays and numbers; the images of a convolution with its sizes."""
    if isinstance(factor, Patches):
        return {"x": factor.x, "conv": list(factor.conv)}
    if isinstance(factor, np.ndarray):
        return factor
    raise ValueError(
        "a window of gradients of sparse batches cannot be saved; use growth='gradient'"
    )


def _read(saved: Any) -> Any:
    """The inverse of `_saved`."""
    if not isinstance(saved, dict):
        return saved
    sizes: Any = (n if isinstance(n, int) else tuple(n) for n in saved["conv"])
    return Patches(saved["x"], ConvShape(*sizes))
