"""The report on a folder of results: targets, where we lose, tables, charts.

    python -m benchmarks report [DIR]

Everything in it comes from the JSON files; no figure is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import ceilings, charts, harness
from benchmarks.targets import TARGETS

Document = dict[str, Any]
HERE = Path(__file__).parent
OURS = "sparsenn"
EVEN = 0.995  # nearer to 1 than medians can tell
#: Ceilings that products are held against.
COLUMNS = {"fma": "of the peak", "L2": "of what the second-level cache delivers"}
CONDITIONS = ("density", "active", "batch")
PIVOTED = ("shape", "density", "batch")


def load(folder: Path) -> dict[str, Document]:
    """The documents of a folder by name."""
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted(folder.glob("*.json"))
    }


def targets(documents: Mapping[str, Document]) -> str:
    """Goal and result of everything that was measured."""
    rows: list[dict[str, object]] = []
    for target in TARGETS:
        row: dict[str, object] = {"work": target.work}
        row["goal"] = f"{'<=' if target.at_most else '>='} {target.goal:g}"
        try:
            value = target.value(documents)
        except LookupError:
            row["value"] = "not measured"
        else:
            row["value"] = value
            row["met"] = "yes" if target.met(value) else "**no**"
        rows.append(row)
    headings = {"work": "work", "goal": "goal", "value": "measured", "met": "met"}
    return harness.table(rows, headings)


def losses(documents: Mapping[str, Document]) -> str:
    """Every comparison in which another engine was faster, a line for each kind."""
    found: dict[str, list[str]] = {}
    for name, document in documents.items():
        for row in document["rows"]:
            engine = str(row.get("name"))
            column = "times" if engine.startswith(OURS) else "speedup"
            column = "blas" if "blas" in row else column
            speedup = row.get(column)
            if not isinstance(speedup, float) or speedup >= EVEN:
                continue
            what = row.get("product", document["title"])
            if column == "blas":
                how = "dense BLAS is faster than sparsenn"
            elif column == "times":  # our row, compared with what its heading says
                how = f"{engine} is slower, by {document['headings'][column]},"
            else:
                how = f"{engine} is faster than sparsenn"
            of = f"* `{name}`, {what}: {how} at"
            parts = [f"{key} {row[key]:g}" for key in CONDITIONS if key in row]
            parts = [row["shape"], *parts] if "shape" in row else parts
            found.setdefault(of, []).append(f"{', '.join(parts)} ({1 / speedup:.3g}x)")
    return (
        "\n".join(f"{of} {'; '.join(points)}." for of, points in found.items())
        or "Nowhere in what was measured."
    )


def pivot(document: Document, limits: Mapping[str, float]) -> str:
    """A table of products with a column for each engine: ms, and how we compare."""
    engines = list(dict.fromkeys(row["name"] for row in document["rows"]))
    products = dict.fromkeys(row["product"] for row in document["rows"])
    parts = []
    for product in products:
        lines: dict[tuple[Any, ...], dict[str, object]] = {}
        for row in document["rows"]:
            if row["product"] != product:
                continue
            key = tuple(row[part] for part in PIVOTED)
            line = lines.setdefault(key, {part: row[part] for part in PIVOTED})
            if isinstance(row["ms"], str):
                line[row["name"]] = row["ms"]
                continue
            line[row["name"]] = f"{row['ms']:.3g}"
            if "speedup" in row:
                line[row["name"]] = f"{row['ms']:.3g} ({row['speedup']:.3g}x)"
            elif row["name"] == OURS:
                line["gflops"] = row["gflops"]
                for name in COLUMNS.keys() & limits.keys():
                    line[name] = f"{100 * row['gflops'] / limits[name]:.0f} %"
        shown = [e for e in engines if any(e in line for line in lines.values())]
        headings = {"shape": "W", "density": "density", "batch": "batch"}
        headings |= {name: name for name in shown} | {"gflops": f"{OURS}: GFLOP/s"}
        headings |= {k: text for k, text in COLUMNS.items() if k in limits}
        parts.append(f"{product}: milliseconds (and how many times {OURS}'s)\n")
        parts.append(harness.table(list(lines.values()), headings) + "\n")
    return "\n".join(parts)


def limits_of(
    documents: Mapping[str, Document], document: Document
) -> dict[str, float]:
    """The ceilings of one core, for a document measured on one; else nothing."""
    m = document["machine"]
    if "ceilings" not in documents or m["threads"] != 1:
        return {}
    return ceilings.limits(documents["ceilings"], m["sparsenn_isa"])


def section(name: str, document: Document, limits: Mapping[str, float]) -> list[str]:
    """Title, circumstances, table and notes of one document."""
    m = document["machine"]
    lines = [
        f"## {document['title']}\n",
        f"`{name}`, {m['threads']} thread(s), load {m['load']}, commit "
        f"{m['commit']}, {m['date'][:10]}.\n",
    ]
    if "product" in document["headings"] and "speedup" in document["headings"]:
        lines.append(pivot(document, limits))
    else:
        lines.append(harness.table(document["rows"], document["headings"]) + "\n")
    return lines + [f"{note}\n" for note in document["notes"]]


def circumstances(documents: Iterable[Document]) -> list[str]:
    """Processors and versions, each once."""
    lines = dict.fromkeys(
        f"{m['cpu']}, {m['cores']} cores, kernels {m['sparsenn_isa']}; "
        f"NumPy's BLAS: {m['blas']}; "
        + ", ".join(f"{k} {v}" for k, v in m["versions"].items())
        + "."
        for m in (document["machine"] for document in documents)
    )
    return [f"{line}\n" for line in lines]


def picture(drawn: Mapping[str, tuple[str, str]], name: str) -> list[str]:
    """The charts that belong to a document."""
    of = {file: title for file, (name_, title) in drawn.items() if name_ == name}
    return [f"![{title}]({file})\n" for file, title in of.items()]


def warning(documents: Mapping[str, Document]) -> list[str]:
    """What a reader must know where other work ran beside the benchmarks."""
    busy = [
        name
        for name, document in documents.items()
        if document["machine"]["load"] > document["machine"]["cores"] + 0.5
    ]
    if not busy:
        return []
    return [
        "**The machine was busy** with other work during "
        + ", ".join(f"`{name}`" for name in busy)
        + ": wall times on several threads mean little there.\n"
    ]


def write(folder: Path) -> None:
    """README.md and the charts of a folder of JSON files."""
    documents = load(folder)
    drawn = charts.draw(documents, folder)
    if "speed.png" in drawn and folder.resolve() == HERE / "results":
        shutil.copyfile(folder / "speed.png", HERE.parent / "docs" / "speed.png")
    lines = [
        "# Results\n",
        "Written by `python -m benchmarks report` from the JSON files beside it.\n",
        *circumstances(documents.values()),
        "Medians of interleaved rounds: processor time on one thread, wall time on "
        "several.\n",
        *warning(documents),
        *picture(drawn, ""),
        "## Targets\n",
        targets(documents) + "\n",
        "## Where we lose\n",
        losses(documents) + "\n",
    ]
    for name, document in documents.items():
        lines += section(name, document, limits_of(documents, document))
        lines += picture(drawn, name)
    if not charts.available():
        lines.append("Without charts: matplotlib is not installed.\n")
    (folder / "README.md").write_text("\n".join(lines))


def main() -> None:
    """Parse the command line and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "results")
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
