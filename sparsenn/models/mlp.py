"""The multilayer perceptron."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsenn import nn
from sparsenn.random import as_seed
from sparsenn.sparse import allocate

ACTIVATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "relu": lambda n, number: nn.ReLU(),
    "leaky-relu": lambda n, number: nn.LeakyReLU(),
    "all-relu": lambda n, number: nn.AllReLU(number),
    "srelu": lambda n, number: nn.SReLU(n),
    "gelu": lambda n, number: nn.GELU(),
    "silu": lambda n, number: nn.SiLU(),
    "sigmoid": lambda n, number: nn.Sigmoid(),
    "tanh": lambda n, number: nn.Tanh(),
    "k-winners": lambda n, number: nn.KWinners(n),
}
"""Activation by name: (features, number of the layer from 1) -> module."""


def mlp(
    sizes: Sequence[int],
    density: float | None = 1.0,
    *,
    init: str = "erk",
    keep_dense: Sequence[int] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    input_rms: float = 1.0,
    sparse_input: bool = False,
    seed: int | np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> nn.Sequential:
    """Fully connected layers with an activation between them.

    Parameters
    ----------
    sizes : sequence of int
        Features of the input, of each hidden layer, and of the output; at least two.
    density : float or None
        Of the whole network, exactly: ``round(density * positions)`` connections. None
        makes every layer virtual, to be pruned by :mod:`sparsenn.pruning`; `init` and
        `keep_dense` are then that function's business.
    init : {"erk", "er", "uniform", "igq"}
        How layers share the connections (:func:`sparsenn.sparse.allocate`).
    keep_dense : sequence of int
        Layers that stay dense; negative numbers count from the last.
    activation : str
        A key of ``ACTIVATIONS``.
    dropout : float
        Probability, after each activation.
    input_rms : float
        Root mean square of an input feature (:meth:`sparsenn.data.Scaling.rms`). The
        first layer's initial values are divided by it, so that its neurons start with
        the variance that He's initialisation gives to those of the other layers.
    sparse_input : bool
        Whether the batches are sparse, see :class:`sparsenn.nn.Linear`.
    seed : int, Generator or None
        Of connections, values and dropout; layers differ by their number.
    dtype : float32 or float64

    Returns
    -------
    nn.Sequential
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be two or more positive numbers, got {sizes}")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}"
        )
    if not 0.0 < input_rms < math.inf:
        raise ValueError(f"input_rms must be positive and finite, got {input_rms}")
    shapes = [(n_out, n_in) for n_in, n_out in itertools.pairwise(sizes)]
    for number in keep_dense:
        if not -len(shapes) <= number < len(shapes):
            raise ValueError(
                f"keep_dense names layer {number}, there are {len(shapes)}"
            )
    dense = sorted({number % len(shapes) for number in keep_dense})
    counts: list[int | None] = [None] * len(shapes)
    if density is not None:
        counts = [*allocate(shapes, density, method=init, keep_dense=dense)]
    seed = as_seed(seed)
    layers: list[nn.Module] = []
    for number, ((n_out, n_in), nnz) in enumerate(zip(shapes, counts, strict=True)):
        gain = math.sqrt(2.0) / (input_rms if number == 0 else 1.0)
        layers.append(
            nn.Linear(
                n_in,
                n_out,
                None,
                nnz=nnz,
                init=nn.init.KaimingNormal(gain),
                seed=seed,
                number=number,
                dtype=dtype,
                sparse_input=sparse_input and number == 0,
            )
        )
        if number + 1 < len(shapes):
            layers.append(ACTIVATIONS[activation](n_out, number + 1))
            if dropout:
                layers.append(nn.Dropout(dropout, seed=seed, number=number))
    return nn.Sequential(*layers)
