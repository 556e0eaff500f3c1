"""Nodes of the recorded graph.

A node keeps arrays and the tensors of its *inputs*, never the tensor of its own
result: result -> node -> result would be a reference cycle, and memory would wait
for the garbage collector. Gradients are keyed by node for the same reason.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, final

if TYPE_CHECKING:
    import numpy as np

    from sparsenn.autograd.registry import Primitive
    from sparsenn.autograd.tensor import Tensor

__all__ = ["Compact", "Leaf", "Node", "Unrecorded", "next_id"]

# Ids grow with time, so descending ids are a reverse topological order.
next_id = count().__next__


@final
class Node:
    """One recorded operation.

    Attributes
    ----------
    primitive : Primitive
    parents : tuple of (Node, Leaf, Unrecorded or None), or None
        The nodes of the inputs; None for a constant input. The whole attribute
        is None once the graph has been freed.
    inputs : tuple
        For each input its Tensor if the VJP uses its value, else the parent node,
        which knows shape and dtype, else None.
    out : ndarray or None
        The result, if the VJP uses it.
    cell : list of int
        The version of the result's memory, shared with the result's tensor.
    stamp : int
        Sum of the versions of all saved values; versions only grow, so a different
        sum means that one of them changed.
    static : dict or None
        Keyword arguments that are not differentiated.
    shape, dtype
        Of the result.
    """

    __slots__ = (
        "__weakref__",
        "cell",
        "dtype",
        "id",
        "inputs",
        "out",
        "parents",
        "primitive",
        "shape",
        "stamp",
        "static",
    )

    def __init__(
        self,
        primitive: Primitive,
        parents: tuple[Any, ...],
        inputs: tuple[Any, ...],
        out: np.ndarray | None,
        cell: list[int],
        stamp: int,
        static: dict[str, Any] | None,
        shape: tuple[int, ...],
        dtype: np.dtype,
    ) -> None:
        self.primitive = primitive
        self.parents: tuple[Any, ...] | None = parents
        self.inputs: tuple[Any, ...] | None = inputs
        self.out = out
        self.cell = cell
        self.stamp = stamp
        self.static = static
        self.shape = shape
        self.dtype = dtype
        self.id = next_id()

    def free(self) -> None:
        """Drop what was saved; going through this node again then raises."""
        self.parents = self.inputs = self.out = self.static = None


class Compact(Protocol):
    """A gradient that stores only what can differ from zero.

    A VJP may return one, instead of a Tensor, for a parent that is a `Leaf` while
    nothing records. Nobody else may have its memory.
    """

    def to_dense(self) -> np.ndarray:
        """The gradient as an array."""

    def add_to(self, dense: np.ndarray) -> None:
        """Adds it to an array in place."""

    def plus(self, other: Any) -> Any:
        """The sum with another of its kind, as a new one."""


@final
class Leaf:
    """A variable: gradients end here, and ``backward`` accumulates into ``grad``.

    As long as all gradients came compact, their sum is in ``compact`` instead.

    ``replaced`` says that the variable has another array now, so that nobody would see
    a gradient that ends here.
    """

    __slots__ = (
        "__weakref__",
        "activation",
        "compact",
        "dtype",
        "grad",
        "id",
        "replaced",
        "shape",
    )

    parents: tuple[Any, ...] = ()

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype, activation: bool
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.activation = activation
        self.grad: Tensor | None = None
        self.compact: Compact | None = None
        self.replaced = False
        self.id = next_id()


@final
class Unrecorded:
    """Marks a gradient whose own derivative was not recorded."""

    __slots__ = ("__weakref__", "dtype", "id", "shape")

    parents: tuple[Any, ...] = ()

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = dtype
        self.id = next_id()
