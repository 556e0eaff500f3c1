"""One bit a position: which positions of a virtual weight are alive."""

from __future__ import annotations

import numpy as np

_AT_ONCE = 1 << 18


def pack(marks: np.ndarray) -> np.ndarray:
    """Bits of rows of marks, as :class:`sparsenn.sparse.VirtualWeight` takes them.

    Parameters
    ----------
    marks : ndarray of bool, shape (rows, n_cols)

    Returns
    -------
    ndarray of uint64, shape (rows, ceil(n_cols / 64))
    """
    n_rows, n_cols = marks.shape
    octets = np.zeros((n_rows, -(-n_cols // 64) * 8), np.uint8)
    octets[:, : -(-n_cols // 8)] = np.packbits(marks, axis=1, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


def count(words: np.ndarray) -> int:
    """How many bits are set."""
    octets = words.reshape(-1).view(np.uint8)
    parts = range(0, len(octets), _AT_ONCE)
    return sum(int(np.unpackbits(octets[i : i + _AT_ONCE]).sum()) for i in parts)


def unpack(words: np.ndarray, n_cols: int) -> np.ndarray:
    """Marks of rows of bits: ndarray of bool, shape (rows, n_cols)."""
    octets = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    bits = np.unpackbits(octets, axis=1, count=n_cols, bitorder="little")
    return bits.view(np.bool_)
