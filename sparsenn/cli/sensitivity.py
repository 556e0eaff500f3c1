"""`sparsenn sensitivity`: what each layer of a trained network can do without."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from sparsenn.cli import saved
from sparsenn.cli.errors import UsageError
from sparsenn.cli.output import one_line, peak_rss_bytes, percent, print_json
from sparsenn.files import atomic_write

HELP = "prune each layer alone, and show what it costs"
DESCRIPTION = """\
Prunes one layer or block of layers at a time of a trained model, without training it
again, and measures the accuracy: a table, sensitivity.csv, sensitivity.json and, with
matplotlib, the heatmap sensitivity.png. The last line is of the whole model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    saved.add_arguments(
        parser, "a built-in name or a path (default: the data of the run)"
    )
    parser.add_argument(
        "--sparsities",
        metavar="LIST",
        help="shares of the connections to prune, such as 0,0.5,0.9 (default: 13 from "
        "0 to 0.99)",
    )
    parser.add_argument(
        "--blocks",
        metavar="LIST",
        help="layers to prune together: NAME=LAYERS;NAME=LAYERS with layers as "
        "--keep-dense names them, such as first=0;rest=1,2 (default: each layer, or "
        "each residual block)",
    )
    parser.add_argument(
        "--score",
        choices=("magnitude", "random"),
        default="magnitude",
        help="what goes first (default magnitude)",
    )
    parser.add_argument(
        "--part", choices=("test", "train"), default="test", help="default: test"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="SEED", help="of --score random"
    )
    parser.add_argument(
        "--out", metavar="DIRECTORY", help="default: the run; of a file, its directory"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from sparsenn import pruning
    from sparsenn.train import evaluate

    opened = saved.open_saved(args.model)
    shares = _shares(args.sparsities)
    blocks: Any = _blocks(args.blocks)
    if blocks is None:
        blocks = saved.blocks_of(opened.model)
    name, data = saved.data_of(opened, args)
    x, y = (data.x_test, data.y_test) if args.part == "test" else (
        data.x_train, data.y_train,
    )  # fmt: skip
    total = len(shares) * (len(blocks or opened.file.parameters) + 1)
    progress = _Progress(total, quiet=args.quiet)
    began = time.perf_counter()
    try:
        result = pruning.sensitivity(
            opened.model,
            lambda model: evaluate(model, x, y, scaling=opened.file.scaling)[
                "accuracy"
            ],
            shares,
            blocks=blocks,
            score=args.score,
            seed=args.seed,
            progress=progress,
        )
    except ValueError as error:
        raise UsageError(f"{opened.path}: {one_line(error)}") from error
    finally:
        progress.close()
    out = Path(args.out) if args.out is not None else opened.path.parent
    files = _write(result, out, data.name)
    if args.json:
        print_json(
            {
                **result.to_dict(),
                "samples": len(y),
                "part": args.part,
                "seconds": time.perf_counter() - began,
                "peak_rss_bytes": peak_rss_bytes(),
                "model": str(opened.path),
                "data": name,
                "out": str(out),
                "files": files,
            }
        )
        return 0
    print(f"{args.part} accuracy {percent(result.baseline)} with nothing pruned\n")
    print(result)
    print(f"\n{out}: {', '.join(files)}")
    return 0


def _shares(text: str | None) -> tuple[float, ...]:
    from sparsenn.pruning import SPARSITIES

    if text is None:
        return SPARSITIES
    try:
        shares = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise UsageError(f"--sparsities must be numbers, got {text!r}") from None
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise UsageError(f"--sparsities must be numbers from 0 to 1, got {text!r}")
    return shares


def _blocks(text: str | None) -> dict[str, list[int | str]] | None:
    if text is None:
        return None
    blocks: dict[str, list[int | str]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, layers = part.partition("=")
        names = [layer.strip() for layer in layers.split(",") if layer.strip()]
        if not (equals and name.strip() and names):
            raise UsageError(
                f"--blocks must be NAME=LAYERS;NAME=LAYERS, such as first=0;rest=1,2; "
                f"got {text!r}"
            )
        if name.strip() in blocks:
            raise UsageError(f"--blocks has {name.strip()!r} twice")
        blocks[name.strip()] = [
            int(layer) if layer.lstrip("-").isdigit() else layer for layer in names
        ]
    if not blocks:
        raise UsageError("--blocks lists nothing")
    return blocks


def _write(result: Any, out: Path, title: str) -> list[str]:
    from sparsenn import plot

    names = ["sensitivity.csv", "sensitivity.json"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in zip(names, (result.to_csv(), result.to_json()), strict=True):
            with atomic_write(out / name, "w") as file:
                file.write(text)
        if plot.available():
            names.append("sensitivity.png")
            plot.save(plot.sensitivity(result, title=title), out / names[-1])
    except OSError as error:
        raise UsageError(f"--out {out}: {one_line(error)}") from error
    return names


class _Progress:
    """A bar over the evaluations on a terminal with tqdm, nothing elsewhere."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._bar: Any = None
        if quiet or not sys.stderr.isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total, desc="pruned", file=sys.stderr, leave=False)

    def __call__(self, block: str, sparsity: float, value: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{block} {sparsity:g}: {value:.4f}")
            self._bar.update(1)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
