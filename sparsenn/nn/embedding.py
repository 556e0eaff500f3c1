"""Tokens as vectors, and where they stand in their sequence."""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.autograd.sequences import Sequences
from sparsenn.nn import init
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module
from sparsenn.nn.weight import without_origin
from sparsenn.random import Purpose, Stream, as_seed
from sparsenn.sizes import whole
from sparsenn.sparse import Origin, SparseParameter, SparsePattern


@final
@layer
class Embedding(Module):
    """A vector of features for each token.

    Parameters
    ----------
    n_tokens, n_features : int
    density : float or None
        None: a dense table. In [0, 1]: a sparse weight with that share of its
        positions, which topology and pruning see.
    nnz : int, optional
        Exact number of connections of a sparse weight, instead of `density`.
    std : float
        Of the initial values, which are normal.
    seed : int, numpy.random.Generator or None
    number : int
        Number of this layer in its model. Layers of one integer seed differ by it.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Tensor, shape (n_tokens, n_features), or SparseParameter, (n_features,
        n_tokens)
    """

    unitwise: ClassVar[bool] = False

    def __init__(
        self,
        n_tokens: int,
        n_features: int,
        density: float | None = None,
        *,
        nnz: int | None = None,
        std: float = 0.02,
        seed: int | np.random.Generator | None = None,
        number: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        self.n_tokens = n_tokens = whole("n_tokens", n_tokens)
        self.n_features = n_features = whole("n_features", n_features)
        seed, dtype = as_seed(seed), np.dtype(dtype)
        draws = Stream(seed, Purpose.INIT, layer=number)
        self.weight: Tensor | SparseParameter
        if density is None and nnz is None:
            table = std * draws.normal(n_tokens * n_features, dtype)
            table = table.astype(dtype).reshape(n_tokens, n_features)
            self.weight = Tensor(table, requires_grad=True)
            return
        if nnz is None:
            if density is None or not 0.0 <= density <= 1.0:
                raise ValueError(f"density must be in [0, 1], got {density}")
            nnz = round(density * n_tokens * n_features)
        places = Stream(seed, Purpose.PATTERN, layer=number)
        shape = (n_features, n_tokens)
        pattern = SparsePattern.random(shape, nnz, stream=places).stored_by_column()
        law = init.Normal(std)
        values = law(pattern, draws, dtype, None)
        origin = Origin(draws, full=pattern.is_full)
        self.weight = SparseParameter(pattern, values, "weight", law, origin)

    def accept(self, x: Any) -> np.ndarray:
        """Token numbers as an integer array, checked."""
        if isinstance(x, Sequences):
            raise ValueError(
                "an Embedding takes the numbers of tokens, no sequences of features"
            )
        tokens = np.asarray(x)
        if tokens.dtype.kind not in "iu":
            raise TypeError(
                f"an Embedding takes the numbers of tokens as integers, got an array "
                f"of {tokens.dtype}"
            )
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < self.n_tokens:
            raise ValueError(
                f"tokens from {tokens.min()} to {tokens.max()}, the embedding has "
                f"{self.n_tokens} (0 to {self.n_tokens - 1})"
            )
        return tokens

    def forward(self, x: np.ndarray) -> Tensor:  # type: ignore[override]
        """Token numbers of shape (...) to vectors (..., n_features)."""
        tokens = x.reshape(-1)
        if isinstance(self.weight, SparseParameter):
            vectors = ops.linear(_one_hot(tokens, self.n_tokens), self.weight)
        else:
            vectors = ops.contiguous(ops.take(self.weight, tokens))
        return ops.split_samples(vectors, x.shape)

    @property
    def signal_shape(self) -> tuple[int, ...]:
        """Two steps, each of all tokens at once."""
        return 2, self.n_tokens

    def passes(self, x: Tensor) -> Tensor:
        """A signal of (batch, time, n_tokens): ones after a dense table, which is not
        pruned, or through the connections of a sparse one.
        """
        if isinstance(self.weight, SparseParameter):
            return ops.linear(x, self.weight)
        return Tensor(np.ones((*x.shape[:2], self.n_features)))

    def config(self) -> dict[str, Any]:
        """Sizes, and whether the weight is sparse; connections are saved apart."""
        config = {"n_tokens": self.n_tokens, "n_features": self.n_features}
        sparse = isinstance(self.weight, SparseParameter)
        return config | ({"nnz": 0} if sparse else {})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Embedding:
        """An embedding of the given sizes; the weight is read afterwards."""
        return without_origin(cls(**config, seed=0))


def _one_hot(tokens: np.ndarray, n_tokens: int) -> ops.SparseBatch:
    """A row for each token, with a one in its column."""
    from scipy.sparse import csr_array

    n = len(tokens)
    ones = np.ones(n, np.float32)
    return ops.SparseBatch(
        csr_array((ones, tokens, np.arange(n + 1)), shape=(n, n_tokens))
    )


@final
@layer
class PositionalEncoding(Module):
    """Adds to each token a vector that depends on its position alone.

    Feature 2 i of position t is ``sin(t / 10000^(2 i / n_features))`` and feature
    2 i + 1 the cosine of the same; or vectors are learned.

    Parameters
    ----------
    context : int
        Longest sequence.
    n_features : int
    learned : bool
    std : float
        Of the initial values of learned vectors, which are normal.
    seed : int, numpy.random.Generator or None
    number : int
        Number of this layer in its model. Layers of one integer seed differ by it.
    dtype : float32 or float64
        Of learned vectors; others have that of what they are added to.

    References
    ----------
    Vaswani et al., "Attention is all you need", arXiv:1706.03762, section 3.5.
    """

    unitwise: ClassVar[bool] = True
    transparent: ClassVar[bool] = True

    def __init__(
        self,
        context: int,
        n_features: int,
        learned: bool = False,
        *,
        std: float = 0.02,
        seed: int | np.random.Generator | None = None,
        number: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        self.context = context = whole("context", context)
        self.n_features = n_features = whole("n_features", n_features)
        self.learned = bool(learned)
        if self.learned:
            draws = Stream(as_seed(seed), Purpose.INIT, layer=number)
            table = std * draws.normal(context * n_features, dtype)
            table = table.astype(dtype).reshape(context, n_features)
        else:
            table = _sinusoids(context, n_features)  # rounded with each input
        self.weight = Tensor(table, requires_grad=self.learned)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, time, n_features) in and out."""
        if x.ndim != 3 or x.shape[2] != self.n_features or x.shape[1] > self.context:
            raise ValueError(
                f"{self!r} takes (batch, time, {self.n_features}) of at most "
                f"{self.context} positions, got {x.shape}"
            )
        batch, time = x.shape[:2]
        positions = np.tile(np.arange(time), batch)
        table = self.weight.astype(x.dtype)
        vectors = ops.contiguous(ops.take(table, positions))
        return ops.split_samples(ops.join_samples(x) + vectors, (batch, time))

    def config(self) -> dict[str, Any]:
        """Sizes and whether the vectors are learned."""
        return {
            "context": self.context,
            "n_features": self.n_features,
            "learned": self.learned,
        }


def _sinusoids(context: int, n_features: int) -> np.ndarray:
    """The table of section 3.5, float64."""
    features = np.arange(n_features)
    rate = 10000.0 ** (-2.0 * (features // 2) / n_features)
    angle = np.arange(context)[:, None] * rate
    return np.where(features % 2, np.cos(angle), np.sin(angle))


def context_of(module: Module) -> int | None:
    """The most tokens that a model's positional encoding has; None without one."""
    parts = (part for _, part in module.named_modules())
    encodings = (part for part in parts if isinstance(part, PositionalEncoding))
    return next((encoding.context for encoding in encodings), None)
