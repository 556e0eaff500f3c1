"""Models without their dead neurons."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from sparsenn.autograd import Tensor, no_grad
from sparsenn.nn.container import Sequential
from sparsenn.nn.linear import Linear
from sparsenn.nn.module import Module
from sparsenn.sparse import SparsePattern, restrict


def compact(model: Module) -> Module:
    """Implement `Module.compact`."""
    leaves = list(_leaves(model))
    _check(leaves)
    at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Linear)]
    linears = [leaf for leaf in leaves if isinstance(leaf, Linear)]
    between = [leaves[a + 1 : b] for a, b in pairwise(at)]
    _check_between(between)
    constant, biases = _fold_constants(linears, between)
    used = _used(linears, between)
    # Features before the first weight, between weights, and after the last.
    ends = [np.ones(n, bool) for n in _ends(linears)]
    keeps = [ends[0], *(u & ~c for u, c in zip(used, constant, strict=True)), ends[1]]
    new: list[Module] = []
    number = 0
    for leaf in leaves:
        if isinstance(leaf, Linear):
            rows, columns = keeps[number + 1], keeps[number]
            new.append(_smaller(leaf, rows, columns, biases[number]))
            number += 1
        elif keeps[number].all():
            new.append(copy.deepcopy(leaf))
        else:
            new.append(leaf.select(keeps[number]))
    return _rebuilt(model, iter(new))


def _leaves(model: Module) -> Iterator[Module]:
    """The modules that are applied one after another."""
    if isinstance(model, Sequential):
        for module in model.layers:
            yield from _leaves(module)
    else:
        yield model


def _rebuilt(model: Module, leaves: Iterator[Module]) -> Module:
    """The same nesting of other leaves."""
    if not isinstance(model, Sequential):
        return next(leaves)
    new = Sequential(*(_rebuilt(module, leaves) for module in model.layers))
    new.training = model.training
    return new


def _check(leaves: list[Module]) -> None:
    linears = [leaf for leaf in leaves if isinstance(leaf, Linear)]
    if not linears:
        kinds = sorted({type(leaf).__name__ for leaf in leaves})
        raise TypeError(
            "compact() takes a Sequential with Linear layers, this is a model of "
            f"{', '.join(kinds) or 'nothing'}"
        )
    with_parameters = [id(leaf) for leaf in leaves if leaf.parameters()]
    if len(set(with_parameters)) < len(with_parameters):
        raise TypeError(
            "a layer with parameters is applied twice and cannot be made smaller in "
            "one place; use copies"
        )
    for leaf in leaves:
        if leaf.frozen is not None:
            raise RuntimeError("the model is frozen; call unfreeze() before compact()")
    for linear in linears:
        weight = linear.weight
        weight.check_stored("made smaller")
        weight.check_ungated("made smaller")


def _check_between(between: list[list[Module]]) -> None:
    for modules in between:
        for module in modules:
            if module.unitwise is None:
                raise TypeError(
                    f"{type(module).__name__} stands between two weights and does not "
                    "say whether its features depend on one another; set its class "
                    "attribute `unitwise` to True (each on itself alone) or False"
                )


def _ends(linears: list[Linear]) -> tuple[int, int]:
    return linears[0].weight.shape[1], linears[-1].weight.shape[0]


def _apart(modules: list[Module]) -> bool:
    """Whether no neuron here depends on another."""
    return all(module.unitwise for module in modules)


def _fold_constants(
    linears: list[Linear], between: list[list[Module]]
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Which hidden neurons are constant, and the biases that make up for them."""
    constant = np.zeros(linears[0].weight.shape[1], bool)
    emitted = np.zeros(0)
    constants, biases = [], []
    for number, linear in enumerate(linears):
        weight, bias = linear.weight, linear.bias
        rows, columns = weight.positions()
        from_constant = constant[columns]
        reached = np.zeros(weight.shape[0], bool)
        reached[rows[~from_constant]] = True
        total = np.zeros(weight.shape[0])
        if bias is not None:
            total += bias.data
        if from_constant.any():
            values = weight.values.data[from_constant].astype(np.float64)
            values *= emitted[columns[from_constant]]
            total += np.bincount(rows[from_constant], values, len(total))
        biases.append(total if bias is not None or from_constant.any() else None)
        if number < len(between):
            modules = between[number]
            constant = ~reached if _apart(modules) else np.zeros(len(total), bool)
            emitted = (
                _through(modules, total, weight.dtype) if constant.any() else total
            )
            constants.append(constant)
    return constants, biases


def _through(modules: list[Module], x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """What unitwise modules make of one sample in evaluation, as float64."""
    with no_grad():
        y = Tensor(np.asfortranarray(x[None], dtype))
        for module in modules:
            y = copy.deepcopy(module).eval()(y)
    return y.data[0].astype(np.float64)


def _used(linears: list[Linear], between: list[list[Module]]) -> list[np.ndarray]:
    """Which hidden neurons a path leads on from, to an output."""
    used = np.ones(linears[-1].weight.shape[0], bool)
    found = []
    for linear, modules in zip(linears[:0:-1], between[::-1], strict=True):
        rows, columns = linear.weight.positions()
        leads = used[rows]
        used = np.zeros(linear.weight.shape[1], bool)
        used[columns[leads]] = True
        if not _apart(modules):
            used[:] = True
        found.append(used)
    return found[::-1]


def _smaller(
    linear: Linear, rows: np.ndarray, columns: np.ndarray, bias: np.ndarray | None
) -> Linear:
    """The layer between the neurons that stay, with another bias."""
    old = linear.weight
    pattern, source = restrict(old.pattern, rows, columns)
    values = old.values.data[source]

    def given(
        pattern: SparsePattern, stream: object, dtype: np.dtype, slots: object
    ) -> np.ndarray:
        return values

    new = Linear(
        pattern.shape[1],
        pattern.shape[0],
        pattern=pattern,
        bias=bias is not None,
        init=given,
        seed=0,
        dtype=old.dtype,
        sparse_input=linear.sparse_input,
    )
    new.weight.initializer, new.weight.origin = old.initializer, None
    if bias is not None:
        trained = linear.bias is None or linear.bias.requires_grad
        new.bias = Tensor(bias[rows].astype(old.dtype), requires_grad=trained)
    new.training = linear.training
    return new
