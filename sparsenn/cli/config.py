"""What a run was asked to do: defaults, a TOML file and the command line together."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsenn.cli import toml
from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import BY_NAME, OPTIONS
from sparsenn.cli.starts import STARTS, VALUES
from sparsenn.topology import METHODS

#: Settings that recipes know under another name.
_OF_RECIPES = {
    "decay": "drop_decay",
    "drop": "drop_mode",
    "every": "update_every",
    "mode": "cs_mode",
    "rounds": "cs_rounds",
    "start": "cs_start",
    "penalty": "cs_penalty",
}
#: Settings of methods; which of them a method reads, its recipe says.
_OF_METHODS = (
    "drop_fraction", "drop_decay", "drop_mode", "newborn", "update_every", "growth",
    "protect", "scope", "cs_mode", "cs_rounds", "cs_start", "cs_penalty",
)  # fmt: skip
_OF_STARTS = ("init_batches", "init_batch_size", "init_rounds")
#: Methods whose density is not asked for.
UNASKED = ("dense", "cs")


@dataclass
class Config:
    """The settings of one run, all checked.

    Attributes
    ----------
    data : str
        A built-in name or a path.
    settings : dict
        The options of `sparsenn.cli.options` by name; complete.
    given : set of str
        Names that were given rather than defaulted.
    warning : str
        What the user should know about the settings, or "".
    """

    data: str
    settings: dict[str, Any]
    given: set[str] = field(default_factory=set)
    warning: str = ""

    @property
    def start_density(self) -> float:
        """The density that training begins with."""
        recipe = METHODS[self.settings["method"]]
        density: float = self.settings["density"]
        return density if recipe is None else recipe.start(density)

    @property
    def starts_full(self) -> bool:
        """Whether training begins with every connection, so that no start differs."""
        return self.start_density == 1.0

    def to_toml(self) -> str:
        """The text of ``config.toml``."""
        head = "# Settings of a sparsenn run; `sparsenn train --config` repeats it.\n"
        return head + toml.dumps({"data": self.data, **self.settings})

    def differences(self, other: Config) -> list[str]:
        """What was given here and is otherwise in another run, one text each."""
        mine = {"data": self.data, **{n: self.settings[n] for n in sorted(self.given)}}
        theirs = {"data": other.data, **other.settings}
        return [
            f"{name} {value!r} (the run has {theirs[name]!r})"
            for name, value in mine.items()
            if value != theirs[name]
        ]


def read_table(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a TOML file holds; UsageError if it is missing or not TOML."""
    try:
        text = Path(path).read_bytes().decode()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of 5,000 digits
        raise UsageError(f"{path}: not valid TOML: {error}") from None


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads and checks a configuration file.

    Raises
    ------
    UsageError
        If it is missing, not TOML, or holds an unknown or wrong setting.
    """
    settings: dict[str, Any] = {}
    for key, value in read_table(path).items():
        name = key.replace("-", "_")
        if name in settings:
            raise UsageError(f"{path}: {name} is set twice")
        if name == "data":
            if not isinstance(value, str):
                raise UsageError(f"{path}: data must be text, got {value!r}")
            settings[name] = value
            continue
        if name == "sparsity":
            name, value = "density", density_of(value)
        if name not in BY_NAME:
            known = ", ".join(["data", *BY_NAME])
            raise UsageError(f"{path}: unknown setting {key!r}; known: {known}")
        try:
            settings[name] = BY_NAME[name].check(value)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
    return settings


def density_of(sparsity: Any) -> float:
    """The density that leaves out a given share of the weights."""
    if not isinstance(sparsity, int | float) or isinstance(sparsity, bool):
        raise UsageError(f"--sparsity must be a number, got {sparsity!r}")
    if not 0 <= sparsity < 1:
        raise UsageError(f"--sparsity must be at least 0 and below 1, got {sparsity}")
    return round(1.0 - float(sparsity), 12)  # 1 - 0.9 is 0.1, not 0.0999...98


def setting_of(option: str) -> str:
    """The setting that gives an option of a method's recipe."""
    return _OF_RECIPES.get(option, option)


def _unread_by_start(config: Config) -> dict[str, str]:
    """Options that the start does not read, and how to tell so."""
    settings = config.settings
    start = "" if config.starts_full else settings["init"]
    names = [name for name in _OF_STARTS if name not in STARTS.get(start, ())]
    unread = {n: BY_NAME[n].flag for n in names if settings[n] is not None}
    if start not in STARTS:
        for name, words in (("init_values", VALUES), ("init_control", ("invert",))):
            if settings[name] in words:
                unread[name] = f"{BY_NAME[name].flag} {settings[name]}"
    return unread


def _unread_by_method(config: Config) -> dict[str, str]:
    """The same of the method."""
    recipe = METHODS[config.settings["method"]]
    options = () if recipe is None else recipe.options
    read = {setting_of(name) for name in options}
    names = [name for name in _OF_METHODS if name not in read]
    return {n: BY_NAME[n].flag for n in names if config.settings[n] is not None}


def make_config(
    data: str | None, given: dict[str, Any], file: dict[str, Any]
) -> Config:
    """Settings from the command line over a file over defaults.

    Parameters
    ----------
    data : str or None
        DATA of the command line.
    given : dict
        Checked options of the command line.
    file : dict
        What `read_toml` returned, or nothing.
    """
    settings = {option.name: option.default for option in OPTIONS}
    settings["keep_dense"] = list(settings["keep_dense"])
    chosen = {name: value for name, value in file.items() if name != "data"}
    chosen.update(given)
    settings.update(chosen)
    data = data if data is not None else file.get("data")
    if data is None:
        raise UsageError(
            "DATA is missing: a built-in name such as digits, or a path to a file"
        )
    if settings["lr"] is None:
        settings["lr"] = 0.05 if settings["optimizer"] == "sgd" else 0.001
    warnings = []
    if settings["method"] == "dense":
        if settings["density"] not in (None, 1.0):
            warnings.append(
                f"method dense trains every weight; density {settings['density']:g} is "
                "ignored"
            )
        settings["density"] = 1.0
    elif settings["method"] == "cs":
        if settings["density"] not in (None, 1.0):
            warnings.append(
                "method cs keeps what its gates leave open; density "
                f"{settings['density']:g} is ignored, --cs-start changes it"
            )
        settings["density"] = 1.0
    elif settings["density"] is None:
        settings["density"] = 0.1
    config = Config(data, settings, set(chosen))
    if config.starts_full and settings["init"] != BY_NAME["init"].default:
        if "init" in given:
            warnings.append(
                f"method {settings['method']} starts with every connection; --init "
                f"{settings['init']} is ignored"
            )
        settings["init"] = BY_NAME["init"].default
    # A file may hold every setting, as config.toml does: only what was typed is meant.
    # What nobody reads is as if it had not been given: equal runs have equal settings.
    for who, names in (("start", _unread_by_start), ("method", _unread_by_method)):
        unread = names(config)
        told = [text for name, text in unread.items() if name in given]
        for name in unread:
            settings[name] = BY_NAME[name].default
        if told:
            what = settings["init"] if who == "start" else settings["method"]
            warnings.append(f"{who} {what} does not read {', '.join(told)}")
    if settings["optimizer"] != "sgd" and "momentum" in given:
        warnings.append(f"{settings['optimizer']} has no --momentum; it is ignored")
    config.warning = "; ".join(warnings)
    return config
