"""How much of a network has been connected at some time: ITOP's exploration rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import numpy as np

from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.topology.updater import sparse_parameters

_CHUNK = 1 << 20
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, np.uint8)


@final
class Exploration:
    """The positions that were ever active, over all positions.

    Liu et al. find that a sparse network which evolves catches up with the dense one
    once it has visited most positions: in-time over-parameterisation. Call
    :meth:`update` after every change of the topology::

        explored = topology.Exploration(model.parameters())
        ...
        if topo.step():
            explored.update()

    Parameters
    ----------
    params : iterable
        A model's parameters; dense tensors are left alone. Their present connections
        count from the start.

    Notes
    -----
    Keeps one bit a position (:attr:`nbytes`) of every weight that ever was sparse: 33
    kB for 784-300-100-10, but 512 MiB for one 65536 x 65536 layer. An update takes time
    in proportion to the connections. Weights that are full from the start to the end
    keep nothing.

    References
    ----------
    Liu et al., "Do we actually need dense over-parameterization? In-time
    over-parameterization in sparse training", arXiv:2102.02887, section 3.2, where the
    rate is R_s.
    """

    def __init__(self, params: Iterable[Any]) -> None:
        self.params = sparse_parameters(params)
        self._seen: list[np.ndarray | None] = [None] * len(self.params)
        self._counts = [0] * len(self.params)
        self.update()

    def update(self) -> float:
        """Counts the present connections in; returns the rate."""
        for i, param in enumerate(self.params):
            pattern, size = param.pattern, _size(param)
            if self._counts[i] == size:
                continue
            if pattern.is_full:
                self._seen[i], self._counts[i] = None, size
                continue
            seen = self._seen[i]
            if seen is None:
                seen = self._seen[i] = np.zeros(-(-size // 8), np.uint8)
            self._counts[i] += _mark(seen, pattern)
        return self.rate

    @property
    def rate(self) -> float:
        """Positions ever active over all positions of the network, in [0, 1]."""
        total = sum(map(_size, self.params))
        return sum(self._counts) / total if total else 0.0

    def layers(self) -> dict[str, float]:
        """The same for each weight, by name (its number if it has none)."""
        return {
            param.name or str(i): count / _size(param) if _size(param) else 0.0
            for i, (param, count) in enumerate(
                zip(self.params, self._counts, strict=True)
            )
        }

    @property
    def nbytes(self) -> int:
        """Bytes that the bits take."""
        return sum(seen.nbytes for seen in self._seen if seen is not None)

    def state(self) -> dict[str, Any]:
        """What resuming needs: the bits of each weight, None where all are set."""
        return {
            "seen": [
                None if seen is None or count == _size(param) else seen.copy()
                for seen, count, param in zip(
                    self._seen, self._counts, self.params, strict=True
                )
            ]
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state` gave.

        Raises
        ------
        ValueError
            If it is of other weights; nothing is changed then.
        """
        seen = state["seen"]
        sizes = [_size(param) for param in self.params]
        expected = [-(-size // 8) for size in sizes]
        given = [None if bits is None else np.asarray(bits).size for bits in seen]
        if len(given) != len(sizes) or any(
            g not in (None, e) for g, e in zip(given, expected, strict=True)
        ):
            raise ValueError(
                f"the state has {given} bytes of bits, these weights take {expected}"
            )
        self._seen = [
            None if bits is None else np.array(bits, np.uint8) for bits in seen
        ]
        self._counts = [
            size if bits is None else _count(bits)
            for bits, size in zip(self._seen, sizes, strict=True)
        ]

    def __repr__(self) -> str:
        """The rate, and what it takes."""
        return f"Exploration(rate={self.rate:.4g}, {self.nbytes:,} bytes)"


def _size(param: SparseParameter) -> int:
    return param.shape[0] * param.shape[1]


def _mark(seen: np.ndarray, pattern: SparsePattern) -> int:
    """Sets the bit of every position; returns how many were not set before."""
    if not pattern.nnz:
        return 0
    # In canonical order the positions of one byte lie together.
    ranks = pattern.to_canonical(pattern.ranks())
    places = ranks >> 3
    bits = np.left_shift(1, ranks & 7).astype(np.uint8)
    first = np.flatnonzero(np.diff(places, prepend=-1))
    marks = np.bitwise_or.reduceat(bits, first)
    places = places[first]
    before = seen[places]
    seen[places] = before | marks
    return _count(marks & ~before)


def _count(bits: np.ndarray) -> int:
    """How many bits are set."""
    parts = (bits[at : at + _CHUNK] for at in range(0, bits.size, _CHUNK))
    return sum(int(_ONES[part].sum(dtype=np.int64)) for part in parts)
