"""The base of all layers: parameters found by walking attributes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.autograd.tensor import wrap
from sparsenn.nn import summary
from sparsenn.ops import SparseBatch, as_input
from sparsenn.sparse import SparseParameter


class Module(ABC):
    """A layer or a model.

    A subclass sets its parameters (:class:`SparseParameter`, or :class:`Tensor` with
    ``requires_grad``), buffers and sub-modules (also in lists) as attributes and
    defines :meth:`forward`. There is nothing to register: attributes are walked in the
    order in which they were set.
    """

    #: Names of attributes that are arrays to save but not to train.
    buffers: ClassVar[tuple[str, ...]] = ()

    #: Whether :meth:`forward` can be given a :class:`sparsenn.ops.SparseBatch`.
    takes_sparse: ClassVar[bool] = False

    training: bool = True

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The output for a batch; sample axes first."""

    def __call__(self, x: Any) -> Tensor:
        """Applies the module to a batch.

        Parameters
        ----------
        x : Tensor, ndarray or scipy sparse array, shape (batch, ...)
            Arrays become Tensors with the sample axis fastest in memory. A sparse batch
            becomes a :class:`sparsenn.ops.SparseBatch` if the module
            :attr:`takes_sparse`; any other module gets it made dense.
        """
        return self.forward(self.accept(as_input(x)))

    def accept(self, x: Tensor | SparseBatch) -> Any:
        """What :meth:`forward` may get for a batch."""
        if isinstance(x, SparseBatch) and not self.takes_sparse:
            return wrap(x.to_dense())
        return x

    def children(self) -> Iterator[tuple[str, Module]]:
        """Direct sub-modules with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple):
                for i, item in enumerate(value):
                    if isinstance(item, Module):
                        yield f"{name}.{i}", item

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, depth first, with dotted names."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(_join(prefix, name))

    def named_parameters(self) -> Iterator[tuple[str, SparseParameter | Tensor]]:
        """All parameters with dotted names, which sparse ones also remember."""
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                full = _join(prefix, name)
                if isinstance(value, SparseParameter):
                    value.name = full
                    yield full, value
                elif isinstance(value, Tensor) and value.requires_grad:
                    yield full, value

    def parameters(self) -> list[SparseParameter | Tensor]:
        """All parameters."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """All buffers (live arrays) with dotted names."""
        for prefix, module in self.named_modules():
            for name in module.buffers:
                yield _join(prefix, name), getattr(module, name)

    def train(self, mode: bool = True) -> Module:
        """Switches to training behaviour (dropout, batch statistics); returns self."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switches to evaluation behaviour; returns self."""
        return self.train(False)

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON values, that rebuild the structure."""
        raise TypeError(
            f"{type(self).__name__} does not describe itself; to load a file into it, "
            "build it first and pass it as `into`"
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Module:
        """Builds the structure that :meth:`config` described."""
        return cls(**config)

    def summary(self) -> str:
        """A table of layers: shape, connections, density, bytes."""
        return summary.table(self)

    def __repr__(self) -> str:
        """Class name and, for known layers, the constructor arguments."""
        try:
            arguments = ", ".join(f"{k}={v!r}" for k, v in self.config().items())
        except TypeError:
            arguments = ", ".join(f"{n}: {m!r}" for n, m in self.children())
        return f"{type(self).__name__}({arguments})"


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
