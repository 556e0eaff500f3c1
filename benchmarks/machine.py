"""What a figure was measured on: processor, threads, versions, commit, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd")
LOAD_AT_START = os.getloadavg()[0]  # before the benchmark adds its own
PACKAGES = ("numpy", "scipy", "torch", "sparselab", "sparseprop")


def limit_threads(n: int) -> None:
    """Give every library of this process `n` threads.

    Call it before NumPy is imported: OpenBLAS and OpenMP read the variables once.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(n)


def cpu_model() -> str:
    """The processor's name, family and model as the system tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(
        (part.strip() for part in line.split(":", 1))
        for line in text.split("\n\n")[0].splitlines()
        if ":" in line
    )
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family')}, model {fields.get('model')})"


def processor_flags() -> set[str]:
    """Words of the system's description of the processor; none where it has none."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


def instruction_sets() -> list[str]:
    """The vector instruction sets, of those named here, that the processor has."""
    words = processor_flags()
    return [name for name in INSTRUCTION_SETS if name in words]


def commit() -> str:
    """Short hash of the checkout, with a ``+`` when files differ from it."""
    here = Path(__file__).parent
    try:
        head, status = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if status else "")


def versions() -> dict[str, str]:
    """Versions of the packages that take part; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def blas() -> str:
    """The library behind NumPy's products, with its version."""
    import numpy as np

    found = np.__config__.CONFIG.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def kernels() -> str:
    """The instruction set that sparsenn's kernels use here."""
    try:
        from sparsenn import _core
    except ImportError:
        return "not built"
    return str(_core.isa())


def describe(threads: int) -> dict[str, object]:
    """Everything that a reader needs to judge the figures of this run."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "instruction_sets": instruction_sets(),
        "sparsenn_isa": kernels(),
        "threads": threads,
        "load": round(LOAD_AT_START, 2),
        "blas": blas(),
        "versions": versions(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
