"""What a convolution's weight is multiplied with: a matrix that nobody writes."""

from __future__ import annotations

from math import prod
from typing import final

import numpy as np

from sparsenn import _core
from sparsenn.autograd.array import as_order, sample_last
from sparsenn.ops.conv_shape import ConvShape
from sparsenn.ops.dense_conv import dense_conv_w
from sparsenn.sparse import SparsePattern


@final
class Patches:
    """The pixels under a kernel at each of its places: (places * batch, taps) of x.

    It takes the place of the inputs of a fully connected layer among the factors of a
    gradient (:class:`sparsenn.ops.OuterSum`), and for observers.

    Parameters
    ----------
    x : ndarray, shape (batch, channels, height, width)
    conv : ConvShape

    Attributes
    ----------
    x, conv
        As given.
    """

    __slots__ = ("conv", "x")

    def __init__(self, x: np.ndarray, conv: ConvShape) -> None:
        self.x, self.conv = as_order(x, True), conv

    @property
    def shape(self) -> tuple[int, int]:
        """(out height * out width * batch, columns of the weight)."""
        c = self.conv
        columns = c.channels // c.groups * c.taps
        return c.out[0] * c.out[1] * c.batch, columns

    @property
    def dtype(self) -> np.dtype:
        """Of x."""
        return self.x.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of x."""
        return self.x.nbytes

    def on(self, dy: np.ndarray, pattern: SparsePattern) -> np.ndarray:
        """Entries of ``dy^T patches`` at a pattern, shape (nnz,), storage order.

        Parameters
        ----------
        dy : ndarray, shape (places * batch, n_out)
        pattern : SparsePattern, shape (n_out, columns)
        """
        layout = self.conv.layout(pattern)
        if layout is None:
            return dense_conv_w(self._images(dy), self.x, shape=self.conv)
        c, batch = self.conv, self.conv.batch
        features = pattern.shape[0] * c.out[0] * c.out[1]
        gradient = as_order(dy, True).T.reshape(features, batch)
        x = self.x.reshape(batch, prod(self.x.shape[1:]))
        return _core.conv_w(layout, c, gradient.T, x)

    def rows(self, dy: np.ndarray, rows: slice) -> np.ndarray:
        """Some rows of ``dy^T patches``, shape (rows, columns); no im2col.

        Parameters
        ----------
        dy : ndarray, shape (places * batch, n_out)
        rows : slice
        """
        c = self.conv
        n_rows, each = dy.shape[1] // c.groups, c.channels // c.groups
        alone = c._replace(channels=each, groups=1)
        found = []
        first, end, _ = rows.indices(dy.shape[1])
        while first < end:
            group = first // n_rows
            stop = min(end, (group + 1) * n_rows)
            x = self.x[:, group * each : (group + 1) * each]
            every = SparsePattern.full((stop - first, self.shape[1]))
            part = Patches(x, alone).on(dy[:, first:stop], every)
            found.append(part.reshape(every.shape))
            first = stop
        return np.concatenate(found) if found else np.zeros((0, self.shape[1]))

    def squares(self) -> np.ndarray:
        """Sum of squares of each column, float64, shape (groups, columns)."""
        c = self.conv
        images = np.square(sample_last(self.x), dtype=np.float64).sum(axis=-1)
        (ph, pw), (sh, sw), (dh, dw) = c.padding, c.stride, c.dilation
        padded = np.pad(images, ((0, 0), (ph, ph), (pw, pw)))
        down, along = sh * (c.out[0] - 1) + 1, sw * (c.out[1] - 1) + 1
        sums = [
            padded[:, i * dh : i * dh + down : sh, j * dw : j * dw + along : sw].sum(
                axis=(1, 2)
            )
            for i in range(c.kernel[0])
            for j in range(c.kernel[1])
        ]
        return np.stack(sums, axis=1).reshape(c.groups, -1)

    def _images(self, dy: np.ndarray) -> np.ndarray:
        """(batch, n_out, out height, out width)."""
        c = self.conv
        planes = as_order(dy, True).T.reshape(dy.shape[1], *c.out, c.batch)
        return planes.transpose(3, 0, 1, 2)
