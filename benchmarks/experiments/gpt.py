"""A GPT by characters on tiny-shakespeare: sparse and dense for the same steps.

6 blocks of width 384 (10.6 million weights), context 128, 768 tokens a step, 2,000
steps of AdamW with a warm-up, a cosine and clipped gradients. Every method has the
learning rate that was best for it in short runs (``--rates``). Writes gpt.md and .json.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.experiments import study

DENSITY = 0.175
METHODS = ("dense", "static", "rigl")
RATES = {"dense": 1e-3, "static": 2e-3, "rigl": 2e-3}
TRIED = (1e-3, 2e-3, 4e-3)
SEEDS = 3
STEPS = 2000
FULL = {"layers": 6, "width": 384, "context": 128, "batch": 6}
SMALL = {"layers": 1, "width": 32, "context": 16, "batch": 4}


def trial(
    text: str,
    method: str,
    density: float,
    lr: float,
    seed: int,
    steps: int,
    small: bool,
) -> dict[str, Any]:
    """Trains one network and measures it on the whole validation part."""
    from benchmarks.memory import resident
    from sparsenn import data, models, optim
    from sparsenn import topology as topologies
    from sparsenn.nn import functional
    from sparsenn.random import Purpose, Stream

    size = SMALL if small else FULL
    loaded = data.load_text(text)
    model = models.gpt(
        len(loaded.vocabulary),
        size["context"],
        size["layers"],
        size["width"],
        density=density,
        seed=seed,
    )
    params = model.parameters()
    optimizer = optim.AdamW(params, lr=lr, betas=(0.9, 0.99), weight_decay=0.1)
    schedule = optim.warmup(optim.Cosine(lr, steps, lr / 10), min(100, steps // 10))
    every = max(steps // 20, 1)
    topology = topologies.make(
        method,
        params,
        optimizer,
        steps_per_epoch=every,
        total_steps=steps,
        density=density,
        seed=seed,
        every=every,
    )
    curve, seconds = [], []
    for step in range(steps):
        began = time.process_time()
        draws = Stream(seed, Purpose.SHUFFLE, step=step)
        x, y = data.windows(loaded.train, size["context"], size["batch"], draws)
        optimizer.lr = schedule(step)
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optim.clip_grad_norm(params, 1.0)
        if topology is None or not topology.step():
            optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - began)
        if step % every == 0:
            curve.append([step, loss.item()])
            print(method, seed, lr, step, f"{loss.item():.3f}", file=sys.stderr)
    found = validate(model, loaded.val, size["context"])
    nnz = sum(p.nnz for p in params if hasattr(p, "nnz"))
    return {
        **found,
        "curve": curve,
        "nnz": nnz,
        "seconds_a_step": sorted(seconds)[len(seconds) // 2],
        "peak_rss_bytes": resident("VmHWM"),
    }


def validate(model: Any, tokens: Any, context: int) -> dict[str, float]:
    """Loss and accuracy of predicting each token of a text once."""
    from sparsenn import data
    from sparsenn.autograd import no_grad
    from sparsenn.nn import functional

    total = hits = count = 0.0
    model.eval()
    with no_grad():
        for x, y in data.blocks(tokens, context, 6):
            logits = model(x)
            total += functional.cross_entropy(logits, y, reduction="sum").item()
            hits += float((logits.data.argmax(2) == y).sum())
            count += y.size
    return {"val_loss": total / count, "accuracy": hits / count}


def main() -> None:
    """Runs every trial, then writes the table."""
    given = study.options(__doc__ or "", rates="try learning rates in short runs")
    quick, name = given.quick, "gpt_rates" if given.rates else "gpt"
    seeds, steps = (1, 4) if quick else (1, 200) if given.rates else (SEEDS, STEPS)
    density = {method: 1.0 if method == "dense" else DENSITY for method in METHODS}
    methods = ("dense", "static") if given.rates else METHODS
    rates = {m: TRIED if given.rates else (RATES[m],) for m in methods}
    rows = study.run_all(
        name,
        given,
        trial,
        [
            {
                "text": "README.md" if quick else "tinyshakespeare",
                "method": method,
                "density": density[method],
                "lr": lr,
                "seed": seed,
                "steps": steps,
                "small": quick,
            }
            for seed in range(seeds)
            for method in methods
            for lr in rates[method]
        ],
    )

    def line(method: str, lr: float) -> list[str]:
        found = [r for r in rows if (r["method"], r["lr"]) == (method, lr)]
        loss, half = study.interval([r["val_loss"] for r in found])
        step = min(r["seconds_a_step"] for r in found)
        peak = max(r["peak_rss_bytes"] for r in found)
        return [
            method,
            f"{found[0]['nnz']:,}",
            f"{lr:g}",
            f"{loss:.3f} ± {half:.3f}",
            f"{1000 * step:.0f}",
            f"{peak / 2**20:.0f}",
        ]

    header = ("method", "connections", "learning rate", "validation loss")
    header += ("ms a step", "peak MiB")
    lines = [line(m, lr) for m in methods for lr in rates[m]]
    text = f"""# A GPT by characters on tiny-shakespeare

    python -m benchmarks.experiments gpt{" --rates" if given.rates else ""}

{" ".join((__doc__ or "").split()).replace(" Writes gpt.md and .json.", "")}

Means of {seeds} seeds with 95 % intervals by Student's t, {steps} steps, density
{100 * DENSITY:g} % of all weights of blocks and of the last layer, shared evenly.
Loss in nats a character over the whole validation part (5 % of the text). Processor
time of a step, the median of the fastest run, one thread; memory is the most that the
process has held.

{study.table(header, lines)}
"""
    study.write(name, given, text, rows)
