"""Text from a language model, one token after another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sparsenn import nn
from sparsenn.autograd import no_grad
from sparsenn.nn.embedding import context_of
from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.sizes import whole

__all__ = ["generate"]


def generate(
    model: nn.Module,
    tokens: npt.ArrayLike,
    n: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    context: int | None = None,
    seed: int | np.random.Generator | None = None,
) -> Iterator[int]:
    """Tokens that a model expects to follow others, drawn one by one.

    Parameters
    ----------
    model : Module
        (batch, time) of integers to scores (batch, time, vocab), such as
        :func:`gpt` and :func:`char_rnn`. It is evaluated, with dropout off.
    tokens : array_like of int, shape (time,)
        What the text begins with; at least one token.
    n : int
        How many are drawn.
    temperature : float
        Scores are divided by it: below 1 likely tokens become likelier. At 0 the
        likeliest is taken, the first of equals.
    top_k : int, optional
        Draw from this many likeliest tokens, and from those that tie with the last.
    context : int, optional
        The most tokens that the model looks back on; by default all that its positional
        encoding has, or the whole text if it has none.
    seed : int, Generator or None
        Of the draws.

    Yields
    ------
    int
        The next token. Each takes a forward pass over its context.

    Raises
    ------
    ValueError
        If an argument is out of range; or, when it is drawn, a score is not finite.
    """
    text = np.asarray(tokens)
    if text.ndim != 1 or not text.size or text.dtype.kind not in "iu":
        raise ValueError(
            "tokens must be integers of shape (time,) with at least one, got "
            f"{text.dtype} of shape {text.shape}"
        )
    n = whole("n", n, 0)
    most = context_of(model)
    context = whole("context", most or text.size + n if context is None else context)
    if most is not None and context > most:
        raise ValueError(f"context must be at most {most}, got {context}")
    if not 0 <= temperature < np.inf:
        raise ValueError(f"temperature must be finite, at least 0, got {temperature}")
    if top_k is not None:
        top_k = whole("top_k", top_k)
    return _drawn(model, text.tolist(), n, temperature, top_k, context, as_seed(seed))


def _drawn(
    model: nn.Module,
    text: list[int],
    n: int,
    temperature: float,
    top_k: int | None,
    context: int,
    seed: int,
) -> Iterator[int]:
    for step in range(n):
        scores = _scores(model, np.array([text[-context:]]))
        if temperature == 0:
            token = int(scores.argmax())
        else:
            if top_k is not None and top_k < scores.size:
                scores[scores < np.partition(scores, -top_k)[-top_k]] = -np.inf
            sums = np.cumsum(np.exp((scores - scores.max()) / temperature))
            place = Stream(seed, Purpose.SAMPLE, step=step).uniform(1, np.float64)[0]
            token = int(np.searchsorted(sums, place * sums[-1], side="right"))
        text.append(token)
        yield token


def _scores(model: nn.Module, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of the token that comes next, float64, shape (vocab,)."""
    was = model.training
    model.eval()
    try:
        with no_grad():
            scores = model(tokens).data[0, -1].astype(np.float64)
    finally:
        model.train(was)
    if not np.isfinite(scores).all():
        raise ValueError("the model's scores are not finite")
    return scores
