"""How often each weight of a model is applied to a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenn.autograd import no_grad
from sparsenn.sparse import SparseParameter

if TYPE_CHECKING:
    from sparsenn.nn.module import Module


def applications(
    module: Module, input_shape: Sequence[int] | None = None
) -> dict[int, int]:
    """To how many places of one sample each sparse weight is applied.

    A convolution's weight is applied to every pixel of its result, others once; those
    of layers over sequences to each of their steps. Each connection of a weight is as
    many multiplications.

    Parameters
    ----------
    module : Module
        A sample of zeros goes through it, in evaluation.
    input_shape : sequence of int, optional
        Of that sample; by default what the module says that it takes.

    Returns
    -------
    dict of int to int
        By ``id(weight)``. Empty if the module does not say what it takes.
    """
    shape = module.input_shape if input_shape is None else tuple(input_shape)
    if shape is None:
        return {}
    found: dict[int, int] = {}
    modes = [(part, part.training) for _, part in module.named_modules()]
    dtypes = [p.dtype for p in module.parameters()]
    x = np.zeros((1, *shape), dtypes[0] if dtypes else np.float32)
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
    def wrapped(*arguments: Any, **options: Any) -> Any:
        result = forward(*arguments, **options)
        y = result[0] if isinstance(result, tuple) else result
        for weight in weights:
            n_features = y.shape[1] if weight.kernel else y.shape[-1]
            places = y.size // n_features if n_features else 0
            found[id(weight)] = found.get(id(weight), 0) + places
        return result

    return wrapped
