"""How large the inputs of a weight are, over some batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsenn.autograd import no_grad
from sparsenn.ops import Patches, SparseBatch
from sparsenn.pruning.apply import mode
from sparsenn.pruning.weights import Weight


def input_norms(model: Any, weight: Weight, batches: Iterable[Any]) -> np.ndarray:
    """The Euclidean norm of each input of a weight's rows over all samples.

    Parameters
    ----------
    model : callable
        Called on every batch in evaluation mode, without recording.
    weight : Weight
        Every batch that it is multiplied with counts.
    batches : iterable of x, or of (x, y)

    Returns
    -------
    ndarray of float64, shape (groups, n_in)
        Rows of a convolution see the channels of their group; others have one group.

    Raises
    ------
    ValueError
        If there is no batch, the model does not use the weight, or an input is not
        finite.
    """
    param = weight.param
    squares = np.zeros((1, param.shape[1]))
    seen = 0

    def observe(x: Any) -> None:
        nonlocal squares, seen
        squares = squares + _squares(x)
        seen += 1

    before, param.observer = param.observer, observe
    try:
        with mode(model, False), no_grad():
            for batch in batches:
                model(batch[0] if isinstance(batch, tuple | list) else batch)
    finally:
        param.observer = before
    if not seen:
        raise ValueError(
            f"no batch reached {weight.name!r}; give at least one, and only weights "
            "that the model uses"
        )
    if not np.isfinite(squares).all():
        j = int(np.argmin(np.isfinite(squares).all(axis=0)))
        raise ValueError(f"input {j} of {weight.name!r} is not finite in some batch")
    return np.sqrt(squares)


def _squares(x: Any) -> np.ndarray:
    """Sum of squares of each feature, shape (n_in,) or (groups, n_in)."""
    if isinstance(x, Patches):
        return x.squares()
    if not isinstance(x, SparseBatch):
        data = np.asarray(x.data)
        return np.einsum("ij,ij->j", data, data, dtype=np.float64)
    columns = x.columns
    features = np.repeat(columns.columns, np.diff(columns.start)).astype(np.int64)
    # Entries given twice add up before they are squared.
    places, at = np.unique(features * x.shape[0] + columns.samples, return_inverse=True)
    sums = np.bincount(at, x.values(np.float64), len(places))
    return np.bincount(places // max(x.shape[0], 1), sums**2, x.shape[1])
