"""The backward pass over the recorded graph: iterative, keyed by node."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, overload

import numpy as np

from sparsenn.autograd.array import as_order, is_activation
from sparsenn.autograd.mode import MODE
from sparsenn.autograd.node import Leaf, Node, Unrecorded
from sparsenn.autograd.tensor import Tensor, wrap

__all__ = ["backward", "grad"]

_by_id = attrgetter("id")
_FREED = (
    "this graph was freed by an earlier backward pass; pass retain_graph=True to the "
    "first one to go through it again"
)


def _reachable(root: Any) -> list[Any]:
    """All nodes behind `root`, results before what they were computed from."""
    seen = {root}
    stack = [root]
    found = []
    while stack:
        node = stack.pop()
        found.append(node)
        parents = node.parents
        if parents is None:
            raise RuntimeError(_FREED)
        for parent in parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    found.sort(key=_by_id, reverse=True)
    return found


def _seed(y: Tensor, gradient: Tensor | np.ndarray | None) -> Tensor:
    if gradient is None:
        if y.size != 1:
            raise ValueError(
                f"the output has shape {y.shape}; only a scalar has a gradient of its "
                "own, give `gradient` with that shape"
            )
        return wrap(np.ones(y.shape, y.dtype))
    seed = gradient if type(gradient) is Tensor else Tensor(gradient, dtype=y.dtype)
    if seed.shape != y.shape or seed.dtype != y.dtype:
        raise ValueError(
            f"gradient has shape {seed.shape} and dtype {seed.dtype}, the output has "
            f"{y.shape} and {y.dtype}; they must agree"
        )
    return seed


def _sweep(
    order: list[Any],
    grads: dict[Any, Tensor],
    needed: set[Any] | None,
    kept: set[Any],
    retain: bool,
) -> None:
    """Send gradients down the graph; what reaches leaves and `kept` stays in grads."""
    recording = MODE.recording
    owned: set[Any] = set()  # gradients that are sums made here, nobody else's memory
    for node in order:
        if node not in grads or (needed is not None and node not in needed):
            continue
        if type(node) is not Node:
            if type(node) is Unrecorded and node not in kept:
                raise RuntimeError(
                    "the output depends on a gradient whose own derivative was not "
                    "recorded; compute it with grad(..., create_graph=True), or call "
                    ".detach() on it to make it a constant"
                )
            if type(node) is Leaf and node.replaced:
                raise RuntimeError(
                    f"a variable of shape {node.shape} was replaced after this graph "
                    "was recorded (its pattern changed, or it took another array); "
                    "compute the output again, or call backward before the change"
                )
            continue
        g = grads[node] if node in kept else grads.pop(node)
        parents = node.parents
        inputs = node.inputs
        primitive = node.primitive
        if parents is None or inputs is None:  # freed by another thread meanwhile
            raise RuntimeError(_FREED)
        stamp = 0
        for x in inputs:
            if type(x) is Tensor:
                stamp += x._cell[0]
        out = None
        if node.out is not None:
            stamp += node.cell[0]
            out = wrap(node.out, node if recording else None, node.cell)
        if stamp != node.stamp:
            raise RuntimeError(
                f"a value that the gradient of {primitive.name} needs was changed in "
                "place after it was used; change it after the backward pass, or use a "
                "copy"
            )
        if primitive.vjp is None:
            raise RuntimeError(f"{primitive.name} has no derivative")
        needs = parents
        if needed is not None:
            needs = tuple([p is not None and p in needed for p in parents])
        static = node.static
        if static:
            results = primitive.vjp(g, out, inputs, needs, **static)
        else:
            results = primitive.vjp(g, out, inputs, needs)
        if not retain:
            node.free()
        for parent, d in zip(parents, results, strict=True):
            if parent is None or d is None:
                continue
            old = grads.get(parent)
            if old is None:
                grads[parent] = d
            elif type(old) is not Tensor or type(d) is not Tensor:
                grads[parent] = _sum(old, d)
            elif recording:
                grads[parent] = old + d
            elif parent in owned:
                np.add(old._data, d._data, out=old._data)
            else:
                grads[parent] = old + d
                owned.add(parent)


def _sum(a: Any, b: Any) -> Any:
    """The sum of two gradients of a leaf, of which one or both are compact."""
    if type(a) is not Tensor and type(b) is not Tensor:
        return a.plus(b)
    tensor, compact = (a, b) if type(a) is Tensor else (b, a)
    array = tensor._data.copy(order="K")
    compact.add_to(array)
    return wrap(array)


def backward(
    y: Tensor,
    gradient: Tensor | np.ndarray | None = None,
    *,
    retain_graph: bool = False,
) -> None:
    """Add the gradient of `y` to the ``grad`` of every variable behind it.

    Parameters
    ----------
    y : Tensor
    gradient : Tensor or ndarray, optional
        Of the shape of `y`; one, when `y` has one element.
    retain_graph : bool
        Keep what was saved, so that the graph can be gone through again.

    Raises
    ------
    RuntimeError
        If `y` has no graph, it was freed, or a saved value has changed.

    Notes
    -----
    Never records itself: a recorded gradient that its own variable holds would be
    a reference cycle. For derivatives of gradients use `grad`.
    """
    root = y._node
    if root is None:
        raise RuntimeError(
            "nothing was recorded for this tensor: it depends on no variable "
            "(requires_grad=True), or was computed under no_grad or by a frozen model "
            "(unfreeze() it to train)"
        )
    grads = {root: _seed(y, gradient)}
    order = _reachable(root)
    former, MODE.recording = MODE.recording, False
    try:
        _sweep(order, grads, None, set(), retain_graph)
    finally:
        MODE.recording = former
    # Two variables may get the same memory (z = x + y), and the seed is the
    # caller's: whoever comes first keeps it, later ones get a copy.
    taken = _taken(gradient)
    for leaf in order:
        if type(leaf) is Leaf and leaf in grads:
            _deposit(leaf, grads[leaf], taken)


def _taken(gradient: Tensor | np.ndarray | None) -> set[int]:
    seed = gradient._data if type(gradient) is Tensor else gradient
    return {id(_owner(seed))}


def _owner(array: Any) -> Any:
    base = getattr(array, "base", None)
    return array if base is None else base


def _deposit(leaf: Leaf, gradient: Any, taken: set[int]) -> None:
    if type(gradient) is not Tensor:
        if leaf.grad is not None:
            gradient.add_to(leaf.grad._data)
            leaf.grad._cell[0] += 1
        elif leaf.compact is not None:
            leaf.compact = leaf.compact.plus(gradient)
        else:
            leaf.compact = gradient
        return
    array = gradient._data
    if leaf.compact is not None:
        leaf.grad = _unrecorded(leaf.compact.to_dense(), leaf.activation, set())
        leaf.compact = None
    if leaf.grad is not None:
        np.add(leaf.grad._data, array, out=leaf.grad._data)
        leaf.grad._cell[0] += 1
        return
    leaf.grad = _unrecorded(array, leaf.activation, taken)


def _unrecorded(array: np.ndarray, activation: bool, taken: set[int]) -> Tensor:
    """Wrap a gradient to hand out: in its order, its memory nobody else's."""
    array = as_order(array, activation)
    if id(_owner(array)) in taken or not array.flags.writeable:
        array = array.copy(order="K")
    taken.add(id(_owner(array)))
    return wrap(array, Unrecorded(array.shape, array.dtype))


