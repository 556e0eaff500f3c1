"""The one error that data raise."""

from __future__ import annotations

__all__ = ["DataError"]


class DataError(ValueError):
    """Data cannot be used; the message says which, what is wrong and what to do."""
