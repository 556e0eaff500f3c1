"""Recurrent networks: one class for a sequence, or the next token of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsenn import nn
from sparsenn.random import as_seed
from sparsenn.sparse import allocate

Layer = nn.RNN | nn.GRU | nn.LSTM

LAYERS: dict[str, type[Layer]] = {
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
    layers = _layers(
        kind, (n_in, n_hidden, n_layers, bidirectional), nn.FinalState(), n_classes,
        density, init, keep_dense, dropout, as_seed(seed), dtype,
    )  # fmt: skip
    return nn.Sequential(*layers)


def char_rnn(
    vocab: int,
    n_hidden: int,
    density: float | None = 1.0,
    *,
    kind: str = "lstm",
    n_layers: int = 2,
    init: str = "erk",
    keep_dense: Sequence[int] = (),
    dropout: float = 0.0,
    seed: int | np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> nn.Sequential:
    """A recurrent language model: token numbers in, scores of the next token out.

    An embedding (a dense table, as wide as the hidden state), recurrent layers, and a
    linear layer on the outputs of every step.

    Parameters
    ----------
    vocab : int
        Number of tokens, such as characters.
    n_hidden : int
    density : float or None
        Of all weights of the recurrent layers and the last one together, exactly. None:
        virtual, to be pruned.
    kind : {"rnn", "gru", "lstm"}
    n_layers, init, keep_dense, dropout, seed, dtype
        As of :func:`recurrent`.

    Returns
    -------
    nn.Sequential
        (batch, time) of integers to (batch, time, vocab).

    References
    ----------
    Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850;
    Karpathy, Johnson & Fei-Fei, "Visualizing and understanding recurrent networks",
    arXiv:1506.02078, for characters.
    """
    seed = as_seed(seed)
    layers = _layers(
        kind, (n_hidden, n_hidden, n_layers, False), nn.Outputs(), vocab, density, init,
        keep_dense, dropout, seed, dtype,
    )  # fmt: skip
    # Of unit variance, as the layer's uniform weights expect of their input; its number
    # is the one after those of all weights.
    number = 2 * n_layers + 1
    table = nn.Embedding(
        vocab, n_hidden, std=1.0, seed=seed, number=number, dtype=dtype
    )
    return nn.Sequential(table, *layers)


def _layers(
    kind: str,
    sizes: tuple[int, int, int, bool],
    picked: nn.Module,
    n_out: int,
    density: float | None,
    init: str,
    keep_dense: Sequence[int],
    dropout: float,
    seed: int,
    dtype: Any,
) -> list[nn.Module]:
    """Recurrent layers, what is picked of their results, and a linear layer on it."""
    if kind not in LAYERS:
        raise ValueError(f"kind must be one of {', '.join(LAYERS)}; got {kind!r}")
    layer = LAYERS[kind]
    *_, bidirectional = sizes
    shapes = layer.shapes(*sizes)
    width = shapes[-1][1] * (2 if bidirectional else 1)
    shapes.append((n_out, width))
    nnz = last_nnz = None
    if density is not None:
        *nnz, last_nnz = allocate(shapes, density, method=init, keep_dense=keep_dense)
    number = len(shapes) - 1
    common: dict[str, Any] = {"seed": seed, "dtype": dtype}
    recurrent_layers = layer(
        *sizes[:3],
        bidirectional=bidirectional,
        density=None,
        nnz=nnz,
        dropout=dropout,
        **common,
    )
    # Half of He's variance: no ReLU comes before, and the state is within [-1, 1].
    gain = nn.init.KaimingNormal(gain=1.0)
    last = nn.Linear(
        width, n_out, None, nnz=last_nnz, init=gain, number=number, **common
    )
    dropped = [nn.Dropout(dropout, seed=seed, number=number)] if dropout else []
    return [recurrent_layers, picked, *dropped, last]
