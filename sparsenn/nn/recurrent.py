"""Recurrent layers with sparse weights: RNN, GRU, LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, final

import numpy as np

from sparsenn import ops
from sparsenn.autograd import Tensor
from sparsenn.autograd.sequences import Sequences, checked_lengths
from sparsenn.autograd.tensor import wrap
from sparsenn.nn import init
from sparsenn.nn.config import layer
from sparsenn.nn.dropout import Dropout
from sparsenn.nn.module import Module
from sparsenn.nn.weight import sparse_weight, without_origin
from sparsenn.ops.cells import CELLS
from sparsenn.ops.packing import Packing
from sparsenn.random import as_seed
from sparsenn.sizes import whole
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.sparse.parameter import Initializer

#: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
_UNIFORM = init.KaimingUniform(gain=3.0**-0.5)


class Recurrent(Module):
    """What RNN, GRU and LSTM have in common.

    Every layer and direction has a weight of its input and one of its hidden state,
    ``weight_ih_l0`` and ``weight_hh_l0``, with the gates stacked as PyTorch stacks
    them, and two biases; those of the backward direction end in ``_reverse``.

    Parameters
    ----------
    n_in, n_hidden : int
        Features of a step of the input, and of the hidden state.
    n_layers : int
        Each takes the outputs of the one before.
    bidirectional : bool
        Every layer also has a backward direction, and twice the outputs.
    density : float or None
        Connections over positions of every weight, see :class:`sparsenn.nn.Linear`;
        None makes them virtual.
    bias : bool
    dropout : float
        Probability, on the outputs of every layer but the last, while training.
    nnz : sequence of int, optional
        Exact connections of each weight of :meth:`shapes`, instead of `density`.
    patterns : sequence of SparsePattern, optional
        The connections themselves, instead of `density`.
    init : Initializer
        Of all weights. By default uniform within 1/sqrt(fan-in), of real connections:
        for a full weight of the hidden state this is PyTorch's. Biases are 0.
    seed : int, numpy.random.Generator or None
        Of connections, values and dropout.
    number : int
        Number of the first weight in its model; the others follow.
    dtype : float32 or float64
    """

    walks_steps: ClassVar[bool] = True

    n_gates: ClassVar[int]
    n_states: ClassVar[int]

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_layers: int = 1,
        *,
        bidirectional: bool = False,
        density: float | None = 1.0,
        bias: bool = True,
        dropout: float = 0.0,
        nnz: Sequence[int] | None = None,
        patterns: Sequence[SparsePattern] | None = None,
        init: Initializer = _UNIFORM,
        seed: int | np.random.Generator | None = None,
        number: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        shapes = self.shapes(n_in, n_hidden, n_layers, bidirectional)
        for name, given in (("nnz", nnz), ("patterns", patterns)):
            if given is not None and len(given) != len(shapes):
                raise ValueError(
                    f"{name} has {len(given)} entries, the layers have {len(shapes)} "
                    f"weights, of shapes {shapes}"
                )
        seed, dtype = as_seed(seed), np.dtype(dtype)
        self.n_in, self.n_hidden, self.n_layers = map(int, (n_in, n_hidden, n_layers))
        self.seed, self.number = seed, number
        self.bidirectional, self.bias = bool(bidirectional), bool(bias)
        self.dropout = dropout
        for i, shape in enumerate(shapes):
            weight = sparse_weight(
                shape,
                density,
                nnz=None if nnz is None else nnz[i],
                pattern=None if patterns is None else patterns[i],
                init=init,
                seed=seed,
                number=number + i,
                dtype=dtype,
            )
            setattr(self, f"weight_{_suffix(i, bidirectional)}", weight)
            if bias:
                zeros = Tensor(np.zeros(shape[0], dtype), requires_grad=True)
                setattr(self, f"bias_{_suffix(i, bidirectional)}", zeros)
        self.dropouts = [
            Dropout(dropout, seed=seed, number=number + i) for i in range(n_layers - 1)
        ]

    @classmethod
    def shapes(
        cls, n_in: int, n_hidden: int, n_layers: int = 1, bidirectional: bool = False
    ) -> list[tuple[int, int]]:
        """Shapes of the weights: of input and hidden state, by direction, by layer."""
        n_in, n_hidden = whole("n_in", n_in, 0), whole("n_hidden", n_hidden)
        directions = 2 if bidirectional else 1
        found = []
        for number in range(whole("n_layers", n_layers)):
            width = n_hidden * directions if number else n_in
            rows = cls.n_gates * n_hidden
            found += [(rows, width), (rows, n_hidden)] * directions
        return found

    @property
    def cell(self) -> str:
        """What a step does, a key of :data:`sparsenn.ops.cells.CELLS`."""
        return type(self).__name__.lower()

    def __call__(self, x: Any, lengths: Any = None, state: Any = None) -> Any:
        """Applies the layers to a batch of sequences, see :meth:`forward`."""
        return self.forward(self.accept(x), lengths, state)

    def accept(self, x: Any) -> Any:
        """Tensors and Sequences as they are, arrays as Tensors."""
        if isinstance(x, Tensor | Sequences):
            return x
        # In the order in which it lies: tokens are gathered from it in any case.
        x = np.asarray(x)
        return wrap(x if x.dtype == np.float64 else x.astype(np.float32, copy=False))

    # A layer with a state returns it too.
    def forward(  # type: ignore[override]
        self, x: Any, lengths: Any = None, state: Any = None
    ) -> tuple[Tensor, Any]:
        """Outputs of every step, and the state after each sequence's last step.

        Parameters
        ----------
        x : Tensor, ndarray or Sequences, shape (batch, time, n_in)
        lengths : array_like of int, shape (batch,), optional
            Steps of each sequence, in any order; by default all are full. What is past
            an end is not computed. Sequences have their own.
        state : Tensor or ndarray, shape (directions, batch, n_hidden), optional
            Before the first step, of each direction of each layer; 0 by default. An
            LSTM takes a pair of them: of the hidden state and of its cells.

        Returns
        -------
        outputs : Tensor, shape (batch, time, n_hidden), or twice as wide in two
            directions
            Of the last layer; 0 past the end of a sequence.
        state : Tensor, shape (directions, batch, n_hidden), or a pair of them
            After the last step of each sequence; after its first in the backward
            direction.

        Raises
        ------
        ValueError
            If a shape or a length does not fit.
        """
        if isinstance(x, Sequences):
            if lengths is not None:
                raise ValueError("lengths were given, but Sequences have their own")
            x, lengths = wrap(x.values), x.lengths
        if x.ndim != 3 or x.shape[2] != self.n_in or not x.size:
            raise ValueError(
                f"{type(self).__name__} takes (batch, time, {self.n_in}) with at least "
                f"one step, got shape {x.shape}"
            )
        packing = Packing(checked_lengths(lengths, x.shape), x.shape[1])
        first = self._first_states(state, packing)
        tokens = packing.pack(x)
        directions = 2 if self.bidirectional else 1
        last: list[Tensor] = []
        for number in range(self.n_layers):
            outputs = []
            for backward in range(directions):
                states = self._run(
                    tokens, number * directions + backward, first, packing
                )
                last.append(ops.take(states, packing.last))
                output = states[:, : self.n_hidden]
                outputs.append(
                    ops.take(output, packing.reverse) if backward else output
                )
            tokens = ops.concatenate(outputs, 1) if self.bidirectional else outputs[0]
            if number + 1 < self.n_layers:
                tokens = self.dropouts[number].forward(tokens)
        return packing.unpack(tokens), self._last_states(last)

    @property
    def signal_shape(self) -> tuple[int, ...]:
        """Two steps, so that what one hands to the next carries something."""
        return 2, self.n_in

    def passes(self, x: Tensor, lengths: Any = None, state: Any = None) -> Any:
        """A signal, as `forward` takes and gives it: a state is the sum of its gates.

        States start from 0, and all that an LSTM keeps is its hidden state.
        """
        steps = [x[:, t] for t in range(x.shape[1])]
        last: list[Tensor] = []
        directions = 2 if self.bidirectional else 1
        for number in range(self.n_layers):
            walks = []
            for backward in range(directions):
                states = self._passed(
                    steps[::-1] if backward else steps, number * directions + backward
                )
                last.append(states[-1])
                walks.append(states[::-1] if backward else states)
            steps = [
                ops.concatenate(list(states), 1) for states in zip(*walks, strict=True)
            ]
        kept = [ops.concatenate([state] * self.n_states, 1) for state in last]
        return ops.stack(steps, 1), self._last_states(kept)

    def _passed(self, steps: list[Tensor], number: int) -> list[Tensor]:
        """States of one direction of one layer, for :meth:`passes`."""
        of_input, of_hidden = (
            getattr(self, f"weight_{_suffix(2 * number + i, self.bidirectional)}")
            for i in (0, 1)
        )
        states: list[Tensor] = []
        for step in steps:
            gates = ops.linear(step, of_input)
            if states:
                gates = gates + ops.linear(states[-1], of_hidden)
            n = self.n_hidden
            parts = [gates[:, i * n : (i + 1) * n] for i in range(self.n_gates)]
            states.append(sum(parts[1:], start=parts[0]))
        return states

    def _run(
        self, tokens: Tensor, number: int, first: list[Any], packing: Packing
    ) -> Tensor:
        """States of one direction of one layer, in the order in which it walks."""
        of_input, of_hidden = (
            _suffix(2 * number + i, self.bidirectional) for i in (0, 1)
        )
        if self.bidirectional and number % 2:
            tokens = ops.take(tokens, packing.reverse)
        weight: SparseParameter = getattr(self, f"weight_{of_hidden}")
        return ops.recurrence(
            ops.linear(
                tokens,
                getattr(self, f"weight_{of_input}"),
                getattr(self, f"bias_{of_input}", None),
            ),
            weight,
            getattr(self, f"bias_{of_hidden}", None),
            first[number],
            cell=self.cell,
            packing=packing,
        )

    def _first_states(self, state: Any, packing: Packing) -> list[Any]:
        """One of shape (batch, states * n_hidden) for each direction."""
        count = self.n_layers * (2 if self.bidirectional else 1)
        batch = packing.shape[0]
        dtype = self.weight_ih_l0.dtype  # type: ignore[attr-defined]
        if state is None:
            zeros = np.zeros((self.n_states * self.n_hidden, batch), dtype).T
            return [zeros] * count
        parts = [state] if self.n_states == 1 else list(state)
        parts = [part if isinstance(part, Tensor) else Tensor(part) for part in parts]
        wanted = (count, batch, self.n_hidden)
        if len(parts) != self.n_states or any(part.shape != wanted for part in parts):
            raise ValueError(
                f"the state of this {type(self).__name__} is "
                f"{'a pair of' if self.n_states == 2 else 'of'} shape {wanted}, got "
                + " and ".join(str(part.shape) for part in parts)
            )
        return [
            ops.take(
                ops.concatenate([part[i].astype(dtype) for part in parts], 1),
                packing.order,
            )
            for i in range(count)
        ]

    def _last_states(self, last: list[Tensor]) -> Any:
        """As a user gives and gets them."""
        n = self.n_hidden
        found = [
            ops.stack([states[:, i * n : (i + 1) * n] for states in last])
            for i in range(self.n_states)
        ]
        return found[0] if self.n_states == 1 else tuple(found)

    def config(self) -> dict[str, Any]:
        """Sizes, directions and dropout; connections are saved by themselves."""
        return {
            "n_in": self.n_in,
            "n_hidden": self.n_hidden,
            "n_layers": self.n_layers,
            "bidirectional": self.bidirectional,
            "bias": self.bias,
            "dropout": self.dropout,
            "seed": self.seed,
            "number": self.number,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Recurrent:
        """Layers of the given sizes with no connections."""
        sizes = {k: config[k] for k in ("n_in", "n_hidden", "n_layers")}
        shapes = cls.shapes(**sizes, bidirectional=config["bidirectional"])
        return without_origin(cls(**config, nnz=[0] * len(shapes)))


def _suffix(number: int, bidirectional: bool) -> str:
    """How PyTorch names the weight of a number in :meth:`Recurrent.shapes`."""
    direction, of = divmod(number, 2)
    layer_, backward = divmod(direction, 2) if bidirectional else (direction, 0)
    return f"{('ih', 'hh')[of]}_l{layer_}{'_reverse' if backward else ''}"


@final
@layer
class RNN(Recurrent):
    """Elman's layer: ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``.

    Parameters
    ----------
    *sizes, **options
        As of :class:`Recurrent`.
    relu : bool
        ReLU in place of tanh.

    References
    ----------
    Elman, "Finding structure in time", 1990.
    """

    n_gates = n_states = 1

    def __init__(self, *sizes: int, relu: bool = False, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.relu = bool(relu)

    @property
    def cell(self) -> str:
        """``rnn-tanh`` or ``rnn-relu``."""
        return "rnn-relu" if self.relu else "rnn-tanh"

    def config(self) -> dict[str, Any]:
        """Sizes, directions, dropout and the activation."""
        return {**super().config(), "relu": self.relu}


@final
@layer
class GRU(Recurrent):
    """Gated recurrent units; gates r, z, n stacked in this order.

    ``r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)``, z alike,
    ``n = tanh(W_in x + b_in + r * (W_hn h + b_hn))``, ``h' = (1 - z) * n + z * h``.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder",
    arXiv:1406.1078, with the reset gate behind the product as in cuDNN and PyTorch.
    """

    n_gates = CELLS["gru"].gates
    n_states = CELLS["gru"].states


@final
@layer
class LSTM(Recurrent):
    """Long short-term memory; gates i, f, g, o stacked in this order.

    With ``a = W_ih x + b_ih + W_hh h + b_hh``:
    ``c' = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g)``,
    ``h' = sigmoid(a_o) * tanh(c')``.

    References
    ----------
    Hochreiter & Schmidhuber, "Long short-term memory", 1997; Gers et al., "Learning to
    forget", 2000.
    """

    n_gates = CELLS["lstm"].gates
    n_states = CELLS["lstm"].states


def _given(module: Module, x: Any) -> tuple[Tensor, Any]:
    """Outputs and state, if x is what a recurrent layer returns."""
    if not isinstance(x, tuple):
        raise TypeError(
            f"{type(module).__name__} takes the outputs and state that a RNN, GRU or "
            f"LSTM returns, got a {type(x).__name__} of shape {x.shape}"
        )
    outputs, state = x
    return outputs, state


@final
@layer
class Outputs(Module):
    """The outputs of a recurrent layer without its state.

    It follows RNN, GRU or LSTM in a :class:`Sequential`.
    """

    def forward(self, x: Any) -> Tensor:
        """Of every step: shape (batch, time, features).

        Parameters
        ----------
        x : tuple
            What a recurrent layer returns.
        """
        return _given(self, x)[0]

    def config(self) -> dict[str, Any]:
        """Nothing."""
        return {}


@final
@layer
class FinalState(Module):
    """The hidden state that a recurrent layer ends with, as features of a sample.

    It follows RNN, GRU or LSTM in a :class:`Sequential`.
    """

    def forward(self, x: Any) -> Tensor:
        """Of the last layer: shape (batch, n_hidden), both directions side by side.

        Parameters
        ----------
        x : tuple
            What a recurrent layer returns.
        """
        outputs, state = _given(self, x)
        hidden = state[0] if isinstance(state, tuple) else state
        directions = outputs.shape[2] // hidden.shape[2]
        parts = [hidden[i - directions] for i in range(directions)]
        return ops.contiguous(
            ops.concatenate(parts, 1) if directions == 2 else parts[0]
        )

    def config(self) -> dict[str, Any]:
        """Nothing."""
        return {}
