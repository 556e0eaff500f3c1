"""sparsenn: neural networks whose weights exist only where a connection exists.

>>> import sparsenn as snn
>>> from sparsenn import nn, optim, topology
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparsenn import config, nn, ops, optim, pruning, sparse, topology
from sparsenn.autograd import (
    Tensor,
    enable_grad,
    grad,
    gradcheck,
    hvp,
    no_grad,
)
from sparsenn.config import (
    get_num_threads,
    set_isa,
    set_num_threads,
    show_config,
)
from sparsenn.sparse import SparseParameter, SparsePattern, TopologyChange

if TYPE_CHECKING:
    from sparsenn import data, export, models, plot, train
    from sparsenn.export.model import load, save

__version__ = "0.1.0"

__all__ = [
    "SparseParameter",
    "SparsePattern",
    "Tensor",
    "TopologyChange",
    "__version__",
    "config",
    "data",
    "enable_grad",
    "export",
    "get_num_threads",
    "grad",
    "gradcheck",
    "hvp",
    "load",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "plot",
    "pruning",
    "save",
    "set_isa",
    "set_num_threads",
    "show_config",
    "sparse",
    "topology",
    "train",
]

_LAZY_MODULES = ("data", "export", "models", "plot", "train")


def __getattr__(name: str) -> Any:
    """Rooms that a light import does not need, loaded when first asked for."""
    import importlib

    if name in _LAZY_MODULES:
        return importlib.import_module(f"sparsenn.{name}")
    if name in ("load", "save"):
        return getattr(importlib.import_module("sparsenn.export.model"), name)
    raise AttributeError(f"module 'sparsenn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
