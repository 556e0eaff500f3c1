"""The sparse weight of a layer: its connections, its values, where they came from."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from sparsenn.nn.module import Module
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import Origin, SparseParameter, SparsePattern, VirtualWeight
from sparsenn.sparse.parameter import Initializer

_M = TypeVar("_M", bound=Module)


def sparse_weight(
    shape: tuple[int, int],
    density: float | None,
    *,
    nnz: int | None,
    pattern: SparsePattern | None,
    init: Initializer,
    seed: int,
    number: int,
    dtype: np.dtype,
    by_column: bool = False,
    name: str = "weight",
) -> SparseParameter:
    """A new weight, see :class:`sparsenn.nn.Linear` for the arguments.

    Parameters
    ----------
    shape : tuple of int
        (n_out, n_in).
    density : float or None
        None, with neither `nnz` nor `pattern`: the weight is virtual.
    nnz : int or None
    pattern : SparsePattern or None
    init : Initializer
    seed, number : int
        Of the streams of connections and values.
    dtype : dtype
    by_column : bool
        How it is stored.
    name : str

    Raises
    ------
    ValueError
        If a number or a shape does not fit, or both `nnz` and `pattern` are given.
    """
    stream = Stream(seed, Purpose.INIT, layer=number)
    if pattern is None and nnz is None and density is None:
        weight = VirtualWeight(shape, init, stream, dtype, by_column=by_column)
        return SparseParameter.from_virtual(weight, name, Origin(stream, full=True))
    pattern = _connections(shape, density, nnz, pattern, seed, number)
    if by_column:
        pattern = pattern.stored_by_column()
    values = init(pattern, stream, dtype, None)
    origin = Origin(stream, full=pattern.is_full)
    return SparseParameter(pattern, values, name, init, origin)


def _connections(
    shape: tuple[int, int],
    density: float | None,
    nnz: int | None,
    pattern: SparsePattern | None,
    seed: int,
    number: int,
) -> SparsePattern:
    """The pattern given, or one at random with as many connections as are asked for."""
    if pattern is not None:
        if nnz is not None:
            raise ValueError(
                f"give nnz or a pattern, not both; got nnz={nnz} and a pattern of "
                f"{pattern.nnz} connections"
            )
        if pattern.shape != shape:
            raise ValueError(
                f"the pattern has shape {pattern.shape}, the layer (n_out, n_in) = "
                f"{shape}"
            )
        return pattern
    if nnz is None:
        if density is None or not 0.0 <= density <= 1.0:
            raise ValueError(f"density must be in [0, 1], got {density}")
        nnz = round(density * shape[0] * shape[1])
    stream = Stream(seed, Purpose.PATTERN, layer=number)
    return SparsePattern.random(shape, nnz, stream=stream)


def without_origin(module: _M) -> _M:
    """The module, whose weights are to be read: they were drawn elsewhere.

    Nothing knows by which law, so what would draw anew says so.
    """
    for parameter in module.parameters():
        if isinstance(parameter, SparseParameter):
            parameter.initializer = parameter.origin = None
    return module
