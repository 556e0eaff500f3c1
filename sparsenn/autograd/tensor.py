"""`Tensor`: a NumPy array that remembers how it was computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from sparsenn.autograd.node import Leaf, Node, Unrecorded

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Tensor", "as_tensor", "wrap"]

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_UNKNOWN = (None, -1)
_new = object.__new__

# The operators call ops, which are built on this module; `sparsenn.ops` sets this
# when it is imported, which `import sparsenn` does.
_ops: Any = None


def bind_ops(module: Any) -> None:
    """Give the methods of `Tensor` the module that holds the operations."""
    global _ops
    _ops = module


def _float_array(data: Any, dtype: Any, weak: np.dtype | None = None) -> np.ndarray:
    """Return `data` as a float32 or float64 array, without a copy where possible."""
    kept = isinstance(data, np.ndarray) or (
        weak is None and isinstance(data, np.generic)
    )
    array = data if type(data) is np.ndarray else np.asarray(data)
    if dtype is None:
        if kept and array.dtype.kind == "f" and array.dtype.itemsize in (4, 8):
            dtype = array.dtype.newbyteorder("=")
        else:
            dtype = _FLOAT32 if weak is None else weak
    dtype = np.dtype(dtype)
    if dtype != _FLOAT32 and dtype != _FLOAT64:
        raise TypeError(f"dtype {dtype} is not supported; use float32 or float64")
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"cannot make a Tensor from data of dtype {array.dtype}; "
            "give real numbers (floats, integers or booleans)"
        )
    return array.astype(dtype, copy=False)


@final
class Tensor:
    """A float array with a record of the operations that made it.

    Parameters
    ----------
    data : array_like
        A float32 or float64 array is used as it is, without a copy; other numbers
        become float32.
    requires_grad : bool
        Whether this is a variable that gradients are taken for.
    dtype : {float32, float64}, optional
        Convert to this dtype.

    Notes
    -----
    ``==`` and the other comparisons are elementwise and give plain boolean arrays;
    hashing is by identity. After writing into `data` call `touch`, so that a
    gradient through a value that is gone raises instead of being wrong.
    ``np.asarray(tensor)`` works for constants only: it would drop the graph
    silently. `numpy` says so by its name and always works.
    """

    __slots__ = ("__weakref__", "_active", "_cell", "_data", "_node")

    __array_ufunc__ = None  # so that array * tensor calls Tensor.__rmul__

    _active: tuple[Any, int]

    def __init__(
        self, data: Any, requires_grad: bool = False, *, dtype: Any = None
    ) -> None:
        source = data._data if isinstance(data, Tensor) else data
        self._data: np.ndarray = _float_array(source, dtype)
        same = isinstance(data, Tensor) and self._data is source
        self._cell: list[int] = data._cell if same else [0]
        self._node: Any = None
        if requires_grad:
            self.requires_grad = True

    # --- the array ---------------------------------------------------------------

    @property
    def data(self) -> np.ndarray:
        """The array itself; call `touch` after writing into it.

        Assigning counts as a change: ``tensor.data *= 2`` needs no `touch`, and
        another array is taken as by `replace_`.
        """
        return self._data

    @data.setter
    def data(self, array: np.ndarray) -> None:
        if array is self._data:
            self._cell[0] += 1
        else:
            self.replace_(array)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the axes."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._data.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self._data.nbytes

    @property
    def active(self) -> Any:
        """Which elements are not zero, if the operation that made this tensor said so.

        None where nobody knows, and after a change in place. No other operation passes
        it on.
        """
        active, version = getattr(self, "_active", _UNKNOWN)
        return active if version == self._cell[0] else None

    def numpy(self) -> np.ndarray:
        """Return the array; it shares memory with the tensor, the graph is left."""
        return self._data

    def item(self) -> float:
        """Return the only element as a Python number."""
        return self._data.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError(
                "converting a Tensor that requires gradients to an array would drop "
                "its graph; call .numpy() to do it knowingly, or use sparsenn.ops"
            )
        if copy:
            return np.array(self._data, dtype=dtype)
        return np.asarray(self._data, dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self._node) is Node:
            raise TypeError(
                "only variables and constants can be copied, this is the result of "
                f"{self._node.primitive.name}; use .detach()"
            )
        return Tensor, (self._data, self.requires_grad)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        for i in range(len(self._data)):
            yield self[i]

    def __float__(self) -> float:
        return float(self._data.item())

    def __int__(self) -> int:
        return int(self._data.item())

    def __bool__(self) -> bool:
        return bool(self._data)

    def __format__(self, spec: str) -> str:
        return format(self._data.item() if spec else self, spec)

    def __repr__(self) -> str:
        note = ""
        if type(self._node) is Node:
            note = f", op={self._node.primitive.name}"
        elif type(self._node) is Leaf:
            note = ", requires_grad=True"
        head = f"Tensor(shape={self.shape}, {self.dtype}{note})"
        body = np.array2string(self._data, precision=4, threshold=20, edgeitems=2)
        return f"{head}\n{body}" if self.ndim > 1 else f"{head} {body}"

    # --- the graph ---------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients reach this tensor; may be set on a tensor without graph."""
        return type(self._node) in (Node, Leaf)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if type(self._node) is Node:
            raise ValueError(
                "requires_grad can be set on variables only, this is the result of "
                f"{self._node.primitive.name}; use .detach()"
            )
        if not value:
            self._node = None
        elif type(self._node) is not Leaf:
            from sparsenn.autograd.array import is_activation

            self._node = Leaf(self.shape, self.dtype, is_activation(self._data))

    @property
    def is_leaf(self) -> bool:
        """Whether this is a variable or a constant, not the result of a record."""
        return type(self._node) is not Node

    @property
    def grad(self) -> Tensor | None:
        """What `backward` accumulated into this variable.

        A compact gradient becomes an array for good, see `compact_grad`.
        """
        node = self._node
        if type(node) is not Leaf:
            return None
        if node.compact is not None:
            self.grad = node.compact.to_dense()
        return node.grad

    @grad.setter
    def grad(self, value: Tensor | np.ndarray | None) -> None:
        if type(self._node) is not Leaf:
            if value is None:
                return
            raise ValueError("only a variable (requires_grad=True, a leaf) has a grad")
        self._node.compact = None
        if value is None:
            self._node.grad = None
            return
        array = _float_array(value._data if type(value) is Tensor else value, None)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(
                f"grad has shape {array.shape} and dtype {array.dtype}, the variable "
                f"has {self.shape} and {self.dtype}; they must agree"
            )
        self._node.grad = wrap(array, Unrecorded(array.shape, array.dtype))

    @property
    def compact_grad(self) -> Any:
        """The gradient if it came in a compact form only, else None.

        Of a weight on sparse batches a :class:`sparsenn.sparse.SparseGradient`. Those
        who know it look here first; reading `grad` turns it into an array.
        """
        return self._node.compact if type(self._node) is Leaf else None

    @property
    def version(self) -> int:
        """How often the memory was changed in place."""
        return self._cell[0]

    def touch(self) -> None:
        """Say that `data` was written to; results that saved it are now stale."""
        self._cell[0] += 1

    def assign_(self, array: Any) -> Tensor:
        """Write new values of the same shape into this tensor's memory.

        Parameters
        ----------
        array : array_like
            Of this tensor's shape.

        Returns
        -------
        Tensor
            This tensor.
        """
        source = array._data if type(array) is Tensor else np.asarray(array)
        if source.shape != self.shape:
            raise ValueError(
                f"array has shape {source.shape}, the tensor has {self.shape}; "
                "use replace_() for another shape"
            )
        np.copyto(self._data, source, casting="same_kind")
        self._cell[0] += 1
        return self

    def replace_(self, array: Any) -> Tensor:
        """Take another array, of any shape; the gradient is dropped.

        For variables whose length changes, such as the values of a pattern that
        changes. Graphs recorded before are stale.

        Parameters
        ----------
        array : array_like
            Converted to this tensor's dtype; not copied when it has it already.

        Returns
        -------
        Tensor
            This tensor.
        """
        if type(self._node) is Node:
            raise ValueError("only a variable or a constant can take another array")
        variable = type(self._node) is Leaf
        source = array._data if type(array) is Tensor else np.asarray(array)
        self._data = source.astype(self.dtype, copy=False)
        self._cell[0] += 1
        # What shares the former memory goes its own way; versions only grow.
        self._cell = [self._cell[0]]
        self.retire_()
        self._node = None
        self.requires_grad = variable
        return self

    def retire_(self) -> None:
        """Say that another variable takes this one's place.

        Graphs recorded before then raise instead of leaving their gradient where
        nobody looks.
        """
        if type(self._node) is Leaf:
            self._node.replaced = True

    def detach(self) -> Tensor:
        """Return a constant that shares this tensor's memory."""
        return wrap(self._data, None, self._cell)

    def backward(
        self,
        gradient: Tensor | np.ndarray | None = None,
        *,
        retain_graph: bool = False,
    ) -> None:
        """Add the gradient of this tensor to the `grad` of every variable behind it.

        Parameters
        ----------
        gradient : Tensor or ndarray, optional
            Of this tensor's shape; one, when this tensor has one element.
        retain_graph : bool
            Keep what was saved, so that the graph can be gone through again.

        Raises
        ------
        RuntimeError
            If there is no graph, it was freed, or a saved value has changed.
        """
        from sparsenn.autograd.tape import backward

        backward(self, gradient, retain_graph=retain_graph)

    # --- operations --------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return _ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _ops.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _ops.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _ops.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _ops.div(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _ops.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _ops.pow(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return _ops.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return _ops.abs(self)

    def __getitem__(self, index: Any) -> Tensor:
        return _ops.getitem(self, index)

    def __lt__(self, other: Any) -> np.ndarray:
        return self._data < _plain(other)

    def __le__(self, other: Any) -> np.ndarray:
        return self._data <= _plain(other)

    def __gt__(self, other: Any) -> np.ndarray:
        return self._data > _plain(other)

    def __ge__(self, other: Any) -> np.ndarray:
        return self._data >= _plain(other)

    def __eq__(self, other: object) -> np.ndarray:  # type: ignore[override]
        return self._data == _plain(other)

    def __ne__(self, other: object) -> np.ndarray:  # type: ignore[override]
        return self._data != _plain(other)

    __hash__ = object.__hash__

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return _ops.transpose(self)

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes; see `sparsenn.ops.transpose`."""
        return _ops.transpose(self, _spread(axes) or None)

    def reshape(self, *shape: Any) -> Tensor:
        """Give the elements another shape; see `sparsenn.ops.reshape`."""
        return _ops.reshape(self, _spread(shape))

    def contiguous(self, activation: bool = True) -> Tensor:
        """Lay out as an activation or in C order; see `sparsenn.ops.contiguous`."""
        return _ops.contiguous(self, activation)

    def astype(self, dtype: Any) -> Tensor:
        """Convert to float32 or float64; the gradient is converted back."""
        return _ops.astype(self, dtype)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Sum over axes; see `sparsenn.ops.sum`."""
        return _ops.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Mean over axes; see `sparsenn.ops.mean`."""
        return _ops.mean(self, axis, keepdims)

    def var(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Variance over axes; see `sparsenn.ops.var`."""
        return _ops.var(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Maximum over axes; see `sparsenn.ops.max`."""
        return _ops.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Minimum over axes; see `sparsenn.ops.min`."""
        return _ops.min(self, axis, keepdims)

    def abs(self) -> Tensor:
        """Absolute value of each element."""
        return _ops.abs(self)

    def exp(self) -> Tensor:
        """Exponential of each element."""
        return _ops.exp(self)

    def log(self) -> Tensor:
        """Natural logarithm of each element."""
        return _ops.log(self)

    def sqrt(self) -> Tensor:
        """Square root of each element."""
        return _ops.sqrt(self)


def _spread(args: tuple[Any, ...]) -> tuple[int, ...]:
    return (
        tuple(args[0]) if len(args) == 1 and not hasattr(args[0], "__index__") else args
    )


def _plain(other: Any) -> Any:
    return other._data if type(other) is Tensor else other


def wrap(array: np.ndarray, node: Any = None, cell: list[int] | None = None) -> Tensor:
    """Make a Tensor of a float array without looking at it; for the engine."""
    tensor = _new(Tensor)
    tensor._data = array
    tensor._node = node
    tensor._cell = [0] if cell is None else cell
    return tensor


def mark_active(tensor: Tensor, active: Any) -> None:
    """Say which elements of a fresh result are not zero."""
    tensor._active = (active, tensor._cell[0])


def as_tensor(x: Any, like: Tensor | None = None) -> Tensor:
    """Return `x` itself if it is a Tensor, else a constant.

    Parameters
    ----------
    x : Tensor or array_like
    like : Tensor, optional
        Python data, NumPy scalars and integer arrays take its dtype; float32 and
        float64 arrays keep theirs.

    Returns
    -------
    Tensor
    """
    if type(x) is Tensor:
        return x
    weak = None if like is None else like._data.dtype
    kind = type(x)
    if (kind is float or kind is int) and weak is not None:
        return wrap(np.array(x, weak))
    if kind is Node or kind is Leaf or kind is Unrecorded:
        raise TypeError(
            "a VJP used the value of an input that its primitive does not save; "
            "declare it in `saves`"
        )
    return wrap(_float_array(x, None, weak))
