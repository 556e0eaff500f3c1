"""The base of all layers: parameters found by walking attributes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.autograd.sequences import Sequences
from sparsenn.autograd.tensor import wrap
from sparsenn.nn import summary
from sparsenn.ops import SparseBatch, as_input
from sparsenn.sparse import SparseParameter


@dataclass(frozen=True, slots=True)
class _Frozen:
    """How a module was before it was frozen."""

    batch: int
    variables: frozenset[str]  # attributes that are Tensors which took gradients
    training: bool


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

    #: Whether each output feature depends on the same input feature alone (True), or on
    #: others too (False); None if the module does not say.
    unitwise: ClassVar[bool | None] = None

    #: Whether synaptic flow passes unchanged: an activation, a norm, a dropout. Of such
    #: a module :mod:`sparsenn.pruning` leaves out what it does to a signal.
    transparent: ClassVar[bool] = False

    #: Whether its weights work in every step of a sequence, not once a sample.
    walks_steps: ClassVar[bool] = False

    training: bool = True

    _frozen: _Frozen | None = None

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
        return self.forward(self.accept(x))

    def accept(self, x: Any) -> Any:
        """What :meth:`forward` gets for a batch: what its layers can work on."""
        if isinstance(x, tuple):  # what a layer before gave, such as output and state
            return x
        x = as_input(x)
        if isinstance(x, Sequences):
            raise ValueError(
                f"{type(self).__name__} takes no sequences of different lengths; a "
                "recurrent layer (GRU, say) does"
            )
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
            frozen = module._frozen.variables if module._frozen else ()
            for name, value in vars(module).items():
                full = _join(prefix, name)
                if isinstance(value, SparseParameter):
                    value.name = full
                    yield full, value
                elif isinstance(value, Tensor) and (
                    value.requires_grad or name in frozen
                ):
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
        """Switches to training behaviour (dropout, batch statistics); returns self.

        Frozen parts of the module keep to evaluation behaviour.

        Raises
        ------
        RuntimeError
            If the module itself is frozen.
        """
        if mode and self._frozen:
            raise RuntimeError(
                f"this {type(self).__name__} is frozen for batches of "
                f"{self._frozen.batch} and cannot be trained; call unfreeze() first"
            )
        for _, module in self.named_modules():
            module.training = mode and module._frozen is None
        return self

    def eval(self) -> Module:
        """Switches to evaluation behaviour; returns self."""
        return self.train(False)

    @property
    def frozen(self) -> int | None:
        """The batch size that the module is frozen for, or None."""
        return self._frozen.batch if self._frozen else None

    def freeze(self, batch: int = 1) -> Module:
        """Makes this a model for inference, in place; returns self.

        Every sparse weight moves to the storage order that is best for the given batch
        size: for single samples plain CSR with two-byte columns (four bytes above
        65,536 features, one up to 256), which takes a fully connected layer about half
        the time of the order for training. Any other batch size still works. Parameters
        take no gradient, and the module switches to evaluation behaviour. Results stay
        equal up to rounding, and files have the same bytes.

        Full weights, and those of layers with ``sparse_input=True``, keep their order.
        Moving a weight costs about ten nanoseconds a connection, as much as some thirty
        products with one sample afterwards.

        Parameters
        ----------
        batch : int
            Samples at a time that are to be fast, at least 1. Above 32 the order is
            that for training.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        ValueError
            If batch is below 1.

        See Also
        --------
        unfreeze : Brings everything back.

        Notes
        -----
        To freeze a copy, ``copy.deepcopy(model).freeze()``. A part of a model may be
        frozen while the rest is trained: give the optimiser the parameters of the rest.
        """
        if isinstance(batch, bool) or not isinstance(batch, int | np.integer):
            raise ValueError(f"batch must be an integer of at least 1, got {batch!r}")
        if batch < 1:
            raise ValueError(f"batch must be an integer of at least 1, got {batch}")
        for _, parameter in self.named_parameters():
            if isinstance(parameter, SparseParameter):
                parameter.check_stored("frozen")
                parameter.check_ungated("frozen")
        modules = [module for _, module in self.named_modules()]
        # All are found before the first changes: a parameter may be in two modules.
        for module in modules:
            former = module._frozen
            module._frozen = _Frozen(
                int(batch),
                former.variables if former else _variables(module),
                former.training if former else module.training,
            )
        for _, parameter in self.named_parameters():
            if isinstance(parameter, SparseParameter):
                parameter.freeze(int(batch))
            else:
                parameter.retire_()
                parameter.requires_grad = False
        return self.eval()

    def unfreeze(self) -> Module:
        """Undoes :meth:`freeze`: parameters take gradients and are stored for training.

        The state that an optimiser had before it is valid again, and so is the
        behaviour (:meth:`train` or :meth:`eval`) that :meth:`freeze` found. Nothing
        happens to modules that are not frozen.
        """
        frozen = [m for _, m in self.named_modules() if m._frozen is not None]
        for module in frozen:
            was = module._frozen
            assert was is not None
            for name, value in vars(module).items():
                if isinstance(value, SparseParameter):
                    value.unfreeze()
                elif name in was.variables:
                    value.requires_grad = True
            module.training = was.training
            module._frozen = None
        return self

    def chain(self) -> list[SparseParameter]:
        """The sparse weights from input to output, if they form a chain.

        In a chain the inputs of a weight are what is made of the outputs of the one
        before, and of nothing else.

        Raises
        ------
        TypeError
            If the module does not say how its weights are connected. A model of your
            own that is a chain can define this method.
        """
        weights = [p for p in self.parameters() if isinstance(p, SparseParameter)]
        if weights:
            raise TypeError(
                f"{type(self).__name__} does not say how its {len(weights)} sparse "
                "weights are connected; use a Sequential, or define chain() if they "
                "follow one another"
            )
        return []

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of one sample that the module takes; None if it does not say."""
        return None

    @property
    def signal_shape(self) -> tuple[int, ...] | None:
        """Shape of a sample of ones that reaches every weight; None if it does not say.

        It tells :mod:`sparsenn.pruning` what synaptic flow starts from. A module that
        is not linear in a signal also has a method ``passes``, which takes and gives
        what `forward` does and is used in its place, and one that picks among its
        inputs a method ``paths``, which passes all of them.
        """
        return self.input_shape

    def select(self, features: np.ndarray) -> Module:
        """A copy of a unitwise module for some of its features.

        Parameters
        ----------
        features : ndarray of bool, shape (n_features,)
            Those that stay.
        """
        return copy.deepcopy(self)

    def compact(self) -> Module:
        """A copy of the model without its dead neurons.

        A hidden neuron without outgoing connections, or all of whose outgoing
        connections end in such neurons, goes. A neuron without incoming connections is
        constant: what it emits is added to the biases of the next layer, and it goes
        too. Inputs and outputs of the model all stay. In evaluation the copy computes
        the same function up to rounding; in training, dropout no longer hits what was
        constant, and batch statistics of constant neurons no longer move.

        Returns
        -------
        Module
            Smaller weights in new parameters, so it takes a new optimiser. This model
            stays as it is. Only neurons between ``Linear`` layers go: convolutions,
            recurrent layers and attention are copied.

        Raises
        ------
        TypeError
            If the model is not a :class:`Sequential` of layers, or has a module between
            two weights that does not say whether it is :attr:`unitwise`.
        RuntimeError
            If a part is frozen, virtual or gated.

        Notes
        -----
        Layers that are not unitwise (:class:`LayerNorm`, :class:`KWinners`) make every
        neuron before them matter: none of those is dead.
        """
        from sparsenn.nn.compact import compact

        return compact(self)

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

    def summary(self, input_shape: tuple[int, ...] | None = None) -> str:
        """A table of layers: shape, connections, density, multiplications, bytes.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Of one sample, which multiplications (MACs) are counted of; by default
            :attr:`input_shape`, or after an embedding the context of the model's
            positional encoding. Where neither says, they are left out.

        Notes
        -----
        Each connection is a multiplication wherever it is applied: at each pixel of a
        convolution's result, each step, each token. A sparse embedding uses the
        connections of a token, of all of them in the mean. Dense tables, and the
        products of attention itself (Q K^T and P V, which no density changes), are not
        counted. Bytes are of values and positions.
        """
        return summary.table(self, input_shape)

    def __repr__(self) -> str:
        """Class name and, for known layers, the constructor arguments."""
        try:
            arguments = ", ".join(f"{k}={v!r}" for k, v in self.config().items())
        except TypeError:
            arguments = ", ".join(f"{n}: {m!r}" for n, m in self.children())
        return f"{type(self).__name__}({arguments})"


def _variables(module: Module) -> frozenset[str]:
    """Names of the attributes that are Tensors which take gradients."""
    return frozenset(
        name
        for name, value in vars(module).items()
        if isinstance(value, Tensor) and value.requires_grad
    )


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
