"""The options of `sparsenn train`: one table for the command line and TOML files."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sparsenn.cli.errors import UsageError
from sparsenn.cli.starts import STARTS, VALUES
from sparsenn.models import ACTIVATIONS, ARCHITECTURES
from sparsenn.sparse import ALLOCATIONS
from sparsenn.topology import DECAYS, METHODS, NEWBORNS, SET_DROPS


@dataclass(frozen=True)
class Option:
    """One setting of a run: its name, what it may be, and what it means.

    Attributes
    ----------
    name : str
        With dashes on the command line and underscores in TOML.
    kind : {"int", "float", "text", "names"}
        ``names`` is a comma-separated list.
    default : object
        None where it is derived later; the help says how.
    help : str
        One line.
    low, high : float
        Bounds, included unless `above` or `below` say that they are not.
    choices : tuple of str
        Allowed words.
    bare : str or None
        What the option means without a word.
    """

    name: str
    kind: str
    default: Any
    help: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    choices: tuple[str, ...] = ()
    bare: str | None = None
    metavar: str | None = None

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    def parse(self, text: str) -> Any:
        """The value of a word of the command line."""
        if self.kind == "int":
            try:
                value: Any = int(text)
            except ValueError:
                raise UsageError(
                    f"{self.flag} must be an integer, got {text!r}"
                ) from None
        elif self.kind == "float":
            try:
                value = float(text)
            except ValueError:
                raise UsageError(
                    f"{self.flag} must be a number, got {text!r}"
                ) from None
        elif self.kind == "names":
            value = [part.strip() for part in text.split(",") if part.strip()]
        else:
            value = text
        return self.check(value)

    def check(self, value: Any) -> Any:
        """The value, converted to its kind; UsageError if it is not allowed."""
        if type(value) is int and abs(value) >= 2**64:  # beyond what any option takes
            raise UsageError(f"{self.flag} must be below 2**64 in size")
        if self.kind == "float" and type(value) is int:
            value = float(value)
        if self.kind == "names" and isinstance(value, str):
            return self.parse(value)
        wanted: dict[str, tuple[type, str]] = {
            "int": (int, "an integer"),
            "float": (float, "a number"),
            "text": (str, "text"),
            "names": (list, "a list of names"),
        }
        kind, words = wanted[self.kind]
        items = value if isinstance(value, list) else []
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or not all(isinstance(item, str) for item in items)
        ):
            raise UsageError(f"{self.flag} must be {words}, got {value!r}")
        if isinstance(value, int | float):
            self._check_bounds(value)
        if self.choices and value not in self.choices:
            allowed = ", ".join(self.choices)
            raise UsageError(f"{self.flag} must be one of {allowed}; got {value!r}")
        return value

    def _check_bounds(self, value: float) -> None:
        low_ok = value > self.low if self.above else value >= self.low
        high_ok = value < self.high if self.below else value <= self.high
        if low_ok and high_ok and math.isfinite(value):
            return
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'above' if self.above else 'at least'} {self.low:g}")
        if self.high < math.inf:
            bounds.append(f"{'below' if self.below else 'at most'} {self.high:g}")
        allowed = " and ".join(bounds) or "finite"
        raise UsageError(f"{self.flag} must be {allowed}, got {value}")


OPTIONS: tuple[Option, ...] = (
    Option("arch", "text", None, "sizes of the layers, such as 784-300-100-10"
           " (default: two hidden layers of 300 and 100), or by name "
           + ", ".join(family.usage for family in ARCHITECTURES)),
    Option("method", "text", "set", "how connections are chosen while training",
           choices=tuple(METHODS)),
    Option("init", "text", "erk", "how layers share the connections at the start, or"
           " what chooses them", choices=(*ALLOCATIONS, *STARTS)),
    Option("density", "float", None, "share of all weights that exist, over the whole"
           " network (default 0.1)", low=0, high=1, above=True),
    Option("keep_dense", "names", [], "layers that stay dense: first, last or their"
           " numbers from 0, separated by commas", metavar="LAYERS"),
    Option("init_batches", "int", None, "batches that snip, force and grasp look at"
           " (default 1)", low=1),
    Option("init_batch_size", "int", None, "samples of each (default 128; grasp: 10 of"
           " every class)", low=1),
    Option("init_rounds", "int", None, "rounds of snip, force and synflow (default 1,"
           " 60 and 100)", low=1, high=10_000),
    Option("init_values", "text", None, "of connections that were scored: as scored,"
           " these at the scale of what is left, or a new draw (default: that of the"
           " method's paper); or, of any start, made isometric",
           choices=(*VALUES, "isometry")),
    Option("init_control", "text", "none", "what spoils the start: the lowest scores, a"
           " shuffle within layers, or one among inputs that vary",
           choices=("none", "invert", "shuffle", "shuffle-inputs")),
    Option("activation", "text", "relu", "of the hidden layers",
           choices=tuple(ACTIVATIONS)),
    Option("dropout", "float", 0.0, "share of hidden activations dropped", low=0,
           high=1, below=True),
    Option("epochs", "int", 10, "passes over the training data", low=1, high=2**31 - 1),
    Option("batch_size", "int", 128, "samples a step", low=1, high=2**31 - 1),
    Option("optimizer", "text", "sgd", "how values are stepped",
           choices=("sgd", "adam", "adamw")),
    Option("lr", "float", None, "learning rate (default 0.05; adam and adamw 0.001)",
           low=0, above=True),
    Option("momentum", "float", 0.9, "of sgd", low=0, high=1, below=True),
    Option("lazy", "text", "yes", "sgd on sparse data: features that a batch lacks wait"
           " for their next; the same but for rounding", choices=("yes", "no")),
    Option("weight_decay", "float", 0.0, "L2 penalty (adamw: decoupled)", low=0),
    Option("schedule", "text", "cosine", "of the learning rate over the run",
           choices=("constant", "cosine", "linear", "step")),
    Option("clip", "float", None, "bound on the global norm of the gradient", low=0,
           above=True, metavar="NORM"),
    Option("scale", "text", "unit", "of the input; unit divides bytes by 255",
           choices=("unit", "standard", "channels", "none")),
    Option("augment", "text", "no", "random changes of training images; without a word"
           " mirror images and crops", choices=("yes", "no", "flip", "crop"),
           bare="yes"),
    Option("val_fraction", "float", 0.0, "share of the training data held out to choose"
           " the best epoch", low=0, high=1, below=True),
    Option("drop_fraction", "float", None, "share of connections exchanged an update"
           " (default: that of the method's paper)", low=0, high=1, below=True),
    Option("drop_decay", "text", None, "of the fraction that set, snfs or rigl exchange"
           " (default: as their papers)", choices=DECAYS),
    Option("drop_mode", "text", None, "which connections set drops (default sign)",
           choices=tuple(SET_DROPS)),
    Option("newborn", "text", None, "value of a connection that grows (default zero)",
           choices=tuple(NEWBORNS)),
    Option("update_every", "int", None, "steps between updates of the topology"
           " (default: that of the method's paper)", low=1, metavar="STEPS"),
    Option("growth", "text", None, "where snfs, granet and gradient-flow grow (default:"
           " as their papers)", choices=("gradient", "random", "momentum", "flow")),
    Option("protect", "int", None, "updates during which a newborn connection stays"
           " (default: those of the method's paper)", low=0, metavar="UPDATES"),
    Option("scope", "text", None, "whether gmp and granet prune all layers by one"
           " threshold or alike (default: as their papers)",
           choices=("global", "uniform")),
    Option("cs_mode", "text", None, "cs keeps weights and mask, or trains its ticket"
           " again (default supermask)", choices=("supermask", "ticket")),
    Option("cs_rounds", "int", None, "of cs (default 1)", low=1),
    Option("cs_start", "float", None, "first score of every gate of cs; below 0 for"
           " fewer connections (default 0)"),
    Option("cs_penalty", "float", None, "of cs on open gates (default 1e-8)", low=0),
    Option("exploration", "text", "no", "whether to measure the share of positions that"
           " were ever connected; a bit each", choices=("yes", "no")),
    Option("seed", "int", 0, "of everything random", low=0, high=2**64 - 1),
    Option("dtype", "text", "float32", "of weights and activations",
           choices=("float32", "float64")),
    Option("label", "text", None, "CSV column that holds the class (default: the last)",
           metavar="NAME"),
    Option("labels", "text", None, "file of the classes beside a SciPy sparse .npz",
           metavar="FILE"),
    Option("context", "int", None, "characters of a sample of text (default 128)",
           low=1, high=2**31 - 1, metavar="TOKENS"),
)  # fmt: skip

BY_NAME: dict[str, Option] = {option.name: option for option in OPTIONS}


def converter(option: Option) -> Callable[[str], Any]:
    """The option's parser as argparse's `type`."""

    def convert(text: str) -> Any:
        return option.parse(text)

    convert.__name__ = option.kind
    return convert


def add_options(
    parser: argparse.ArgumentParser,
    *,
    parse: Callable[[Option], Callable[[str], Any]] = converter,
    plurals: Mapping[str, str] | None = None,
) -> None:
    """Adds the table to a parser; options not given do not appear in its result.

    Parameters
    ----------
    parser : ArgumentParser
    parse : callable
        From an option to what reads its word.
    plurals : mapping, optional
        Other names that options are listed under, by their own.
    """
    for option in OPTIONS:
        text = option.help.replace("%", "%%")
        if option.default not in (None, []):
            text += f" (default {option.default})"
        if option.choices:
            text += ": " + ", ".join(option.choices)
        plural = (plurals or {}).get(option.name)
        parser.add_argument(
            *([f"--{plural}"] if plural else []),
            option.flag,
            dest=option.name,
            type=parse(option),
            nargs=None if option.bare is None else "?",
            const=option.bare,
            default=argparse.SUPPRESS,
            metavar=option.metavar or option.name.rsplit("_", 1)[-1].upper(),
            help=text,
        )
