"""``python -m benchmarks.experiments NAME [--quick] [--jobs N] [--out DIR]``."""

from __future__ import annotations

import importlib
import sys

NAMES = ("mnist", "collapse", "controls", "exchange", "vowels", "gpt", "lenet5")
NAMES += ("resnet",)


def main() -> int:
    """Runs the experiment named first; 2 if there is none such."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in NAMES:
        print("usage: python -m benchmarks.experiments NAME [--help | options]")
        print("NAME is one of:", ", ".join(NAMES))
        return 0 if arguments in (["-h"], ["--help"]) else 2
    name = f"benchmarks.experiments.{arguments[0]}"
    sys.argv = [f"python -m {name}", *arguments[1:]]
    importlib.import_module(name).main()  # its trials run in processes of their own
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
