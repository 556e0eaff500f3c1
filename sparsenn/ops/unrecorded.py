"""The linear layer where nothing is recorded: one call of the kernel, no tape."""

from __future__ import annotations

from sparsenn import _core
from sparsenn.autograd import Tensor
from sparsenn.autograd.mode import MODE
from sparsenn.autograd.tensor import wrap
from sparsenn.sparse import SparseParameter


def linear_unrecorded(
    x: object, weight: SparseParameter, bias: Tensor | None, activation: int
) -> Tensor | None:
    """The result of `linear`, or None where the general way has to be taken.

    That is where something may be recorded, x says which of its elements are zero, the
    weight has a gate or an observer or is virtual, an argument has to be converted, or
    there is an error to explain.

    Parameters
    ----------
    x : Tensor, shape (batch, n_in), or anything else
    weight : SparseParameter, shape (n_out, n_in)
    bias : Tensor, shape (n_out,), or None
    activation : int

    Returns
    -------
    Tensor, shape (batch, n_out), or None
    """
    if type(x) is not Tensor or x.active is not None:
        return None
    if weight.gate is not None or weight.observer is not None or weight.virtual:
        return None
    values = weight.values
    if MODE.recording and (
        x._node is not None
        or values._node is not None
        or (bias is not None and bias._node is not None)
    ):
        return None
    pattern = weight.pattern
    layout = pattern.kernel_layout
    if layout is None or pattern.by_column:
        return None
    data, dtype = x._data, values._data.dtype
    if (
        data.ndim != 2
        or data.shape[1] != pattern.shape[1]
        or not data.flags.f_contiguous
        or data.dtype != dtype
    ):
        return None
    if bias is None:
        return wrap(_core.spmm(layout, values._data, data, None, activation))
    if bias._data.shape != pattern.shape[:1] or bias._data.dtype != dtype:
        return None
    return wrap(_core.spmm(layout, values._data, data, bias._data, activation))
