"""Memory of training with SGD's momentum, in bytes a connection.

Each engine trains in a process of its own. Counted: its parameters and the optimiser's
arrays. Resident: the most that the process held during steps, less what it held before
the network was built; that includes activations and gradients of activations. For
sparse engines the difference between two densities, divided by the difference in
connections, leaves out everything that does not grow with connections.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness, machine

OURS, DENSE = "sparsenn", "PyTorch dense"
ENGINES = (OURS, "SparseLab", "SparseProp", DENSE)
NOT_INSTALLED = 3  # exit status of a child
HEADINGS = {
    "name": "engine",
    "nnz": "connections",
    "counted": "counted: bytes a connection",
    "resident": "resident, activations included",
    "slope": "for each further connection",
}


def resident(field: str) -> int:
    """Bytes of a field of /proc/self/status: VmRSS (now) or VmHWM (most so far)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit("memory: this system does not tell the resident size")


def settle() -> int:
    """Give back what is free, forget the highest mark, and tell what is resident."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        raise SystemExit("memory: needs /proc/self/clear_refs, as Linux has") from None
    return resident("VmRSS")


def counted(task: Any) -> int:
    """Bytes of sparsenn's parameters, gradients and momentum, from their arrays."""
    from benchmarks import ours
    from sparsenn import nn

    model, optimizer, step = ours.train(task, 1)
    x, y = task.batches[0]
    step(x, y)
    nn.functional.cross_entropy(model(x), y).backward()
    arrays = []
    total = 0
    for p in model.parameters():
        arrays += [p.grad.data, *optimizer.state(p).values()]
        total += p.nbytes if hasattr(p, "pattern") else p.data.nbytes
    return total + sum(a.nbytes for a in arrays)


def child(engine: str, sizes: list[int], density: float, batch: int) -> dict[str, Any]:
    """Build and train in this process; the most that was resident beyond the start."""
    from benchmarks.problem import problem
    from benchmarks.train import engines

    make = engines()[engine]
    small = problem([8, 8, 8], 0.5, 8, n_batches=1)
    make(small, 1)(*small.batches[0])  # imports and pools are nobody's weights
    before = settle()
    task = problem(sizes, density, batch, n_batches=2)
    data = sum(x.nbytes + y.nbytes for x, y in task.batches)
    found = {"nnz": task.nnz}
    if engine == OURS:
        found["counted"] = counted(task)
    step = make(task, 1)
    task.weights.clear()  # the engine has its own
    settle()
    feed = itertools.cycle(task.batches)
    for _ in range(4):
        step(*next(feed))
    return found | {"bytes": resident("VmHWM") - before - data}


def run(engine: str, options: Any, density: float) -> dict[str, Any] | None:
    """What `child` tells from a fresh process; None if the engine is not installed."""
    command = [sys.executable, "-m", "benchmarks", "memory", "--child", engine]
    command += ["--arch", options.arch, "--densities", f"{density:g}"]
    command += ["--batch", str(options.batch)]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode == NOT_INSTALLED:
        return None
    if done.returncode:
        raise SystemExit(f"memory: {engine} failed\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Parse the command line, train each engine in its process, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--arch", default="3072-4000-1000-4000-10")
    parser.add_argument("--densities", type=harness.numbers, default="0.1,0.2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--only", default=",".join(ENGINES), help="engines")
    parser.add_argument("--child", choices=ENGINES, help="measure in this process")
    options = harness.parse(
        parser, arch="64-100-10", densities="0.1,0.5", batch=8, only=OURS
    )
    machine.limit_threads(options.threads)
    sizes = [int(n) for n in options.arch.split("-")]
    if options.child:
        try:
            found = child(options.child, sizes, options.densities[0], options.batch)
        except ImportError:
            raise SystemExit(NOT_INSTALLED) from None
        print(json.dumps(found))
        return
    rows: list[dict[str, object]] = []
    for engine in options.only.split(","):
        small, large = (run(engine, options, d) for d in options.densities)
        row: dict[str, object] = {"name": engine, "resident": "not installed"}
        if small and large:
            row = {"name": engine, "nnz": small["nnz"]}
            row["resident"] = small["bytes"] / small["nnz"]
            if "counted" in small:
                row["counted"] = small["counted"] / small["nnz"]
            if engine != DENSE:
                more = large["bytes"] - small["bytes"]
                row["slope"] = more / (large["nnz"] - small["nnz"])
        rows.append(row)
    low, high = options.densities
    harness.report(
        options,
        rows,
        HEADINGS,
        f"Memory of training {options.arch}, SGD with momentum, batch {options.batch}",
        [
            f"Density {low:g}; the last column from {low:g} to {high:g}, which leaves "
            "out activations and everything else that is the same at both."
        ],
    )


if __name__ == "__main__":
    main()
