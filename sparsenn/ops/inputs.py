"""What a model accepts as a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.autograd.array import asarray_activation
from sparsenn.autograd.tensor import wrap


def as_input(x: Any) -> Tensor:
    """A batch as a Tensor with the sample axis fastest in memory.

    Parameters
    ----------
    x : Tensor, array_like or scipy sparse array, shape (batch, ...)
        Tensors pass unchanged. float64 arrays stay float64, everything else becomes
        float32. A sparse batch is made dense.

    Returns
    -------
    Tensor
    """
    if isinstance(x, Tensor):
        return x
    if hasattr(x, "tocsr"):
        dtype = np.float64 if x.dtype == np.float64 else np.float32
        return wrap(np.asfortranarray(x.astype(dtype).toarray(order="F")))
    x = np.asarray(x)
    if x.ndim < 2:
        raise ValueError(
            f"a batch has its samples on the first axis and their features after it, "
            f"got shape {x.shape}; write x[None] for one sample"
        )
    return wrap(asarray_activation(x))
