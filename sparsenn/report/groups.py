"""Runs that differ by their seed alone, as one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sparsenn.report.run import Run
from sparsenn.report.statistics import Estimate, estimate
from sparsenn.topology import METHODS

#: Always shown, in this order; other settings are where they differ.
_SHOWN = ("method", "init", "density")


@dataclass
class Group:
    """Runs of equal settings but for the seed.

    Attributes
    ----------
    settings : dict
        Of all of them, without the seed.
    runs : list of Run
    label : str
        What it is called beside the others: its method, and its start if those vary.
    """

    settings: dict[str, Any]
    runs: list[Run] = field(default_factory=list)
    label: str = ""

    def values(self, name: str) -> list[float]:
        """A number of every result that has it."""
        found = (run.result.get(name) for run in self.runs)
        return [float(value) for value in found if value is not None]

    def estimate(self, name: str) -> Estimate | None:
        """Mean and interval of a number of the results; None if none has it."""
        found = self.values(name)
        return estimate(found) if found else None

    @property
    def method(self) -> str:
        """The method by its name."""
        return str(self.settings.get("method"))

    @property
    def full(self) -> bool:
        """Whether its runs begin with every connection, so that no start differs."""
        recipe = METHODS.get(self.method)
        if recipe is None:
            return self.method == "dense"
        return recipe.start(float(self.settings.get("density") or 1.0)) == 1.0

    @property
    def asked(self) -> float | None:
        """The density that was asked for; None of methods that find their own."""
        if self.method in ("dense", "cs"):
            return None
        density = self.settings.get("density")
        return None if density is None else float(density)

    @property
    def density(self) -> float:
        """Connections over positions at the end of training, the mean."""
        return sum(self.values("density")) / max(len(self.values("density")), 1)

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return sorted(int(run.settings.get("seed", 0)) for run in self.runs)


def groups(runs: Iterable[Run]) -> list[Group]:
    """Groups runs, in the order of falling density, methods and starts.

    Raises
    ------
    ValueError
        If two runs have all settings in common: the same run twice tells nothing.
    """
    found: dict[str, Group] = {}
    for run in runs:
        settings = {k: v for k, v in run.settings.items() if k != "seed"}
        key = json.dumps(settings, sort_keys=True)
        group = found.setdefault(key, Group(settings))
        for other in group.runs:
            if other.settings.get("seed") == run.settings.get("seed"):
                raise ValueError(
                    f"{other.path} and {run.path} are the same run: all settings are "
                    "equal, the seed included"
                )
        group.runs.append(run)
    result = list(found.values())
    starts = {g.settings.get("init") for g in result if not g.full}
    for group in result:
        group.label = group.method
        if len(starts) > 1 and not group.full:
            group.label += f", {group.settings.get('init')}"
    more = [name for name in varying(result) if name not in _SHOWN]
    methods = list(METHODS)

    def order(group: Group) -> tuple[Any, ...]:
        method = group.settings.get("method")
        number = methods.index(method) if method in methods else len(methods)
        rest = [_sortable(group.settings.get(name)) for name in more]
        density = 2.0 if group.asked is None else group.asked
        return rest, -density, number, str(group.settings.get("init"))

    return sorted(result, key=order)


def varying(found: Sequence[Group]) -> list[str]:
    """Names of the settings in which groups differ, those always shown first.

    A setting that some methods do not read, and that is the same in all others, does
    not set them apart.
    """
    names = dict.fromkeys(name for group in found for name in group.settings)
    return [*_SHOWN, *(n for n in names if n not in _SHOWN and _differs(found, n))]


def _differs(found: Sequence[Group], name: str) -> bool:
    values: set[str] = set()
    of_method: dict[str, set[str]] = {}
    for group in found:
        value = json.dumps(group.settings.get(name), sort_keys=True)
        of_method.setdefault(group.method, set()).add(value)
        if group.settings.get(name) is not None:
            values.add(value)
    return len(values) > 1 or any(len(v) > 1 for v in of_method.values())


def facets(found: Sequence[Group]) -> dict[str, list[Group]]:
    """Groups apart by what varies beside method, start and density."""
    more = [name for name in varying(found) if name not in _SHOWN]
    result: dict[str, list[Group]] = {}
    for group in found:
        texts = (f"{n.replace('_', ' ')} {group.settings.get(n)}" for n in more)
        result.setdefault(", ".join(texts), []).append(group)
    return result


def _sortable(value: Any) -> tuple[bool, float, str]:
    """Numbers in their order, before everything else."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, str(value)
