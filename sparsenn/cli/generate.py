"""`sparsenn generate`: text from a saved language model."""

from __future__ import annotations

import argparse
import time
from typing import Any

from sparsenn.cli import saved
from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import Option, converter
from sparsenn.cli.output import one_line, print_json

HELP = "write text with a saved language model"
DESCRIPTION = """\
Writes text, character by character, with a model that was trained on one."""

_N = Option("n", "int", 500, "", low=1)
_TEMPERATURE = Option("temperature", "float", 1.0, "", low=0.0)
_TOP_K = Option("top-k", "int", None, "", low=1)
_SEED = Option("seed", "int", 0, "", low=0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this command takes."""
    parser.add_argument(
        "model", metavar="RUN|FILE", help="directory of a run, or a model file"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="how the text begins (default: a new line)"
    )
    parser.add_argument(
        "--n", type=converter(_N), default=500, help="characters to write (500)"
    )
    parser.add_argument(
        "--temperature",
        type=converter(_TEMPERATURE),
        default=1.0,
        metavar="T",
        help="below 1: likelier text; 0: always the likeliest character (1)",
    )
    parser.add_argument(
        "--top-k",
        type=converter(_TOP_K),
        metavar="K",
        help="only ever the K likeliest characters (default: all)",
    )
    parser.add_argument(
        "--seed", type=converter(_SEED), default=0, help="of the draws (0)"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from sparsenn.models import generate

    opened = saved.open_saved(args.model)
    vocabulary = saved.classes_of(opened.file)
    if not saved.takes_text(opened.model):
        raise UsageError(f"{opened.path} was not trained on text")
    if vocabulary is None:
        raise UsageError(
            f"{opened.path} does not hold its characters; give the run, or the "
            "model.safetensors in it"
        )
    prompt = args.prompt
    if prompt is None:
        prompt = "\n" if "\n" in vocabulary else vocabulary[0]
    numbers = {character: i for i, character in enumerate(vocabulary)}
    unknown = sorted(set(prompt) - numbers.keys())
    if unknown or not prompt:
        what = f"has the character {unknown[0]!r}" if unknown else "is empty"
        known = "".join(vocabulary)
        raise UsageError(f"--prompt {what}; {opened.path} knows {known!r}")
    began = time.perf_counter()
    written: list[str] = []
    if not args.json:
        print(prompt, end="", flush=True)
    try:
        drawn = generate(
            opened.model,
            [numbers[character] for character in prompt],
            args.n,
            temperature=args.temperature,
            top_k=args.top_k,
            seed=args.seed,
        )
        for token in drawn:
            written.append(vocabulary[token])
            if not args.json:
                print(written[-1], end="", flush=True)
    except ValueError as error:
        raise UsageError(f"{opened.path}: {one_line(error)}") from error
    if args.json:
        result: dict[str, Any] = {
            "prompt": prompt,
            "text": "".join(written),
            "seconds": time.perf_counter() - began,
            "model": str(opened.path),
        }
        print_json(result)
    else:
        print()
    return 0
