"""The fully connected layer, at any density."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn import init
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module
from sparsenn.nn.weight import sparse_weight, without_origin
from sparsenn.random import as_seed
from sparsenn.sizes import whole
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.sparse.parameter import Initializer


@final
@layer
class Linear(Module):
    """``y = x W^T + b`` with a weight that exists only where it has a connection.

    Parameters
    ----------
    n_in, n_out : int
        Features of a sample in and out.
    density : float or None
        Connections over positions, in [0, 1]; ``round(density * n_in * n_out)`` of
        them are placed uniformly at random. At 1 the layer is dense and runs on BLAS.
        With None the weight is virtual: it has every connection but stores none, until
        :mod:`sparsenn.pruning` says which stay
        (:meth:`sparsenn.sparse.SparseParameter.from_virtual`).
    bias : bool
    nnz : int, optional
        Exact number of connections, instead of `density`.
    pattern : SparsePattern, shape (n_out, n_in), optional
        The connections themselves, instead of `density`.
    init : Initializer
        Distribution of the values, see :mod:`sparsenn.nn.init`; by the real fan-in.
    seed : int, numpy.random.Generator or None
        Of connections and values. None takes one from the operating system.
    number : int
        Number of this layer in its model. Layers of one integer seed differ by it.
    dtype : float32 or float64
    sparse_input : bool
        The layer will mostly see sparse batches: its weight is stored by column, so
        that a batch touches only the values of the features that occur in it. Every
        layer takes sparse batches, and this one dense ones too; only time differs.

    Attributes
    ----------
    weight : SparseParameter, shape (n_out, n_in)
    bias : Tensor, shape (n_out,), or None
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        density: float | None = 1.0,
        *,
        bias: bool = True,
        nnz: int | None = None,
        pattern: SparsePattern | None = None,
        init: Initializer = init.KaimingNormal(),  # noqa: B008 (immutable)
        seed: int | np.random.Generator | None = None,
        number: int = 0,
        dtype: Any = np.float32,
        sparse_input: bool = False,
    ) -> None:
        self.n_in = n_in = whole("n_in", n_in, 0)
        self.n_out = n_out = whole("n_out", n_out, 0)
        seed = as_seed(seed)
        self.sparse_input = bool(sparse_input)
        dtype = np.dtype(dtype)
        self.weight = sparse_weight(
            (n_out, n_in), density, nnz=nnz, pattern=pattern, init=init, seed=seed,
            number=number, dtype=dtype, by_column=self.sparse_input,
        )  # fmt: skip
        self.bias = Tensor(np.zeros(n_out, dtype), requires_grad=True) if bias else None

    takes_sparse: ClassVar[bool] = True

    def forward(
        self,
        x: Tensor | ops.SparseBatch,
        *,
        activation: Literal["relu"] | None = None,
    ) -> Tensor:
        """``activation(x W^T + b)``, shape (..., n_in) to (..., n_out)."""
        return ops.linear(x, self.weight, self.bias, activation=activation)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(n_in,)."""
        return (self.n_in,)

    def chain(self) -> list[SparseParameter]:
        """The weight alone."""
        return [self.weight]

    def config(self) -> dict[str, Any]:
        """Sizes and whether there is a bias; connections are saved by themselves."""
        config = {"n_in": self.n_in, "n_out": self.n_out}
        config["bias"] = self.bias is not None
        return config | ({"sparse_input": True} if self.sparse_input else {})

    def __repr__(self) -> str:
        """Sizes, connections and whether there is a bias."""
        weight = self.weight
        stored = f"nnz={weight.nnz}, density={weight.density:.4g}"
        return (
            f"Linear(n_in={self.n_in}, n_out={self.n_out}, "
            f"{stored if weight.virtual is None else 'virtual'}, "
            f"bias={self.bias is not None})"
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Linear:
        """A layer of the given sizes with no connections."""
        return without_origin(cls(**config, nnz=0, seed=0))
