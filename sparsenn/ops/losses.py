"""Losses; each is reduced by "mean", "sum" or "none"."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn.autograd.array import empty
from sparsenn.autograd.mode import is_recording
from sparsenn.autograd.registry import Sample, apply1, primitive
from sparsenn.autograd.samples import draw
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap
from sparsenn.ops.arithmetic import mul, neg, square, sub
from sparsenn.ops.choice import clip
from sparsenn.ops.elementwise import log, softplus
from sparsenn.ops.normalized import log_softmax_array, softmax, softmax_array
from sparsenn.ops.reduce import mean
from sparsenn.ops.reduce import sum as _sum
from sparsenn.ops.shape import expand_dims, reshape

__all__ = ["bce", "bce_with_logits", "cross_entropy", "mse", "nll"]


def _reduced(losses: Tensor, reduction: str, divisor: float | None = None) -> Tensor:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return _sum(losses)
    if reduction != "mean":
        raise ValueError(f"reduction {reduction!r}; use 'mean', 'sum' or 'none'")
    return mean(losses) if divisor is None else mul(_sum(losses), 1 / divisor)


def _labels(labels: Any, samples: int, classes: int) -> np.ndarray:
    """Labels as a fresh integer array, checked against the number of classes."""
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, not {array.dtype}")
    array = array.reshape(-1).astype(np.intp)
    if array.size != samples:
        raise ValueError(f"{array.size} labels for {samples} rows of scores")
    if samples and (array.min() < 0 or array.max() >= classes):
        raise ValueError(
            f"labels from {array.min()} to {array.max()}, the scores have "
            f"{classes} classes (0 to {classes - 1})"
        )
    return array


def _rows(scores: Any, name: str) -> tuple[Tensor, tuple[int, ...]]:
    scores = as_tensor(scores)
    if scores.ndim < 1:
        raise ValueError(f"{name} must have an axis of classes, its shape is ()")
    lead = scores.shape[:-1]
    if scores.ndim != 2:
        scores = reshape(scores, (int(np.prod(lead)), scores.shape[-1]))
    return scores, lead


# --- cross-entropy --------------------------------------------------------------------
#
# With targets T (n, k), not normalised when classes are weighted, and row sums r:
# loss_i = -sum_c T_ic log p_ic,  d loss_i / d logits_i = r_i p_i - T_i.
# With a scale, the result is the sum of all losses times it.


def _targets(
    labels: np.ndarray,
    shape: tuple[int, ...],
    dtype: np.dtype,
    smoothing: float,
    weight: np.ndarray | None,
) -> np.ndarray:
    n, k = shape
    target = empty(shape, dtype)
    target[...] = smoothing / k
    target[np.arange(n), labels] += 1 - smoothing
    if weight is not None:
        # Smoothing spreads w_c of each class, the label itself counts w of the label.
        target[...] = weight * (smoothing / k)
        target[np.arange(n), labels] += (1 - smoothing) * weight[labels]
    return target


def _cross_entropy_forward(
    x: np.ndarray,
    labels: np.ndarray,
    smoothing: float,
    weight: np.ndarray | None,
    scale: float | None,
) -> np.ndarray:
    logp = log_softmax_array(x, 1)
    picked = logp[np.arange(len(labels)), labels]
    if weight is not None:
        picked = picked * weight[labels]
    loss = -picked
    if smoothing:
        spread = logp if weight is None else logp * weight
        loss = (1 - smoothing) * loss - smoothing / x.shape[1] * spread.sum(1)
    if scale is not None:
        loss = np.asarray(np.add.reduce(loss) * x.dtype.type(scale))
    return loss.astype(x.dtype, copy=False)


def _cross_entropy_vjp(
    g: Tensor,
    out: None,
    inputs: tuple,
    needs: tuple,
    labels: np.ndarray,
    smoothing: float,
    weight: np.ndarray | None,
    scale: float | None,
) -> tuple:
    x = inputs[0]
    if not is_recording() and not smoothing and weight is None:
        p = softmax_array(x._data, 1)
        p[np.arange(len(labels)), labels] -= 1
        p *= g._data[:, None] if scale is None else g._data * x.dtype.type(scale)
        return (wrap(p),)
    target = _targets(labels, x.shape, x.dtype, smoothing, weight)
    rows = wrap(target.sum(1, keepdims=True))
    g = expand_dims(g, 1) if scale is None else mul(g, scale)
    return (mul(sub(mul(softmax(x, 1), rows), wrap(target)), g),)


_CROSS_ENTROPY = primitive(
    "cross_entropy",
    _cross_entropy_forward,
    _cross_entropy_vjp,
    saves=("0",),
    sample=lambda rng: [
        Sample(
            (draw(rng, (3, 4)),),
            {"labels": np.array([1, 3, 1]), "smoothing": s, "weight": w, "scale": c},
        )
        for s in (0.0, 0.2)
        for w in (None, np.array([0.5, 1.0, 2.0, 1.5]))
        for c in (None, 0.3)
    ],
)


def cross_entropy(
    logits: Any,
    labels: Any,
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of integer labels under the softmax of `logits`.

    Parameters
    ----------
    logits : Tensor or array_like
        (..., classes).
    labels : array_like of int
        (...), from 0 to classes - 1.
    weight : array_like, optional
        (classes,) weights; the mean is then divided by the weights of the labels.
    label_smoothing : float
        Share of each target that is spread evenly over all classes (Szegedy et al.,
        "Rethinking the Inception Architecture", 2016).
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
        A scalar, or the shape of `labels` for "none".
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; 0 <= it < 1")
    rows, lead = _rows(logits, "logits")
    picks = _labels(labels, *rows.shape)
    divisor = None
    if weight is not None:
        weight = np.array(
            weight._data if type(weight) is Tensor else weight, rows.dtype
        )
        if weight.shape != rows.shape[1:]:
            raise ValueError(
                f"weight has shape {weight.shape} for {rows.shape[1]} classes"
            )
        divisor = float(weight[picks].sum())
    # Reduced at once: one node instead of four.
    scale = None
    if reduction == "sum":
        scale = 1.0
    elif reduction == "mean" and len(picks):
        scale = 1 / (len(picks) if divisor is None else divisor)
    static = {
        "labels": picks,
        "smoothing": float(label_smoothing),
        "weight": weight,
        "scale": scale,
    }
    losses = apply1(_CROSS_ENTROPY, rows, static)
    if scale is not None:
        return losses
    return _reduced(reshape(losses, lead), reduction, divisor)


def nll(log_probabilities: Any, labels: Any, *, reduction: str = "mean") -> Tensor:
    """Negative log-likelihood of integer labels.

    Parameters
    ----------
    log_probabilities : Tensor or array_like
        (..., classes), for example from `log_softmax`.
    labels : array_like of int
        (...).
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
    """
    rows, lead = _rows(log_probabilities, "log_probabilities")
    picks = _labels(labels, *rows.shape)
    picked = rows[np.arange(len(picks)), picks]
    return _reduced(reshape(neg(picked), lead), reduction)


def _pair(a: Any, b: Any, names: str) -> tuple[Tensor, Tensor]:
    first = a if type(a) is Tensor else b if type(b) is Tensor else None
    a, b = as_tensor(a, first), as_tensor(b, first)
    if a.shape != b.shape:
        raise ValueError(
            f"{names} have shapes {a.shape} and {b.shape}; they must agree"
        )
    return a, b


def mse(prediction: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """Squared error.

    Parameters
    ----------
    prediction, target : Tensor or array_like
        Of one shape: broadcasting here is nearly always a mistake.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
    """
    a, b = _pair(prediction, target, "prediction and target")
    return _reduced(square(sub(a, b)), reduction)


def bce(probability: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy of probabilities; prefer `bce_with_logits`.

    Parameters
    ----------
    probability : Tensor or array_like
        From 0 to 1; logarithms are cut off at the smallest normal number.
    target : Tensor or array_like
        From 0 to 1, of the same shape.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
    """
    p, t = _pair(probability, target, "probability and target")
    tiny = float(np.finfo(p.dtype).tiny)
    yes = mul(t, log(clip(p, tiny)))
    no = mul(sub(1, t), log(clip(sub(1, p), tiny)))
    return _reduced(neg(yes + no), reduction)


def bce_with_logits(
    logits: Any, target: Any, *, pos_weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy of the sigmoid of `logits`, without overflow.

    Parameters
    ----------
    logits : Tensor or array_like
    target : Tensor or array_like
        From 0 to 1, of the same shape.
    pos_weight : float or array_like, optional
        Weight of the positive class.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
    """
    x, t = _pair(logits, target, "logits and target")
    if pos_weight is None:
        return _reduced(sub(softplus(x), mul(t, x)), reduction)
    yes = mul(mul(t, pos_weight), softplus(neg(x)))
    return _reduced(yes + mul(sub(1, t), softplus(x)), reduction)
