"""Convolutional layers, at any density."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.nn import init
from sparsenn.nn.config import layer
from sparsenn.nn.module import Module
from sparsenn.nn.weight import sparse_weight, without_origin
from sparsenn.random import as_seed
from sparsenn.sizes import each, whole
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.sparse.parameter import Initializer

_SIZES = ("kernel_size", "stride", "padding", "dilation")


class _Conv(Module):
    """What both have; sizes are tuples with an entry for each axis of an image."""

    axes: ClassVar[int]

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel_size: int | tuple[int, ...],
        density: float = 1.0,
        *,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        nnz: int | None = None,
        pattern: SparsePattern | None = None,
        init: Initializer = init.KaimingNormal(),  # noqa: B008 (immutable)
        seed: int | np.random.Generator | None = None,
        number: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        self.kernel_size = each("kernel_size", kernel_size, 1, self.axes)
        self.stride = each("stride", stride, 1, self.axes)
        self.padding = each("padding", padding, 0, self.axes)
        self.dilation = each("dilation", dilation, 1, self.axes)
        self.n_in = n_in = whole("n_in", n_in)
        self.n_out = n_out = whole("n_out", n_out)
        self.groups = groups = whole("groups", groups)
        if n_in % groups or n_out % groups:
            raise ValueError(
                f"groups must divide n_in and n_out, got {groups} for {n_in}, {n_out}"
            )
        if density is None and nnz is None and pattern is None:
            raise ValueError(
                "a convolution cannot be virtual (density=None); start full and prune"
            )
        taps = int(np.prod(self.kernel_size))
        dtype = np.dtype(dtype)
        self.weight = sparse_weight(
            (n_out, n_in // groups * taps), density, nnz=nnz, pattern=pattern,
            init=init, seed=as_seed(seed), number=number, dtype=dtype,
        )  # fmt: skip
        self.weight.kernel = self.kernel_size
        self.bias = Tensor(np.zeros(n_out, dtype), requires_grad=True) if bias else None

    def _pair(self, sizes: tuple[int, ...], other: int) -> tuple[int, int]:
        """(height, width), the height `other` in one dimension."""
        return (other, sizes[0]) if self.axes == 1 else (sizes[0], sizes[1])

    def _convolve(self, x: Tensor, activation: Literal["relu"] | None) -> Tensor:
        return ops.conv2d(
            x,
            self.weight,
            self.bias,
            kernel=self._pair(self.kernel_size, 1),
            stride=self._pair(self.stride, 1),
            padding=self._pair(self.padding, 0),
            dilation=self._pair(self.dilation, 1),
            groups=self.groups,
            activation=activation,
        )

    def chain(self) -> list[SparseParameter]:
        """Refused: channels are not features, and taps are shared by all places.

        Raises
        ------
        TypeError
        """
        raise TypeError(
            f"the weight of a {type(self).__name__} is shared by all places of an "
            "image and is no link of a chain"
        )

    def config(self) -> dict[str, Any]:
        """Sizes, one number each, and whether there is a bias."""
        config: dict[str, Any] = {"n_in": self.n_in, "n_out": self.n_out}
        for name in _SIZES:
            config |= {f"{name}_{i}": n for i, n in enumerate(getattr(self, name))}
        return config | {"groups": self.groups, "bias": self.bias is not None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _Conv:
        """A layer of the given sizes with no connections."""
        arguments = dict(config)
        for name in _SIZES:
            try:
                arguments[name] = tuple(
                    arguments.pop(f"{name}_{i}") for i in range(cls.axes)
                )
            except KeyError as error:
                raise ValueError(f"{cls.__name__} lacks {error}") from error
        return without_origin(cls(**arguments, nnz=0, seed=0))

    def __repr__(self) -> str:
        """Sizes that are not the defaults, connections, and whether there is a bias."""
        shown = [f"{self.n_in}, {self.n_out}, {self.kernel_size}"]
        for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
            sizes = getattr(self, name)
            if set(sizes) != {usual}:
                shown.append(f"{name}={sizes}")
        if self.groups > 1:
            shown.append(f"groups={self.groups}")
        shown.append(f"nnz={self.weight.nnz}, density={self.weight.density:.4g}")
        shown.append(f"bias={self.bias is not None}")
        return f"{type(self).__name__}({', '.join(shown)})"


@layer
class Conv2d(_Conv):
    """Cross-correlation of images with kernels of which only some taps exist.

    Parameters
    ----------
    n_in, n_out : int
        Channels in and out.
    kernel_size : int or pair
        Height and width.
    density : float
        Connections over positions, in [0, 1]; placed uniformly at random. At 1 the
        layer is dense and runs on BLAS, tap by tap.
    stride, padding, dilation : int or pair
        Padding is with zeros on both sides.
    groups : int
        Parts into which channels in and out are cut; each output sees its own part.
        ``groups=n_in`` is a depthwise convolution.
    bias : bool
    nnz : int, optional
        Exact number of connections, instead of `density`.
    pattern : SparsePattern, shape (n_out, n_in / groups * taps), optional
        The connections themselves, instead of `density`. Columns run through the
        channels of a group, and for each through the rows and columns of its kernel.
    init : Initializer
        Distribution of the values, see :mod:`sparsenn.nn.init`; by the real fan-in.
    seed : int, numpy.random.Generator or None
        Of connections and values. None takes one from the operating system.
    number : int
        Number of this layer in its model. Layers of one integer seed differ by it.
    dtype : float32 or float64

    Attributes
    ----------
    weight : SparseParameter, shape (n_out, n_in / groups * taps)
        Its ``kernel`` is `kernel_size`.
    bias : Tensor, shape (n_out,), or None
    """

    axes = 2

    def forward(
        self, x: Tensor, *, activation: Literal["relu"] | None = None
    ) -> Tensor:
        """(batch, n_in, height, width) to (batch, n_out, height', width')."""
        return self._convolve(x, activation)


@layer
class Conv1d(_Conv):
    """Cross-correlation of sequences with kernels of which only some taps exist.

    Parameters
    ----------
    n_in, n_out : int
        Channels in and out.
    kernel_size, stride, padding, dilation : int
    density, groups, bias, nnz, pattern, init, seed, number, dtype
        As of :class:`Conv2d`.

    Attributes
    ----------
    weight : SparseParameter, shape (n_out, n_in / groups * kernel_size)
    bias : Tensor, shape (n_out,), or None
    """

    axes = 1

    def forward(
        self, x: Tensor, *, activation: Literal["relu"] | None = None
    ) -> Tensor:
        """(batch, n_in, length) to (batch, n_out, length')."""
        if x.ndim != 3:
            raise ValueError(
                f"Conv1d takes (batch, {self.n_in}, length), got {x.shape}"
            )
        y = self._convolve(ops.expand_dims(x, 2), activation)
        return ops.squeeze(y, 2)
