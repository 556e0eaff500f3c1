"""One training step of a GPT: sparse, dense, and beside peers; time and memory.

Forward, cross-entropy, backward and AdamW, float32. All engines start from the same
weights; the losses of their first step must agree before anything is timed. Memory is
what a process of its own holds at most beyond what it held before its model was made.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from benchmarks import harness, machine
from benchmarks.memory import resident

Step = Callable[[], float]
SPARSE, DENSE = "sparsenn", "sparsenn dense"
HEADINGS = {
    "name": "engine",
    "nnz": "connections",
    "ms": "ms a step",
    "least": "least",
    "most": "most",
    "speedup": "sparsenn is times as fast",
    "mib": "MiB",
}


def problem(options: dict[str, Any], density: float) -> tuple[Any, Any, Any]:
    """Our model and a batch of tokens with those that follow."""
    from sparsenn import data, models
    from sparsenn.random import Purpose, Stream

    vocab, context = options["vocab"], options["context"]
    model = models.gpt(
        vocab, context, options["layers"], options["width"], density=density, seed=0
    )
    text = (Stream(0, Purpose.DATA).uniform(50 * context) * vocab).astype(int)
    windows = data.windows(text, context, options["batch"], Stream(0, Purpose.PROBE))
    return model, *windows


def ours(options: dict[str, Any], density: float) -> Step:
    """The step as a user of the package writes it."""
    import sparsenn
    from sparsenn import nn, optim

    sparsenn.set_num_threads(options["threads"])
    model, x, y = problem(options, density)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)

    def step() -> float:
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def pytorch(options: dict[str, Any], density: float, layer: Callable[..., Any]) -> Step:
    """The same network in PyTorch, its projections made by `layer(weight, bias)`."""
    import numpy as np
    import torch
    from torch.nn import functional as f

    torch.set_num_threads(options["threads"])
    model, x, y = problem(options, density)
    width, n = options["width"], options["layers"]
    found = dict(model.named_parameters())
    tensors = torch.nn.ParameterDict()
    layers = torch.nn.ModuleDict()
    for name, p in found.items():
        key = name.replace(".", "_")
        if hasattr(p, "to_scipy"):
            bias = found.get(name.replace("weight", "bias"))
            zero = np.zeros(p.shape[0], np.float32)
            layers[key] = layer(p.to_scipy(), zero if bias is None else bias.data)
        elif name.replace("bias", "weight") not in found or not hasattr(
            found[name.replace("bias", "weight")], "to_scipy"
        ):
            tensors[key] = torch.nn.Parameter(torch.from_numpy(p.data.copy()))
    x, y = torch.from_numpy(x), torch.from_numpy(y).flatten()
    del model, found

    def norm(t: Any, key: str) -> Any:
        return f.layer_norm(
            t, (width,), tensors[f"{key}_weight"], tensors[f"{key}_bias"]
        )

    def linear(t: Any, key: str) -> Any:
        flat = layers[f"{key}_weight"](t.flatten(0, 1))
        return flat.unflatten(0, t.shape[:2])

    def forward() -> Any:
        h = tensors["0_weight"][x] + tensors["1_weight"][: x.shape[1]]
        for i in range(2, 2 + n):
            t = norm(h, f"{i}_norm1")
            q, k, v = (
                linear(t, f"{i}_attention_{part}")
                .unflatten(2, (-1, 64))
                .transpose(1, 2)
                for part in ("query", "key", "value")
            )
            mixed = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            h = h + linear(mixed.transpose(1, 2).flatten(2), f"{i}_attention_output")
            t = linear(norm(h, f"{i}_norm2"), f"{i}_feed_forward_up")
            h = h + linear(f.gelu(t), f"{i}_feed_forward_down")
        return linear(norm(h, f"{2 + n}"), f"{3 + n}").flatten(0, 1)

    parameters = [*tensors.parameters(), *layers.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1)

    def step() -> float:
        optimizer.zero_grad()
        loss = f.cross_entropy(forward(), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def engine(name: str, options: dict[str, Any]) -> Step:
    """The step of an engine; ImportError if it is not installed."""
    from benchmarks import peers

    density = options["density"]
    if name == SPARSE:
        return ours(options, density)
    if name == DENSE:
        return ours(options, 1.0)
    if name == "SparseLab":
        return pytorch(options, density, peers.sparselab_layer)
    return pytorch(options, 1.0, peers.dense_layer)


ENGINES = (SPARSE, DENSE, "PyTorch dense", "SparseLab")


def peak(name: str, options: dict[str, Any]) -> float:
    """MiB that three steps take, in a process of their own."""
    machine.limit_threads(options["threads"])
    small = {"layers": 1, "width": 64, "context": 8, "batch": 2}
    engine(name, options | small)()  # loads what it needs
    before = resident("VmRSS")
    step = engine(name, options)
    for _ in range(3):
        step()
    return (resident("VmHWM") - before) / 2**20


def main() -> None:
    """Parse the command line, check, time, report."""
    from benchmarks import transformer  # processes of their own import it by its name

    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--vocab", type=int, default=65)
    parser.add_argument("--density", type=float, default=0.175)
    parser.add_argument("--rounds", type=int, default=7)
    given = harness.parse(parser, layers=1, width=64, context=8, batch=2, rounds=1)
    machine.limit_threads(given.threads)
    options = vars(given)
    runs: dict[str, Step] = {}
    rows: list[dict[str, object]] = []
    for name in ENGINES:
        try:
            runs[name] = engine(name, options)
        except ImportError:
            rows.append({"name": name, "ms": "not installed"})
    losses = {name: step() for name, step in runs.items()}
    for pair in ((DENSE, "PyTorch dense"), (SPARSE, "SparseLab")):
        a, b = (losses.get(name) for name in pair)
        if a is not None and b is not None and abs(a - b) > 1e-4 * abs(a):
            raise SystemExit(f"losses disagree: {pair[0]} {a:.7g}, {pair[1]} {b:.7g}")
    timings = harness.measure(runs, given.rounds)
    key = harness.clock(given.threads)
    ms = {name: timing.row()[key] for name, timing in timings.items()}
    found = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, timing in timings.items():
            series = timing.cpu if given.threads == 1 else timing.wall
            sparse = name in (SPARSE, "SparseLab")
            row: dict[str, object] = {"name": name, **timing.row(), "ms": ms[name]}
            row |= {"least": 1e3 * min(series), "most": 1e3 * max(series)}
            row["nnz"] = connections(options, given.density if sparse else 1.0)
            row["speedup"] = None if name == SPARSE else ms[name] / ms[SPARSE]
            if not given.quick or name == SPARSE:
                row["mib"] = pool.apply(transformer.peak, (name, options))
            found.append(row)
    harness.report(
        given,
        found + rows,
        HEADINGS,
        f"Training step of a GPT, {given.layers} x {given.width}, "
        f"{given.batch * given.context} tokens, density {given.density:g}",
        ["Medians of processor time on one thread, else of wall time."],
        losses=losses,
    )


def connections(options: dict[str, Any], density: float) -> int:
    """Of all weights."""
    width = options["width"]
    positions = 12 * options["layers"] * width**2 + options["vocab"] * width
    return round(density * positions)


if __name__ == "__main__":
    main()
