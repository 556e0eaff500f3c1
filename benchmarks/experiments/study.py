"""What the experiments share: options, trials in processes, files of results."""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"


def options(text: str, **flags: str) -> argparse.Namespace:
    """What every experiment takes, and flags of its own with their help."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="few trials on the embedded digits"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="processes, of one thread each; results do not depend on it",
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the trials that DIR already holds"
    )
    for name, help_ in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=help_)
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    return parser.parse_args()


def run_all(
    name: str,
    given: argparse.Namespace,
    trial: Callable[..., dict[str, Any]],
    cells: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """One row a cell, in their order; progress on standard output.

    Each row is written to NAME.json when its trial is done. With ``--resume`` what
    NAME.json holds is not run again.
    """
    file = given.out / f"{name}.json"
    held = given.resume and file.exists()
    rows = json.loads(file.read_text())["rows"] if held else []
    known = {_key(row, cells[0]): row for row in rows}
    context = get_context("spawn")
    with ProcessPoolExecutor(
        given.jobs, context, initializer=_one_thread, max_tasks_per_child=1
    ) as pool:  # a process for each trial, so that its memory is its own
        todo = {
            pool.submit(trial, **cell): cell
            for cell in cells
            if _key(cell, cell) not in known
        }
        for future in as_completed(todo):
            cell = todo[future]
            row = {**cell, **future.result()}
            known[_key(cell, cell)] = row
            said = ", ".join(str(value) for value in cell.values())
            print(
                f"[{len(known)}/{len(cells)}] {said}: {row['accuracy']:.4f}", flush=True
            )
            _write_rows(file, given, list(known.values()))
    return [known[_key(cell, cell)] for cell in cells]


def _write_rows(
    file: Path, given: argparse.Namespace, rows: Sequence[Mapping[str, Any]]
) -> None:
    from sparsenn.files import atomic_write

    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine.describe(1), "quick": given.quick, "rows": rows}
    with atomic_write(file, "w") as out:
        out.write(json.dumps(document, indent=1, default=str) + "\n")


def _key(row: Mapping[str, Any], cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a row from others: its values of a cell's settings."""
    return tuple(row[name] for name in cell)


def _one_thread() -> None:
    machine.limit_threads(1)
    import sparsenn

    sparsenn.set_num_threads(1)


def train(
    model: Any,
    data: Any,
    *,
    epochs: int,
    lr: float,
    seed: int,
    weight_decay: float = 0.0,
    batch_size: int = 100,
    decay: str = "cosine",
    scale: str = "unit",
    topology: Callable[[Any, Any, int], Any] | None = None,
) -> float:
    """Trains with momentum 0.9 and gives the test accuracy of the last epoch."""
    from sparsenn import optim, train

    steps_per_epoch = -(-len(data.y_train) // batch_size)
    total = steps_per_epoch * epochs
    optimizer = optim.SGD(
        model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay
    )
    schedule: Any = optim.Cosine(lr, total)
    if decay == "paper":  # SNIP's
        schedule = optim.Step(lr, tuple(range(25_000, max(total, 25_001), 25_000)))
    updater = None if topology is None else topology(model, optimizer, steps_per_epoch)
    history = train.fit(
        model,
        data,
        epochs=epochs,
        optimizer=optimizer,
        batch_size=batch_size,
        schedule=schedule,
        topology=updater,
        scaling=scale,
        seed=seed,
    )
    return float(history["test_accuracy"][-1])


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Mean and half of the 95 % interval by Student's t; 0 for a single value."""
    from scipy.stats import t

    found = list(values)
    mean = statistics.fmean(found)
    if len(found) < 2:
        return mean, 0.0
    half = (
        t.ppf(0.975, len(found) - 1) * statistics.stdev(found) / math.sqrt(len(found))
    )
    return mean, float(half)


def percent(mean: float, half: float) -> str:
    """A fraction with its interval, in per cent."""
    return f"{100 * mean:.2f} ± {100 * half:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def write(
    name: str, given: argparse.Namespace, text: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """NAME.json and NAME.md in the folder of results."""
    from sparsenn.files import atomic_write

    _write_rows(given.out / f"{name}.json", given, rows)
    with atomic_write(given.out / f"{name}.md", "w") as file:
        file.write(text.rstrip() + "\n")
    print(text)


def batch(data: Any, size: int, seed: int) -> tuple[Any, Any]:
    """A random batch of the training part, scaled to 0..1."""
    import numpy as np

    from sparsenn import data as datasets
    from sparsenn.random import Purpose, Stream

    order = Stream(seed, Purpose.PROBE).permutation(len(data.y_train))[:size]
    scaling = datasets.Scaling.fit(data.x_train, "unit")
    x = scaling.apply(data.x_train[np.sort(order)]).reshape(len(order), -1)
    return x, np.asarray(data.y_train[np.sort(order)])


def draw(
    path: Path,
    x: Sequence[float],
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    xlabel: str,
    title: str,
) -> None:
    """Accuracy with intervals against something on a logarithmic axis."""
    from sparsenn import plot

    if not plot.available():
        return
    figure = plot.figure(6.4, 4.2)
    axes = figure.add_subplot()
    for (name, points), colour in zip(curves.items(), plot.COLOURS, strict=False):
        means = [100 * mean for mean, _ in points]
        halves = [100 * half for _, half in points]
        axes.errorbar(
            x, means, yerr=halves, label=name, color=colour, marker="o", capsize=2
        )
    axes.set_xscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    plot.save(figure, path)
