"""How many multiplications each weight of a model makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenn.autograd import no_grad
from sparsenn.sparse import SparseParameter

if TYPE_CHECKING:
    from sparsenn.nn.module import Module


def multiplications(module: Module, x: Any) -> dict[int, int]:
    """How many multiplications each sparse weight makes of a batch.

    A convolution's weight is applied to every pixel of its result, that of a layer over
    sequences to each of their steps, others once a sample; each connection is then a
    multiplication. An embedding uses the connections of a token alone, of all of them
    in the mean.

    Parameters
    ----------
    module : Module
        It is called in evaluation, and stays as it was.
    x : array_like
        Any batch that it takes.

    Returns
    -------
    dict of int to int
        By ``id(weight)``, of those that took part.
    """
    found: dict[int, int] = {}
    modes = [(part, part.training) for _, part in module.named_modules()]
    try:
        with no_grad(), _watched(module, found):
            module.eval()(x)
    finally:
        for part, training in modes:
            part.training = training
    return found


@contextmanager
def _watched(module: Module, found: dict[int, int]) -> Iterator[None]:
    watched = []
    try:
        for _, part in module.named_modules():
            weights = [v for v in vars(part).values() if isinstance(v, SparseParameter)]
            if weights:
                vars(part)["forward"] = _counting(part.forward, weights, found)
                watched.append(part)
        yield
    finally:
        for part in watched:
            del vars(part)["forward"]


def _counting(
    forward: Callable[..., Any], weights: list[SparseParameter], found: dict[int, int]
) -> Callable[..., Any]:
    def wrapped(x: Any, *arguments: Any, **options: Any) -> Any:
        result = forward(x, *arguments, **options)
        y = result[0] if isinstance(result, tuple) else result
        tokens = isinstance(x, np.ndarray) and x.dtype.kind in "iu"
        for weight in weights:
            n_features = y.shape[1] if weight.kernel else y.shape[-1]
            made = weight.nnz * (y.size // n_features if n_features else 0)
            if tokens:
                made //= weight.shape[1]
            found[id(weight)] = found.get(id(weight), 0) + made
        return result

    return wrapped
