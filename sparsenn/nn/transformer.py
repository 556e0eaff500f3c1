"""The blocks of transformers, normalised before each part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn.activation import GELU
from sparsenn.nn.attention import IN_INIT, MultiheadAttention, connections
from sparsenn.nn.config import layer
from sparsenn.nn.dropout import Dropout
from sparsenn.nn.linear import Linear
from sparsenn.nn.module import Module
from sparsenn.nn.norm import LayerNorm
from sparsenn.nn.weight import without_origin
from sparsenn.random import as_seed
from sparsenn.sizes import whole
from sparsenn.sparse import SparsePattern
from sparsenn.sparse.parameter import Initializer


@final
class FeedForward(Module):
    """``W_2 gelu(W_1 x + b_1) + b_2`` of each token."""

    unitwise: ClassVar[bool] = False

    def __init__(
        self,
        width: int,
        hidden: int,
        density: float | None,
        *,
        nnz: Sequence[int | None],
        init: Initializer,
        output_init: Initializer,
        seed: int,
        number: int,
        dtype: Any,
    ) -> None:
        self.up = Linear(
            width, hidden, density, nnz=nnz[0], init=init, seed=seed, number=number,
            dtype=dtype,
        )  # fmt: skip
        self.activation = GELU()
        self.down = Linear(
            hidden, width, density, nnz=nnz[1], init=output_init, seed=seed,
            number=number + 1, dtype=dtype,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., width) in and out."""
        return self.down.forward(self.activation.forward(self.up.forward(x)))


