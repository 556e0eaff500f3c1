"""`sparsenn demo`: dense, static and evolving networks side by side, in a minute."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sparsenn.cli.config import make_config
from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import BY_NAME
from sparsenn.cli.output import (
    count,
    one_line,
    peak_rss_bytes,
    percent,
    print_json,
    size,
    table,
)
from sparsenn.cli.prepare import prepare

HELP = "train dense, static and evolving networks on digits, and compare"
DESCRIPTION = """\
Trains three networks of one architecture on the embedded handwritten digits: dense,
sparse with connections that stay (static), and sparse with connections that evolve
(SET). Prints them side by side, writes the models and, with matplotlib, a picture."""

ARCH = "64-1000-100-10"
EPOCHS = 60
DENSITY = 0.015
UPDATE_EVERY = 10  # steps; digits are few, and an epoch has only 30
NETWORKS = {"dense": "dense", "static": "static", "set": "SET"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    parser.add_argument(
        "--out", default="demo", metavar="DIRECTORY", help="default: demo"
    )
    for name, value in (("epochs", EPOCHS), ("density", DENSITY), ("seed", 0)):
        option = BY_NAME[name]
        parser.add_argument(
            option.flag,
            type=option.parse,
            default=value,
            metavar=name.upper(),
            help=f"default: {value}",
        )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {one_line(error)}") from error
    began = time.perf_counter()
    trained = {name: _train(name, args, out) for name in NETWORKS}
    picture = _draw(trained, args, out)
    rows = {name: result for name, (result, _, _) in trained.items()}
    document = {
        "networks": rows,
        "seconds": time.perf_counter() - began,
        "peak_rss_bytes": peak_rss_bytes(),
        "seed": args.seed,
        "out": str(out),
        "picture": None if picture is None else str(picture),
    }
    _write(document, trained, out)
    if args.json:
        print_json(document)
    else:
        _report(document)
    return 0


def _train(
    name: str, args: argparse.Namespace, out: Path
) -> tuple[dict[str, Any], Any, dict[str, np.ndarray | None]]:
    """Trains one network; its row of the table, its history, its input maps."""
    from sparsenn import plot, train
    from sparsenn.export.model import save
    from sparsenn.train.cost import connections, layer_table, weights

    given: dict[str, Any] = {
        "method": name,
        "arch": ARCH,
        "epochs": args.epochs,
        "seed": args.seed,
        "update_every": UPDATE_EVERY,
    }
    if name != "dense":
        given["density"] = args.density
    config = make_config("digits", given, {})
    prepared = prepare(config)
    shape = prepared.data.shape

    def input_map() -> np.ndarray | None:
        first = weights(prepared.model)[0].pattern
        return plot.as_image(plot.connections_per_input(first), shape)

    before = input_map()
    label = f"{NETWORKS[name]:6}"
    callbacks = [] if args.quiet else [train.ProgressBar(label=label, every=10)]
    history = train.fit(
        prepared.model,
        prepared.data,
        epochs=args.epochs,
        batch_size=config.settings["batch_size"],
        optimizer=prepared.optimizer,
        schedule=prepared.schedule,
        topology=prepared.topology,
        scaling=config.settings["scale"],
        seed=args.seed,
        callbacks=callbacks,
    )
    path = out / f"{name}.safetensors"
    save(prepared.model, path, scaling=history.scaling)
    nnz, positions = connections(prepared.model)
    result = {
        "accuracy": history.last["test_accuracy"],
        "loss": history.last["test_loss"],
        "nnz": nnz,
        "density": nnz / positions,
        "weight_bytes": sum(p.nbytes for p in weights(prepared.model)),
        "model_bytes": path.stat().st_size,
        "train_flops": history.last["train_flops"],
        "seconds": history.seconds,
        "layers": layer_table(prepared.model),
        "model": str(path),
    }
    return result, history, {"before": before, "after": input_map()}


def _draw(trained: dict[str, Any], args: argparse.Namespace, out: Path) -> Path | None:
    """Accuracy against epoch, and which pixels the evolving network connects to."""
    from sparsenn import plot

    if not plot.available():
        print(
            "no picture: it needs matplotlib (pip install 'sparsenn[plot]')",
            file=sys.stderr,
        )
        return None
    series = {}
    for name, (result, history, _) in trained.items():
        label = f"{NETWORKS[name]}, {count(result['nnz'])}"
        series[label] = (history["epoch"], history["test_accuracy"])
    maps = trained["set"][2]
    figure = plot.curves_and_maps(
        series,
        {"before training": maps["before"], "after SET": maps["after"]},
        titles=(
            "Networks by number of connections",
            "Pixels that the first layer connects to",
        ),
    )
    path = out / "demo.png"
    plot.save(figure, path)
    return path


def _write(document: dict[str, Any], trained: dict[str, Any], out: Path) -> None:
    from sparsenn.files import atomic_write
    from sparsenn.train.jsonable import jsonable

    full = {
        **document,
        "history": {name: history.rows for name, (_, history, _) in trained.items()},
    }
    with atomic_write(out / "demo.json", "w") as file:
        file.write(json.dumps(jsonable(full), indent=1, allow_nan=False) + "\n")


def _report(document: dict[str, Any]) -> None:
    header = ("network", "test accuracy", "connections", "density", "weights", "file",
              "training")  # fmt: skip
    rows = [
        (
            NETWORKS[name],
            percent(row["accuracy"]),
            count(row["nnz"]),
            percent(row["density"]),
            size(row["weight_bytes"]),
            size(row["model_bytes"]),
            f"{row['seconds']:.2f} s",
        )
        for name, row in document["networks"].items()
    ]
    print()
    print(table(header, rows))
    print()
    print(
        f"models{' and picture' if document['picture'] else ''} in {document['out']}/"
    )
