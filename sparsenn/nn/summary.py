"""The table that ``model.summary()`` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsenn.nn.trace import applications
from sparsenn.sparse import SparseParameter

if TYPE_CHECKING:
    from sparsenn.nn.module import Module

_HEAD = ("parameter", "shape", "connections", "density", "MACs", "bytes")


def table(module: Module, input_shape: Sequence[int] | None = None) -> str:
    """One line a parameter, and the totals; bytes are of values and positions.

    MACs, multiplications of one sample, are left out where nobody says what shape it
    has.
    """
    rows = [_HEAD]
    applied = applications(module, input_shape)
    weights = positions = total_bytes = total_macs = 0
    for name, parameter in module.named_parameters():
        if isinstance(parameter, SparseParameter):
            weights += parameter.nnz
            positions += math.prod(parameter.shape)
            size = parameter.nbytes
            macs = parameter.nnz * applied.get(id(parameter), 0)
            total_macs += macs
            rows.append(
                (
                    name,
                    " x ".join(map(str, parameter.axes)),
                    "virtual" if parameter.virtual else f"{parameter.nnz:,}",
                    f"{parameter.density:.4g}",
                    f"{macs:,}" if applied else "",
                    f"{size:,}",
                )
            )
        else:
            size = parameter.data.nbytes
            shape = " x ".join(map(str, parameter.shape))
            rows.append((name, shape, "", "", "", f"{size:,}"))
        total_bytes += size
    density = f"{weights / positions:.4g}" if positions else ""
    macs_text = f"{total_macs:,}" if applied else ""
    rows.append(("total", "", f"{weights:,}", density, macs_text, f"{total_bytes:,}"))

    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    note = f"{weights:,} of {positions:,} weight positions hold a connection"
    if module.frozen is not None:
        note += f"\nfrozen for batches of {module.frozen}"
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], note])
