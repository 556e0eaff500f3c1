"""A small GPT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsenn import nn
from sparsenn.random import as_seed
from sparsenn.sparse import allocate

_GAIN = 0.5  # of weights; GPT-2's 0.02 is 0.55 over the root of its fan-in


def gpt(
    vocab: int,
    context: int,
    layers: int = 6,
    width: int = 384,
    heads: int | None = None,
    density: float | None = 1.0,
    *,
    init: str = "uniform",
    keep_dense: Sequence[int] = (),
    dropout: float = 0.0,
    window: int = 0,
    stride: int = 0,
    seed: int | np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> nn.Sequential:
    """A decoder-only transformer: token numbers in, scores of the next token out.

    Embeddings of tokens and positions (dense), blocks of causal attention and
    feed-forward networks four times as wide, a layer norm and a linear layer.

    Parameters
    ----------
    vocab : int
        Number of tokens.
    context : int
        Longest sequence.
    layers, width : int
        Blocks, and features of a token.
    heads : int, optional
        By default as many as make heads of 64 features, or less often larger ones, so
        that it divides the width.
    density : float or None
        Of all weights of blocks and of the last layer together, exactly:
        ``round(density * positions)`` connections. None: virtual, to be pruned.
    init : {"uniform", "erk", "er", "igq"}
        How they are shared among weights (:func:`sparsenn.sparse.allocate`).
    keep_dense : sequence of int
        Weights that stay dense, in the order query, key, value, output, up and down of
        each block, with the last layer behind; negative numbers count from the last.
    dropout : float
        Of the sum of embeddings, of attention and of what blocks add.
    window, stride : int
        Of the attention, see :class:`sparsenn.nn.MultiheadAttention`.
    seed : int, Generator or None
        Of connections, values and dropout.
    dtype : float32 or float64

    Returns
    -------
    nn.Sequential
        (batch, time) of integers to (batch, time, vocab).

    References
    ----------
    Radford et al., "Language models are unsupervised multitask learners", 2019.
    """
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
    if heads is None:
        most = max(width // 64, 1)
        heads = next(n for n in range(most, 0, -1) if width % n == 0)
    block = [(width, width)] * 4 + [(4 * width, width), (width, 4 * width)]
    shapes = [*block * layers, (vocab, width)]
    counts: list[int] | None = None
    if density is not None:
        counts = allocate(shapes, density, method=init, keep_dense=keep_dense)
    seed = as_seed(seed)
    common: dict[str, Any] = {"seed": seed, "dtype": dtype}
    inner = nn.init.KaimingNormal(_GAIN)
    added = nn.init.KaimingNormal(_GAIN / math.sqrt(2 * layers))
    # Numbers of weights: the blocks' from 0 on, then the last layer's, the embeddings'.
    last = 6 * layers
    modules: list[nn.Module] = [
        nn.Embedding(vocab, width, number=last + 1, **common),
        nn.PositionalEncoding(context, width, learned=True, number=last + 2, **common),
    ]
    if dropout:
        modules.append(nn.Dropout(dropout, seed=seed, number=last + 1))
    for i in range(layers):
        modules.append(
            nn.TransformerEncoderLayer(
                width,
                heads,
                density=None,
                causal=True,
                window=window,
                stride=stride,
                dropout=dropout,
                nnz=None if counts is None else counts[6 * i : 6 * i + 6],
                init=inner,
                output_init=added,
                number=6 * i,
                **common,
            )
        )
    modules.append(nn.LayerNorm(width, dtype=dtype))
    modules.append(
        nn.Linear(
            width,
            vocab,
            None,
            nnz=None if counts is None else counts[-1],
            bias=False,
            init=inner,
            number=last,
            **common,
        )
    )
    return nn.Sequential(*modules)
