"""Instruction sets, threads, and life after fork."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from kernels.cases import ISAS

from sparsenn import _core, config


def run(code: str, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with these environment variables."""
    paths = [p for p in sys.path if p]
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_isas_are_listed_best_first() -> None:
    assert len(ISAS) == len(set(ISAS)) >= 1
    order = ("x86_64_v4", "x86_64_v3", "neon", "baseline")
    assert list(ISAS) == sorted(ISAS, key=order.index)


@pytest.mark.parametrize("isa", ISAS)
def test_the_environment_chooses(isa: str) -> None:
    done = run("from sparsenn import _core; print(_core.isa())", SPARSENN_ISA=isa)
    assert done.stdout.strip() == isa, done.stderr


@pytest.mark.parametrize(
    "product",
    [
        "_core.spmm(layout, a[0], a.T)",
        "_core.activation_backward(0, None, a.T)",
        "_core.sgd(a, a.copy(), None, 0.1)",
        "_core.isa()",
    ],
)
def test_an_unknown_isa_is_told_by_the_first_product(product: str) -> None:
    code = (
        "import numpy as np; from sparsenn import _core;"
        "a = np.zeros((1, 1));"
        "p = np.array([0, 1], np.int32); j = np.array([0], np.int32);"
        "layout, _ = _core.csr_to_layout((1, 1), p, j, 1, 1);" + product
    )
    done = run(code, SPARSENN_ISA="avx9000")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: SPARSENN_ISA is 'avx9000'")
    assert all(isa in last for isa in ISAS)
    assert run(code, SPARSENN_ISA=ISAS[0]).returncode == 0


def test_set_isa_refuses_others() -> None:
    before = _core.isa()
    with pytest.raises(ValueError, match=r"'sse9' is not available.*" + ISAS[0]):
        config.set_isa("sse9")
    assert _core.isa() == before


needs_openmp = pytest.mark.skipif(not _core.has_openmp(), reason="built without OpenMP")


@needs_openmp
def test_threads() -> None:
    default = config.get_num_threads()
    try:
        config.set_num_threads(3)
        assert config.get_num_threads() == 3
        for bad in (0, -1):
            with pytest.raises(ValueError, match=f"{bad}, expected at least 1"):
                config.set_num_threads(bad)
    finally:
        config.set_num_threads(None)
    assert config.get_num_threads() == default


@needs_openmp
def test_default_threads() -> None:
    code = "from sparsenn import config; print(config.get_num_threads())"
    assert run(code, OMP_NUM_THREADS="7").stdout.strip() == "7"
    assert run(code, OMP_NUM_THREADS="4,2").stdout.strip() == "4"  # nested levels
    usual = run(code, OMP_NUM_THREADS="rubbish").stdout.strip()
    assert 1 <= int(usual) <= (os.cpu_count() or 1)


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    config.show_config()
    printed = capsys.readouterr().out
    shown = config.describe()
    assert [line.split()[0] for line in printed.splitlines()] == list(shown)
    assert shown["isa"] in shown["available_isas"]
    assert shown["num_threads"] >= 1
    assert all(isinstance(name, str) for name in shown["blas"])


WORK = """
import numpy as np
from sparsenn import _core, config
from sparsenn.sparse import SparsePattern
config.set_num_threads(2)
layout = SparsePattern.random((400, 400), 80_000, seed=0).layout
values, x = np.ones(80_000, np.float32), np.ones((400, 64), np.float32).T
def work():
    y = _core.spmm(layout, values, x)
    _core.spmm_backward(layout, values, y, x)
    return y.tobytes()
before = work()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_neither_hangs_nor_differs() -> None:
    code = (
        WORK
        + """
import os
child = os.fork()
if child == 0:
    same = work() == before and config.get_num_threads() == 1
    os._exit(0 if same else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), work() == before)
"""
    )
    done = run(code)
    assert done.stdout.split() == ["0", "True"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_pool() -> None:
    code = (
        WORK
        + """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print([pool.apply(work) == before for _ in range(3)])
"""
    )
    done = run(code)
    assert done.stdout.strip() == "[True, True, True]", done.stderr


def test_python_threads_may_share_a_layout() -> None:
    code = (
        WORK
        + """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    print(all(r == before for r in pool.map(lambda _: work(), range(12))))
"""
    )
    done = run(code)
    assert done.stdout.strip() == "True", done.stderr
