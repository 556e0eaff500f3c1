"""Reading what a finished run left behind."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What a result must hold, and of which kind.
_NUMBERS = ("accuracy", "density", "nnz", "train_flops", "seconds")


class ReportError(ValueError):
    """A directory holds no finished run, or a damaged one."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    path : Path
        Its directory.
    settings : dict
        What it was asked to do, by the names of ``config.toml``.
    result : dict
        What it came to, as ``sparsenn train --json`` prints it.
    """

    path: Path
    settings: dict[str, Any]
    result: dict[str, Any]

    def curve(self, column: str) -> list[float]:
        """A column of the history, one value an epoch; empty if it is not there."""
        try:
            document = json.loads((self.path / "history.json").read_bytes())
            values = [row.get(column) for row in document["epochs"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ReportError(
                f"{self.path / 'history.json'}: cannot be read: {error}"
            ) from error
        return [float("nan") if value is None else float(value) for value in values]


def read_run(path: str | os.PathLike[str]) -> Run:
    """Reads the run of a directory.

    Raises
    ------
    ReportError
        If there is no ``result.json``, or it is not one.
    """
    directory = Path(path)
    file = directory / "result.json"
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ReportError(
            f"{directory}: holds no finished run (no result.json)"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"{file}: cannot be read: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("settings"), dict):
        raise ReportError(f"{file}: is no result of a run (no settings)")
    for name in _NUMBERS:
        value = document.get(name)
        if not isinstance(value, int | float) and value is not None:
            raise ReportError(f"{file}: {name} is {value!r:.60}, not a number")
    settings = document.pop("settings")
    settings.setdefault("data", document.get("data"))
    return Run(directory, settings, document)
