"""What a model accepts as a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.autograd.array import asarray_activation
from sparsenn.autograd.sequences import Sequences
from sparsenn.autograd.tensor import wrap
from sparsenn.ops.sparse_batch import SparseBatch


def as_input(x: Any) -> Tensor | SparseBatch | Sequences:
    """A batch as a Tensor with the sample axis fastest in memory.

    Parameters
    ----------
    x : Tensor, SparseBatch, Sequences, array_like or scipy sparse array
        Of shape (batch, ...). The first three pass unchanged. float64 data stay
        float64, everything else becomes float32.

    Returns
    -------
    Tensor, SparseBatch for scipy's sparse arrays, or Sequences
    """
    if isinstance(x, Tensor | SparseBatch | Sequences):
        return x
    if hasattr(x, "tocsr"):
        return SparseBatch(x)
    x = np.asarray(x)
    if x.ndim < 2:
        raise ValueError(
            f"a batch has its samples on the first axis and their features after it, "
            f"got shape {x.shape}; write x[None] for one sample"
        )
    return wrap(asarray_activation(x))
