"""The record of a training run, one row an epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from sparsenn.train.jsonable import jsonable


class History:
    """What each epoch measured.

    A row is a dict with ``epoch`` (1-based), ``train_loss``, ``train_accuracy``,
    ``val_loss`` and ``val_accuracy`` (with a validation part), ``test_loss`` and
    ``test_accuracy`` (with a test part), ``seconds`` (training, without evaluation),
    ``nnz``, ``density``, ``lr`` (of the last step), ``dropped``, ``grown`` (connections
    exchanged in the epoch) and ``train_flops`` (cumulative).

    Examples
    --------
    >>> history = History()
    >>> history.append({"epoch": 1, "test_accuracy": 0.9})
    >>> history["test_accuracy"]
    [0.9]
    """

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows: list[dict[str, Any]] = [dict(row) for row in rows or ()]
        #: Why training ended before the planned number of epochs, or "".
        self.stop_reason = ""
        #: The input scaling that was fitted or given; None for none.
        self.scaling: Any = None

    def append(self, row: dict[str, Any]) -> None:
        """Adds the record of one epoch."""
        self.rows.append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __contains__(self, column: str) -> bool:
        return any(column in row for row in self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        """One column over the epochs; KeyError lists the columns there are."""
        if column not in self:
            known = ", ".join(self.columns()) or "none yet"
            raise KeyError(f"no column {column!r} in the history; columns: {known}")
        return [row.get(column) for row in self.rows]

    def columns(self) -> list[str]:
        """All names that occur, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def last(self) -> dict[str, Any]:
        """The row of the last epoch; empty before the first."""
        return self.rows[-1] if self.rows else {}

    @property
    def seconds(self) -> float:
        """Training time in all epochs together."""
        return float(sum(row.get("seconds", 0.0) for row in self.rows))

    def best(self, column: str, mode: str = "max") -> dict[str, Any]:
        """The row with the best value of a column; of equal ones the first.

        Parameters
        ----------
        column : str
            For example ``"val_accuracy"``.
        mode : {"max", "min"}
            What is best.
        """
        if mode not in ("max", "min"):
            raise ValueError(f'mode must be "max" or "min", got {mode!r}')
        self[column]
        rows = [row for row in self.rows if row.get(column) is not None]
        sign = 1 if mode == "max" else -1
        return max(rows, key=lambda row: sign * row[column])

    def to_json(self) -> str:
        """The rows as JSON; numbers that are not finite become null."""
        document = {"epochs": self.rows, "stop_reason": self.stop_reason}
        return json.dumps(jsonable(document), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> History:
        """Reads what `to_json` wrote."""
        document = json.loads(text)
        history = cls(document["epochs"])
        history.stop_reason = document.get("stop_reason", "")
        return history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes ``history.json``, whole or not at all."""
        from sparsenn.files import atomic_write

        with atomic_write(path) as file:
            file.write(self.to_json().encode())

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epochs)"
        shown = ("train_loss", "val_accuracy", "test_accuracy")
        last = ", ".join(f"{k}={self.last[k]:.4g}" for k in shown if k in self.last)
        return f"History({len(self)} epochs, last: {last})"
