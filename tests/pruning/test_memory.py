"""Pruning and its controls on layers that could never be dense, or are not yet."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

from sparsenn import nn, pruning, topology
from sparsenn.sparse import SparsePattern


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


BEFORE_TRAINING = {
    "random": "pruning.random(model, density, seed=0)",
    "magnitude": "pruning.magnitude(model, density)",
    "snip": "pruning.snip(model, loss, [(x, y)], density, seed=0)",
    "snip in rounds": "pruning.snip(model, loss, [(x, y)], density, rounds=2, seed=0)",
    "force": "pruning.force(model, loss, [(x, y)], density, rounds=2)",
    "grasp": "pruning.grasp(model, loss, [(x, y)] * 2, density)",
    "synflow": "pruning.synflow(model, density, rounds=2)",
}


def before_training(method: str, n: int, megabytes: str, seconds: float) -> None:
    """Prunes n-n-10 by a method, trains it, and grows it by SET and by RigL."""
    code = f"""
        import resource
        import numpy as np
        import sparsenn as snn
        from sparsenn import models, nn, optim, pruning, topology

        def virtual():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[0]) * resource.getpagesize()

        snn.set_num_threads(2)
        loss = nn.functional.cross_entropy
        small = models.mlp([64, 64, 10], None, seed=0)  # starts threads
        pruning.snip(small, loss, [(np.ones((2, 64)), np.array([0, 1]))], 0.5)
        limit = {megabytes}
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        n, density = {n}, 0.0005
        rng = np.random.default_rng(0)
        x = rng.standard_normal((8, n)).astype(np.float32)
        y = rng.integers(0, 10, 8)
        model = models.mlp([n, n, 10], None, seed=0)
        result = {BEFORE_TRAINING[method]}
        total = round(density * (n * n + 10 * n))
        assert result.after == total
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for method in topology.SET, topology.RigL:
            topo = method(model.parameters(), optimizer, drop_fraction=0.3, every=2)
            for _ in range(3):
                topo.backward(loss(model(x), y))
                topo.step() or optimizer.step()
                optimizer.zero_grad()
            assert topo.updates == 1
            assert sum(w.nnz for w in model.chain()) == total
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
@pytest.mark.parametrize("method", list(BEFORE_TRAINING))
def test_before_training(method: str) -> None:
    # Dense: 268 MB. One bit a position: 8 MB; what is kept: 34,000 connections.
    before_training(method, 8192, "virtual() + 140 * 10**6", 240)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif("SPARSENN_SLOW" not in os.environ, reason="SPARSENN_SLOW=1 runs it")
@pytest.mark.parametrize("method", ["snip", "grasp", "synflow"])
def test_seventeen_gigabytes_under_three(method: str) -> None:
    before_training(method, 65536, "3 * 10**9", 7000)


def virtual_model() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(30, 20, density=None, seed=0),
        nn.ReLU(),
        nn.Linear(20, 5, density=None, seed=0, number=1),
    )


@pytest.mark.parametrize(
    "function",
    [
        pruning.effective,
        pruning.drop_ineffective,
        pruning.shuffle,
        pruning.reinitialize,
        pruning.isometry,
        nn.Sequential.compact,
        lambda m: pruning.lamp(m, 0.5),
        lambda m: pruning.wanda(m, [np.ones((2, 30), np.float32)], 0.5),
        lambda m: pruning.n_m(m, 2, 4),
        lambda m: pruning.iterative_magnitude(m, lambda m, i: None, 0.5),
        lambda m: pruning.reset(m, 0),
        lambda m: pruning.sensitivity(m, lambda m: 0.0, (0.5,)),
        lambda m: topology.Exploration(m.parameters()),
    ],
)
def test_a_virtual_model_has_to_be_pruned_first(function: Any) -> None:
    with pytest.raises(RuntimeError, match=r"weight '.*weight' is virtual"):
        function(virtual_model())


def test_a_wide_virtual_layer_remembers_what_it_was() -> None:
    model = nn.Sequential(nn.Linear(65536, 65536, density=None, seed=0))
    weight = model.chain()[0]
    pattern = SparsePattern.random(weight.shape, 1000, seed=0)
    weight.materialize(*pattern.csr())
    first = weight.to_scipy()
    pruning.reinitialize(model, 0)
    assert not np.isin(weight.values.data, first.data).any()
    assert 0.8 < weight.values.data.std() / first.data.std() < 1.2
    pruning.reset(model, 0)
    assert (weight.to_scipy() != first).nnz == 0
    pruning.shuffle(model, 0)
    assert 0.8 < weight.values.data.std() / first.data.std() < 1.2
