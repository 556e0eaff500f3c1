"""Random changes of training images that keep their class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsenn.random import Stream
from sparsenn.sizes import whole

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """Mirror images and crops of images that were padded with zeros.

    What happens to a sample depends on the stream and its number in the data set, not
    on the batch that it comes in.

    Parameters
    ----------
    flip : bool
        Mirror left and right with probability one half.
    crop : int
        Pixels that an image may be moved up, down, left and right; each offset is
        equally likely. What leaves the frame is lost, what enters is 0.

    References
    ----------
    He et al., "Deep residual learning for image recognition", arXiv:1512.03385,
    section 4.2.
    """

    flip: bool = True
    crop: int = 4

    def __post_init__(self) -> None:
        whole("crop", self.crop, 0)

    def apply(
        self, x: npt.NDArray[Any], samples: npt.NDArray[np.integer[Any]], stream: Stream
    ) -> npt.NDArray[Any]:
        """Changed copies of a batch.

        Parameters
        ----------
        x : ndarray, shape (batch, height, width) or (batch, height, width, channels)
            Any dtype.
        samples : ndarray of int, shape (batch,)
            Their numbers in the data set.
        stream : Stream
            ``Stream(seed, Purpose.AUGMENT, step=epoch)``.

        Returns
        -------
        ndarray of the shape and dtype of x

        Raises
        ------
        ValueError
            If x holds no images.
        """
        self.check(x)
        n, height, width = x.shape[:3]
        choices = (2 * self.crop + 1) ** 2
        draws = stream.bits(elements=np.asarray(samples, np.int64))
        flips = (draws & 1).astype(bool) & self.flip
        # 31 bits over at most a few thousand offsets: none is favoured measurably.
        offsets = ((draws >> 1).astype(np.int64) * choices) >> 31
        down, right = np.divmod(offsets, 2 * self.crop + 1)
        c = self.crop
        padded = np.zeros((n, height + 2 * c, width + 2 * c, *x.shape[3:]), x.dtype)
        padded[:, c : c + height, c : c + width] = x
        rows = down[:, None] + np.arange(height)
        columns = right[:, None] + np.arange(width)
        columns[flips] = columns[flips, ::-1]
        picked: npt.NDArray[Any] = padded[
            np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]
        ]
        return picked

    def check(self, x: Any) -> None:
        """ValueError if x holds no images."""
        if not isinstance(x, np.ndarray) or x.ndim not in (3, 4):
            raise ValueError(
                "augmentation takes images (samples, height, width[, channels]), got "
                f"shape {tuple(x.shape)}"
            )
