"""Patterns of connections: positions and their changes, no gradients."""

from __future__ import annotations

from sparsenn.sparse.allocation import (
    ALLOCATIONS,
    allocate,
    apportion,
    erdos_renyi_nnz,
)
from sparsenn.sparse.change import TopologyChange
from sparsenn.sparse.gradient import SparseGradient
from sparsenn.sparse.groups import largest_in_groups, n_m_pattern
from sparsenn.sparse.interop import pattern_and_values
from sparsenn.sparse.layout import choose_block_width, choose_index_bytes
from sparsenn.sparse.origin import Origin
from sparsenn.sparse.parameter import SparseParameter
from sparsenn.sparse.pattern import SparsePattern
from sparsenn.sparse.restrict import restrict
from sparsenn.sparse.selection import largest, largest_of_all, select, smallest
from sparsenn.sparse.virtual import VirtualWeight

__all__ = [
    "ALLOCATIONS",
    "Origin",
    "SparseGradient",
    "SparseParameter",
    "SparsePattern",
    "TopologyChange",
    "VirtualWeight",
    "allocate",
    "apportion",
    "choose_block_width",
    "choose_index_bytes",
    "erdos_renyi_nnz",
    "largest",
    "largest_in_groups",
    "largest_of_all",
    "n_m_pattern",
    "pattern_and_values",
    "restrict",
    "select",
    "smallest",
]
