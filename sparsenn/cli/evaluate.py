"""`sparsenn evaluate`: loss and accuracy of a saved model."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np

from sparsenn.cli.errors import UsageError
from sparsenn.cli.output import count, one_line, peak_rss_bytes, percent, print_json
from sparsenn.cli.prepare import load_data
from sparsenn.cli.rundir import RunDirectory, model_path
from sparsenn.train.cost import weights

HELP = "measure a saved model on data"
DESCRIPTION = """\
Measures a saved model on the test part of a data set, its training part or all of it.
The input is scaled as it was in training, which the model file says."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    parser.add_argument(
        "model", metavar="RUN|FILE", help="directory of a run, or a model file"
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="a built-in name or a path (default: the data of the run)",
    )
    parser.add_argument(
        "--part",
        choices=("test", "train", "all"),
        default="test",
        help="default: test; of a file without one, the 20 %% that training holds out",
    )
    parser.add_argument("--label", metavar="NAME", help="CSV column of the class")
    parser.add_argument("--labels", metavar="FILE", help="classes of a sparse .npz")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from sparsenn.export.model import read_model
    from sparsenn.train import evaluate
    from sparsenn.train.cost import connections

    path = model_path(args.model)
    file = read_model(path)
    settings = {"label": args.label, "labels": args.labels}
    name = args.data
    if name is None:
        run_config = RunDirectory(args.model)
        if not run_config.config.exists():
            raise UsageError(
                "DATA is missing: a built-in name such as digits, or a path"
            )
        config = run_config.read_config()
        name = config.data
        settings = {key: settings[key] or config.settings[key] for key in settings}
    model = file.build()
    data = load_data(name, settings, _classes(file))
    parts = {"test": (data.x_test, data.y_test), "train": (data.x_train, data.y_train)}
    chosen = list(parts.values()) if args.part == "all" else [parts[args.part]]
    _check_fits(model, data, str(path))
    began = time.perf_counter()
    try:
        with np.errstate(all="ignore"):  # weights may be anything; the loss tells
            measured = [evaluate(model, x, y, scaling=file.scaling) for x, y in chosen]
    except ValueError as error:
        raise UsageError(f"{path}: {one_line(error)}") from error
    sizes = [len(y) for _, y in chosen]
    nnz, positions = connections(model)
    result: dict[str, Any] = {
        "accuracy": _mean([one["accuracy"] for one in measured], sizes),
        "loss": _mean([one["loss"] for one in measured], sizes),
        "samples": sum(sizes),
        "part": args.part,
        "nnz": nnz,
        "density": nnz / positions if positions else 0.0,
        "seconds": time.perf_counter() - began,
        "peak_rss_bytes": peak_rss_bytes(),
        "model": str(path),
        "data": name,
    }
    if args.json:
        print_json(result)
    else:
        print(
            f"{args.part} accuracy {percent(result['accuracy'])}, loss "
            f"{result['loss']:.4f} on {count(result['samples'])} samples "
            f"({count(nnz)} connections)"
        )
    return 0


def _mean(values: list[float], sizes: list[int]) -> float:
    """The mean over the samples of all parts; that of one part to the last bit."""
    if len(values) == 1:
        return values[0]
    return math.fsum(v * n for v, n in zip(values, sizes, strict=True)) / sum(sizes)


def _classes(file: Any) -> tuple[str, ...] | None:
    """The names of the classes that a model was trained on; None if it has none."""
    classes = file.extra.get("classes")
    if not classes:
        return None
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
        raise UsageError(f"{file.path}: its classes are not a list of names")
    if len(set(classes)) != len(classes):
        raise UsageError(f"{file.path}: names a class twice")
    return tuple(classes)


def _check_fits(model: Any, data: Any, path: str) -> None:
    """UsageError if the first weight takes another number of features."""
    found = weights(model)
    if not found:
        return
    n_in, n_out = found[0].shape[1], found[-1].shape[0]
    if n_in != data.n_features:
        raise UsageError(
            f"{path} takes {n_in} features, {data.name} has {data.n_features}"
        )
    if data.n_classes > n_out:
        raise UsageError(
            f"{path} tells {n_out} classes apart, {data.name} has {data.n_classes}"
        )
