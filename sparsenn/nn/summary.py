"""The table that ``model.summary()`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsenn.sparse import SparseParameter

if TYPE_CHECKING:
    from sparsenn.nn.module import Module

_HEAD = ("parameter", "shape", "connections", "density", "bytes")


def table(module: Module) -> str:
    """One line a parameter, and the totals; bytes are of values and positions."""
    rows = [_HEAD]
    weights = positions = total_bytes = 0
    for name, parameter in module.named_parameters():
        if isinstance(parameter, SparseParameter):
            n_out, n_in = parameter.shape
            weights += parameter.nnz
            positions += n_out * n_in
            size = parameter.nbytes
            rows.append(
                (
                    name,
                    f"{n_out} x {n_in}",
                    "virtual" if parameter.virtual else f"{parameter.nnz:,}",
                    f"{parameter.density:.4g}",
                    f"{size:,}",
                )
            )
        else:
            size = parameter.data.nbytes
            shape = " x ".join(map(str, parameter.shape))
            rows.append((name, shape, "", "", f"{size:,}"))
        total_bytes += size
    density = f"{weights / positions:.4g}" if positions else ""
    rows.append(("total", "", f"{weights:,}", density, f"{total_bytes:,}"))

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
