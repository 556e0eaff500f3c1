"""What of a network lies on a path from input to output, where one can say."""

from __future__ import annotations

from typing import Any


def living_of(model: Any) -> Any:
    """Result of `sparsenn.pruning.effective`; None if it cannot be told."""
    from sparsenn.pruning import effective

    try:
        return effective(model)
    except (TypeError, ValueError, OverflowError):
        return None
