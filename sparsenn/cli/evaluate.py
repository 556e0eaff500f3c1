"""`sparsenn evaluate`: loss and accuracy of a saved model."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np

from sparsenn.cli import saved
from sparsenn.cli.errors import UsageError
from sparsenn.cli.output import count, one_line, peak_rss_bytes, percent, print_json

HELP = "measure a saved model on data"
DESCRIPTION = """\
Measures a saved model on the test part of a data set, its training part or all of it.
The input is scaled as it was in training, which the model file says."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    saved.add_arguments(
        parser, "a built-in name or a path (default: the data of the run)"
    )
    parser.add_argument(
        "--part",
        choices=("test", "train", "all"),
        default="test",
        help="default: test; of a file without one, the 20 %% that training holds out",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from sparsenn.train import evaluate
    from sparsenn.train.cost import connections

    opened = saved.open_saved(args.model)
    path, file, model = opened.path, opened.file, opened.model
    name, data = saved.data_of(opened, args)
    parts = {"test": (data.x_test, data.y_test), "train": (data.x_train, data.y_train)}
    chosen = list(parts.values()) if args.part == "all" else [parts[args.part]]
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
            f"{result['loss']:.4f} on {_amount(data, result['samples'])} "
            f"({count(nnz)} connections)"
        )
    return 0


def _amount(data: Any, samples: int) -> str:
    if data.is_text:
        characters = count(samples * data.n_features)
        return f"{characters} characters in {count(samples)} windows"
    return f"{count(samples)} samples"


def _mean(values: list[float], sizes: list[int]) -> float:
    """The mean over the samples of all parts; that of one part to the last bit."""
    if len(values) == 1:
        return values[0]
    return math.fsum(v * n for v, n in zip(values, sizes, strict=True)) / sum(sizes)
