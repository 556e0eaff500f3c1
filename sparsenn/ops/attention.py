"""Attention: dot products of tokens, a softmax over keys, and mixing of values.

With tokens as matrices (batch * time, features), features split among heads, and
weights P of every (batch, head)::

    scores(q, k)  = Q K^T
    mix(p, v)     = P V
    mix_t(p, y)   = P^T Y

Each one's derivatives are the other two, as for the sparse products. P exists at every
pair of a query and a key, shape (keys, batch, heads, queries), or on a pattern
(queries, keys) alone, shape (nnz, batch, heads): then the three are sddmm, spmm and
spmm_t. Axis 0 is the fastest in memory either way; heads are strided views of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from sparsenn.autograd.array import empty
from sparsenn.autograd.matmul import matmul_into
from sparsenn.autograd.registry import Sample, apply, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor
from sparsenn.ops.grouped_softmax import Segments, grouped_softmax
from sparsenn.ops.shape import join_samples, split_samples
from sparsenn.ops.sparse import array_products
from sparsenn.sparse import SparsePattern

__all__ = ["attention"]


def _heads(x: np.ndarray, batch: int, heads: int) -> np.ndarray:
    """Tokens (batch * time, features) as (batch, heads, time, features of a head)."""
    n, features = x.shape
    split = x.reshape(batch, n // batch, heads, features // heads)
    return split.transpose(0, 2, 1, 3)


def _rows(x: np.ndarray, batch: int, heads: int) -> np.ndarray:
    """The same with the features of a head fastest, as sparse products take them."""
    return np.ascontiguousarray(_heads(x, batch, heads))


def _scores(
    q: np.ndarray, k: np.ndarray, *, batch: int, heads: int, pattern: Any
) -> np.ndarray:
    if pattern is None:
        queries, keys = len(q) // batch, len(k) // batch
        out = empty((keys, batch, heads, queries), q.dtype)
        matmul_into(
            _heads(q, batch, heads),
            _heads(k, batch, heads).swapaxes(2, 3),
            out.transpose(1, 2, 3, 0),
        )
        return out
    sddmm = array_products(pattern)[2]
    a, b = _rows(q, batch, heads), _rows(k, batch, heads)
    out = empty((pattern.nnz, batch, heads), q.dtype)
    for i, j in np.ndindex(batch, heads):
        out[:, i, j] = sddmm(a[i, j].T, b[i, j].T)
    return out


def _mix(
    p: np.ndarray,
    x: np.ndarray,
    *,
    batch: int,
    heads: int,
    pattern: Any,
    transposed: bool = False,
) -> np.ndarray:
    if pattern is not None:
        return _mix_on(pattern, p, x, batch, heads, transposed)
    weights = p.transpose(1, 2, 0, 3) if transposed else p.transpose(1, 2, 3, 0)
    out = empty((batch * weights.shape[2], x.shape[1]), x.dtype)
    matmul_into(weights, _heads(x, batch, heads), _heads(out, batch, heads))
    return out


_mix_t = partial(_mix, transposed=True)


def _mix_on(
    pattern: SparsePattern,
    p: np.ndarray,
    x: np.ndarray,
    batch: int,
    heads: int,
    transposed: bool,
) -> np.ndarray:
    product = array_products(pattern)[transposed]
    rows = _rows(x, batch, heads)
    out = empty((batch * pattern.shape[transposed], x.shape[1]), x.dtype)
    split = _heads(out, batch, heads)
    for i, j in np.ndindex(batch, heads):
        values = np.ascontiguousarray(p[:, i, j])
        split[i, j] = product(values, rows[i, j].T).T
    return out


def _scores_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, **static: Any
) -> tuple:
    q, k = inputs
    return (
        apply(_MIX, (g, k), static) if needs[0] else None,
        apply(_MIX_T, (g, q), static) if needs[1] else None,
    )


def _mix_vjp(g: Tensor, out: None, inputs: tuple, needs: tuple, **static: Any) -> tuple:
    p, v = inputs
    return (
        apply(_SCORES, (g, v), static) if needs[0] else None,
        apply(_MIX_T, (p, g), static) if needs[1] else None,
    )


def _mix_t_vjp(
    g: Tensor, out: None, inputs: tuple, needs: tuple, **static: Any
) -> tuple:
    p, y = inputs
    return (
        apply(_SCORES, (y, g), static) if needs[0] else None,
        apply(_MIX, (p, g), static) if needs[1] else None,
    )


def _samples(kind: str, rng: np.random.Generator) -> Iterator[Sample]:
    mask = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], bool)
    for batch, heads, pattern in (
        (2, 2, None),
        (1, 1, None),
        (2, 2, SparsePattern.from_mask(mask)),
    ):
        q, k = (draw(rng, (batch * n, 2 * heads)) for n in mask.shape)
        full = (3, batch, heads, 4)
        p = draw(rng, full if pattern is None else (pattern.nnz, batch, heads))
        inputs = {"scores": (q, k), "mix": (p, k), "mix_t": (p, q)}[kind]
        yield Sample(inputs, {"batch": batch, "heads": heads, "pattern": pattern})


def _dense(p: np.ndarray, pattern: SparsePattern | None) -> np.ndarray:
    """Weights as (batch, heads, queries, keys)."""
    if pattern is None:
        return p.transpose(1, 2, 3, 0)
    out = np.zeros((*p.shape[1:], *pattern.shape))
    out[..., *pattern.positions()] = p.transpose(1, 2, 0)
    return out


def _tokens(x: np.ndarray) -> np.ndarray:
    """(batch, heads, time, features of a head) as (batch * time, features)."""
    batch, heads, time, width = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch * time, heads * width)


def _scores_reference(
    q: np.ndarray, k: np.ndarray, *, batch: int, heads: int, pattern: Any
) -> np.ndarray:
    p = _heads(q, batch, heads) @ _heads(k, batch, heads).swapaxes(2, 3)
    if pattern is None:
        return p.transpose(3, 0, 1, 2)
    return p[..., *pattern.positions()].transpose(2, 0, 1)


_SCORES = primitive(
    "attention_scores",
    _scores,
    _scores_vjp,
    saves=("1", "0"),
    sample=lambda rng: _samples("scores", rng),
    reference=_scores_reference,
)
_MIX = primitive(
    "attention_mix",
    _mix,
    _mix_vjp,
    saves=("1", "0"),
    sample=lambda rng: _samples("mix", rng),
    reference=lambda p, v, *, batch, heads, pattern: _tokens(
        _dense(p, pattern) @ _heads(v, batch, heads)
    ),
)
_MIX_T = primitive(
    "attention_mix_t",
    _mix_t,
    _mix_t_vjp,
    saves=("1", "0"),
    sample=lambda rng: _samples("mix_t", rng),
    reference=lambda p, y, *, batch, heads, pattern: _tokens(
        _dense(p, pattern).swapaxes(2, 3) @ _heads(y, batch, heads)
    ),
)


def attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    heads: int = 1,
    causal: bool = False,
    key_padding_mask: Any = None,
    pattern: SparsePattern | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """``softmax(Q K^T / sqrt(d)) V`` for each head, d the features of a head.

    Parameters
    ----------
    q : Tensor or array_like, shape (batch, queries, n_features)
    k, v : Tensor or array_like, shape (batch, keys, n_features)
    heads : int
        Divides n_features: head h has the features from ``h * d`` on.
    causal : bool
        Query i attends to keys 0..i only; as many queries as keys.
    key_padding_mask : array_like of bool, shape (batch, keys), optional
        True for keys that nothing attends to.
    pattern : SparsePattern, shape (queries, keys), optional
        Where attention exists; nothing is computed or stored elsewhere. None: at every
        pair. With `causal`, it must lie on and below the diagonal.
    dropout : callable, optional
        Applied to the weights.

    Returns
    -------
    Tensor, shape (batch, queries, n_features)
        Zero for a query that has no key to attend to.

    Raises
    ------
    ValueError
        If shapes do not fit.

    References
    ----------
    Vaswani et al., "Attention is all you need", arXiv:1706.03762; on a pattern, Child
    et al., "Generating long sequences with sparse transformers", arXiv:1904.10509.
    """
    first = next((x for x in (q, k, v) if type(x) is Tensor), None)
    q, k, v = (as_tensor(x, first) for x in (q, k, v))
    padding = None if key_padding_mask is None else np.asarray(key_padding_mask)
    _check(q, k, v, heads, causal, padding, pattern)
    batch, queries, features = q.shape
    static = {"batch": batch, "heads": heads, "pattern": pattern}
    mask = _mask(queries, k.shape[1], causal, padding, pattern)
    scores = apply(_SCORES, (join_samples(q), join_samples(k)), static)
    segments = None
    if pattern is not None:
        segments = Segments.of(pattern.positions()[0], queries)
    weights = grouped_softmax(
        scores, segments, mask=mask, scale=(features // heads) ** -0.5
    )
    if dropout is not None:
        weights = dropout(weights)
    return split_samples(
        apply(_MIX, (weights, join_samples(v)), static), (batch, queries)
    )


def _mask(
    queries: int,
    keys: int,
    causal: bool,
    padding: np.ndarray | None,
    pattern: SparsePattern | None,
) -> np.ndarray | None:
    """True where a key is attended to; broadcasts against the weights. None: all."""
    if pattern is not None:  # which is causal itself
        if padding is None:
            return None
        return ~padding.T[pattern.positions()[1]][:, :, None]
    mask = None
    if causal:
        mask = np.arange(keys)[:, None, None, None] <= np.arange(queries)
    if padding is not None:
        allowed = ~padding.T[:, :, None, None]
        mask = allowed if mask is None else mask & allowed
    return mask


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    causal: bool,
    padding: np.ndarray | None,
    pattern: SparsePattern | None,
) -> None:
    if not q.ndim == k.ndim == 3 or k.shape != v.shape or q.shape[::2] != k.shape[::2]:
        raise ValueError(
            "attention takes q (batch, queries, n_features) and k, v (batch, keys, "
            f"n_features), got {q.shape}, {k.shape} and {v.shape}"
        )
    if len({q.dtype, k.dtype, v.dtype}) > 1:
        raise ValueError(
            f"q, k and v must have one dtype, got {q.dtype}, {k.dtype} and {v.dtype}"
        )
    if heads < 1 or q.shape[2] % heads or 0 in q.shape + k.shape:
        raise ValueError(
            f"{heads} heads must divide {q.shape[2]} features, and no axis of "
            f"{q.shape} and {k.shape} may be empty"
        )
    positions = q.shape[1], k.shape[1]
    if causal and positions[0] != positions[1]:
        raise ValueError(
            f"causal attention needs as many queries as keys, got {positions}"
        )
    if padding is not None and (
        padding.dtype != bool or padding.shape != (q.shape[0], positions[1])
    ):
        raise ValueError(
            f"key_padding_mask must be bool of shape {(q.shape[0], positions[1])}, got "
            f"{padding.dtype} of shape {padding.shape}"
        )
    if pattern is None:
        return
    if pattern.shape != positions:
        raise ValueError(
            f"the pattern has shape {pattern.shape}, (queries, keys) are {positions}"
        )
    if causal:
        rows, columns = pattern.positions()
        if (columns > rows).any():
            raise ValueError(
                "the pattern of causal attention must lie on and below the diagonal"
            )
