"""Runs in processes of their own, several at a time."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from sparsenn.cli.errors import UsageError

_PREFIX = "sparsenn train: "


@dataclass(frozen=True)
class Outcome:
    """How a process ended: its exit status, and what it said last."""

    directory: Path
    status: int
    message: str


class Jobs:
    """Trains runs that have been begun (their ``config.toml`` is there).

    Each is a `sparsenn train --resume` of its own: its memory is its own, an error in
    one leaves the others alone, and results cannot depend on how many run at a time.

    Parameters
    ----------
    jobs : int
        Processes at a time.
    threads : int
        Of all together.
    said : callable
        ``said(directory, line)`` is called with every line that a run prints, from
        other threads.
    """

    def __init__(
        self, jobs: int, threads: int, said: Callable[[Path, str], None]
    ) -> None:
        if jobs < 1:
            raise UsageError(f"--jobs must be at least 1, got {jobs}")
        self.jobs = jobs
        self.threads = max(1, threads // jobs)
        self._said = said
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopping = False

    def run(
        self, directories: Sequence[Path], begin: Callable[[Path], None]
    ) -> Iterator[Outcome]:
        """Runs all, and gives each outcome when it is there.

        Parameters
        ----------
        directories : sequence of Path
        begin : callable
            Called before a run's process starts.
        """
        pool = ThreadPoolExecutor(self.jobs)
        todo = list(reversed(directories))
        under_way: set[Future[Outcome]] = set()
        try:
            while todo or under_way:
                while todo and len(under_way) < self.jobs:
                    directory = todo.pop()
                    begin(directory)
                    under_way.add(pool.submit(self._one, directory))
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BaseException:
            self._interrupt()
            raise
        finally:
            pool.shutdown(wait=True)

    def _one(self, directory: Path) -> Outcome:
        words = ["train", "--resume", str(directory), "--no-pictures",
                 "--threads", str(self.threads)]  # fmt: skip
        # As this process finds its modules, whatever the working directory holds.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from sparsenn.cli import main; sys.exit(main())"
        )
        # Out of the reach of Ctrl-C, which is passed on once, by `_interrupt`.
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        with self._lock:
            self._running.add(process)
            if self._stopping:
                process.send_signal(signal.SIGINT)
        message = ""
        assert process.stderr is not None
        for line in process.stderr:
            message = line.strip() or message
            self._said(directory, line.rstrip())
        status = process.wait()
        with self._lock:
            self._running.discard(process)
        return Outcome(directory, status, message.removeprefix(_PREFIX))

    def _interrupt(self) -> None:
        """Lets every run save the point that it has reached."""
        with self._lock:
            self._stopping = True
            for process in self._running:
                with contextlib.suppress(OSError):
                    process.send_signal(signal.SIGINT)
