"""Nothing dense is ever allocated: wide layers live, train and evolve in little memory.

Each test runs in its own process under a limit on address space that counts from what
the import needs, so one dense array of the layer's shape would fail at once.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

LIMIT = """
import resource
import numpy as np
import sparsenn as snn
from sparsenn import models, nn, ops, optim, topology
from sparsenn.sparse import SparsePattern
snn.set_num_threads(2)
nn.Linear(64, 64, density=0.5, seed=0)(np.zeros((64, 64), np.float32)).sum().backward()

def used():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()

def limit(megabytes):
    bound = used() + megabytes * 2**20
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (bound, most))
"""


def run(code: str) -> str:
    program = LIMIT + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="address-space limits are Linux's"
)


def test_the_limit_would_catch_a_dense_array() -> None:
    with pytest.raises(AssertionError, match="MemoryError"):
        run("limit(200); np.zeros((30_000, 30_000), np.uint8).sum()")


def test_a_layer_of_a_million_neurons_builds_in_200_mb() -> None:
    run(
        """
        limit(200)
        layer = nn.Linear(1_000_000, 1_000_000, density=1e-6, seed=0)
        assert layer.weight.nnz == 1_000_000
        assert layer.weight.values.data.any()
        """
    )


def test_a_layer_of_a_million_neurons_trains_and_evolves() -> None:
    # One sample's activations and gradients are 4 MB each.
    run(
        """
        limit(300)
        layer = nn.Linear(1_000_000, 1_000_000, density=1e-6, seed=0)
        opt = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        topo = topology.SET(layer.parameters(), opt, drop_fraction=0.3)
        x = np.ones((1, 1_000_000), np.float32)
        for _ in range(2):
            (layer(x) ** 2).sum().backward()
            topo.update(0.3)
            opt.step()
            opt.zero_grad()
        assert layer.weight.nnz == 1_000_000
        """
    )


def test_a_network_of_thirty_thousand_wide_layers_trains_and_evolves() -> None:
    # Dense, one weight would be 3.6 GB; a byte mask of it 900 MB.
    run(
        """
        limit(400)
        model = models.mlp([784, 30_000, 30_000, 30_000, 10], 0.00125, seed=0)
        opt = optim.Adam(model.parameters(), lr=0.01)
        topo = topology.SET(model.parameters(), opt, protect=1)
        rng = np.random.default_rng(0)
        x = rng.random((32, 784), dtype=np.float32)
        y = rng.integers(0, 10, 32)
        for _ in range(2):
            nn.functional.cross_entropy(model(x), y).backward()
            topo.update(0.3)
            opt.step()
            opt.zero_grad()
        """
    )


def test_second_derivatives_and_growth_by_gradient_stay_sparse() -> None:
    run(
        """
        limit(400)
        layer = nn.Linear(30_000, 30_000, density=1e-4, seed=0)
        layer.weight.factors = []
        x = np.random.default_rng(0).random((4, 30_000), dtype=np.float32)
        values = layer.weight.values
        (g,) = snn.grad((layer(x) ** 2).sum(), [values], create_graph=True)
        (hg,) = snn.grad((g * g).sum(), [values])
        assert hg.shape == (90_000,)
        """
    )


def test_growth_by_gradient_streams_the_gradient() -> None:
    run(
        """
        limit(100)
        rng = np.random.default_rng(0)
        a = rng.standard_normal((2, 8_000), dtype=np.float32)
        b = rng.standard_normal((2, 8_000), dtype=np.float32)
        pattern = SparsePattern.random((8_000, 8_000), 100_000, seed=0)
        indptr, indices = ops.OuterSum([(a, b)]).largest_outside(pattern, 30_000)
        assert len(indices) == 30_000
        """
    )


def test_a_sparse_batch_of_a_million_features_is_never_dense() -> None:
    # Dense, this batch would be 256 MB, twice that with its gradient.
    run(
        """
        from scipy import sparse
        rng = np.random.default_rng(0)
        where = rng.integers(0, 64, 5_000), rng.integers(0, 1_000_000, 5_000)
        x = sparse.csr_array((np.ones(5_000, np.float32), where), (64, 1_000_000))
        for sparse_input in (False, True):
            layer = nn.Linear(
                1_000_000, 1000, nnz=1_000_000, seed=0, sparse_input=sparse_input
            )
            opt = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
            topo = topology.SET(layer.parameters(), opt, drop_fraction=0.3)
            (layer(x) ** 2).sum().backward()
            opt.step()
            opt.zero_grad()
            limit(100)
            for _ in range(3):
                (layer(x) ** 2).sum().backward()
                opt.step()
                opt.zero_grad()
            limit(400)
            topo.update(0.3)
            assert layer.weight.pattern.by_column == sparse_input
        """
    )


def test_training_with_momentum_takes_18_bytes_a_connection() -> None:
    # Values, gradient and momentum are 12; positions and scratch have the rest.
    out = run(
        """
        def resident(name):
            with open("/proc/self/status") as f:
                (line,) = (line for line in f if line.startswith(name))
            return int(line.split()[1]) * 1024

        before = resident("VmRSS")
        layer = nn.Linear(8192, 8192, density=0.15, seed=0)
        opt = optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
        x = np.random.default_rng(0).random((64, 8192), dtype=np.float32)
        for step in range(4):
            if step == 1:
                with open("/proc/self/clear_refs", "w") as f:
                    f.write("5")  # forget the peak of building the layer
            (layer(x) ** 2).sum().backward()
            opt.step()
            opt.zero_grad()
        # x in two orders, y, its square, three gradients, and the one before the bias
        activations = 8 * x.nbytes
        print((resident("VmHWM") - before - activations) / layer.weight.nnz)
        """
    )
    assert 12 < float(out) <= 18


def test_a_virtual_layer_costs_its_activations() -> None:
    # Dense, the weight would be 4.3 GB, and its gradient as much again.
    run(
        """
        limit(300)
        init = nn.init.KaimingUniform()
        layer = nn.Linear(65_536, 16_384, None, init=init, seed=0)
        layer.weight.factors = []
        x = snn.Tensor(np.ones((1, 65_536), np.float32), requires_grad=True)
        y = layer(x)
        assert 1.3 < y.data.std() < 1.5
        (y * y).sum().backward()
        assert x.grad.shape == x.shape
        largest = ops.OuterSum(layer.weight.factors)
        assert largest.shape == (16_384, 65_536)
        """
    )


def test_a_wide_gru_trains_and_grows_by_its_gradient() -> None:
    # Dense: the weight of the hidden state alone has 24,000 x 8,000 positions, 768 MB.
    run(
        """
        limit(220)
        gru = nn.GRU(100, 8_000, density=1e-3, seed=0)
        opt = optim.SGD(gru.parameters(), lr=0.1, momentum=0.9)
        topo = topology.RigL(gru.parameters(), opt, every=1)
        x = np.ones((2, 4, 100), np.float32)
        for _ in range(2):
            outputs, _ = gru(x, [4, 2])
            (outputs ** 2).sum().backward()
            topo.step() or opt.step()
            opt.zero_grad()
        assert topo.updates == 1
        assert gru.weight_hh_l0.nnz == 192_000
        """
    )


def test_a_wide_transformer_layer_trains_and_evolves() -> None:
    # Dense, its weights would be 3.2 GB.
    run(
        """
        limit(300)
        layer = nn.TransformerEncoderLayer(8192, 8, density=1e-4, causal=True, seed=0)
        opt = optim.AdamW(layer.parameters())
        topo = topology.SET(layer.parameters(), opt, drop_fraction=0.3)
        x = np.random.default_rng(0).random((2, 8, 8192), dtype=np.float32)
        for _ in range(2):
            (layer(x) ** 2).mean().backward()
            opt.step()
            opt.zero_grad()
            topo.update(0.3)
        """
    )


def test_attention_on_a_pattern_of_a_long_sequence_is_never_dense() -> None:
    # Dense, the scores would be 400 MB, and their gradient as much again.
    run(
        """
        nn.local_pattern((4, 4), 2)  # imports SciPy
        limit(200)
        layer = nn.MultiheadAttention(32, 1, window=8, stride=500, seed=0)
        x = np.random.default_rng(0).random((1, 10_000, 32), dtype=np.float32)
        (layer(x) ** 2).mean().backward()
        """
    )
