"""Large patterns in little memory and time, under a limit that the system enforces."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def run_within(megabytes: int, code: str) -> None:
    """Run code whose allocations beyond its imports may take this much."""
    program = f"""
        import resource
        import numpy as np
        from sparsenn import _core
        from sparsenn.random import Purpose, Stream
        from sparsenn.sparse import SparsePattern, largest

        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + {megabytes} * 10**6
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    """
    source = textwrap.dedent(program) + textwrap.dedent(code)
    result = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs /proc and RLIMIT_AS"
)


def test_the_limit_bites():
    with pytest.raises(AssertionError, match="MemoryError"):
        run_within(50, "np.ones(100 * 10**6, np.uint8)")


def test_a_million_by_a_million():
    run_within(
        40,
        """
        pattern = SparsePattern.random((10**6, 10**6), 10**6, seed=0)
        assert pattern.nnz == 10**6
        assert pattern.nbytes < 10 * 10**6
        """,
    )


def test_an_update_of_a_million_connections():
    run_within(
        100,
        """
        pattern = SparsePattern.random((10**6, 10**6), 10**6, seed=0)
        scores = Stream(0, Purpose.TEST).uniform(pattern.nnz)
        keep = largest(pattern, scores, 700_000)
        added = _core.complement_sample(
            pattern.shape, *pattern.csr(), 300_000, Stream(0, Purpose.GROW)
        )
        change = pattern.with_changes(keep, added)
        moved = change.remap(scores)
        assert change.new.nnz == 10**6
        assert np.count_nonzero(moved) <= 700_000
        """,
    )


def test_the_whole_of_a_dense_matrix_costs_nothing():
    run_within(
        10,
        """
        pattern = SparsePattern.full((40_000, 40_000))
        assert pattern.nnz == 1_600_000_000
        assert pattern.indptr[-1] == 1_600_000_000
        """,
    )


def test_memory_that_runs_out_is_an_exception():
    run_within(
        20,
        """
        for make in (
            lambda: SparsePattern.random((10**4, 10**4), 10**7, seed=0),
            lambda: SparsePattern.empty((10**8, 10**8)),
            lambda: Stream(0, Purpose.TEST).normal(10**8),
        ):
            try:
                make()
            except MemoryError:
                continue
            raise SystemExit("no MemoryError")
        """,
    )
