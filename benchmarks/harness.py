"""Interleaved timing, one table and one JSON file: what every benchmark here shares.

A shared machine slows down and speeds up by the minute, so engines take turns in one
process and each figure is the median over the rounds. Processor time is the figure to
trust at one thread; wall time counts at several.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine


@dataclass
class Timing:
    """Seconds of one run in each round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        """Medians and the range of processor time, in milliseconds."""
        return {
            "cpu_ms": 1e3 * statistics.median(self.cpu),
            "wall_ms": 1e3 * statistics.median(self.wall),
            "cpu_ms_min": 1e3 * min(self.cpu),
            "cpu_ms_max": 1e3 * max(self.cpu),
        }


def interleave(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    repeat: int | Mapping[str, int] = 1,
) -> dict[str, Timing]:
    """Time each run `repeat` times in a row, in turn, for `rounds` rounds.

    Every round starts one engine further, so that no engine always follows the same
    neighbour's caches. Times are per run. The collector rests while the clock runs.
    """
    names = list(runs)
    times = dict.fromkeys(names, repeat) if isinstance(repeat, int) else repeat
    timings = {name: Timing() for name in names}
    for round_ in range(rounds):
        shift = round_ % len(names) if names else 0
        for name in names[shift:] + names[:shift]:
            gc.collect()
            gc.disable()
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(times[name]):
                runs[name]()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            gc.enable()
            timings[name].cpu.append(cpu / times[name])
            timings[name].wall.append(wall / times[name])
    return timings


def measure(
    runs: Mapping[str, Callable[[], object]], rounds: int, seconds: float = 0.03
) -> dict[str, Timing]:
    """`interleave` with turns of about `seconds`, after a call or two to warm up."""
    repeat = {}
    for name, run in runs.items():
        for _ in range(2):
            start = time.perf_counter()
            run()
            once = time.perf_counter() - start
            if once > seconds:
                break
        repeat[name] = max(1, min(1000, round(seconds / max(once, 1e-9))))
    return interleave(runs, rounds, repeat)


def compare(
    timings: Mapping[str, Timing], base: str, key: str = "cpu_ms"
) -> list[dict[str, object]]:
    """One row per run with its ratio to `base` (absent when `base` did not run)."""
    rows: list[dict[str, object]] = []
    reference = timings[base].row()[key] if base in timings else None
    for name, timing in timings.items():
        row: dict[str, object] = {"name": name, **timing.row()}
        row["ratio"] = timing.row()[key] / reference if reference else None
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, object]], headings: Mapping[str, str]) -> str:
    """A Markdown table of the columns named in `headings`, numbers to three digits."""

    def cell(value: object) -> str:
        if value is None:
            return ""
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [list(headings.values())]
    lines += [[cell(row.get(key)) for key in headings] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    text = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(text)


TIMES = {
    "name": "engine",
    "cpu_ms": "CPU ms",
    "wall_ms": "wall ms",
    "cpu_ms_min": "least",
    "cpu_ms_max": "most",
}


def arguments(description: str, threads: int = 1) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write JSON")
    parser.add_argument("--threads", type=int, default=threads, metavar="N")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    return parser


def parse(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None = None,
    **quick: object,
) -> argparse.Namespace:
    """What the command line asks for; with ``--quick``, `quick` are the defaults."""
    given = sys.argv[1:] if arguments is None else arguments
    if "--quick" in given:
        parser.set_defaults(**quick)
    return parser.parse_args(given)


def numbers(text: str) -> list[float]:
    """Numbers separated by commas, as options take them."""
    return [float(part) for part in text.split(",")]


def counts(text: str) -> list[int]:
    """Whole numbers separated by commas, as options take them."""
    return [int(part) for part in text.split(",")]


def clock(threads: int) -> str:
    """The key of the figure to trust: processor time on one thread, else wall time."""
    return "cpu_ms" if threads == 1 else "wall_ms"


def rounded(value: object) -> object:
    """Six digits of a float: more than was measured, and a short file."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _plain(value: object) -> str:
    """What JSON has no word for; of a path the name, which is the same anywhere."""
    return value.name if isinstance(value, Path) else str(value)


def report(
    options: argparse.Namespace,
    rows: Sequence[Mapping[str, object]],
    headings: Mapping[str, str],
    title: str,
    notes: Sequence[str] = (),
    **facts: object,
) -> None:
    """Print the table under its circumstances and write the JSON file if asked to."""
    circumstances = machine.describe(options.threads)
    packages = circumstances["versions"]
    assert isinstance(packages, dict)
    print(f"## {title}\n")
    print(f"{circumstances['cpu']}, {options.threads} thread(s),", end=" ")
    print(f"kernels: {circumstances['sparsenn_isa']}, load {circumstances['load']},")
    print(
        ", ".join(f"{name} {version}" for name, version in packages.items()), end="; "
    )
    print(f"commit {circumstances['commit']}, {circumstances['date']}\n")
    print(table(rows, headings))
    for note in notes:
        print(f"\n{note}")
    if options.json is not None:
        document = {
            "title": title,
            "machine": circumstances,
            "options": {k: v for k, v in vars(options).items() if k != "json"},
            "headings": dict(headings),
            "rows": [{k: rounded(v) for k, v in row.items()} for row in rows],
            "notes": list(notes),
            **facts,
        }
        options.json.write_text(json.dumps(document, indent=1, default=_plain) + "\n")
