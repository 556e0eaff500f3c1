"""SRigL's update on dense arrays, as its paper writes it; nothing of the library."""

from __future__ import annotations

import numpy as np

from reference.evolve import drop_smallest, grow_largest


def srigl(
    w: np.ndarray,
    mask: np.ndarray,
    gradient: np.ndarray,
    fraction: float,
    budget: int,
    saliency: float,
    may_ablate: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """(new mask, new weights) of one layer; what was dropped may return."""
    size = np.abs(w)
    count = int(fraction * mask.sum())
    if not count:
        return mask, w
    n_keep = min(mask.sum() - count, np.count_nonzero(w * mask))
    keep = drop_smallest(size, mask, mask.sum() - n_keep)
    standing = np.ones(len(w), bool)
    if may_ablate:
        free = keep.size - keep.sum()
        grown = grow_largest(np.abs(gradient), keep, min(count, free))
        salient = (keep | grown).sum(axis=1)
        standing = salient >= max(1, int(saliency * mask.sum(axis=1).max()))
        least = max(1, int(np.ceil(budget / w.shape[1])))
        if standing.sum() < least:
            best = sorted(range(len(w)), key=lambda i: (-salient[i], i))[:least]
            standing = np.isin(np.arange(len(w)), best)
    fan_in = budget // standing.sum()
    left = mask & standing[:, None]
    keep = drop_smallest(size, left, max(left.sum() - n_keep, 0))
    new = np.zeros_like(mask)
    for i in np.flatnonzero(standing):
        row = drop_smallest(size[i], keep[i], max(keep[i].sum() - fan_in, 0))
        new[i] = row | grow_largest(np.abs(gradient[i]), row, fan_in - row.sum())
    return new, np.where(new & mask, w, 0)
