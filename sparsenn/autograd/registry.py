"""The registry of primitives, and what happens when one is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from sparsenn.autograd.array import combined_order
from sparsenn.autograd.mode import MODE
from sparsenn.autograd.node import Node
from sparsenn.autograd.tensor import Tensor, as_tensor, wrap

__all__ = ["REGISTRY", "Primitive", "Sample", "apply", "apply1", "apply2", "primitive"]

REGISTRY: dict[str, Primitive] = {}

_new = object.__new__
_ndarray = np.ndarray


@dataclass(frozen=True, slots=True)
class Sample:
    """Arguments on which a primitive is tested.

    Attributes
    ----------
    inputs : tuple of ndarray
        Differentiable inputs, float64, away from kinks and poles.
    static : mapping
        Keyword arguments that are not differentiated.
    """

    inputs: tuple[np.ndarray, ...]
    static: Mapping[str, Any] = field(default_factory=dict)


@final
class Primitive:
    """An operation with a forward on arrays and a derivative written in ops.

    Made by `primitive`, which documents the attributes.
    """

    __slots__ = (
        "forward",
        "name",
        "plans",
        "reference",
        "sample",
        "saves",
        "view",
        "vjp",
    )

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        vjp: Callable[..., tuple[Tensor | None, ...]] | None,
        saves: tuple[str, ...],
        sample: Callable[[np.random.Generator], Iterable[Sample]] | None,
        reference: Callable[..., np.ndarray] | None,
        view: bool,
    ) -> None:
        self.name = name
        self.forward = forward
        self.vjp = vjp
        self.saves = saves
        self.sample = sample
        self.reference = reference
        self.view = view
        # plans[mask]: which inputs, and whether the result, must be kept when the
        # inputs whose bits are set in mask need a gradient.
        self.plans = tuple(_plan(saves, mask) for mask in range(1 << len(saves)))

    def __repr__(self) -> str:
        return f"Primitive({self.name!r})"

    def __call__(self, *inputs: Any, **static: Any) -> Tensor:
        """Apply to tensors or arrays; keyword arguments are static."""
        if isinstance(self.forward, np.ufunc) and len(inputs) == 2:
            return apply2(self, *inputs)
        first = next((x for x in inputs if type(x) is Tensor), None)
        tensors = tuple(as_tensor(x, first) for x in inputs)
        return apply(self, tensors, static)


def _plan(saves: tuple[str, ...], mask: int) -> tuple[tuple[bool, ...], bool]:
    used = "".join(s for i, s in enumerate(saves) if mask >> i & 1)
    return tuple(str(i) in used for i in range(len(saves))), "o" in used


def primitive(
    name: str,
    forward: Callable[..., Any],
    vjp: Callable[..., tuple[Tensor | None, ...]] | None,
    *,
    saves: tuple[str, ...] = (),
    sample: Callable[[np.random.Generator], Iterable[Sample]] | None = None,
    reference: Callable[..., np.ndarray] | None = None,
    view: bool = False,
) -> Primitive:
    """Register an operation.

    Parameters
    ----------
    name : str
        Unique; error messages and ``repr`` show it.
    forward : callable
        ``forward(*arrays, **static) -> ndarray``. Must not write to its inputs.
    vjp : callable or None
        ``vjp(g, out, inputs, needs, **static)`` returns one gradient Tensor (or
        None) for each input, written with ops, so that it can be differentiated
        again. ``needs[i]`` is true where a gradient is wanted. ``out`` and
        ``inputs[i]`` are Tensors where `saves` declares them; an input that is
        not saved has ``shape`` and ``dtype`` only. A gradient may be ``g``, a view
        of it, or a fresh array, never the memory of an input or of the result.
        None: the operation has no derivative and asking for one raises.
    saves : tuple of str
        ``saves[i]`` names the values that the gradient of input ``i`` uses:
        digits for inputs, ``"o"`` for the result. ``("1", "0")`` for a product,
        ``("o",)`` for exp. Empty: none, for any number of inputs.
    sample : callable
        ``sample(rng)`` yields `Sample`; the registry test walks them, and fails
        for an operation that has none.
    reference : callable or None
        Plain NumPy twin of `forward`, evaluated in float64 by the test.
    view : bool
        The result may share memory with the first input.

    Returns
    -------
    Primitive

    Raises
    ------
    ValueError
        If the name is taken.
    """
    if name in REGISTRY:
        raise ValueError(f"primitive {name!r} is registered already; names are unique")
    made = Primitive(name, forward, vjp, saves, sample, reference, view)
    REGISTRY[name] = made
    return made


def apply1(prim: Primitive, a: Any, static: dict[str, Any] | None = None) -> Tensor:
    """Apply a primitive of one input; the fast path of `apply`."""
    if type(a) is not Tensor:
        a = as_tensor(a)
    x = a._data
    out = prim.forward(x, **static) if static else prim.forward(x)
    if type(out) is not _ndarray:
        out = np.asarray(out)
    result = _new(Tensor)
    result._data = out
    cell = [0]
    if prim.view and (out.base is not None) and np.may_share_memory(out, x):
        cell = a._cell
    result._cell = cell
    parent = a._node
    if parent is None or not MODE.recording:
        result._node = None
        return result
    (keep,), keep_out = prim.plans[-1] if prim.saves else ((False,), False)
    result._node = Node(
        prim,
        (parent,),
        (a,) if keep else (parent,),
        out if keep_out else None,
        cell,
        (a._cell[0] if keep else 0) + (cell[0] if keep_out else 0),
        static,
        out.shape,
        out.dtype,
    )
    return result


def apply2(prim: Primitive, a: Any, b: Any) -> Tensor:
    """Apply an elementwise primitive of two inputs; the dtypes are made to agree."""
    if type(a) is not Tensor:
        a = as_tensor(a, b if type(b) is Tensor else None)
    if type(b) is not Tensor:
        b = as_tensor(b, a)
    x = a._data
    y = b._data
    if x.dtype is not y.dtype and x.dtype != y.dtype:
        a, b = a.astype(np.float64), b.astype(np.float64)
        x, y = a._data, b._data
    out = prim.forward(x, y)
    if type(out) is not _ndarray:
        out = np.asarray(out)
    elif out.ndim > 1:
        out = combined_order(out, x, y)
    result = _new(Tensor)
    result._data = out
    result._cell = cell = [0]
    p = a._node
    q = b._node
    if (p is None and q is None) or not MODE.recording:
        result._node = None
        return result
    mask = 1 if q is None else 2 if p is None else 3
    (keep_a, keep_b), keep_out = prim.plans[mask]
    stamp = 0
    if keep_a:
        stamp = a._cell[0]
    if keep_b:
        stamp += b._cell[0]
    result._node = Node(
        prim,
        (p, q),
        (a if keep_a else p, b if keep_b else q),
        out if keep_out else None,
        cell,
        stamp,
        None,
        out.shape,
        out.dtype,
    )
    return result


def apply(
    prim: Primitive, inputs: tuple[Tensor, ...], static: dict[str, Any] | None = None
) -> Tensor:
    """Apply a primitive to tensors and record it when a gradient may be asked for.

    Parameters
    ----------
    prim : Primitive
    inputs : tuple of Tensor
    static : dict, optional
        Keyword arguments of the forward and of the VJP.

    Returns
    -------
    Tensor
    """
    arrays = [t._data for t in inputs]
    out = prim.forward(*arrays, **static) if static else prim.forward(*arrays)
    if type(out) is not _ndarray:
        out = np.asarray(out)
    cell = [0]
    if prim.view and out.base is not None and np.may_share_memory(out, arrays[0]):
        cell = inputs[0]._cell
    if not MODE.recording:
        return wrap(out, None, cell)
    parents = tuple([t._node for t in inputs])
    if not any(parents):
        return wrap(out, None, cell)
    keep_out = False
    stamp = 0
    saved: tuple[Any, ...] = parents
    if prim.saves:
        mask = sum([1 << i for i, p in enumerate(parents) if p is not None])
        keep, keep_out = prim.plans[mask]
        saved = tuple([t if k else t._node for t, k in zip(inputs, keep, strict=True)])
        stamp = sum([t._cell[0] for t, k in zip(inputs, keep, strict=True) if k])
        stamp += cell[0] if keep_out else 0
    node = Node(
        prim,
        parents,
        saved,
        out if keep_out else None,
        cell,
        stamp,
        static,
        out.shape,
        out.dtype,
    )
    return wrap(out, node, cell)
