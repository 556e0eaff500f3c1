"""Errors that the command line reports in one line."""

from __future__ import annotations


class UsageError(Exception):
    """Bad usage or bad input: exit status 2, nothing written."""
