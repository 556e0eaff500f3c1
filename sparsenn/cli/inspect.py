"""`sparsenn inspect`: what a model file holds."""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from sparsenn.cli.errors import UsageError
from sparsenn.cli.living import living_of
from sparsenn.cli.output import count, percent, print_json, size, table
from sparsenn.cli.rundir import model_path

HELP = "show what a model file holds, and check it"
DESCRIPTION = """\
Shows the layers of a model file or checkpoint: shapes, connections, densities, bytes
and what the values are like. Reading checks format, checksum and every index."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    parser.add_argument(
        "model", metavar="RUN|FILE", help="directory of a run, or a model file"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail (exit status 2) on values that are not finite",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from sparsenn.export.model import read_model

    path = model_path(args.model)
    file = read_model(path)
    model = file.build()  # checks every index
    order = [name for name, _ in model.named_parameters()]
    layers = [_layer(file, name) for name in order if name in file.parameters]
    tensors = [_tensor(name, file.arrays[name]) for name in _dense_names(file)]
    if args.check:
        for entry in [*layers, *tensors]:
            if entry["not_finite"]:
                raise UsageError(
                    f"{path}: {entry['name']} has {entry['not_finite']} values that "
                    "are not finite"
                )
    nnz = sum(layer["nnz"] for layer in layers)
    positions = sum(math.prod(layer["shape"]) for layer in layers)
    living = living_of(model)
    result = {
        "file": str(path),
        "kind": file.kind,
        "bytes": path.stat().st_size,
        "nnz": nnz,
        "density": nnz / positions if positions else 0.0,
        "effective_density": None if living is None else living.effective_density,
        "dead_neurons": None if living is None else living.n_dead,
        "collapsed": None if living is None else living.collapsed,
        "architecture": file.architecture,
        "scaling": None if file.scaling is None else file.scaling.kind,
        "layers": layers,
        "tensors": tensors,
        "checked": bool(args.check),
    }
    if args.json:
        print_json(result)
        return 0
    print(f"{path}: {file.kind}, {size(result['bytes'])}, scaling {result['scaling']}")
    print(repr(model))
    print()
    print(_layer_table(layers, tensors))
    print()
    share = percent(result["density"])
    print(f"{count(nnz)} of {count(positions)} weights exist ({share})")
    if living is not None and nnz:
        print(_told(living, model))
    if args.check:
        print("checked: format, checksum, indices and values are in order")
    return 0


def _told(living: Any, model: Any) -> str:
    from sparsenn.pruning.signal import is_chain

    if living.collapsed:
        empty = [row["name"] for row in living.rows() if not row["nnz"]]
        where = f": {', '.join(empty)} has none" if empty else ""
        return f"collapsed: no path leads from an input to an output{where}"
    text = f"{count(living.effective)} of them lie on a path from input to output"
    if living.n_dead:
        what = "hidden neurons" if is_chain(model) else "outputs of layers"
        text += f"; {count(living.n_dead)} {what} lie on none"
    return text


def _dense_names(file: Any) -> list[str]:
    weights = {
        f"{name}.{part}"
        for name in file.parameters
        for part in ("indptr", "indices", "values")
    }
    return [name for name in file.arrays if name not in weights]


def _statistics(values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)].astype(np.float64)
    some = finite.size > 0
    return {
        "mean": float(finite.mean()) if some else None,
        "std": float(finite.std()) if some else None,
        "min": float(finite.min()) if some else None,
        "max": float(finite.max()) if some else None,
        "zeros": int(np.count_nonzero(values == 0)),
        "not_finite": int(values.size - finite.size),
    }


def _layer(file: Any, name: str) -> dict[str, Any]:
    entry = file.parameters[name]
    values = file.arrays[f"{name}.values"]
    parts = [file.arrays.get(f"{name}.{p}") for p in ("indptr", "indices", "values")]
    positions = math.prod(entry["shape"])
    return {
        "name": name,
        "shape": entry["shape"],
        "nnz": int(values.size),
        "density": values.size / positions if positions else 0.0,
        "bytes": sum(array.nbytes for array in parts if array is not None),
        "dtype": str(values.dtype),
        "full": entry["full"],
        **_statistics(values),
    }


def _tensor(name: str, array: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(array.shape),
        "bytes": array.nbytes,
        "dtype": str(array.dtype),
        **_statistics(array),
    }


def _layer_table(layers: list[dict[str, Any]], tensors: list[dict[str, Any]]) -> str:
    header = ("tensor", "shape", "connections", "density", "bytes", "mean", "std",
              "min", "max", "zeros")  # fmt: skip

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    rows = [
        (
            entry["name"],
            " x ".join(str(n) for n in entry["shape"]),
            count(entry["nnz"]) if "nnz" in entry else "",
            percent(entry["density"]) if "nnz" in entry else "",
            count(entry["bytes"]),
            number(entry["mean"]),
            number(entry["std"]),
            number(entry["min"]),
            number(entry["max"]),
            count(entry["zeros"]),
        )
        for entry in [*layers, *tensors]
    ]
    return table(header, rows)
