"""Tables and pictures of a comparison, on disk and on the screen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sparsenn import plot, report
from sparsenn.cli.output import table
from sparsenn.files import atomic_write
from sparsenn.train.jsonable import jsonable

NOTE = (
    "Means over the seeds, with 95 % intervals of Student's law. Training FLOPs are "
    "cumulative: a multiplication and an addition for each connection and product. "
    "Seconds and memory (the peak of the process) depend on the machine."
)


def text_table(found: Sequence[report.Group]) -> str:
    """The table for a screen."""
    header, cells = report.table_cells(found)
    return table(header, cells, left=len(report.varying(found)) - 1)


def write_report(
    runs: Sequence[report.Run], out: Path, title: str, about: str = ""
) -> list[str]:
    """Writes results.json, results.csv, runs.csv, README.md and the pictures.

    Parameters
    ----------
    runs : sequence of Run
    out : Path
        Directory; made if need be.
    title, about : str
        Of the page.

    Returns
    -------
    list of str
        Names of the files.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = report.groups(runs)
    document = {"groups": report.rows(found), "runs": report.run_rows(runs)}
    texts = {
        "results.json": json.dumps(jsonable(document), indent=1, allow_nan=False)
        + "\n",
        "results.csv": report.csv_text(report.rows(found)),
        "runs.csv": report.csv_text(report.run_rows(runs)),
    }
    pictures = _draw(found, out)
    page = [f"# {title}", *([about] if about else []), report.markdown(found), NOTE]
    page += [f"![{text}]({name})" for name, text in pictures.items()]
    texts["README.md"] = "\n\n".join(part.rstrip("\n") for part in page) + "\n"
    for name, text in texts.items():
        with atomic_write(out / name, "w") as file:
            file.write(text)
    return [*texts, *pictures]


def _draw(found: Sequence[report.Group], out: Path) -> dict[str, str]:
    if not plot.available():
        return {}
    plot.save(report.compare(found), out / "accuracy.png")
    plot.save(report.learning_curves(found), out / "curves.png")
    return {
        "accuracy.png": "Test accuracy against density and against training FLOPs",
        "curves.png": "Test accuracy after every epoch",
    }
