"""When the events alone are walked: a pure function of sizes, with measured constants.

A product costs nanoseconds for each connection and a panel of samples, or for each
event and the connections of its column. Measured on one Zen 4 core with AVX-512 in
float32, at 4096 x 4096; other instruction sets slow down the panels, whose work is done
by vectors, and not the events. ``python -m benchmarks k_winners`` measures both and
says which one was chosen.
"""

from __future__ import annotations

from sparsenn import _core
from sparsenn.sparse import SparsePattern

# A multiply-add of an event, its column, and the turning of one output feature of a
# sample; values stored by column and found through an index.
UPDATE = {True: 0.52, False: 0.75}
COLUMN = 25.0
TURN = 0.25
# One connection: per sample at batch 1, and per sample of a panel of 16.
VECTOR = 0.45
PANEL = 0.024
LEAST = 0.12
# The backward pass (both gradients), in the same units.
UPDATE_BACK = {True: 0.60, False: 0.85}
COPY_BACK = 1.2
PANEL_BACK = 0.075
VECTOR_BACK = 1.4
LEAST_BACK = 0.5
# Panels by the width of vectors.
SLOWER = {"x86_64_v4": 1.0, "x86_64_v3": 1.1, "neon": 2.2, "baseline": 2.2}


def forward_by_events(
    pattern: SparsePattern, batch: int, count: int, itemsize: int
) -> bool:
    """Whether ``x W^T`` walks `count` events rather than all connections."""
    n_out, n_in = pattern.shape
    if pattern.layout is None or not n_in:
        return False
    updates = count * (pattern.nnz / n_in)
    events = updates * UPDATE[pattern.by_column] + count * COLUMN
    if batch == 1:
        return events < pattern.nnz * VECTOR
    events += batch * n_out * TURN
    return events < pattern.nnz * _panel(batch, LEAST, PANEL, itemsize)


def backward_by_events(
    pattern: SparsePattern, batch: int, count: int, itemsize: int
) -> bool:
    """Whether both gradients walk `count` events rather than all connections."""
    n_out, n_in = pattern.shape
    if pattern.layout is None or not n_in:
        return False
    updates = count * (pattern.nnz / n_in)
    events = updates * UPDATE_BACK[pattern.by_column] + count * COLUMN
    if not pattern.by_column and count >= 2 * n_in:
        events += pattern.nnz * COPY_BACK
    if batch == 1:
        return events < pattern.nnz * VECTOR_BACK
    events += batch * n_out * TURN
    return events < pattern.nnz * _panel(batch, LEAST_BACK, PANEL_BACK, itemsize)


def _panel(batch: int, least: float, each: float, itemsize: int) -> float:
    """Nanoseconds of a connection in products of dense activations."""
    slower = SLOWER.get(_core.isa(), 1.0) * (itemsize / 4)
    return least + each * batch * slower
