"""Which storage order a pattern gets: a pure function of its shape and nnz."""

from __future__ import annotations

__all__ = ["choose_block_width", "choose_index_bytes", "is_narrow"]

# A segment (one row in one block) costs four bytes of row pointer, so this many
# nonzeros in it keep row pointers to half a byte a connection.
_MIN_PER_SEGMENT = 8
# 128 samples of this many features fit the innermost cache beside the output.
_NARROWEST = 64
# Forward only, for batches up to the first number: the least columns of a block. Such a
# batch leaves a row's nonzeros little work each, so that starting rows is what costs;
# against it stand the activations, which should fit a second-level cache.
_FORWARD = ((16, 8192), (32, 512))
# A full matrix with a side up to this is faster in our kernels than in BLAS, which
# packs it for every product: 10 x 1000 at batch 128 takes half the time in all.
_NARROW = 16


def choose_block_width(
    shape: tuple[int, int], nnz: int, batch: int | None = None
) -> int:
    """Columns per block of the layout of a pattern.

    For training the smallest power of two, from 64 up, that gives a row at least eight
    nonzeros per block on average; one block over all columns when the matrix is too
    narrow or too thin for two. For a frozen model's products with one sample always one
    block, which is plain CSR; with up to 32 wider blocks than for training.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_cols).
    nnz : int
    batch : int, optional
        Samples at a time of a model that is not trained; None for training.

    Returns
    -------
    int
        At least 1.
    """
    n_rows, n_cols = shape
    if batch == 1:
        return max(1, n_cols)
    width = _NARROWEST
    if batch is not None:
        width = next((least for most, least in _FORWARD if batch <= most), width)
    # nnz / (n_rows * n_cols) * width >= _MIN_PER_SEGMENT, in integers
    while width < n_cols and nnz * width < _MIN_PER_SEGMENT * n_rows * n_cols:
        width *= 2
    return max(1, min(width, n_cols))


def choose_index_bytes(block_width: int) -> int:
    """Bytes of a column number inside a block of this width: 1, 2 or 4."""
    if block_width <= 1 << 8:
        return 1
    return 2 if block_width <= 1 << 16 else 4


def is_narrow(shape: tuple[int, int]) -> bool:
    """Whether a full matrix goes through our kernels and not through BLAS."""
    return min(shape) <= _NARROW
