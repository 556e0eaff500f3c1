"""Writing the history while training runs."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparsenn.train.callbacks import Callback
from sparsenn.train.jsonable import jsonable

if TYPE_CHECKING:
    from sparsenn.train.state import State


class CSVLogger(Callback):
    """Writes the history as a CSV table after every epoch.

    The file always holds the whole history, also after a resume, and is replaced
    atomically.

    Parameters
    ----------
    path : path
        The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, state: State) -> None:
        from sparsenn.files import atomic_write

        with atomic_write(self.path, "w") as file:
            writer = csv.DictWriter(file, state.history.columns(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(state.history.rows)


class JSONLogger(Callback):
    """Writes the history as JSON lines, one object an epoch.

    Parameters
    ----------
    path : path
        The file; always holds the whole history and is replaced atomically.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, state: State) -> None:
        from sparsenn.files import atomic_write

        with atomic_write(self.path, "w") as file:
            for row in state.history:
                file.write(json.dumps(jsonable(row), allow_nan=False) + "\n")