@overload
def grad(
    y: Tensor,
    wrt: Tensor,
    create_graph: bool = ...,
    allow_unused: bool = ...,
    *,
    gradient: Tensor | np.ndarray | None = ...,
    retain_graph: bool | None = ...,
) -> Tensor: ...
@overload
def grad(
    y: Tensor,
    wrt: Sequence[Tensor],
    create_graph: bool = ...,
    allow_unused: bool = ...,
    *,
    gradient: Tensor | np.ndarray | None = ...,
    retain_graph: bool | None = ...,
) -> list[Tensor]: ...
def grad(
    y: Tensor,
    wrt: Any,
    create_graph: bool = False,
    allow_unused: bool = False,
    *,
    gradient: Tensor | np.ndarray | None = None,
    retain_graph: bool | None = None,
) -> Any:
    """Gradient of `y` with respect to tensors that it was computed from.

    Parameters
    ----------
    y : Tensor
        A scalar, or any shape together with `gradient`.
    wrt : Tensor or sequence of Tensor
        Variables or intermediate results.
    create_graph : bool
        Record the backward pass, so that the gradients can be differentiated.
        Without it they are marked: differentiating through one raises until
        ``detach()`` makes it a constant.
    allow_unused : bool
        Return None for a tensor that `y` does not depend on instead of raising.
    gradient : Tensor or ndarray, optional
        The vector of the vector-Jacobian product, of the shape of `y`.
    retain_graph : bool, optional
        Keep what was saved; as `create_graph` when not given.

    Returns
    -------
    Tensor or list of Tensor
        One gradient, or a list when `wrt` is a sequence; each has the shape, dtype
        and memory order of its tensor.

    Raises
    ------
    RuntimeError
        If there is no graph, it was freed, a saved value has changed, or a tensor
        of `wrt` is not part of it.
    """
    single = type(wrt) is Tensor
    targets: list[Tensor] = [wrt] if single else list(wrt)
    retain = create_graph if retain_graph is None else retain_graph
    for i, t in enumerate(targets):
        if type(t) is not Tensor:
            raise TypeError(f"wrt[{i}] is {type(t).__name__}, it must be a Tensor")
        if t._node is None and not allow_unused:
            raise RuntimeError(
                f"wrt[{i}] was not recorded: it is a constant. Make it a variable with "
                "requires_grad=True before the computation"
            )
    kept = {t._node for t in targets if t._node is not None}
    grads: dict[Any, Tensor] = {}
    seed = _seed(y, gradient)
    if y._node is not None:
        grads[y._node] = seed
        order = _reachable(y._node)
        needed: set[Any] = set()
        for node in reversed(order):
            if (
                node in kept
                or type(node) is Unrecorded
                or not needed.isdisjoint(node.parents)
            ):
                needed.add(node)
        former, MODE.recording = MODE.recording, create_graph
        try:
            _sweep(order, grads, needed, kept, retain)
        finally:
            MODE.recording = former
    taken = _taken(gradient)
    results: list[Tensor | None] = []
    for i, t in enumerate(targets):
        g = grads.get(t._node)
        if g is not None and type(g) is not Tensor:
            g = wrap(g.to_dense())
        if g is None and not allow_unused:
            raise RuntimeError(
                f"the output does not depend on wrt[{i}] (shape {t.shape}), or that "
                "was not recorded; allow_unused=True returns None for it"
            )
        activation = is_activation(t._data)
        if g is None:
            results.append(None)
        elif create_graph:
            results.append(_in_order(g, activation))
        else:
            results.append(_unrecorded(g._data, activation, taken))
    return results[0] if single else results


def _in_order(g: Tensor, activation: bool) -> Tensor:
    """A recorded gradient in the order of its value; the conversion is recorded."""
    if as_order(g._data, activation) is g._data:
        return g
    return g.contiguous(activation)
