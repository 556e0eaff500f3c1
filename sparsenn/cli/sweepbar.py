"""Progress of a sweep: a bar over its cells on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from sparsenn.cli.jobs import Outcome
from sparsenn.cli.output import percent

_EPOCH = re.compile(r"epoch\s+(\d+/\d+)")


class SweepBar:
    """Tells what has finished and, on a terminal with tqdm, what is running.

    Parameters
    ----------
    total, done : int
        Cells of the sweep, and those that had finished before.
    quiet : bool
        Say nothing.
    """

    def __init__(self, total: int, done: int, *, quiet: bool = False) -> None:
        self._total = total
        self._done = done
        self._quiet = quiet
        self._bar: Any = None
        self._running: dict[str, str] = {}
        self._warned: set[str] = set()

    def __enter__(self) -> SweepBar:
        if not self._quiet:
            already = f", {self._done} of them finished before" if self._done else ""
            self._say(f"{self._total} runs{already}")
            self._bar = self._make_bar()
        return self

    def _make_bar(self) -> Any:
        if not sys.stderr.isatty() or self._done == self._total:
            return None
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        return tqdm(
            total=self._total,
            initial=self._done,
            desc="runs",
            file=sys.stderr,
            leave=False,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def said(self, directory: Path, line: str) -> None:
        """A run has printed a line."""
        if self._quiet:
            return
        if "warning: " in line:
            text = line.split("warning: ", 1)[1]
            if text not in self._warned:
                self._warned.add(text)
                self._say(f"{directory.name}: warning: {text}")
        found = _EPOCH.search(line)
        if found and self._bar is not None:
            self._running[directory.name] = found[1]
            self._bar.set_postfix_str(
                ", ".join(f"{name} {epoch}" for name, epoch in self._running.items())
            )

    def ended(self, outcome: Outcome) -> None:
        """A run has ended."""
        self._done += 1
        self._running.pop(outcome.directory.name, None)
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.update(1)
        width = len(str(self._total))
        text = f"{self._done:{width}d}/{self._total}  {outcome.directory.name}  "
        self._say(text + (_came_to(outcome) if not outcome.status else "failed"))

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


def _came_to(outcome: Outcome) -> str:
    result = json.loads((outcome.directory / "result.json").read_bytes())
    return f"accuracy {percent(result['accuracy'])}  {result['seconds']:.1f} s"
