"""What the commands print: tables for people, one JSON object for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from sparsenn.train.jsonable import jsonable


def print_json(document: dict[str, Any], stream: TextIO | None = None) -> None:
    """Prints one JSON object; numbers that are not finite become null."""
    stream = sys.stdout if stream is None else stream
    print(json.dumps(jsonable(document), allow_nan=False), file=stream, flush=True)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1
) -> str:
    """Text in aligned columns under a header.

    Parameters
    ----------
    header : sequence of str
        Column titles.
    rows : sequence of sequences of str
        The cells, as many a row as the header has.
    left : int
        The first `left` columns are aligned left, the others right.
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def count(number: int) -> str:
    """An integer with thousands separated."""
    return f"{number:,}"


def size(n_bytes: int) -> str:
    """Bytes in the unit that fits (powers of 1000)."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    value = float(n_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.3g} {unit}"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage, "-" if there is none."""
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def one_line(error: BaseException) -> str:
    """An exception's message on one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def peak_rss_bytes() -> int | None:
    """Most memory this process ever held, in bytes; None where it cannot be known."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
