"""Numbers of connections shared among rows."""

from __future__ import annotations

import numpy as np


def even_quotas(counts: np.ndarray, total: int) -> np.ndarray:
    """Shares a number of connections evenly among rows, within what each row has.

    Parameters
    ----------
    counts : ndarray of int, shape (n,)
        Connections of each row.
    total : int
        0 <= total <= counts.sum().

    Returns
    -------
    ndarray of int64, shape (n,)
        ``min(counts, t)`` for some t, and one more for the first rows that have more,
        so that they sum to total.
    """
    counts = np.asarray(counts, np.int64)
    low, high = 0, int(counts.max(initial=0)) + 1
    while high - low > 1:  # the largest t that does not give too much
        middle = (low + high) // 2
        if int(np.minimum(counts, middle).sum()) <= total:
            low = middle
        else:
            high = middle
    quotas = np.minimum(counts, low)
    more = np.flatnonzero(counts > low)[: total - int(quotas.sum())]
    quotas[more] += 1
    return quotas
