"""Loss and accuracy of a model on data."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from sparsenn.autograd import no_grad
from sparsenn.train.feed import feed, model_dtype

#: Samples in one evaluation batch; fixed, so that measured numbers do not depend on
#: how training was batched.
BATCH = 1000


def cross_entropy(logits: Any, y: np.ndarray) -> Any:
    """The mean cross-entropy of integer labels, the default loss."""
    from sparsenn.nn import functional

    return functional.cross_entropy(logits, y)


def evaluate(
    model: Any,
    x: Any,
    y: np.ndarray,
    *,
    loss: Callable[..., Any] = cross_entropy,
    scaling: Any = None,
    batch_size: int = BATCH,
) -> dict[str, float]:
    """Measures a model, batch by batch, without recording gradients.

    Parameters
    ----------
    model : Module
        Evaluated as in `eval` mode; its mode is put back afterwards.
    x : array or scipy csr_array, shape (samples, ...)
        Samples, not scaled yet.
    y : array of int, shape (samples,), or (samples, time) of a text
        Their classes, or those of their tokens.
    loss : callable
        ``loss(logits, y)``, a mean over the batch.
    scaling : Scaling, optional
        Applied to each batch of `x`.
    batch_size : int
        Labels at a time.

    Returns
    -------
    dict
        ``loss`` (mean over the labels) and ``accuracy`` (fraction).
    """
    n = int(x.shape[0])
    if n == 0:
        raise ValueError("there are no samples to evaluate on")
    if len(y) != n:
        raise ValueError(f"x has {n} samples, y has {len(y)}")
    samples_at_a_time = max(batch_size // prod(y.shape[1:]), 1)
    was_training = model.training
    dtype = model_dtype(model)
    total = 0.0
    correct = 0
    model.eval()
    try:
        with no_grad():
            for x_batch, y_batch in feed(
                x, y, samples_at_a_time, scaling=scaling, dtype=dtype
            ):
                logits = model(x_batch)
                total += loss(logits, y_batch).item() * y_batch.size
                correct += count_correct(logits.data, y_batch)
    finally:
        model.train(was_training)
    return {"loss": total / y.size, "accuracy": correct / y.size}


def count_correct(logits: np.ndarray, y: np.ndarray) -> int:
    """How many labels have the greatest logit; of ties the first."""
    return int(np.count_nonzero(np.argmax(logits, axis=-1) == y))
