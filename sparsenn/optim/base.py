"""What every optimiser shares: parameters, their state, and topology changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.sparse import (
    SparseGradient,
    SparseParameter,
    SparsePattern,
    TopologyChange,
)

Parameter: TypeAlias = SparseParameter | Tensor


def values_of(parameter: Parameter) -> Tensor:
    """The tensor that an optimiser steps: a sparse weight's values, or the tensor.

    As they are: before their array is read, `SparseParameter.values` must have made
    them current.
    """
    return parameter.stored if isinstance(parameter, SparseParameter) else parameter


class Optimizer(ABC):
    """Steps parameters along their gradients.

    Parameters
    ----------
    params : iterable of SparseParameter or Tensor
        What to train, typically ``model.parameters()``.
    lr : float
        Learning rate; assign to :attr:`lr` to follow a schedule.

    Attributes
    ----------
    steps : int
        Steps taken so far.
    """

    #: Names of the state arrays, each of the shape of the parameter's values.
    per_weight: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Parameter], lr: float) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("the optimiser was given no parameters")
        for p in self.params:
            if not isinstance(p, SparseParameter | Tensor):
                raise TypeError(
                    f"a parameter is a SparseParameter or a Tensor, "
                    f"not {type(p).__name__}"
                )
            if isinstance(p, SparseParameter):
                p.check_trainable()
                p.check_stored("trained")
        if len({id(p) for p in self.params}) != len(self.params):
            raise ValueError("a parameter was given to the optimiser twice")
        check_number("lr", lr, minimum=0.0)
        self.lr = lr
        self.steps = 0
        self._state: dict[int, dict[str, np.ndarray]] = {}
        self._patterns: dict[int, SparsePattern] = {}  # that the state goes with

    def state(self, param: Parameter) -> dict[str, np.ndarray]:
        """State arrays of a parameter (live; zeros until its first step)."""
        state = self._state.get(id(param))
        if state is None:
            if not any(param is p for p in self.params):
                raise ValueError("this optimiser does not train the given parameter")
            data = values_of(param).data
            state = {name: np.zeros_like(data) for name in self.per_weight}
            self.put_state(param, state)
        return state

    def put_state(self, param: Parameter, state: dict[str, np.ndarray]) -> None:
        """Makes these the state arrays of a parameter as it is now."""
        self._state[id(param)] = state
        if isinstance(param, SparseParameter):
            self._patterns[id(param)] = param.pattern

    def step(self) -> None:
        """Updates every parameter that has a gradient, in place.

        Raises
        ------
        ValueError
            If a pattern was replaced and the state did not follow; or if a gradient
            has another shape than its parameter.
        """
        for param in self.params:
            if isinstance(param, SparseParameter) and self._state.get(id(param)):
                self._check_pattern(param)
        self.steps += 1
        for param in self.params:
            values = values_of(param)
            compact = values.compact_grad
            if compact is not None and self._update_columns(param, compact):
                values.touch()
                continue
            if (grad := values.grad) is None:
                continue
            if isinstance(param, SparseParameter):
                values = param.values
            gradient = grad.data
            if gradient.shape != values.data.shape:
                raise ValueError(
                    f"gradient of shape {gradient.shape} for values of shape "
                    f"{values.data.shape}; was the pattern changed after backward()?"
                )
            if gradient.strides != values.data.strides:
                ordered = np.empty_like(values.data)
                np.copyto(ordered, gradient)
                gradient = ordered
            self._update(values.data, gradient, self.state(param))
            values.touch()

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for param in self.params:
            values_of(param).grad = None

    def remap(self, param: Parameter, change: TopologyChange) -> None:
        """Carries the state of a parameter through a change of its pattern.

        Newborn connections start with zero state.
        """
        state = self._state.get(id(param))
        if state is not None:
            for name, array in state.items():
                state[name] = change.remap(array)
            self._patterns[id(param)] = change.new

    def _check_pattern(self, param: SparseParameter) -> None:
        known, now = self._patterns[id(param)], param.pattern
        if known is now:
            return
        if known.nnz != now.nnz or not np.array_equal(known.ranks(), now.ranks()):
            raise ValueError(
                f"the pattern of {param.name!r} was replaced, and the optimiser's "
                f"{', '.join(self.per_weight)} are of the old one; give the optimiser "
                "to what replaces it (optimizer=...), or make a new one"
            )
        self._patterns[id(param)] = now

    def waiting(self, param: Parameter) -> dict[str, np.ndarray]:
        """Copies of what a lazy optimiser has not yet done; empty if nothing waits.

        With `wait`, reading the values can be undone, to the bit.
        """
        return {}

    def wait(self, param: Parameter, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `waiting` gave, on the pattern of that moment.

        Raises
        ------
        ValueError
            If the arrays do not fit.
        """
        if arrays:
            raise ValueError(f"{type(self).__name__} lets no steps wait")

    def _update_columns(self, param: Parameter, gradient: SparseGradient) -> bool:
        """One step from the gradient of some columns, if the optimiser can.

        Otherwise the gradient is made dense, and `_update` takes it.
        """
        return False

    @abstractmethod
    def _update(
        self, values: np.ndarray, gradient: np.ndarray, state: dict[str, np.ndarray]
    ) -> None:
        """One step on the values of one parameter, in place."""


def check_number(
    name: str, value: float, *, minimum: float, below: float = float("inf")
) -> None:
    """Raises ValueError unless ``minimum <= value < below``."""
    if not minimum <= value < below:
        raise ValueError(f"{name} must be in [{minimum}, {below}), got {value}")
