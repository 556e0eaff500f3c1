"""The command line, ``sparsenn COMMAND``: see ``sparsenn --help`` and docs/cli.md.

Every command takes ``--help`` and ``--json`` (one JSON object on standard output;
progress and messages go to standard error). Exit status: 0 done, 2 bad usage or bad
input (one line says what and where, and nothing was written), 130 interrupted (the last
checkpoint is whole), 1 anything else.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``sparsenn``; those of the process by default.

    Returns
    -------
    int
        The exit status.
    """
    from sparsenn.cli.dispatch import dispatch

    return dispatch(argv)
