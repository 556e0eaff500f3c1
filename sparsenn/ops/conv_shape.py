"""Sizes of a convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sparsenn import _core
    from sparsenn.sparse import SparsePattern

Pair = tuple[int, int]


class ConvShape(NamedTuple):
    """What a convolution is told besides its arrays; pairs are (height, width).

    In one dimension the height is 1. The fields are in the order that the compiled core
    takes.

    Attributes
    ----------
    batch, channels : int
        Of x.
    size, out : tuple of int
        Of x and of the result.
    kernel, stride, padding, dilation : tuple of int
    groups : int
    """

    batch: int
    channels: int
    size: Pair
    out: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @classmethod
    def of(
        cls,
        x: tuple[int, ...],
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> ConvShape:
        """The shape for an x of (batch, channels, height, width).

        Raises
        ------
        ValueError
            If the kernel does not fit into x.
        """
        batch, channels, *size = x
        out = []
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
            inside = n + 2 * p - (k - 1) * d
            if inside < 1:
                raise ValueError(
                    f"a kernel of {k} with dilation {d} does not fit into {n} pixels "
                    f"with {p} of padding on each side"
                )
            out.append((inside - 1) // s + 1)
        return cls(
            batch,
            channels,
            (size[0], size[1]),
            (out[0], out[1]),
            kernel,
            stride,
            padding,
            dilation,
            groups,
        )

    @property
    def pointwise(self) -> bool:
        """Whether it is a product with every pixel by itself."""
        return (
            self.kernel == (1, 1)
            and self.stride == (1, 1)
            and self.padding == (0, 0)
            and self.groups == 1
        )

    @property
    def taps(self) -> int:
        """Pixels of a kernel."""
        return self.kernel[0] * self.kernel[1]

    def layout(self, pattern: SparsePattern) -> _core.Layout | None:
        """What our kernels multiply by; None if products go to BLAS, tap by tap."""
        rows = pattern.shape[0] // self.groups
        return pattern.layout_of_products((rows, self.channels // self.groups))
