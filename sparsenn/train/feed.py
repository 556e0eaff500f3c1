"""Batches for the loop, and the validation split."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from sparsenn.data import Augmentation, batches
from sparsenn.random import Purpose, Stream


def feed(
    x: Any,
    y: np.ndarray,
    batch_size: int,
    *,
    scaling: Any = None,
    dtype: Any = np.float32,
    stream: Stream | None = None,
    skip: int = 0,
    augment: Augmentation | None = None,
) -> Iterator[tuple[Any, np.ndarray]]:
    """Scaled batches, in the order of a stream or (without one) of the data.

    Parameters
    ----------
    x, y : array, csr_array (samples, ...) or Tokens, array of int (samples, ...)
    batch_size : int
    scaling : Scaling, optional
    dtype : dtype
        Of the batches of `x`.
    stream : Stream, optional
        Gives the order of an epoch.
    skip : int
        Leave out the first batches, as when training is resumed inside an epoch.
    augment : Augmentation, optional
        Applied to each batch of images; needs a stream.
    """
    found = batches(
        x,
        y,
        batch_size,
        stream=stream,
        shuffle=stream is not None,
        scaling=scaling,
        dtype=dtype,
        augment=augment,
    )
    return islice(found, skip, None)


def model_dtype(model: Any) -> np.dtype:
    """float64 if the model's parameters are, else float32."""
    for _, parameter in model.named_parameters():
        return np.dtype(parameter.dtype)
    return np.dtype(np.float32)


def validation_size(n: int, fraction: float) -> int:
    """How many of `n` samples are held out.

    Raises
    ------
    ValueError
        If that would leave no sample on one of the sides.
    """
    held_out = round(n * fraction)
    if fraction and not 0 < held_out < n:
        raise ValueError(
            f"a validation fraction of {fraction} of {n} samples is {held_out}; both "
            "parts need at least one sample"
        )
    return held_out


def split_validation(
    x: Any, y: np.ndarray, fraction: float, seed: int
) -> tuple[tuple[Any, np.ndarray], tuple[Any, np.ndarray]]:
    """Training and validation part, drawn at random, each in the data's order."""
    n = int(x.shape[0])
    held_out = validation_size(n, fraction)
    order = Stream(seed, Purpose.SPLIT, layer=1).permutation(n)
    val = np.sort(order[:held_out])
    train = np.sort(order[held_out:])
    return (x[train], y[train]), (x[val], y[val])
