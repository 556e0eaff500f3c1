"""When the events alone are walked: a pure function of sizes, with measured constants.

Both ways are given a time in nanoseconds, and the shorter one is taken. Products of
dense activations cost so much a connection, by the samples of the batch. Events cost so
much each and for each connection of their column, more where a column's values have to
be found through an index, and both have costs that do not depend on the events. The
constants were measured on one core with AVX-512 in float32 at 4096 x 4096; other
instruction sets slow down the products of dense activations, which are done by vectors,
and not the events. ``python -m benchmarks k_winners`` measures both ways, and what the
choice costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sparsenn import _core
from sparsenn.sparse import SparsePattern


@dataclass(frozen=True)
class Costs:
    """Nanoseconds of one direction (forward, or backward with both gradients).

    Attributes
    ----------
    vector : float
        Of a connection, dense activations, one sample.
    least, sample : float
        Of a connection, dense activations: at least, and for each sample.
    event, update : float
        Of an event, and of each connection of its column.
    column : float
        Of each connection of a column that occurs, for the first time it is fetched.
    spill : float
        Of a connection of an event, where a sample has few of them in a block of
        columns: its sums have to come from the second cache for each block.
    zero : float
        Of a connection, for the zeros that are written first.
    turn : float
        Of an output feature of a sample: from sample order to feature order, or back.
    """

    vector: float
    least: float
    sample: float
    event: float
    update: float
    column: float
    spill: float
    zero: float
    turn: float


@dataclass(frozen=True)
class Index:
    """Nanoseconds that an index of the columns adds.

    Attributes
    ----------
    update : float
        Of each connection of an event.
    fetch, fetch_megabyte : float
        Of a connection in a cache line that an event needs: at most, and for each
        megabyte of values, of which small ones stay in the cache.
    copy, copy_megabyte : float
        Of a connection, where the events are so many that values are copied first, and
        for each megabyte of values, up to ten.
    """

    update: float
    fetch: float
    fetch_megabyte: float
    copy: float
    copy_megabyte: float


# By whether the values are stored by column.
FORWARD = {
    False: Costs(0.45, 1.6, 0.0285, 10, 0.46, 0.25, 0.40, 0, 0.25),
    True: Costs(0.50, 1.70, 0.045, 10, 0.46, 0.20, 0.15, 0, 0.25),
}
BACKWARD = {
    False: Costs(1.40, 3.10, 0.084, 14, 0.55, 0.45, 0, 0.16, 0.35),
    True: Costs(0.50, 2.00, 0.082, 10, 0.50, 0.45, 0, 0.16, 0.35),
}
FORWARD_INDEX = Index(0.1, 0.34, 0.045, 0.5, 0.05)
BACKWARD_INDEX = Index(0.65, 0.6, 0.08, 1.8, 0.2)
# What a product of dense activations takes, in the time with AVX-512.
SLOWER = {"x86_64_v4": 1.0, "x86_64_v3": 1.3, "neon": 2.5, "baseline": 2.5}
# As in src/products/event.c: events of a column, on average, that pay for a copy, and
# the samples that share it.
COPIED = 2
SAMPLES = 64
BLOCK = 65_536  # connections of a block, about
LINE = 64


def forward_by_events(
    pattern: SparsePattern, batch: int, count: int, itemsize: int
) -> bool:
    """Whether ``x W^T`` walks `count` events rather than all connections."""
    by_column = pattern.by_column
    if by_column and batch == 1:
        return True  # what a product of dense activations does, without the zeros
    return _events_win(
        pattern, batch, count, itemsize, FORWARD[by_column], FORWARD_INDEX, True
    )


def backward_by_events(
    pattern: SparsePattern, batch: int, count: int, itemsize: int
) -> bool:
    """Whether both gradients walk `count` events rather than all connections."""
    costs = BACKWARD[pattern.by_column]
    return _events_win(pattern, batch, count, itemsize, costs, BACKWARD_INDEX, False)


def _events_win(
    pattern: SparsePattern,
    batch: int,
    count: int,
    itemsize: int,
    costs: Costs,
    index: Index,
    forward: bool,
) -> bool:
    n_out, n_in = pattern.shape
    nnz = pattern.nnz
    if pattern.layout is None or not nnz or not batch:
        return False
    if batch == 1:
        dense = nnz * costs.vector
        occurring = count / n_in
    else:
        slower = SLOWER.get(_core.isa(), 1.0) * itemsize / 4
        dense = nnz * max(costs.least, costs.sample * batch * slower)
        occurring = 1 - math.exp(-count / n_in)  # as if drawn at random
    units = -(-batch // SAMPLES) if forward else 1
    updates = count * (nnz / n_in)
    events = count * costs.event + updates * costs.update + nnz * costs.zero
    if batch > 1:
        events += batch * n_out * costs.turn + nnz * occurring * costs.column
        fetched = batch * n_out * (nnz / BLOCK)
        events += min(updates, fetched) * costs.spill
    if not pattern.by_column:
        megabytes = nnz * itemsize / 2**20
        if count >= COPIED * n_in * units:
            events += nnz * (index.copy + index.copy_megabyte * min(megabytes, 10))
        else:
            lines = 1 - (1 - occurring) ** (LINE // itemsize)
            fetch = min(index.fetch, index.fetch_megabyte * megabytes)
            events += nnz * lines * fetch + updates * index.update
    return events < dense
