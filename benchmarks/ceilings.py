"""The ceilings of one core: multiply-adds, and loads from every level of memory.

A small C program, compiled here for each instruction set: what the kernels' figures
are to be held against. Processor time, the best of five tries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import harness, machine

SOURCE = Path(__file__).parent / "ladder" / "ceilings.c"
#: Instruction set, compiler option, bytes of a vector, flags of a processor it needs.
X86 = (
    ("x86_64_v4", "-march=x86-64-v4", 64, {"avx512f", "avx512vl", "avx512dq"}),
    ("x86_64_v3", "-march=x86-64-v3", 32, {"avx2", "fma"}),
    ("baseline", "-march=x86-64", 16, set()),
)
ARM = (("neon", "-march=armv8-a", 16, set()),)
BYTES_PER_FLOP = 2  # a product over a pattern: four bytes of x for a multiply-add
HEADINGS = {
    "isa": "instruction set",
    "name": "what",
    "kib": "from KiB",
    "rate": "10^9 a second",
    "unit": "of",
}


def compiler() -> str | None:
    """The system's C compiler, or None."""
    named = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    for name in (str(named).split()[0], "cc", "gcc", "clang"):
        if shutil.which(name):
            return name
    return None


def sets() -> list[tuple[str, str, int]]:
    """Instruction sets that this processor has."""
    if os.uname().machine not in ("x86_64", "AMD64"):
        return [entry[:3] for entry in ARM]
    have = machine.processor_flags()
    return [(name, march, size) for name, march, size, need in X86 if need <= have]


def run(
    cc: str, isa: tuple[str, str, int], seconds: float, largest: int
) -> list[dict[str, object]]:
    """Compile for one instruction set and read what the program prints."""
    name, march, size = isa
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/ceilings"
        command = [
            cc,
            "-O3",
            "-funroll-loops",
            march,
            f"-DVECTOR={size}",
            str(SOURCE),
            "-o",
            program,
        ]
        subprocess.run([*command, "-std=gnu11"], check=True)
        printed = subprocess.run(
            [program, str(seconds), str(largest)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    for line in printed.splitlines():
        what, size_, rate = line.split()
        kib = int(size_) // 1024 or None
        unit = "bytes" if what == "load" else "flop"
        rows.append(
            {"isa": name, "name": what, "kib": kib, "rate": float(rate), "unit": unit}
        )
    return rows


def limits(document: Mapping[str, Any], isa: str) -> dict[str, float]:
    """GFLOP/s that one core can reach on an instruction set, by what limits it.

    ``fma``: registers alone; ``fma_load``: every multiply-add also loads a vector;
    ``L1`` ... ``DRAM``: the loads alone, four bytes for every multiply-add, from areas
    half as large as a cache, and from the largest area.
    """
    rows = [row for row in document["rows"] if row["isa"] == isa]
    found = {row["name"]: row["rate"] for row in rows if row["name"] != "load"}
    loads = [(row["kib"] * 1024, row["rate"]) for row in rows if row["name"] == "load"]
    for level, size in document["caches"].items():
        inside = [rate for area, rate in loads if area <= size / 2]
        if inside and 2 * loads[-1][0] >= size:
            found[level] = inside[-1] / BYTES_PER_FLOP
    return found | {"DRAM": loads[-1][1] / BYTES_PER_FLOP}


def main() -> None:
    """Parse the command line, compile, measure, report."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure")
    parser.add_argument("--largest", type=int, default=256, metavar="MB")
    options = harness.parse(parser, seconds=0.005, largest=1)
    cc = compiler()
    if cc is None:
        raise SystemExit("ceilings: no C compiler found; set CC to one")
    rows = [
        row for isa in sets() for row in run(cc, isa, options.seconds, options.largest)
    ]
    harness.report(options, rows, HEADINGS, "Ceilings of one core", caches=caches())


def caches() -> dict[str, int]:
    """Bytes of the data caches that one core sees, by level, as the system tells."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = (
                (index / name).read_text().strip() for name in ("type", "level", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = int(size.rstrip("KM")) * (
                1 << (10 + 10 * ("M" in size))
            )
    return found


if __name__ == "__main__":
    main()
