"""Topology updates on dense arrays and masks, as their papers write them.

Nothing here is shared with the library. Scores are ordered by (score, position), which
makes every choice unique.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def drop_smallest(scores: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """Mask without the `count` active positions of lowest score; of equals the last."""
    active = np.flatnonzero(mask)
    order = sorted(active, key=lambda p: (scores.flat[p], -p))
    kept = mask.copy()
    kept.flat[order[:count]] = False
    return kept


def grow_largest(scores: np.ndarray, taken: np.ndarray, count: int) -> np.ndarray:
    """Mask of the `count` positions of largest score outside what is taken."""
    free = np.flatnonzero(~taken)
    order = sorted(free, key=lambda p: (-scores.flat[p], p))
    grown = np.zeros_like(taken)
    grown.flat[order[:count]] = True
    return grown


def rigl(
    w: np.ndarray, mask: np.ndarray, gradient: np.ndarray, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """(new mask, new weights): what was just dropped may return with its value."""
    k = int(fraction * mask.sum())
    kept = drop_smallest(np.abs(w), mask, k)
    grown = grow_largest(np.abs(gradient), kept, k)
    new = kept | grown
    return new, np.where(new & mask, w, 0)


def prune_all(
    weights: Sequence[np.ndarray], masks: Sequence[np.ndarray], total: int
) -> list[np.ndarray]:
    """Keeps the `total` largest of all layers together; of equals the first."""
    entries = [
        (-abs(w.flat[p]), layer, p)
        for layer, (w, m) in enumerate(zip(weights, masks, strict=True))
        for p in np.flatnonzero(m)
    ]
    kept = [np.zeros_like(m) for m in masks]
    for _, layer, p in sorted(entries)[:total]:
        kept[layer].flat[p] = True
    return kept


def dsr(
    weights: Sequence[np.ndarray], masks: Sequence[np.ndarray], threshold: float
) -> list[np.ndarray]:
    """What survives one threshold for all; a layer keeps its first at least."""
    survivors = []
    for w, mask in zip(weights, masks, strict=True):
        kept = mask & (np.abs(w) >= threshold)
        if mask.any() and not kept.any():
            kept.flat[np.flatnonzero(mask)[0]] = True
        survivors.append(kept)
    return survivors


def share(
    total: int, weights: Sequence[Fraction], capacities: Sequence[int]
) -> list[int]:
    """Proportional shares within capacities, by largest remainders, one by one.

    Written as a loop over single units of what water-filling leaves: an independent
    check of the library's closed form.
    """
    weights = list(weights)
    if not sum(weights):
        weights = [Fraction(1)] * len(weights)
    fixed: dict[int, int] = {i: 0 for i, c in enumerate(capacities) if c == 0}
    while True:
        rest = total - sum(fixed.values())
        open_ = [i for i in range(len(weights)) if i not in fixed]
        weight = sum((weights[i] for i in open_), Fraction(0))
        if open_ and not weight:
            weights = [Fraction(1)] * len(weights)
            continue
        over = [i for i in open_ if weights[i] * rest >= capacities[i] * weight]
        if not over or not rest:
            break
        fixed.update({i: capacities[i] for i in over})
    quotas = {i: weights[i] * rest / weight for i in open_} if open_ and rest else {}
    counts = [fixed.get(i, math.floor(quotas.get(i, 0))) for i in range(len(weights))]
    left = sorted(quotas, key=lambda i: (counts[i] - quotas[i], i))
    for i in left[: total - sum(counts)]:
        counts[i] += 1
    return counts


def snfs_counts(
    momenta: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    fraction: float,
) -> tuple[list[int], list[int]]:
    """(dropped, grown) of each layer."""
    means = [
        Fraction(float(np.abs(m[k]).mean())) if k.any() else Fraction(0)
        for m, k in zip(momenta, masks, strict=True)
    ]
    total = sum(means, Fraction(0))
    shares = [m / total if total else Fraction(1, len(means)) for m in means]
    dropped = []
    for mask, s in zip(masks, shares, strict=True):
        sparsity = 1.0 - mask.sum() / mask.size
        low = sparsity < 0.2 and s > Fraction(1, len(masks))
        rate = min(sparsity, fraction) if low else fraction
        dropped.append(math.ceil(rate * mask.sum()))
    room = [
        int(mask.size - mask.sum()) + d for mask, d in zip(masks, dropped, strict=True)
    ]
    return dropped, share(sum(dropped), shares, room)
