"""Attention with several heads, projections of any density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.autograd.tensor import as_tensor
from sparsenn.nn import init as initializers
from sparsenn.nn.config import layer
from sparsenn.nn.dropout import Dropout
from sparsenn.nn.linear import Linear
from sparsenn.nn.module import Module
from sparsenn.nn.weight import without_origin
from sparsenn.random import as_seed
from sparsenn.sizes import whole
from sparsenn.sparse import SparsePattern
from sparsenn.sparse.parameter import Initializer

IN_INIT = initializers.KaimingNormal(1.0)


@final
@layer
class MultiheadAttention(Module):
    """``softmax(Q K^T / sqrt(d)) V`` for each head, between sparse projections.

    Parameters
    ----------
    width : int
        Features of a token, in and out.
    heads : int
        Divides the width; each head has ``d = width / heads`` features.
    density : float or None
        Of each of the four projections, see :class:`sparsenn.nn.Linear`.
    causal : bool
        A token attends to itself and to those before it only.
    window : int
        If not 0, a token attends only to the others less than this far away.
    stride : int
        If not 0, also (or, without a window, only) to those a multiple of this away.
    pattern : SparsePattern, shape (time, time), optional
        Where attention exists, instead of `window` and `stride`. Elsewhere nothing is
        computed or stored.
    dropout : float
        Of the attention's weights.
    bias : bool
        Of the projections.
    nnz : sequence of four int, optional
        Exact connections of query, key, value and output, instead of `density`.
    init : Initializer
        Of query, key and value.
    output_init : Initializer, optional
        Of the output; by default as `init`.
    seed : int, numpy.random.Generator or None
    number : int
        Number of the first projection in its model; the others follow.
    dtype : float32 or float64

    Attributes
    ----------
    query, key, value, output : Linear

    References
    ----------
    Vaswani et al., "Attention is all you need", arXiv:1706.03762, section 3.2; window
    and stride: Child et al., "Generating long sequences with sparse transformers",
    arXiv:1904.10509.
    """

    unitwise: ClassVar[bool] = False

    def __init__(
        self,
        width: int,
        heads: int,
        density: float | None = 1.0,
        *,
        causal: bool = False,
        window: int = 0,
        stride: int = 0,
        pattern: SparsePattern | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        nnz: Sequence[int] | None = None,
        init: Initializer = IN_INIT,
        output_init: Initializer | None = None,
        seed: int | np.random.Generator | None = None,
        number: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        self.width = width = whole("width", width)
        self.heads = heads = whole("heads", heads)
        self.window = window = whole("window", window, 0)
        self.stride = stride = whole("stride", stride, 0)
        if width % heads:
            raise ValueError(f"heads must divide width, got {heads} and {width}")
        if pattern is not None and (window or stride):
            raise ValueError(
                f"window and stride must be 0 with a pattern, got {window}, {stride}"
            )
        self.causal, self.pattern = bool(causal), pattern
        self._local: SparsePattern | None = None  # of the last shape
        seed = as_seed(seed)
        self.dropout = Dropout(dropout, seed=seed, number=number)
        counts = connections(nnz, 4)
        laws = [init, init, init, output_init or init]
        self.query, self.key, self.value, self.output = (
            Linear(
                width,
                width,
                density,
                bias=bias,
                nnz=counts[i],
                init=laws[i],
                seed=seed,
                number=number + i,
                dtype=dtype,
            )
            for i in range(4)
        )

    def __call__(
        self, x: Any, memory: Any = None, key_padding_mask: Any = None
    ) -> Tensor:
        """Applies the module, see :meth:`forward`."""
        return self.forward(self.accept(x), memory, key_padding_mask)

    def forward(
        self, x: Tensor, memory: Any = None, key_padding_mask: Any = None
    ) -> Tensor:
        """Attention of the tokens x to each other, or to those of a memory.

        Parameters
        ----------
        x : Tensor, shape (batch, time, width)
        memory : Tensor or array_like, shape (batch, keys, width), optional
        key_padding_mask : array_like of bool, shape (batch, keys), optional
            True for tokens that nothing attends to.

        Returns
        -------
        Tensor, shape (batch, time, width)
        """
        source = x if memory is None else as_tensor(memory, x)
        for tokens in (x, source):
            if tokens.ndim != 3 or tokens.shape[2] != self.width:
                raise ValueError(
                    f"MultiheadAttention takes (batch, time, {self.width}), got "
                    f"{tokens.shape}"
                )
        attended = ops.attention(
            self.query.forward(x),
            self.key.forward(source),
            self.value.forward(source),
            heads=self.heads,
            causal=self.causal,
            key_padding_mask=key_padding_mask,
            pattern=self._pattern(x.shape[1], source.shape[1]),
            dropout=self.dropout.forward,
        )
        return self.output.forward(attended)

    def passes(
        self, x: Tensor, memory: Any = None, key_padding_mask: Any = None
    ) -> Tensor:
        """A signal: what queries, keys and values carry, added, each for its token.

        Which tokens attend to which is left out: no weight decides it alone.
        """
        source = x if memory is None else memory
        carried = self.query.forward(x) + self.key.forward(source)
        return self.output.forward(carried + self.value.forward(source))

    def _pattern(self, queries: int, keys: int) -> SparsePattern | None:
        """Where attention exists; None: everywhere."""
        if not self.window and not self.stride:
            return self.pattern
        shape = (queries, keys)
        if self._local is None or self._local.shape != shape:
            self._local = local_pattern(shape, self.window, self.stride, self.causal)
        return self._local

    def config(self) -> dict[str, Any]:
        """Sizes, kind and dropout; connections are saved by themselves."""
        if self.pattern is not None:
            raise TypeError(
                "a MultiheadAttention with a pattern of its own does not describe "
                "itself; to load a file into it, build it first and pass it as `into`"
            )
        return {
            "width": self.width,
            "heads": self.heads,
            "causal": self.causal,
            "window": self.window,
            "stride": self.stride,
            "bias": self.query.bias is not None,
            "dropout": self.dropout.p,
            "seed": self.dropout.seed,
            "number": self.dropout.number,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MultiheadAttention:
        """A layer of the given sizes with no connections."""
        return without_origin(cls(**config, nnz=[0] * 4))


def connections(nnz: Sequence[int] | None, n: int) -> list[int | None]:
    """Connections of each of n weights; None: by their density."""
    if nnz is None:
        return [None] * n
    if len(nnz) != n:
        raise ValueError(f"nnz must hold {n} numbers, got {len(nnz)}")
    return list(nnz)


def local_pattern(
    shape: tuple[int, int], window: int = 0, stride: int = 0, causal: bool = False
) -> SparsePattern:
    """Pairs of a query i and a key j that are near, or a multiple of a stride apart.

    Parameters
    ----------
    shape : tuple of int
        (queries, keys).
    window : int
        Keys with ``|i - j| < window``.
    stride : int
        Keys with ``(i - j) % stride == 0``; 0 for none.
    causal : bool
        Only keys with ``j <= i``.

    Returns
    -------
    SparsePattern

    References
    ----------
    Child et al., "Generating long sequences with sparse transformers",
    arXiv:1904.10509: the two together are its strided attention.
    """
    from scipy.sparse import csr_array

    queries, keys = shape
    longest = max(queries, keys)
    back = set(range(min(window, longest)))
    if stride:
        back |= set(range(0, longest, stride))
    offsets = sorted(back | (set() if causal else {-d for d in back}))
    rows = [np.arange(max(d, 0), min(queries, keys + d)) for d in offsets]
    empty = np.zeros(0, np.int64)
    row = np.concatenate([empty, *rows])
    column = np.concatenate(
        [empty, *(r - d for r, d in zip(rows, offsets, strict=True))]
    )
    ones = np.ones(len(row), np.float32)
    return SparsePattern.from_scipy(csr_array((ones, (row, column)), shape=shape))
