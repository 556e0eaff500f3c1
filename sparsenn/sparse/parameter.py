"""A trainable sparse weight: a pattern and one value for each of its positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.random import Stream
from sparsenn.sparse.change import TopologyChange
from sparsenn.sparse.gradient import SparseGradient
from sparsenn.sparse.origin import Origin
from sparsenn.sparse.pattern import SparsePattern
from sparsenn.sparse.virtual import VirtualWeight

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Initializer: TypeAlias = Callable[
    [SparsePattern, Stream, np.dtype, np.ndarray | None], np.ndarray
]
"""(pattern, stream, dtype, slots or None) -> values of those slots (None: of all)."""


class Behind(Protocol):
    """What a lazy optimiser has not yet done to a parameter's values."""

    def catch_up(self, param: SparseParameter, columns: np.ndarray | None) -> None:
        """Does it, to some columns (int32, ascending) or to all."""


class Gate(Protocol):
    """What a weight's values pass through before they are used."""

    def __call__(self, values: Tensor) -> Tensor:
        """The effective values, shape (nnz,), differentiable, storage order."""

    def carry(self, change: TopologyChange) -> None:
        """Follows a change of the pattern."""


@final
class SparseParameter:
    """A sparse (n_out, n_in) weight that an optimiser trains.

    Everything elementwise on a weight (decay, magnitudes, clipping, optimiser state) is
    plain 1-D work on :attr:`values`.

    Parameters
    ----------
    pattern : SparsePattern
        Where the connections are, shape (n_out, n_in).
    values : ndarray or Tensor, shape (nnz,)
        Their values in storage order, float32 or float64.
    name : str
    initializer : callable or None
        The distribution that the values came from; newborn connections may be drawn
        from it again.
    origin : Origin or None
        What the initializer drew from, for :meth:`initial_values`.

    Attributes
    ----------
    values : Tensor, shape (nnz,)
        In storage order: ``positions()`` gives the matching rows and columns. Whoever
        reads them gets them current, after a lazy optimiser too; a tensor that was
        taken before its step may not be.
    behind : Behind or None
        What is to be done before the values are read; an optimiser sets it.
    factors : list of (ndarray, ndarray or SparseBatch), or None
        While a list, every backward pass appends the factors ``(dy, x)`` of the
        weight's gradient ``dy.T @ x``, for growth by gradient
        (:class:`sparsenn.ops.OuterSum`). None, the default, keeps nothing.
    gate : Gate or None
        Layers use ``gate(values)`` in place of the values, and gradients flow through
        it. It follows `replace`; `set` to another pattern removes it. Whoever set it
        folds it into the values in the end: a gated weight is neither frozen nor saved.
    observer : callable or None
        Gets every batch that a layer multiplies with the weight, a Tensor or a
        SparseBatch.
    kernel : tuple of int
        Extents of a convolution's kernel, whose taps the columns run through for each
        input channel: (n_out, n_in * height * width). Empty of any other weight.
    frozen : int or None
        The batch size that the weight is frozen for, see :meth:`freeze`.
    virtual : VirtualWeight or None
        The weight itself while it is virtual, see :meth:`from_virtual`.
    """

    __slots__ = (
        "_pattern",
        "_values",
        "behind",
        "factors",
        "frozen",
        "gate",
        "initializer",
        "kernel",
        "name",
        "observer",
        "origin",
        "virtual",
    )

    def __init__(
        self,
        pattern: SparsePattern,
        values: np.ndarray | Tensor,
        name: str = "",
        initializer: Initializer | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.name = name
        self.initializer = initializer
        self.origin = origin
        self.observer: Callable[[Any], None] | None = None
        self.factors: list[tuple[np.ndarray, Any]] | None = None
        self.gate: Gate | None = None
        self.frozen: int | None = None
        self.kernel: tuple[int, ...] = ()
        self.behind: Behind | None = None
        self.virtual: VirtualWeight | None = None
        self._pattern: SparsePattern | None = pattern
        self.set(pattern, values)

    @classmethod
    def from_virtual(
        cls, weight: VirtualWeight, name: str = "", origin: Origin | None = None
    ) -> SparseParameter:
        """A parameter with a connection at every position, none of them stored.

        It can be multiplied with and gives gradients as :attr:`factors`; its `values`
        are an empty tensor, for the tape. It becomes an ordinary parameter when
        :mod:`sparsenn.pruning`, or :meth:`materialize`, says what it keeps, and cannot
        be trained, saved or frozen before.

        Parameters
        ----------
        weight : VirtualWeight
        name : str
        origin : Origin, optional
        """
        new = cls.__new__(cls)
        for slot in cls.__slots__:
            setattr(new, slot, None)
        new.name, new.initializer, new.origin = name, weight.initializer, origin
        new.kernel = ()
        new.virtual = weight
        new._values = Tensor(np.zeros(0, weight.dtype), requires_grad=True)
        return new

    def materialize(self, indptr: np.ndarray, indices: np.ndarray) -> None:
        """Ends being virtual: some positions stay, with their own values.

        Parameters
        ----------
        indptr : ndarray of int, shape (n_out + 1,)
        indices : ndarray of int, shape (nnz,)
            What stays, as canonical CSR; nnz below 2**31.

        Raises
        ------
        RuntimeError
            If the weight is not virtual.
        """
        weight = self.virtual
        if weight is None:
            raise RuntimeError(
                f"weight {self.name!r} is not virtual, it has connections; replace() "
                "changes them"
            )
        pattern = weight.pattern(indptr, indices)
        self._put(pattern, pattern.from_canonical(weight.at(indptr, indices)))

    def check_stored(self, done: str) -> None:
        """Raises RuntimeError if the weight is virtual; `done` is what cannot be."""
        if self.virtual is not None:
            raise RuntimeError(
                f"weight {self.name!r} is virtual ({self.shape[0]} x {self.shape[1]}, "
                f"none of it stored) and cannot be {done}; first say what it keeps, by "
                "a function of sparsenn.pruning or by materialize()"
            )

    def set(self, pattern: SparsePattern, values: np.ndarray | Tensor) -> None:
        """Replaces pattern and values together; the gradient is forgotten.

        Going backward through a graph that was recorded before then raises.

        Raises
        ------
        RuntimeError
            If the weight is frozen.
        """
        self.check_trainable()
        self._put(pattern, values)

    def _put(self, pattern: SparsePattern, values: np.ndarray | Tensor) -> None:
        data = values.data if isinstance(values, Tensor) else np.asarray(values)
        if data.dtype not in (np.float32, np.float64):
            raise TypeError(f"values must be float32 or float64, got {data.dtype}")
        if data.shape != (pattern.nnz,):
            raise ValueError(
                f"values have shape {data.shape}, the pattern has nnz={pattern.nnz}"
            )
        if hasattr(self, "_values"):
            self.values.retire_()  # current, so that the optimiser's state is too
            if pattern is not self._pattern:
                self.gate = None
        self._pattern, self.virtual = pattern, None
        trained = self.frozen is None
        self._values = Tensor(np.ascontiguousarray(data), requires_grad=trained)

    def freeze(self, batch: int = 1) -> None:
        """Stores the weight as forward products like it best, and takes no gradient.

        See :meth:`sparsenn.nn.Module.freeze`. A gradient is forgotten, and the storage
        order may change.

        Parameters
        ----------
        batch : int
            Samples that the products will mostly have, at least 1.
        """
        self.check_stored("frozen")
        self.check_ungated("frozen")
        self._store_for(batch)

    def check_ungated(self, done: str) -> None:
        """Raises RuntimeError if the weight has a gate; `done` is what cannot be."""
        if self.gate is not None:
            raise RuntimeError(
                f"weight {self.name!r} has gates that are still trained and cannot be "
                f"{done}; call finish() of the topology updater first, which leaves "
                "an ordinary weight"
            )

    def unfreeze(self) -> None:
        """Stores the weight for training again; nothing if it is not frozen."""
        if self.frozen is not None:
            self._store_for(None)

    def _store_for(self, batch: int | None) -> None:
        change = self.pattern.stored_for(batch)
        self.frozen = batch
        if change is None:
            self._put(self.pattern, self.values)
        else:
            self._put(change.new, change.remap(self.values.data))

    def check_trainable(self) -> None:
        """Raises RuntimeError if the weight is frozen."""
        if self.frozen is not None:
            raise RuntimeError(
                f"weight {self.name!r} is frozen for batches of {self.frozen} and "
                "cannot be trained or replaced; call unfreeze() of the model first"
            )

    @property
    def knows_origin(self) -> bool:
        """Whether :meth:`initial_values` can draw them again."""
        return self.origin is not None and self.initializer is not None

    def initial_values(self) -> np.ndarray:
        """What the present connections' values were at the start, drawn again.

        Returns
        -------
        ndarray, shape (nnz,)
            In storage order. Exactly the first values where the weight started with
            every position, however it was pruned since, and where its pattern is still
            its first one; otherwise scaled by the connections that there are now.

        Raises
        ------
        RuntimeError
            If nothing says what they were drawn from, as in a model read from a file.
        """
        if self.origin is None or self.initializer is None:
            raise RuntimeError(
                f"weight {self.name!r} does not know what its first values were drawn "
                "from (it was read from a file, or built from values); give the values "
                "themselves"
            )
        return self.draw(self.origin.stream)

    def draw(self, stream: Stream) -> np.ndarray:
        """Values for the present connections from the initializer.

        Parameters
        ----------
        stream : Stream

        Returns
        -------
        ndarray, shape (nnz,)
            In storage order. Scaled as the first ones were: for every position if the
            weight started with all of them, else by the connections that there are.

        Raises
        ------
        RuntimeError
            If the weight has no initializer.
        """
        if self.initializer is None:
            raise RuntimeError(
                f"weight {self.name!r} has no initializer to draw from; assign one of "
                "nn.init to its attribute `initializer`"
            )
        dtype, pattern = self.dtype, self.pattern
        if self.origin is None or not self.origin.full or pattern.is_full:
            return self.initializer(pattern, stream, dtype, None)
        if hasattr(self.initializer, "law"):
            full = VirtualWeight(pattern.shape, self.initializer, stream, dtype)
            return full.at_ranks(pattern.ranks())
        everywhere = SparsePattern.full(pattern.shape)
        return self.initializer(everywhere, stream, dtype, pattern.ranks())

    def replace(self, change: TopologyChange, values: np.ndarray | None = None) -> None:
        """Moves to the new pattern of a change.

        Parameters
        ----------
        change : TopologyChange
            Its old pattern must be this parameter's.
        values : ndarray, shape (change.new.nnz,), optional
            Values on the new pattern; by default survivors keep theirs and newborns
            are 0. A gradient is carried along, 0 for newborns.
        """
        self.check_stored("changed")
        if change.old is not self._pattern:
            raise ValueError(
                f"the change is of {change.old!r}, but parameter {self.name!r} has "
                f"{self._pattern!r}"
            )
        gradient, gate = self.grad, self.gate
        self.set(
            change.new, change.remap(self.values.data) if values is None else values
        )
        if gate is not None:
            gate.carry(change)
            self.gate = gate
        if gradient is not None:
            self.values.grad = Tensor(change.remap(gradient.data))

    @property
    def values(self) -> Tensor:
        """The values, all of them current."""
        if self.behind is not None:
            self.behind.catch_up(self, None)
            self.behind = None
        return self._values

    def values_for(self, columns: np.ndarray) -> Tensor:
        """The values, of which only those of the given columns must be current.

        Parameters
        ----------
        columns : ndarray of int32
            Ascending.
        """
        if self.behind is not None:
            self.behind.catch_up(self, columns)
        return self._values

    def effective(self) -> np.ndarray:
        """What products use: the values, or what the gate makes of them."""
        values = self.values
        return values.data if self.gate is None else self.gate(values.detach()).data

    @property
    def stored(self) -> Tensor:
        """The values as they are, current or not; for optimisers."""
        return self._values

    @property
    def pattern(self) -> SparsePattern:
        """Where the connections are.

        Raises
        ------
        RuntimeError
            If the weight is virtual: no positions are stored, it has them all.
        """
        if self._pattern is None:
            self.check_stored("used by its pattern")
        return cast(SparsePattern, self._pattern)

    @property
    def grad(self) -> Tensor | SparseGradient | None:
        """Gradient of the values, storage order, or None.

        A SparseGradient after sparse batches alone, if the pattern is stored by
        column; ``values.grad`` turns it into an ordinary tensor for good. ``data`` of
        either is the gradient of every connection.
        """
        return self._values.compact_grad or self._values.grad

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return self.pattern.shape if self.virtual is None else self.virtual.shape

    @property
    def axes(self) -> tuple[int, ...]:
        """(n_out, n_in) and the kernel's extents, as Erdos-Renyi allocations ask."""
        n_out, n_columns = self.shape
        return n_out, n_columns // max(math.prod(self.kernel), 1), *self.kernel

    @property
    def nnz(self) -> int:
        """Number of connections; of a virtual weight, of positions."""
        return self.pattern.nnz if self.virtual is None else self.virtual.size

    @property
    def density(self) -> float:
        """Connections over positions."""
        return self.pattern.density if self.virtual is None else 1.0

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return self._values.data.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of values and positions."""
        stored = self.pattern if self.virtual is None else self.virtual
        return self._values.data.nbytes + stored.nbytes

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns (int32) in the order of :attr:`values`."""
        return self.pattern.positions()

    def to_scipy(self) -> csr_array:
        """The weight as a canonical ``scipy.sparse.csr_array`` (a copy)."""
        return self.pattern.to_scipy(self.values.data)

    def __getstate__(self) -> dict[str, Any]:
        current = self.values
        state = {name: getattr(self, name) for name in self.__slots__}
        return state | {"_values": current, "behind": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        """Name, shape, connections and dtype."""
        name = f"{self.name!r}, " if self.name else ""
        if self.virtual is not None:
            return f"SparseParameter({name}shape={self.shape}, virtual, {self.dtype})"
        return (
            f"SparseParameter({name}shape={self.shape}, nnz={self.nnz}, "
            f"density={self.density:.4g}, {self.dtype})"
        )
