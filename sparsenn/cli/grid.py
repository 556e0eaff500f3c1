"""The cells of a sweep: every combination of what was listed, once."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsenn.cli import toml
from sparsenn.cli.config import UNASKED, Config, density_of, make_config, read_table
from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import BY_NAME, OPTIONS, Option

#: Other names of options that are usually listed.
PLURALS = {
    "methods": "method",
    "inits": "init",
    "densities": "density",
    "archs": "arch",
}
#: Options that take one value: theirs may hold a comma.
SINGLE = ("keep_dense", "label", "labels")
#: Always in a cell's name, without saying what they are.
_UNNAMED = ("method", "init", "density", "seed")


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    name: str
    config: Config


@dataclass
class Grid:
    """What to combine.

    Attributes
    ----------
    data : str
        A built-in name or a path.
    values : dict of str to list
        The values of every option that was given, one or more.
    seeds : list of int
    """

    data: str
    values: dict[str, list[Any]]
    seeds: list[int]

    def cells(self) -> list[Cell]:
        """Every combination; those that would train the same network only once.

        No density is asked of some methods, and what begins with every connection has
        no start.
        """
        names = [option.name for option in OPTIONS if option.name in self.values]
        found: dict[str, Cell] = {}
        for chosen in itertools.product(*(self.values[name] for name in names)):
            given = dict(zip(names, chosen, strict=True))
            if given.get("method") in UNASKED:
                given.pop("density", None)
            for seed in self.seeds:
                config = make_config(self.data, {**given, "seed": seed}, {})
                cell = Cell(self._name(config), config)
                found.setdefault(cell.name, cell)
        return list(found.values())

    def _name(self, config: Config) -> str:
        settings = config.settings
        parts = [settings["method"]]
        if not config.starts_full:
            parts.append(settings["init"])
        if settings["method"] not in UNASKED:
            parts.append(repr(settings["density"]))
        for name, listed in self.values.items():
            read = settings[name] is not None  # else the method does without
            if name not in _UNNAMED and len(listed) > 1 and read:
                parts.append(f"{name.replace('_', '')}{settings[name]}")
        parts.append(f"seed{settings['seed']}")
        return "-".join(str(part) for part in parts)

    def to_toml(self) -> str:
        """The text of ``sweep.toml``."""
        head = "# A sparsenn sweep; `sparsenn sweep --config` repeats it.\n"
        plurals = {name: plural for plural, name in PLURALS.items()}
        values = {
            name if len(listed) == 1 else plurals.get(name, name): (
                listed[0] if len(listed) == 1 else listed
            )
            for name, listed in self.values.items()
        }
        return head + toml.dumps({"data": self.data, **values, "seeds": self.seeds})

    def extended(self, other: Grid) -> Grid:
        """With what another lists beside it.

        Raises
        ------
        UsageError
            If an option that is not usually listed has one value there and another
            here.
        """
        if other.data != self.data:
            raise UsageError(
                f"cannot resume with other data: {other.data} (the sweep has "
                f"{self.data}); start another sweep with --out"
            )
        values = {name: list(listed) for name, listed in self.values.items()}
        listable = set(PLURALS.values())
        for name, listed in other.values.items():
            mine = values.get(name, [_default(name)])
            more = [value for value in listed if value not in mine]
            if more and len(listed) == 1 and name not in listable:
                raise UsageError(
                    f"cannot resume with other settings: {name} {listed[0]!r} (the "
                    f"sweep has {', '.join(map(repr, mine))}); leave it out, or start "
                    "another sweep with --out"
                )
            values[name] = mine + more
        seeds = self.seeds + [seed for seed in other.seeds if seed not in self.seeds]
        return Grid(self.data, values, seeds)


def _default(name: str) -> Any:
    """The value that a run has where nothing is given."""
    return make_config("", {}, {}).settings[name]


def parse_list(option: Option, text: str) -> list[Any]:
    """The values of a word of the command line, separated by commas."""
    if option.name in SINGLE:
        return [option.parse(text)]
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError(f"{option.flag} lists nothing")
    return list(dict.fromkeys(option.parse(word) for word in words))


def parse_seeds(text: str, first: int = 0) -> list[int]:
    """``"3"`` -> three seeds from the first; ``"5,9"`` -> those."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError("--seeds lists nothing")
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        raise UsageError(
            f"--seeds takes how many, or a list of numbers; got {text!r}"
        ) from None
    return check_seeds(numbers if "," in text else numbers[0], first)


def check_seeds(seeds: Any, first: int = 0) -> list[int]:
    """Seeds from how many there are, or from a list."""
    if isinstance(seeds, list):
        return list(dict.fromkeys(BY_NAME["seed"].check(seed) for seed in seeds))
    if type(seeds) is not int or not 1 <= seeds <= 10_000:
        raise UsageError(f"--seeds must be 1 to 10000 or a list, got {seeds!r}")
    return [BY_NAME["seed"].check(first + number) for number in range(seeds)]


def read_grid(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Any]:
    """The options of a sweep's TOML file, lists or single values, and its seeds.

    Raises
    ------
    UsageError
        If the file is missing, not TOML, or holds an unknown or wrong setting.
    """
    values: dict[str, Any] = {}
    seeds: Any = None
    for key, value in read_table(path).items():
        name = key.replace("-", "_")
        try:
            if name == "data":
                if not isinstance(value, str):
                    raise UsageError(f"data must be text, got {value!r}")
                values["data"] = value
                continue
            if name == "seeds":
                seeds = value
                continue
            name = PLURALS.get(name, name)
            listed = value if isinstance(value, list) else [value]
            if name in ("sparsity", "sparsities"):
                name, listed = "density", [density_of(one) for one in listed]
            if name not in BY_NAME:
                known = ", ".join(["data", "seeds", *BY_NAME])
                raise UsageError(f"unknown setting {key!r}; known: {known}")
            if name in values:
                raise UsageError(f"{name} is set twice")
            option = BY_NAME[name]
            if name in SINGLE:
                listed = [value]
            values[name] = [option.check(one) for one in listed]
            if not listed:
                raise UsageError(f"{key} lists nothing")
        except UsageError as error:
            raise UsageError(f"{Path(path)}: {error}") from None
    return values, seeds
