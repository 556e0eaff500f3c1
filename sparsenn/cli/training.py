"""Training one run in its directory: what `train` does, and each cell of a sweep."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from sparsenn.cli.config import Config
from sparsenn.cli.living import living_of
from sparsenn.cli.output import peak_rss_bytes
from sparsenn.cli.prepare import Prepared
from sparsenn.cli.rundir import RunDirectory
from sparsenn.files import atomic_write
from sparsenn.train import Callback, State
from sparsenn.train.checkpoint import save_checkpoint
from sparsenn.train.jsonable import jsonable


def train_run(
    prepared: Prepared,
    config: Config,
    directory: RunDirectory,
    start: Any = None,
    *,
    quiet: bool = False,
    checkpoint_every: int | None = None,
    pictures: bool = True,
    first: bool = False,
) -> dict[str, Any]:
    """Trains, and leaves model, history, result and pictures in the directory.

    Parameters
    ----------
    prepared : Prepared
    config : Config
    directory : RunDirectory
        Exists and holds ``config.toml``.
    start : checkpoint, optional
        Where to go on.
    quiet : bool
        No progress on standard error.
    checkpoint_every : int, optional
        Steps between checkpoints, beside those after every epoch.
    pictures : bool
        Draw them, if matplotlib is there.
    first : bool
        Also save a checkpoint before the first step: of a network that its settings
        alone would not build again.

    Returns
    -------
    dict
        What ``--json`` prints. ``result.json`` holds it too, without the directory and
        with the settings.
    """
    from sparsenn import train
    from sparsenn.cli.pictures import InputConnections, draw_run
    from sparsenn.export.model import save

    settings = config.settings
    began = time.perf_counter()
    inputs, starting = InputConnections(), Began(prepared.began)
    callbacks: list[train.Callback] = [inputs, starting, train.Boosting()]
    best = None
    if settings["val_fraction"]:
        best = train.EarlyStopping("val_accuracy", patience=None, restore_best=True)
        callbacks.append(best)
    explored = None
    if settings["exploration"] == "yes":
        explored = Explored()
        callbacks.append(explored)
    if not quiet:
        callbacks.append(train.ProgressBar())
    if first:
        callbacks.append(First(directory.checkpoint))
    callbacks.append(
        train.Checkpoint(directory.checkpoint, every_steps=checkpoint_every)
    )
    drawn: list[Path] = []
    with train.InterruptBetweenSteps() as interrupt:
        history = train.fit(
            prepared.model,
            prepared.data,
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            optimizer=prepared.optimizer,
            schedule=prepared.schedule,
            topology=prepared.topology,
            scaling=prepared.scaling or settings["scale"],
            seed=settings["seed"],
            callbacks=[*callbacks, interrupt],
            val_fraction=settings["val_fraction"],
            clip_grad_norm=settings["clip"],
            augment=prepared.augment,
            start=start,
        )
        extra = {"arch": prepared.arch, "classes": list(prepared.data.classes)}
        save(prepared.model, directory.model, scaling=history.scaling, extra=extra)
        history.save(directory.history)
        if pictures:
            drawn = draw_run(
                directory.path,
                history,
                prepared.model,
                inputs.before,
                prepared.data.shape,
            )
        result = _result(prepared, config, directory, history, best)
        if starting.told is not None:
            result["start_seconds"] = starting.told["seconds"]
            result["start_rounds"] = starting.told["rounds"]
        if explored is not None:
            result["exploration"] = explored.rate
        result["seconds"] = time.perf_counter() - began
        _write(result, config, directory)
    files = [directory.model.name, *(path.name for path in drawn)]
    return {**result, "out": str(directory.path), "files": files}


class Began(Callback):
    """Remembers how the connections of the start were chosen, also when resumed."""

    def __init__(self, told: dict[str, Any] | None) -> None:
        self.told = told

    def state(self) -> dict[str, Any]:
        return self.told or {}

    def load_state(self, state: dict[str, Any]) -> None:
        self.told = state or None


class First(Callback):
    """Saves a checkpoint before the first step."""

    last = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_begin(self, state: State) -> None:
        if not state.step:
            save_checkpoint(self._path, state)


class Explored(Callback):
    """Measures ITOP's rate: the positions that were ever connected."""

    def __init__(self) -> None:
        self._exploration: Any = None
        self._updates = 0
        self._saved: dict[str, Any] = {}

    @property
    def rate(self) -> float:
        """Positions ever connected over all positions."""
        return float(self._exploration.rate)

    def state(self) -> dict[str, Any]:
        return {} if self._exploration is None else self._exploration.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self._saved = state

    def on_train_begin(self, state: State) -> None:
        from sparsenn.topology import Exploration

        self._exploration = Exploration(state.model.parameters())
        if self._saved:
            self._exploration.load_state(self._saved)

    def on_batch_end(self, state: State) -> None:
        updates = 0 if state.topology is None else state.topology.updates
        if updates != self._updates:
            self._updates = updates
            self._exploration.update()


def _result(
    prepared: Prepared,
    config: Config,
    directory: RunDirectory,
    history: Any,
    best: Any,
) -> dict[str, Any]:
    from sparsenn.train.cost import connections, layer_table

    row = history.last
    if best is not None and best.best_epoch:
        row = history.rows[best.best_epoch - 1]
    nnz, positions = connections(prepared.model)
    living = living_of(prepared.model)
    result = {
        "accuracy": row.get("test_accuracy"),
        "loss": row.get("test_loss"),
        "nnz": nnz,
        "density": nnz / positions,
        "epochs": len(history),
        "epoch": row["epoch"],
        "seconds": 0.0,
        "train_seconds": history.seconds,
        "train_flops": history.last["train_flops"],
        "peak_rss_bytes": peak_rss_bytes(),
        "seed": config.settings["seed"],
        "data": config.data,
        "arch": prepared.arch,
        "method": config.settings["method"],
        "init": config.settings["init"],
        "effective_density": None if living is None else living.effective_density,
        "collapsed": None if living is None else living.collapsed,
        "layers": layer_table(prepared.model),
        "model_bytes": directory.model.stat().st_size,
    }
    if best is not None:
        result["val_accuracy"] = row["val_accuracy"]
    return result


def _write(result: dict[str, Any], config: Config, directory: RunDirectory) -> None:
    document = {**result, "settings": config.settings}
    with atomic_write(directory.result, "w") as file:
        file.write(json.dumps(jsonable(document), indent=1, allow_nan=False) + "\n")
