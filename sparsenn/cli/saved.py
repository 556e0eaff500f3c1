"""A saved model of a run or a file, and the data that it goes with."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsenn import nn
from sparsenn.cli.config import Config
from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import BY_NAME, converter
from sparsenn.cli.output import one_line
from sparsenn.cli.prepare import load_data
from sparsenn.cli.rundir import RunDirectory, model_path
from sparsenn.data import DataError, is_text
from sparsenn.nn.embedding import context_of
from sparsenn.sparse import SparseParameter
from sparsenn.train.cost import weights


@dataclass
class Saved:
    """A model that was read.

    Attributes
    ----------
    path : Path
        The file.
    file : ModelFile
    model : Module
    config : Config or None
        Settings of the run, if it is one.
    """

    path: Path
    file: Any
    model: Any
    config: Config | None


def add_arguments(parser: argparse.ArgumentParser, data: str) -> None:
    """Adds the model, its data and how to read them."""
    parser.add_argument(
        "model", metavar="RUN|FILE", help="directory of a run, or a model file"
    )
    parser.add_argument("data", nargs="?", metavar="DATA", help=data)
    parser.add_argument("--label", metavar="NAME", help="CSV column of the class")
    parser.add_argument("--labels", metavar="FILE", help="classes of a sparse .npz")
    parser.add_argument(
        "--context",
        metavar="TOKENS",
        type=converter(BY_NAME["context"]),
        help="characters of a sample of text (default: as the model was trained)",
    )


def open_saved(given: str) -> Saved:
    """Reads the model of a RUN directory or a file, with all checks."""
    from sparsenn.export.model import read_model

    path = model_path(given)
    file = read_model(path)
    run = RunDirectory(given)
    config = run.read_config() if run.config.exists() else None
    return Saved(path, file, file.build(), config)


def data_of(saved: Saved, args: argparse.Namespace) -> tuple[str, Any]:
    """Name and content of the data that were given, or else of the run's.

    Raises
    ------
    UsageError
        If there are none, or the model takes others.
    """
    settings = {"label": args.label, "labels": args.labels}
    name = args.data
    if name is None:
        if saved.config is None:
            raise UsageError(
                "DATA is missing: a built-in name such as digits, or a path"
            )
        name = saved.config.data
        theirs = saved.config.settings
        settings = {key: settings[key] or theirs[key] for key in settings}
    wants_text = takes_text(saved.model)
    try:
        found_text = is_text(name)
    except DataError as error:
        raise UsageError(one_line(error)) from error
    if wants_text != found_text:
        kinds = ("text", "no text") if wants_text else ("no text", "one")
        raise UsageError(f"{saved.path} takes {kinds[0]}, {name} is {kinds[1]}")
    settings["context"] = _context(saved, args.context) if wants_text else args.context
    data = load_data(name, settings, classes_of(saved.file))
    _check_fits(saved.model, data, str(saved.path))
    return name, data


def takes_text(model: nn.Module) -> bool:
    """Whether a model takes the numbers of tokens."""
    return any(isinstance(module, nn.Embedding) for _, module in model.named_modules())


def _context(saved: Saved, given: int | None) -> int | None:
    """Characters of a sample: as given, as in training, or the most that fit."""
    most = context_of(saved.model)
    trained = None if saved.config is None else saved.config.settings["context"]
    context = given or trained or most
    if most is not None and context is not None and context > most:
        raise UsageError(
            f"{saved.path} takes at most {most} characters; use --context {most}"
        )
    return context


def classes_of(file: Any) -> tuple[str, ...] | None:
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
    """UsageError if the model takes another number of features."""
    found = weights(model)
    if not found:
        return
    shape = model.input_shape
    n_in = found[0].shape[1] if shape is None else math.prod(shape)
    n_out = found[-1].shape[0]
    if not data.is_text and n_in != data.n_features:
        raise UsageError(
            f"{path} takes {n_in} features, {data.name} has {data.n_features}"
        )
    if data.n_classes > n_out:
        raise UsageError(
            f"{path} tells {n_out} classes apart, {data.name} has {data.n_classes}"
        )


def blocks_of(model: Any) -> dict[str, list[str]] | None:
    """Names of the weights of each block of layers; None if no block has several.

    A block is what stands in the outermost sequence: a residual block, say. Blocks of
    several weights are numbered from 1; a single weight has its own name.
    """
    blocks: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():
        if isinstance(parameter, SparseParameter):
            blocks.setdefault(name.split(".")[0], []).append(name)
    several = [names for names in blocks.values() if len(names) > 1]
    if not several:
        return None
    return {
        names[0] if len(names) == 1 else f"block {several.index(names) + 1}": names
        for names in blocks.values()
    }
