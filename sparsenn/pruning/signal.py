"""A signal through a network of any shape: what it reaches, and what carries it.

Of a chain of weights products say that (`graph`, `flow`). Of any other model, with
convolutions, branches or shortcuts, a copy is run: its stored weights replaced by
magnitudes or by ones, its biases by zero, activations and norms by the identity, in
float64; the gradient of the sum of its outputs is what each connection carries. What
multiplies signals, as attention and gates do, adds them: every factor is a path.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from sparsenn.autograd import Tensor, enable_grad, grad
from sparsenn.sparse import SparseParameter

__all__ = ["Signal", "is_chain", "sample_shape"]


def is_chain(model: Any) -> bool:
    """Whether a model's weights follow one another as matrices, by its ``chain()``."""
    try:
        params = model.chain()
    except TypeError:
        return False
    return all(not param.kernel for param in params)


def sample_shape(model: Any, given: Sequence[int] | None = None) -> tuple[int, ...]:
    """Shape of the sample that is a signal: as given, or as the model says.

    Raises
    ------
    TypeError
        If neither does.
    """
    shape = getattr(model, "signal_shape", None) if given is None else given
    if shape is None:
        raise TypeError(
            f"{type(model).__name__} does not say how its {len(_weights(model))} "
            "sparse weights are connected, nor what it takes: give a Sequential, a "
            "model with a method chain(), or input_shape, the shape of one sample"
        )
    return tuple(int(n) for n in shape)


@final
class Signal:
    """A copy of a model that passes a signal and nothing else.

    Parameters
    ----------
    model : Module
        Its weights are stored; gates count as what they make of them.
    input_shape : sequence of int, optional
        Of one sample.
    every_path : bool
        Pass a signal wherever one can, see :attr:`sparsenn.nn.Module.signal_shape`.

    Attributes
    ----------
    total : float
        Sum of the outputs when `carried` was last asked.
    """

    def __init__(
        self,
        model: Any,
        input_shape: Sequence[int] | None = None,
        *,
        every_path: bool = False,
    ) -> None:
        shape = sample_shape(model, input_shape)
        self.total = 0.0
        self._x = Tensor(np.ones((1, *shape)))
        values = [p.effective() for p in _weights(model)]
        self._model = copy.deepcopy(model).eval()
        self.params = _weights(self._model)
        for param, magnitudes in zip(self.params, values, strict=True):
            param.gate = param.observer = param.factors = None
            param.set(param.pattern, np.abs(magnitudes).astype(np.float64))
        for _, module in self._model.named_modules():
            _pass_on(module, every_path)

    def carried(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What each connection carries: its value times the gradient of the outputs.

        Parameters
        ----------
        values : sequence of ndarray, shape (nnz,)
            Of each weight, not negative, in storage order.

        Returns
        -------
        list of ndarray of float64

        Raises
        ------
        OverflowError
            If it is not finite.
        """
        for param, array in zip(self.params, values, strict=True):
            param.values.assign_(array)
        variables = [param.values for param in self.params]
        with enable_grad():
            total = self._model(self._x).sum()
            self.total = float(total.item())
            if not math.isfinite(self.total):
                raise OverflowError(
                    "the signal is not finite in float64; scale the weights down"
                )
            found = grad(total, variables, allow_unused=True)
        return [
            np.zeros(array.size) if g is None else array * g.data
            for g, array in zip(found, values, strict=True)
        ]


def _weights(model: Any) -> list[SparseParameter]:
    """The stored weights, each once."""
    found = {id(p): p for p in model.parameters() if isinstance(p, SparseParameter)}
    for param in found.values():
        param.check_stored("followed by its connections")
    return list(found.values())


def _pass_on(module: Any, every_path: bool) -> None:
    """Leaves of a module what passes a signal on."""
    if module.transparent:
        module.forward = _identity
        return
    if hasattr(module, "passes"):
        module.forward, module.accept = module.passes, _identity
    if every_path and hasattr(module, "paths"):
        module.forward = module.paths
    for name, value in list(vars(module).items()):
        if isinstance(value, Tensor) and value.requires_grad:
            data = np.abs(value.data, dtype=np.float64)
            if "bias" in name:
                data[...] = 0
            setattr(module, name, Tensor(data))


def _identity(x: Any) -> Any:
    return x
