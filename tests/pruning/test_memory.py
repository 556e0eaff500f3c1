"""Pruning and its controls on layers that could never be dense."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_nothing_dense_is_made() -> None:
    # Dense: 65536 x 65536 is 17 GB, its mask 4 GB, one bit a position 0.5 GB.
    code = """
        import resource
        import numpy as np
        from sparsenn import nn, pruning

        n = 65536
        model = nn.Sequential(
            nn.Linear(n, n, nnz=500_000, seed=0),
            nn.ReLU(),
            nn.Linear(n, 10, nnz=100_000, seed=0, number=1),
        )
        x = np.ones((2, n), np.float32)
        y = model(x).data
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + 150 * 10**6
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        positions = n * n + 10 * n
        found = pruning.effective(model)
        assert 0 < found.effective < found.nnz == 600_000
        small = model.compact()
        assert small.chain()[0].shape[0] < n
        np.testing.assert_allclose(small(x).data, y, rtol=1e-4)
        pruning.shuffle(model, 0, values="permute")
        pruning.reinitialize(model, 0)
        with pruning.reset(model, 0):
            pass
        pruning.lamp(model, 500_000 / positions)
        pruning.wanda(model, [x], 400_000 / positions)
        pruning.n_m(model, 1, n // 4, keep_dense=["last"])
        pruning.sensitivity(model, lambda m: 0.0, (0.5,))
        pruning.iterative_magnitude(
            model, lambda m, i: None, 1e5 / positions, rate=0.5
        )
        assert sum(p.nnz for p in model.chain()) == 100_000
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
