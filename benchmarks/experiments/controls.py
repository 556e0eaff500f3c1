"""Controls of pruning before training: what of a mask matters? (Frankle et al. 2020)

SNIP, GraSP and SynFlow on LeNet-300-100 at 5 %: the mask as it is; its positions
shuffled within each layer, among all inputs or only among those that are not constant;
fresh weights; the scores inverted. Writes controls.md and .json.
"""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import study

METHODS = ("snip", "grasp", "synflow")
CONTROLS = ("as found", "shuffled", "shuffled, live inputs", "fresh weights",
            "inverted")  # fmt: skip
DENSITY = 0.05
SEEDS = 3


def trial(data: str, method: str, control: str, seed: int, epochs: int) -> Any:
    """Prunes, applies the control, trains."""
    from sparsenn import data as datasets
    from sparsenn import models, pruning
    from sparsenn.nn import functional

    loaded = datasets.load(data)
    model = models.mlp([loaded.n_features, 300, 100, 10], seed=seed)
    loss = functional.cross_entropy
    batch = study.batch(loaded, 100, seed)
    invert = control == "inverted"
    if method == "synflow":
        pruning.synflow(model, DENSITY, invert=invert, rounds=1 if invert else 100)
    else:
        function = {"snip": pruning.snip, "grasp": pruning.grasp}[method]
        function(model, loss, [batch], DENSITY, invert=invert, values="keep")
    if control == "shuffled":
        pruning.shuffle(model, seed=seed)
    elif control == "shuffled, live inputs":
        live = pruning.varying_inputs(loaded.x_train)
        pruning.shuffle(model, seed=seed, columns={"first": live})
    elif control == "fresh weights":
        pruning.reinitialize(model, seed=seed + 1000)
    accuracy = study.train(
        model, loaded, epochs=epochs, lr=0.2, seed=seed, weight_decay=3e-4
    )
    return {"accuracy": accuracy}


def main() -> None:
    """Runs every trial, then writes the table."""
    given = study.options(__doc__ or "")
    data, seeds, epochs = ("digits", 1, 2) if given.quick else ("mnist", SEEDS, 20)
    cells = [
        {"data": data, "method": m, "control": c, "seed": s, "epochs": epochs}
        for m in METHODS
        for c in CONTROLS
        for s in range(seeds)
    ]
    rows = study.run_all("controls", given, trial, cells)
    lines = []
    for method in METHODS:
        of = {
            c: [
                r["accuracy"]
                for r in rows
                if (r["method"], r["control"]) == (method, c)
            ]
            for c in CONTROLS
        }
        for control in CONTROLS:
            lost = [a - b for a, b in zip(of[CONTROLS[0]], of[control], strict=True)]
            lines.append(
                [
                    method,
                    control,
                    study.percent(*study.interval(of[control])),
                    ""
                    if control == CONTROLS[0]
                    else study.percent(*study.interval(lost)),
                ]
            )
    header = ("start", "control", "accuracy, %", "lost, points")
    text = f"""# Controls of pruning before training, {data}, density {DENSITY:g}

    python -m benchmarks.experiments controls

LeNet-300-100, {epochs} epochs of SGD. Means of {seeds} seeds with 95 % intervals; what
is lost is paired by seed.

{study.table(header, lines)}
"""
    study.write("controls", given, text, rows)
