"""Automatic differentiation of NumPy computations, to any order.

Knows arrays, not sparsity. The operations are in `sparsenn.ops`.
"""

from __future__ import annotations

from sparsenn.autograd.check import GradcheckError, gradcheck
from sparsenn.autograd.functional import hvp, value_and_grad
from sparsenn.autograd.mode import enable_grad, is_recording, no_grad
from sparsenn.autograd.registry import REGISTRY, Primitive, Sample, primitive
from sparsenn.autograd.tape import grad
from sparsenn.autograd.tensor import Tensor, as_tensor

__all__ = [
    "REGISTRY",
    "GradcheckError",
    "Primitive",
    "Sample",
    "Tensor",
    "as_tensor",
    "enable_grad",
    "grad",
    "gradcheck",
    "hvp",
    "is_recording",
    "no_grad",
    "primitive",
    "value_and_grad",
]
