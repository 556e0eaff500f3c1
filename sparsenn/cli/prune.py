"""`sparsenn prune`: thins a trained model, and trains on if asked to."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any

from sparsenn.cli import saved
from sparsenn.cli.config import Config, density_of, make_config
from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import BY_NAME
from sparsenn.cli.output import count, one_line, peak_rss_bytes, percent, print_json
from sparsenn.cli.prepare import Prepared, absolute, make_optimizer, make_schedule
from sparsenn.cli.rundir import RunDirectory
from sparsenn.cli.starts import STARTS
from sparsenn.cli.training import train_run

HELP = "prune a trained model, and fine-tune it if wanted"
DESCRIPTION = """\
Prunes a trained model to a density of the whole network, or to at most N of every M
consecutive inputs of each neuron. With --finetune-epochs the connections that are left
train on, as the run did, and --out is a RUN; otherwise it is a model file."""

METHODS = ("magnitude", "lamp", "wanda", "random")
_N_M = re.compile(r"(wanda-)?(\d{1,4}):(\d{1,4})")
_SAMPLES = 128  # of Wanda's paper
_TRAINING = ("epochs", "lr", "batch_size", "optimizer", "schedule", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    saved.add_arguments(
        parser, "for wanda, fine-tuning and measuring (default: the data of the run)"
    )
    parser.add_argument(
        "--method",
        default="magnitude",
        metavar="METHOD",
        help=f"{', '.join(METHODS)}, N:M or wanda-N:M (default magnitude)",
    )
    option = BY_NAME["density"]
    parser.add_argument(
        "--density", type=option.parse, metavar="DENSITY", help="of the whole network"
    )
    parser.add_argument(
        "--sparsity", type=_sparsity, metavar="SPARSITY", help="1 - density, instead"
    )
    parser.add_argument(
        "--keep-dense",
        type=BY_NAME["keep_dense"].parse,
        default=[],
        metavar="LAYERS",
        help="layers that lose nothing: first, last or numbers from 0",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help=f"of the training part that wanda looks at (default {_SAMPLES}, or all)",
    )
    parser.add_argument(
        "--finetune-epochs",
        dest="epochs",
        type=BY_NAME["epochs"].parse,
        default=argparse.SUPPRESS,
        metavar="EPOCHS",
        help="passes over the training data afterwards (default: none)",
    )
    for name in _TRAINING[1:]:
        option = BY_NAME[name]
        parser.add_argument(
            option.flag,
            dest=name,
            type=option.parse,
            default=argparse.SUPPRESS,
            metavar=name.rsplit("_", 1)[-1].upper(),
            help="of fine-tuning (default: as in the run)",
        )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE|RUN",
        help="the pruned model; a directory of a new run if it is fine-tuned",
    )


def _sparsity(text: str) -> float:
    try:
        return density_of(float(text))
    except ValueError:
        raise UsageError(f"--sparsity must be a number, got {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    n_m, density = _asked(args)
    opened = saved.open_saved(args.model)
    tuned = hasattr(args, "epochs")
    out = Path(args.out)
    _check_out(out, tuned)
    data = None
    name = None
    if args.data is not None or opened.config is not None:
        name, data = saved.data_of(opened, args)
    if data is None and (tuned or args.method.startswith("wanda")):
        raise UsageError("DATA is missing: a built-in name such as digits, or a path")
    began = time.perf_counter()
    before = _measure(opened, data)
    try:
        result = _prune(opened, data, args, n_m, density)
    except ValueError as error:
        raise UsageError(f"{opened.path}: {one_line(error)}") from error
    document: dict[str, Any] = {
        "method": args.method,
        "before": {"nnz": result.before, "accuracy": before},
        "pruned": {
            "nnz": result.after,
            "density": result.density,
            "accuracy": _measure(opened, data),
        },
        "warnings": list(result.warnings),
        "model": str(opened.path),
        "data": name,
    }
    if tuned:
        assert name is not None and data is not None
        document.update(_tune(opened, name, data, args, result.density, out))
    else:
        document.update(_save(opened, out))
    document["seconds"] = time.perf_counter() - began
    if args.json:
        print_json(document)
    else:
        _report(document, result)
    return 0


def _asked(args: argparse.Namespace) -> tuple[tuple[bool, int, int] | None, float]:
    """N and M if those are asked for, and the density."""
    if args.density is not None and args.sparsity is not None:
        raise UsageError("give --density or --sparsity, not both")
    density = args.sparsity if args.density is None else args.density
    found = _N_M.fullmatch(args.method)
    if found:
        if density is not None:
            raise UsageError(f"--method {args.method} has its own density")
        n, m = int(found[2]), int(found[3])
        if not 1 <= n <= m:
            raise UsageError(f"--method N:M must have 1 <= N <= M, got {args.method}")
        return (found[1] is not None, n, m), 0.0
    if args.method not in METHODS:
        hint = f"; before training: train --init {args.method}"
        raise UsageError(
            f"--method must be one of {', '.join(METHODS)}, N:M or wanda-N:M; "
            f"got {args.method!r}{hint if args.method in STARTS else ''}"
        )
    if density is None:
        raise UsageError("--density is missing: the share of all weights that stays")
    return None, density


def _check_out(out: Path, tuned: bool) -> None:
    if tuned:
        RunDirectory(out).check_new()
    elif out.is_dir():
        raise UsageError(f"--out {out}: is a directory; give the name of a file")
    elif not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no directory {out.parent}")


def _prune(
    opened: saved.Saved,
    data: Any,
    args: argparse.Namespace,
    n_m: tuple[bool, int, int] | None,
    density: float,
) -> Any:
    from sparsenn import pruning

    model = opened.model
    layers = [int(n) if n.lstrip("-").isdigit() else n for n in args.keep_dense]
    common: dict[str, Any] = {"keep_dense": layers}
    if n_m is not None:
        by_input, n, m = n_m
        if by_input:
            common["score"] = "wanda"
            common["batches"] = _batches(opened, data, args.samples)
        return pruning.n_m(model, n, m, **common)
    if args.method == "wanda":
        return pruning.wanda(
            model, _batches(opened, data, args.samples), density, **common
        )
    if args.method == "random":
        common["seed"] = getattr(args, "seed", 0)
        common["values"] = "keep"  # as they were trained
    return getattr(pruning, args.method)(model, density, **common)


def _batches(opened: saved.Saved, data: Any, samples: int | None) -> list[Any]:
    """Some samples of the training part, scaled as the model wants them."""
    from sparsenn.random import Purpose, Stream
    from sparsenn.train.feed import feed, model_dtype

    n = int(data.x_train.shape[0])
    samples = min(_SAMPLES, n) if samples is None else samples
    if not 1 <= samples <= n:
        raise UsageError(f"--samples must be 1 to {n}, got {samples}")
    chosen = Stream(0, Purpose.CONTROL, step=4).permutation(n)[:samples]
    x, y = data.x_train[chosen], data.y_train[chosen]
    scaling, dtype = opened.file.scaling, model_dtype(opened.model)
    return list(feed(x, y, 128, scaling=scaling, dtype=dtype))


def _measure(opened: saved.Saved, data: Any) -> float | None:
    from sparsenn.train import evaluate

    if data is None:
        return None
    x, y = data.x_test, data.y_test
    return float(evaluate(opened.model, x, y, scaling=opened.file.scaling)["accuracy"])


def _save(opened: saved.Saved, out: Path) -> dict[str, Any]:
    from sparsenn.export.model import save
    from sparsenn.train.cost import layer_table

    extra = opened.file.extra
    try:
        save(opened.model, out, scaling=opened.file.scaling, extra=extra)
    except OSError as error:
        raise UsageError(f"--out {out}: {one_line(error)}") from error
    return {
        "layers": layer_table(opened.model),
        "model_bytes": out.stat().st_size,
        "peak_rss_bytes": peak_rss_bytes(),
        "out": str(out),
    }


def _tune(
    opened: saved.Saved,
    name: str,
    data: Any,
    args: argparse.Namespace,
    density: float,
    out: Path,
) -> dict[str, Any]:
    """Trains on in a run of its own; what ``sparsenn train --json`` would print."""
    config = _tuning(opened, absolute(name), data, args, density)
    settings = config.settings
    n = int(data.x_train.shape[0])
    total = settings["epochs"] * -(-n // settings["batch_size"])
    prepared = Prepared(
        settings["arch"],
        data,
        opened.model,
        make_optimizer(settings, opened.model),
        make_schedule(settings["schedule"], settings["lr"], total),
        None,
        scaling=opened.file.scaling,
    )
    directory = RunDirectory(out)
    try:
        directory.create(config)
    except OSError as error:
        raise UsageError(f"--out {out}: {one_line(error)}") from error
    return train_run(
        prepared, config, directory, quiet=args.quiet, pictures=False, first=True
    )


def _tuning(
    opened: saved.Saved, name: str, data: Any, args: argparse.Namespace, density: float
) -> Config:
    """Settings of fine-tuning: the run's, but for what was given."""
    from sparsenn.models import is_mlp
    from sparsenn.pruning.signal import is_chain
    from sparsenn.train.cost import weights

    settings = dict(opened.config.settings) if opened.config is not None else {}
    found = weights(opened.model)
    arch = settings.setdefault("arch", opened.file.extra.get("arch"))
    if is_mlp(arch) if isinstance(arch, str) else is_chain(opened.model):
        sizes = [found[0].shape[1], *(weight.shape[0] for weight in found)]
        settings["arch"] = "-".join(map(str, sizes))
    settings.update(
        method="static",
        init=BY_NAME["init"].default,
        density=density,
        keep_dense=[],
        val_fraction=0.0,
        label=args.label or settings.get("label"),
        labels=args.labels or settings.get("labels"),
        context=data.n_features if data.is_text else None,
    )
    given = {name: getattr(args, name) for name in _TRAINING if hasattr(args, name)}
    if "optimizer" in given and "lr" not in given:
        settings["lr"] = None
    return make_config(name, {}, {**settings, **given})


def _report(document: dict[str, Any], result: Any) -> None:
    print(result)
    before, pruned = document["before"], document["pruned"]
    if before["accuracy"] is not None:
        text = f"test accuracy {percent(before['accuracy'])} before, "
        text += f"{percent(pruned['accuracy'])} pruned"
        if "epochs" in document:
            text += f", {percent(document['accuracy'])} after {document['epochs']} "
            text += "epochs"
        print(text)
    print(f"{document['out']}: {count(pruned['nnz'])} connections")
