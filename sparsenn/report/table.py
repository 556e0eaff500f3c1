"""Tables of groups: rows for programs, text for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

from sparsenn.report.groups import Group, varying
from sparsenn.report.run import Run
from sparsenn.report.statistics import Estimate

#: Numbers of a result that are averaged.
MEASURED = (
    "accuracy", "loss", "density", "nnz", "train_flops", "seconds", "train_seconds",
    "start_seconds", "peak_rss_bytes", "exploration", "effective_density",
)  # fmt: skip


def rows(found: Sequence[Group]) -> list[dict[str, Any]]:
    """A JSON-able row a group: its settings and what it came to.

    Returns
    -------
    list of dict
        The settings that are shown, ``seeds`` (list), ``collapsed`` (runs in which no
        path from input to output is left), and for each number of the results ``NAME``
        (the mean) and ``NAME_half`` (half-width of the 95 % interval, None for one
        seed). The density that was asked for is ``density``, the one that was reached
        ``density_reached``.
    """
    shown = varying(found)
    result = []
    for group in found:
        row: dict[str, Any] = {
            name: _named(name, group.settings.get(name)) for name in shown
        }
        row["seeds"] = group.seeds
        row["collapsed"] = sum(bool(run.result.get("collapsed")) for run in group.runs)
        for name in MEASURED:
            value = group.estimate(name)
            if value is not None:
                key = "density_reached" if name == "density" else name
                row[key], row[f"{key}_half"] = value.mean, value.half
        result.append(row)
    return result


def run_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """A flat row a run: all settings, then the numbers of its result."""
    result = []
    for run in runs:
        row = {name: _named(name, value) for name, value in run.settings.items()}
        for name in MEASURED:
            if name in run.result:
                key = "density_reached" if name == "density" else name
                row[key] = run.result[name]
        row["collapsed"] = bool(run.result.get("collapsed"))
        result.append(row)
    return result


def csv_text(found: Sequence[dict[str, Any]]) -> str:
    """Rows as comma-separated values with a header; lists joined by spaces."""
    columns = list(dict.fromkeys(name for row in found for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow(
            {
                name: " ".join(map(str, value)) if isinstance(value, list) else value
                for name, value in row.items()
            }
        )
    return text.getvalue()


def table_cells(found: Sequence[Group]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table that people read; the settings come first."""
    shown = [name for name in varying(found) if name != "density"]
    collapsed = any(run.result.get("collapsed") for g in found for run in g.runs)
    explored = any(group.values("exploration") for group in found)
    header = [*(name.replace("_", " ") for name in shown), "density", "accuracy",
              "training FLOPs", "seconds", "memory", "seeds"]  # fmt: skip
    header += ["explored"] if explored else []
    header += ["collapsed"] if collapsed else []
    cells = []
    for group in found:
        line = [_setting(group, name) for name in shown]
        line += [
            _percent(group.estimate("density"), interval=False),
            _percent(group.estimate("accuracy")),
            _number(group.estimate("train_flops"), ""),
            _seconds(group.estimate("seconds")),
            _number(group.estimate("peak_rss_bytes"), "B"),
            str(len(group.runs)),
        ]
        if explored:
            line.append(_percent(group.estimate("exploration"), interval=False))
        if collapsed:
            lost = sum(bool(run.result.get("collapsed")) for run in group.runs)
            line.append(str(lost))
        cells.append(line)
    return header, cells


def markdown(found: Sequence[Group]) -> str:
    """The table in Markdown."""
    header, cells = table_cells(found)
    n = len(varying(found)) - 1
    rule = ["---"] * n + ["---:"] * (len(header) - n)
    lines = [header, rule, *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _named(name: str, value: Any) -> Any:
    """A setting's value; data by the name of its file, not by where it lay."""
    return PurePath(value).name if name == "data" and value else value


def _setting(group: Group, name: str) -> str:
    value = _named(name, group.settings.get(name))
    if name == "init" and group.full:
        return "full"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)


def _percent(value: Estimate | None, *, interval: bool = True) -> str:
    if value is None:
        return "-"
    text = f"{100 * value.mean:.2f}"
    if interval and value.half is not None:
        text += f" ± {100 * value.half:.2f}"
    return f"{text} %"


def _seconds(value: Estimate | None) -> str:
    return "-" if value is None else f"{value.mean:.3g}"


def _number(value: Estimate | None, unit: str) -> str:
    """Three digits with the prefix of a power of 1000."""
    if value is None:
        return "-"
    size, prefixes = value.mean, ["", "k", "M", "G", "T", "P", "E"]
    while abs(size) >= 999.5 and len(prefixes) > 1:
        size /= 1000
        prefixes.pop(0)
    gap = " " if prefixes[0] or unit else ""
    return f"{size:.3g}{gap}{prefixes[0]}{unit}"
