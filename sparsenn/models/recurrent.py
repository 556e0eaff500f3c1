"""Recurrent networks that classify sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsenn import nn
from sparsenn.random import as_seed
from sparsenn.sparse import allocate

LAYERS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
"""Recurrent layers by name."""


def recurrent(
    kind: str,
    n_in: int,
    n_hidden: int,
    n_classes: int,
    density: float | None = 1.0,
    *,
    n_layers: int = 1,
    bidirectional: bool = False,
    init: str = "erk",
    keep_dense: Sequence[int] = (),
    dropout: float = 0.0,
    seed: int | np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> nn.Sequential:
    """Recurrent layers, and a linear one on the hidden state that they end with.

    Parameters
    ----------
    kind : {"rnn", "gru", "lstm"}
    n_in : int
        Features of a step.
    n_hidden : int
        Of each layer and direction.
    n_classes : int
    density : float or None
        Of the whole network, exactly: ``round(density * positions)`` connections, all
        weights counted. None: virtual, to be pruned.
    n_layers : int
    bidirectional : bool
    init : {"erk", "er", "uniform", "igq"}
        How weights share the connections (:func:`sparsenn.sparse.allocate`).
    keep_dense : sequence of int
        Weights that stay dense, in the order of :meth:`sparsenn.nn.GRU.shapes` with the
        last one behind; negative numbers count from the last.
    dropout : float
        Probability, after each layer.
    seed : int, Generator or None
        Of connections, values and dropout.
    dtype : float32 or float64

    Returns
    -------
    nn.Sequential
        Sequences, or (batch, time, n_in), to (batch, n_classes).
    """
    if kind not in LAYERS:
        raise ValueError(f"kind must be one of {', '.join(LAYERS)}; got {kind!r}")
    layer = LAYERS[kind]
    shapes = layer.shapes(n_in, n_hidden, n_layers, bidirectional)
    width = n_hidden * (2 if bidirectional else 1)
    shapes.append((n_classes, width))
    counts = None
    if density is not None:
        counts = allocate(shapes, density, method=init, keep_dense=keep_dense)
    last = len(shapes) - 1
    common: dict[str, Any] = {"seed": as_seed(seed), "dtype": dtype}
    modules: list[nn.Module] = [
        layer(
            n_in,
            n_hidden,
            n_layers,
            bidirectional=bidirectional,
            density=None if density is None else 1.0,
            nnz=None if counts is None else counts[:-1],
            dropout=dropout,
            **common,
        ),
        nn.FinalState(),
    ]
    if dropout:
        modules.append(nn.Dropout(dropout, seed=common["seed"], number=last))
    # Half of He's variance: no ReLU comes before, and the state is within [-1, 1].
    head = nn.init.KaimingNormal(gain=1.0)
    modules.append(
        nn.Linear(
            width,
            n_classes,
            None,
            nnz=None if counts is None else counts[-1],
            init=head,
            number=last,
            **common,
        )
    )
    return nn.Sequential(*modules)
