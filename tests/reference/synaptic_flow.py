"""SynFlow on dense matrices: scores by the formula, rounds by sorting everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def scores(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """``(1^T prod_later |W|)_i |w_ij| (prod_earlier |W| 1)_j`` of each layer."""
    magnitudes = [np.abs(w) for w in weights]
    entering = [np.ones(magnitudes[0].shape[1])]
    for w in magnitudes[:-1]:
        entering.append(w @ entering[-1])
    leaving = [np.ones(magnitudes[-1].shape[0])]
    for w in reversed(magnitudes[1:]):
        leaving.insert(0, w.T @ leaving[0])
    return [
        g[:, None] * w * x
        for g, w, x in zip(leaving, magnitudes, entering, strict=True)
    ]


def prune(
    weights: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    counts: Sequence[int],
) -> list[np.ndarray]:
    """Masks after rounds that leave as many connections; of equals the first stay.

    Scores are rounded to twelve digits, so that ties in exact arithmetic are ties.
    """
    masks = [m.copy() for m in masks]
    for count in counts:
        found = scores([w * m for w, m in zip(weights, masks, strict=True)])
        top = max(float(s.max(initial=0)) for s in found) or 1.0
        entries = [
            (-round(float(s.flat[p]) / top, 12), layer, p)
            for layer, (s, m) in enumerate(zip(found, masks, strict=True))
            for p in np.flatnonzero(m)
        ]
        masks = [np.zeros_like(m) for m in masks]
        for _, layer, p in sorted(entries)[:count]:
            masks[layer].flat[p] = True
    return masks
