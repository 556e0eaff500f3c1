"""A network too large to be dense: pruned, trained and evolved in little memory.

65536-65536-10 is virtual at first: dense, its weights alone would be 17 GB. Each method
prunes it before training in a process of its own, whose address space is limited to
3 GB, interpreter and libraries included; then it trains, and grows by SET and by RigL.
The peak is the largest resident size of that process up to then.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

from benchmarks import harness, machine

HEADINGS = {
    "name": "method",
    "rounds": "rounds",
    "kept": "connections",
    "first": "in the first layer",
    "prune_s": "pruning, s",
    "prune_mb": "peak by then, MB",
    "step_ms": "step, ms",
    "set_ms": "update of SET, ms",
    "rigl_ms": "update of RigL, ms",
    "peak_mb": "peak in the end, MB",
}


def peak_mb() -> float:
    """Largest resident size that the process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def limit(megabytes: float) -> None:
    """Of the process's address space; what does not fit raises MemoryError."""
    if sys.platform.startswith("linux"):
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (int(megabytes * 1e6), most))


def prune(method: str, model: Any, batch: Any, options: Any) -> Any:
    """The result of a method."""
    from sparsenn import nn, pruning

    loss = nn.functional.cross_entropy
    if method == "random":
        return pruning.random(model, options.density, seed=0)
    if method == "magnitude":
        return pruning.magnitude(model, options.density)
    if method == "snip":
        return pruning.snip(model, loss, [batch], options.density, seed=0)
    if method == "grasp":
        return pruning.grasp(model, loss, [batch], options.density)
    schedule = "adaptive" if method == "synflow-adaptive" else "exponential"
    return pruning.synflow(
        model, options.density, rounds=options.rounds, schedule=schedule
    )


def measure(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """The row of a method; in this process, under its limit."""
    import numpy as np

    import sparsenn
    from sparsenn import models, nn, optim, topology

    sparsenn.set_num_threads(options.threads)
    limit(options.limit)
    n = options.width
    rng = np.random.default_rng(0)
    x = np.asfortranarray(rng.standard_normal((options.batch, n)), np.float32)
    y = rng.integers(0, 10, options.batch)
    model = models.mlp([n, n, 10], None, seed=0)
    start = time.perf_counter()
    result = prune(method, model, (x, y), options)
    seconds, at_first = time.perf_counter() - start, peak_mb()
    total = round(options.density * (n * n + 10 * n))
    assert result.after == sum(w.nnz for w in model.chain()) == total

    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    steps: list[float] = []
    updates: dict[str, float] = {}
    for name, make in (("set", topology.SET), ("rigl", topology.RigL)):
        topo: Any = make(
            model.parameters(), optimizer, drop_fraction=0.3, every=options.steps
        )
        for _ in range(options.steps + 1):
            begin, before = time.perf_counter(), topo.updates
            loss = nn.functional.cross_entropy(model(x), y)
            topo.backward(loss)
            topo.step() or optimizer.step()
            optimizer.zero_grad()
            taken = time.perf_counter() - begin
            if topo.updates == before:
                steps.append(taken)
            else:
                updates[name] = taken
        assert np.isfinite(loss.item())
        assert sum(w.nnz for w in model.chain()) == total
    step = sorted(steps)[len(steps) // 2]
    return {
        "name": method,
        "rounds": result.rounds,
        "kept": result.after,
        "first": result.layers[0].after,
        "prune_s": seconds,
        "prune_mb": at_first,
        "step_ms": 1e3 * step,
        "set_ms": 1e3 * (updates["set"] - step),
        "rigl_ms": 1e3 * (updates["rigl"] - step),
        "peak_mb": peak_mb(),
    }


def apart(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """The same in a process of its own."""
    arguments = [
        f"--{name}={getattr(options, name)}"
        for name in (
            "threads", "width", "density", "batch", "rounds", "steps", "limit"
        )
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.never_dense", f"--row={method}", *arguments],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{method} failed:\n{done.stderr}")
    row = json.loads(done.stdout)
    assert isinstance(row, dict)
    return row


def main() -> None:
    """Parse the command line, measure, report."""
    parser = harness.arguments(__doc__ or "", threads=2)
    parser.add_argument("--width", type=int, default=65536)
    parser.add_argument("--density", type=float, default=0.0005)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=100, help="of SynFlow")
    parser.add_argument("--steps", type=int, default=10, help="between updates")
    parser.add_argument("--limit", type=float, default=3000, help="megabytes")
    parser.add_argument(
        "--only",
        default="random,magnitude,snip,grasp,synflow,synflow-adaptive",
        help="methods, separated by commas",
    )
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = harness.parse(parser, width=256, density=0.01, batch=4, rounds=3, steps=2)
    machine.limit_threads(options.threads)
    if options.row:
        print(json.dumps(measure(options.row, options)))
        return
    rows = []
    for method in options.only.split(","):
        rows.append(apart(method, options))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    n = options.width
    harness.report(
        options,
        rows,
        HEADINGS,
        f"Never dense: {n}-{n}-10 at density {options.density:g}",
        [
            f"Batches of {options.batch}. Address space is limited to "
            f"{options.limit:,.0f} MB; dense weights alone would be "
            f"{4 * (n * n + 10 * n) / 1e6:,.0f} MB.",
        ],
    )


if __name__ == "__main__":
    main()
