"""The table that ``model.summary()`` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sparsenn.nn.trace import multiplications
from sparsenn.sparse import SparseParameter

if TYPE_CHECKING:
    from sparsenn.nn.module import Module

_HEAD = ("parameter", "shape", "connections", "density", "MACs", "bytes")


def table(module: Module, input_shape: Sequence[int] | None = None) -> str:
    """One line a parameter, and the totals, as :meth:`Module.summary` says."""
    rows = [_HEAD]
    sample = _sample(module, input_shape)
    made = {} if sample is None else multiplications(module, sample)
    weights = positions = total_bytes = total_macs = 0
    for name, parameter in module.named_parameters():
        if isinstance(parameter, SparseParameter):
            weights += parameter.nnz
            positions += math.prod(parameter.shape)
            size = parameter.nbytes
            macs = made.get(id(parameter), 0)
            total_macs += macs
            rows.append(
                (
                    name,
                    " x ".join(map(str, parameter.axes)),
                    "virtual" if parameter.virtual else f"{parameter.nnz:,}",
                    f"{parameter.density:.4g}",
                    f"{macs:,}" if made else "",
                    f"{size:,}",
                )
            )
        else:
            size = parameter.data.nbytes
            shape = " x ".join(map(str, parameter.shape))
            rows.append((name, shape, "", "", "", f"{size:,}"))
        total_bytes += size
    density = f"{weights / positions:.4g}" if positions else ""
    macs_text = f"{total_macs:,}" if made else ""
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


def _sample(module: Module, shape: Sequence[int] | None) -> np.ndarray | None:
    """A batch of one sample of zeros; of tokens, if an embedding comes first."""
    from sparsenn.nn.embedding import Embedding, context_of

    parts = [part for _, part in module.named_modules()]
    first = next(part for part in parts if not list(part.children()))
    dtypes = [parameter.dtype for parameter in module.parameters()]
    dtype = np.dtype(dtypes[0] if dtypes else np.float32)
    shape = module.input_shape if shape is None else shape
    if isinstance(first, Embedding):
        dtype = np.dtype(np.int64)
        if shape is None:  # as many tokens as there are positions, if that is limited
            context = context_of(module)
            shape = None if context is None else (context,)
    return None if shape is None else np.zeros((1, *shape), dtype)