class _Block(Module):
    """What encoder and decoder layers share: arguments, and how they are saved."""

    unitwise: ClassVar[bool] = False

    #: Attentions of a token to others.
    attentions: ClassVar[int]

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int | None = None,
        density: float | None = 1.0,
        *,
        causal: bool = False,
        window: int = 0,
        stride: int = 0,
        pattern: SparsePattern | None = None,
        dropout: float = 0.0,
        nnz: Sequence[int] | None = None,
        init: Initializer = IN_INIT,
        output_init: Initializer | None = None,
        seed: int | np.random.Generator | None = None,
        number: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        width = whole("width", width)
        hidden = whole("hidden", 4 * width if hidden is None else hidden, 0)
        self.width, self.heads, self.hidden = width, heads, hidden
        self.number = number
        seed = as_seed(seed)
        n = 4 * self.attentions
        counts = connections(nnz, n + 2)

        def attention(i: int, **kind: Any) -> MultiheadAttention:
            return MultiheadAttention(
                width, heads, density, dropout=dropout,
                nnz=None if nnz is None else nnz[4 * i : 4 * i + 4],
                init=init, output_init=output_init, seed=seed, number=number + 4 * i,
                dtype=dtype, **kind,
            )  # fmt: skip

        self.norm1 = LayerNorm(width, dtype=dtype)
        self.attention = attention(
            0, causal=causal, window=window, stride=stride, pattern=pattern
        )
        if self.attentions == 2:
            self.norm_memory = LayerNorm(width, dtype=dtype)
            self.cross_attention = attention(1)
        self.norm2 = LayerNorm(width, dtype=dtype)
        self.feed_forward = FeedForward(
            width, hidden, density, nnz=counts[n:], init=init,
            output_init=output_init or init, seed=seed, number=number + n, dtype=dtype,
        )  # fmt: skip
        self.dropout = Dropout(dropout, seed=seed, number=number + n)

    def _as_tokens(self, x: Tensor) -> Tensor:
        """In the memory order of tokens, once, so that no layer has to copy.

        Of the weights' dtype, as what is added to it.
        """
        x = x.astype(self.norm1.weight.dtype)
        return ops.split_samples(ops.join_samples(x), x.shape[:-1])

    def config(self) -> dict[str, Any]:
        """Sizes, kind and dropout; connections are saved by themselves."""
        config = {"hidden": self.hidden, **self.attention.config()}
        del config["bias"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer of the given sizes with no connections."""
        return without_origin(cls(**config, nnz=[0] * (4 * cls.attentions + 2)))


@final
@layer
class TransformerEncoderLayer(_Block):
    """Tokens attend to each other, then each goes through a feed-forward network.

    ``x += dropout(attention(norm1(x)))``, then ``x += dropout(W_2 gelu(W_1 norm2(x)))``
    with biases. With ``causal=True`` it is the layer of a GPT.

    Parameters
    ----------
    width : int
        Features of a token, in and out.
    heads : int
        Divides the width.
    hidden : int, optional
        Features between W_1 and W_2; by default four times the width.
    density : float or None
        Of each of the six weights, see :class:`sparsenn.nn.Linear`.
    causal, window, stride, pattern
        Of the attention, see :class:`sparsenn.nn.MultiheadAttention`.
    dropout : float
        Of the attention's weights and of what is added to x.
    nnz : sequence of six int, optional
        Exact connections of query, key, value, output, W_1 and W_2, instead of
        `density`.
    init : Initializer
    output_init : Initializer, optional
        Of the two weights whose result is added to x; by default as `init`.
    seed : int, numpy.random.Generator or None
    number : int
        Number of the first weight in its model; the others follow.
    dtype : float32 or float64

    References
    ----------
    Vaswani et al., "Attention is all you need", arXiv:1706.03762; norms before each
    part: Xiong et al., "On layer normalization in the transformer architecture",
    arXiv:2002.04745.
    """

    attentions: ClassVar[int] = 1

    def __call__(self, x: Any, key_padding_mask: Any = None) -> Tensor:
        """Applies the layer, see :meth:`forward`."""
        return self.forward(self.accept(x), key_padding_mask)

    def forward(self, x: Tensor, key_padding_mask: Any = None) -> Tensor:
        """Shape (batch, time, width) in and out; the mask (batch, time) is True for
        tokens that nothing attends to.
        """
        x = self._as_tokens(x)
        attended = self.attention.forward(
            self.norm1.forward(x), key_padding_mask=key_padding_mask
        )
        x = x + self.dropout.forward(attended)
        transformed = self.feed_forward.forward(self.norm2.forward(x))
        return x + self.dropout.forward(transformed)


@final
@layer
class TransformerDecoderLayer(_Block):
    """Tokens attend to those before them, then to a memory, then are fed forward.

    Parameters
    ----------
    width, heads, hidden, density, window, stride, pattern, dropout, init, output_init
        As for :class:`TransformerEncoderLayer`.
    causal : bool
        Whether tokens attend only to those before them; True by default.
    nnz : sequence of ten int, optional
        Exact connections of the four weights of each attention and of W_1 and W_2.
    seed, number, dtype
        As for :class:`TransformerEncoderLayer`.

    References
    ----------
    Vaswani et al., "Attention is all you need", arXiv:1706.03762.
    """

    attentions: ClassVar[int] = 2

    def __init__(
        self, width: int, heads: int, hidden: int | None = None,
        density: float | None = 1.0, *, causal: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(width, heads, hidden, density, causal=causal, **options)

    def __call__(
        self,
        x: Any,
        memory: Any = None,
        key_padding_mask: Any = None,
        memory_padding_mask: Any = None,
    ) -> Tensor:
        """Applies the layer, see :meth:`forward`."""
        return self.forward(
            self.accept(x), memory, key_padding_mask, memory_padding_mask
        )

    def forward(
        self,
        x: Tensor,
        memory: Any = None,
        key_padding_mask: Any = None,
        memory_padding_mask: Any = None,
    ) -> Tensor:
        """The tokens after the layer, shape (batch, time, width).

        Parameters
        ----------
        x : Tensor, shape (batch, time, width)
        memory : Tensor or array_like, shape (batch, keys, width)
            What the encoder made.
        key_padding_mask : array_like of bool, shape (batch, time), optional
        memory_padding_mask : array_like of bool, shape (batch, keys), optional
        """
        if memory is None:
            raise TypeError(
                "a TransformerDecoderLayer needs memory=(batch, keys, width)"
            )
        x = self._as_tokens(x)
        attended = self.attention.forward(
            self.norm1.forward(x), key_padding_mask=key_padding_mask
        )
        x = x + self.dropout.forward(attended)
        attended = self.cross_attention.forward(
            self.norm_memory.forward(x), memory, memory_padding_mask
        )
        x = x + self.dropout.forward(attended)
        transformed = self.feed_forward.forward(self.norm2.forward(x))
        return x + self.dropout.forward(transformed)
