"""Going through a data set in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.data.augment import Augmentation
from sparsenn.data.features import Features, n_features
from sparsenn.data.scaling import Scaling
from sparsenn.data.tokens import Tokens
from sparsenn.random import Purpose, Stream

__all__ = ["batches"]


def batches(
    x: Features,
    y: npt.NDArray[Any],
    batch_size: int,
    *,
    stream: Stream | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
    scaling: Scaling | None = None,
    dtype: npt.DTypeLike = np.float32,
    augment: Augmentation | None = None,
) -> Iterator[tuple[Features, npt.NDArray[Any]]]:
    """Yield every sample once, a batch at a time, scaled and ready for a network.

    Parameters
    ----------
    x : ndarray (samples, ...), csr_array (samples, features), Sequences or Tokens
        Not changed; bytes stay bytes until their batch comes.
    y : ndarray (samples, ...)
    batch_size : int
    stream : Stream, optional
        Gives the order: ``Stream(seed, Purpose.SHUFFLE, step=epoch)`` for each epoch.
        Needed to shuffle.
    shuffle : bool
        Otherwise the samples come in their own order.
    drop_last : bool
        Leave out the last batch if it is not full.
    scaling : Scaling, optional
        Applied to each batch; without one, x is only converted. Tokens have none.
    dtype : float32 or float64
    augment : Augmentation, optional
        Applied to each batch of images before it is scaled, by a stream of the seed and
        step of `stream`, which it needs.

    Yields
    ------
    x_batch : ndarray (batch, features), csr_array for sparse x, or Sequences
        Images are flattened. Memory is feature-major: strides[0] is one element.
        Sequences are padded to the longest of the batch. Of tokens the numbers.
    y_batch : ndarray (batch, ...)

    Raises
    ------
    ValueError
        If sizes do not fit, shuffling or augmentation lacks a stream, what is to be
        augmented are no images, or tokens are to be scaled.
    """
    n = x.shape[0]
    if len(y) != n:
        raise ValueError(f"x has {n} samples, y has {len(y)}; they must agree")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; allowed are integers >= 1")
    if shuffle and stream is None:
        raise ValueError("shuffling needs a stream; give one, or shuffle=False")
    if augment is not None:
        augment.check(x)
        if stream is None:
            raise ValueError("augmentation needs a stream; give one")
    if isinstance(x, Tokens):
        if scaling is not None:
            raise ValueError("the numbers of tokens are not scaled; give no scaling")
    elif scaling is None:
        scaling = Scaling("none", n_features(x), None, np.ones(1))
    order = stream.permutation(n) if shuffle and stream is not None else None
    changed = None
    if augment is not None and stream is not None:
        changes = Stream(stream.seed, Purpose.AUGMENT, step=stream.step)
        changed = partial(augment.apply, stream=changes)
    return _generate(
        x, y, batch_size, order, drop_last, scaling, np.dtype(dtype), changed
    )


def _generate(
    x: Features,
    y: npt.NDArray[Any],
    batch_size: int,
    order: npt.NDArray[Any] | None,
    drop_last: bool,
    scaling: Scaling | None,
    dtype: np.dtype[Any],
    changed: Callable[..., Features] | None,
) -> Iterator[tuple[Features, npt.NDArray[Any]]]:
    n = x.shape[0]
    for start in range(0, n, batch_size):
        stop = min(start + batch_size, n)
        if drop_last and stop - start < batch_size:
            return
        where = slice(start, stop) if order is None else order[start:stop]
        batch = x[where]
        if changed is not None:
            samples = np.arange(start, stop) if order is None else order[start:stop]
            batch = changed(batch, samples)
        if isinstance(batch, Tokens):
            yield batch.values, y[where]
        else:
            assert scaling is not None  # only tokens have none
            yield scaling.apply(batch, dtype), y[where]
