"""The training problem that every engine gets: same weights, same batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = np.ndarray


@dataclass(frozen=True)
class Problem:
    """A multilayer perceptron with ReLU between layers, and the data to train it on.

    `weights` are (n_out, n_in) float32 in CSR with sorted columns, `biases` are zero;
    a weight of density 1 is meant as a dense layer. Steps are SGD with momentum.
    """

    weights: list[csr_array]
    biases: list[Array]
    batches: list[tuple[Array, Array]]
    lr: float = 0.01
    momentum: float = 0.9

    @property
    def nnz(self) -> int:
        """Connections of the whole network."""
        return sum(w.nnz for w in self.weights)


def er_counts(sizes: list[int], density: float) -> list[int]:
    """Connections per layer, proportional to n_in + n_out, full layers capped.

    Erdos-Renyi allocation (Mocanu et al. 2018); layers that would be more than full
    are full and the others share the rest.
    """
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    total = round(density * sum(m * n for m, n in shapes))
    full: set[int] = set()
    while True:
        left = total - sum(shapes[i][0] * shapes[i][1] for i in full)
        open_ = [i for i in range(len(shapes)) if i not in full]
        scale = left / sum(sum(shapes[i]) for i in open_)
        over = {i for i in open_ if scale * sum(shapes[i]) >= np.prod(shapes[i])}
        if not over:
            break
        full |= over
    return [
        m * n if i in full else round(scale * (m + n))
        for i, (m, n) in enumerate(shapes)
    ]


def random_weight(m: int, n: int, nnz: int, rng: np.random.Generator) -> csr_array:
    """`nnz` distinct positions of an m x n matrix, He initialised by the real fan-in.

    Where they are few, draws with replacement and fills up, so that time and memory
    follow `nnz`.
    """
    from scipy.sparse import csr_array

    if nnz == m * n:
        ranks = np.arange(m * n, dtype=np.int64)
    elif nnz > m * n // 16:
        ranks = np.sort(rng.choice(m * n, nnz, replace=False, shuffle=False))
    else:
        ranks = np.unique(rng.integers(0, m * n, size=nnz))
        while ranks.size < nnz:
            more = rng.integers(0, m * n, size=nnz - ranks.size)
            ranks = np.unique(np.concatenate([ranks, more]))
    rows, cols = np.divmod(ranks, n)
    scale = np.sqrt(2 * m / nnz)
    values = (rng.standard_normal(nnz) * scale).astype(np.float32)
    indptr = np.searchsorted(rows, np.arange(m + 1)).astype(np.int32)
    return csr_array((values, cols.astype(np.int32), indptr), shape=(m, n))


def images(
    n: int, features: int, classes: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Rows in [0, 1] with half of the entries zero, and labels that can be learnt.

    One label in ten is wrong, so that the loss and with it the gradients stay away
    from zero.

    Like Fashion-MNIST in range, size and share of zeros.
    """
    prototypes = rng.uniform(-1, 1, (classes, features)).astype(np.float32)
    labels = rng.integers(0, classes, n)
    noise = rng.standard_normal((n, features), dtype=np.float32)
    x = np.clip(prototypes[labels] + 0.5 * noise, 0, 1)
    wrong = rng.random(n) < 0.1
    return x, np.where(wrong, rng.integers(0, classes, n), labels)


def problem(
    sizes: list[int], density: float, batch: int, n_batches: int = 64, seed: int = 0
) -> Problem:
    """The network of `sizes` at `density` in all, with batches of images for it."""
    rng = np.random.default_rng(seed)
    counts = er_counts(sizes, density)
    weights = [
        random_weight(m, n, count, rng)
        for m, n, count in zip(sizes[1:], sizes[:-1], counts, strict=True)
    ]
    biases = [np.zeros(m, dtype=np.float32) for m in sizes[1:]]
    x, labels = images(batch * n_batches, sizes[0], sizes[-1], rng)
    cuts = [slice(i * batch, (i + 1) * batch) for i in range(n_batches)]
    return Problem(weights, biases, [(x[cut], labels[cut]) for cut in cuts])
