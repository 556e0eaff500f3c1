"""Optimisers over values, and learning-rate schedules.

An optimiser never looks at a pattern: a sparse weight is its 1-D array of values, and
its state is arrays of the same length that a topology change carries along
(:meth:`Optimizer.remap`).
"""

from __future__ import annotations

from sparsenn.optim.adam import Adam, AdamW
from sparsenn.optim.base import Optimizer, Parameter
from sparsenn.optim.clip import clip_grad_norm
from sparsenn.optim.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    Schedule,
    Step,
    warmup,
)
from sparsenn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Exponential",
    "Linear",
    "Optimizer",
    "Parameter",
    "Schedule",
    "Step",
    "clip_grad_norm",
    "warmup",
]
