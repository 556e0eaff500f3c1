"""What one step of a recurrent layer does, and the slopes of it.

A cell makes the next state from ``p``, the projected input, ``q``, the projected hidden
state, and the state before. Both projections hold the gates side by side, as many as
the cell has, each as wide as the hidden state; a state holds the hidden state and, of
an LSTM, the cell state after it.

`step` and `back` work on the arrays of one step, which fit the cache: forward, and its
derivative where nothing is recorded. The same derivative is written in operations, for
all tokens at once: `slopes` are its factors, `to_hidden` and `to_input` take the
gradient of the new state to those of q and of the state before, and to that of p. Both
are linear in the gradient.
"""

from __future__ import annotations

from typing import Any, Protocol, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.autograd.array import empty
from sparsenn.autograd.tensor import wrap
from sparsenn.ops.elementwise import sigmoid, tanh
from sparsenn.ops.elementwise import sigmoid_array as _sigmoid
from sparsenn.ops.shape import concatenate

__all__ = ["CELLS", "Cell"]

Slopes = tuple[Tensor, ...]


class Cell(Protocol):
    """A kind of recurrent layer.

    Attributes
    ----------
    gates : int
        Blocks of rows of its weights.
    states : int
        Vectors of its state.
    apart : bool
        Whether the gradients of p and q differ.
    """

    gates: int
    states: int
    apart: bool

    def step(self, p: np.ndarray, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        """The next state, shape (batch, states * hidden)."""

    def back(
        self,
        d: np.ndarray,
        p: np.ndarray,
        q: np.ndarray,
        s: np.ndarray,
        new: np.ndarray,
        dp: np.ndarray,
        dq: np.ndarray,
    ) -> np.ndarray | None:
        """From the gradient d of the new state: writes those of p and q to dp and dq.

        Returns that of the state before, except through q; of an LSTM that of its cell.
        Where p and q have one gradient, `dp` and `dq` are one array.
        """

    def slopes(self, p: Tensor, q: Tensor, s: Tensor, new: Tensor) -> Slopes:
        """Factors of the derivative, a row for each token."""

    def to_hidden(self, d: Tensor, slopes: Slopes) -> tuple[Tensor, Tensor | None]:
        """Gradients of q, and of the state before except through q."""

    def to_input(self, d: Tensor, dq: Tensor, slopes: Slopes) -> Tensor:
        """Gradient of p, given that of q."""


def _split(x: Any, parts: int) -> list[Any]:
    """Blocks of columns."""
    width = x.shape[1] // parts
    return [x[:, i * width : (i + 1) * width] for i in range(parts)]


@final
class _Elman:
    """``h' = activation(p + q)``: tanh or ReLU."""

    gates = states = 1
    apart = False

    def __init__(self, relu: bool) -> None:
        self.relu = relu

    def step(self, p: np.ndarray, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        a = p + q
        return np.maximum(a, 0) if self.relu else np.tanh(a)

    def back(
        self,
        d: np.ndarray,
        p: np.ndarray,
        q: np.ndarray,
        s: np.ndarray,
        new: np.ndarray,
        dp: np.ndarray,
        dq: np.ndarray,
    ) -> np.ndarray | None:
        np.multiply(d, new > 0 if self.relu else 1 - new * new, out=dq)
        return None

    def slopes(self, p: Tensor, q: Tensor, s: Tensor, new: Tensor) -> Slopes:
        if self.relu:
            return (wrap((new.data > 0).astype(new.dtype)),)
        return (1 - new * new,)

    def to_hidden(self, d: Tensor, slopes: Slopes) -> tuple[Tensor, Tensor | None]:
        return d * slopes[0], None

    def to_input(self, d: Tensor, dq: Tensor, slopes: Slopes) -> Tensor:
        return dq


@final
class _GRU:
    """Gates r, z and the candidate n, in this order.

    ``r = sigmoid(p_r + q_r)``, ``z = sigmoid(p_z + q_z)``, ``n = tanh(p_n + r q_n)``,
    ``h' = (1 - z) n + z h``.
    """

    gates, states, apart = 3, 1, True

    def step(self, p: np.ndarray, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        _, z, n = self._gates(p, q)
        return n + z * (s - n)

    def _gates(
        self, p: np.ndarray, q: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        width = p.shape[1] // 3
        both = _sigmoid(p[:, : 2 * width] + q[:, : 2 * width])
        r, z = both[:, :width], both[:, width:]
        return r, z, np.tanh(p[:, 2 * width :] + r * q[:, 2 * width :])

    def back(
        self,
        d: np.ndarray,
        p: np.ndarray,
        q: np.ndarray,
        s: np.ndarray,
        new: np.ndarray,
        dp: np.ndarray,
        dq: np.ndarray,
    ) -> np.ndarray | None:
        width = d.shape[1]
        r, z, n = self._gates(p, q)
        rest = d * z
        dn = dp[:, 2 * width :]
        np.multiply(d - rest, 1 - n * n, out=dn)
        np.multiply(dn, r, out=dq[:, 2 * width :])
        np.multiply(dn * q[:, 2 * width :], r * (1 - r), out=dq[:, :width])
        np.multiply((s - n) * (1 - z), rest, out=dq[:, width : 2 * width])
        dp[:, : 2 * width] = dq[:, : 2 * width]
        return rest

    def slopes(self, p: Tensor, q: Tensor, s: Tensor, new: Tensor) -> Slopes:
        width = s.shape[1]
        p_n, q_n = p[:, 2 * width :], q[:, 2 * width :]
        r, z = _split(sigmoid(p[:, : 2 * width] + q[:, : 2 * width]), 2)
        n = tanh(p_n + r * q_n)
        keep = 1 - z
        of_n = keep * (1 - n * n)
        of_r = of_n * q_n * (r * (1 - r))
        of_z = (s - n) * (z * keep)
        return concatenate([of_r, of_z, of_n * r], 1), z, of_n

    def to_hidden(self, d: Tensor, slopes: Slopes) -> tuple[Tensor, Tensor | None]:
        return concatenate([d, d, d], 1) * slopes[0], d * slopes[1]

    def to_input(self, d: Tensor, dq: Tensor, slopes: Slopes) -> Tensor:
        width = d.shape[1]
        return concatenate([dq[:, : 2 * width], d * slopes[2]], 1)


@final
class _LSTM:
    """Gates i, f, the candidate g and o, in this order, of ``p + q``.

    ``c' = sigmoid(f) c + sigmoid(i) tanh(g)``, ``h' = sigmoid(o) tanh(c')``.
    """

    gates, states, apart = 4, 2, False

    def step(self, p: np.ndarray, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        width = s.shape[1] // 2
        i, f, g, o = self._gates(p + q)
        out = empty(s.shape, s.dtype)
        c = out[:, width:]
        np.multiply(f, s[:, width:], out=c)
        c += i * g
        np.multiply(o, np.tanh(c), out=out[:, :width])
        return out

    def _gates(self, a: np.ndarray) -> list[np.ndarray]:
        i_f, g_o = _split(a, 2)
        g, o = _split(g_o, 2)
        return [*_split(_sigmoid(i_f), 2), np.tanh(g), _sigmoid(o)]

    def back(
        self,
        d: np.ndarray,
        p: np.ndarray,
        q: np.ndarray,
        s: np.ndarray,
        new: np.ndarray,
        dp: np.ndarray,
        dq: np.ndarray,
    ) -> np.ndarray | None:
        i, f, g, o = self._gates(p + q)
        dh, dc = _split(d, 2)
        before, after = _split(s, 2)[1], np.tanh(_split(new, 2)[1])
        di, df, dg, do = _split(dq, 4)
        dc = dc + dh * (o * (1 - after * after))
        np.multiply(dc * g, i * (1 - i), out=di)
        np.multiply(dc * before, f * (1 - f), out=df)
        np.multiply(dc * i, 1 - g * g, out=dg)
        np.multiply(dh * after, o * (1 - o), out=do)
        rest: np.ndarray = dc * f
        return rest

    def slopes(self, p: Tensor, q: Tensor, s: Tensor, new: Tensor) -> Slopes:
        i, f, g, o = _split(p + q, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        before, after = _split(s, 2)[1], tanh(_split(new, 2)[1])
        of_i = g * (i * (1 - i))
        of_f = before * (f * (1 - f))
        of_o = after * (o * (1 - o))
        gates = concatenate([of_i, of_f, i * (1 - g * g), of_o], 1)
        return gates, f, o * (1 - after * after)

    def to_hidden(self, d: Tensor, slopes: Slopes) -> tuple[Tensor, Tensor | None]:
        dh, dc = _split(d, 2)
        dc = dc + dh * slopes[2]
        return concatenate([dc, dc, dc, dh], 1) * slopes[0], dc * slopes[1]

    def to_input(self, d: Tensor, dq: Tensor, slopes: Slopes) -> Tensor:
        return dq


#: Every kind by its name.
CELLS: dict[str, Cell] = {
    "rnn-tanh": _Elman(relu=False),
    "rnn-relu": _Elman(relu=True),
    "gru": _GRU(),
    "lstm": _LSTM(),
}
