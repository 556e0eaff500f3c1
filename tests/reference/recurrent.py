"""Recurrent layers of dense float64 arrays, one sample and one step after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsenn import nn


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(
    cell: str, x: Any, state: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
) -> Any:
    """The next state, a list of the hidden state and, of an LSTM, of its cell."""
    h = state[0]
    p, q = w_ih @ x + b_ih, w_hh @ h + b_hh
    if cell == "gru":
        (p_r, p_z, p_n), (q_r, q_z, q_n) = np.split(p, 3), np.split(q, 3)
        r, z = sigmoid(p_r + q_r), sigmoid(p_z + q_z)
        return [(1 - z) * np.tanh(p_n + r * q_n) + z * h]
    if cell == "lstm":
        i, f, g, o = np.split(p + q, 4)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]
    return [np.tanh(p + q) if cell == "rnn-tanh" else np.maximum(p + q, 0)]


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """Every parameter as a dense float64 array."""
    found = {}
    for name, p in model.named_parameters():
        dense = p.to_scipy().toarray() if hasattr(p, "to_scipy") else p.data
        found[name] = np.array(dense, np.float64)
    return found


def run(
    layer: Any,
    params: dict[str, np.ndarray],
    x: np.ndarray,
    lengths: np.ndarray,
    state: list[np.ndarray] | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Outputs, and each state as an array (directions, batch, n_hidden)."""
    directions, batch = 1 + layer.bidirectional, len(x)
    shape = (layer.n_layers * directions, batch, layer.n_hidden)
    if state is None:
        state = [np.zeros(shape) for _ in range(layer.n_states)]
    last = [np.zeros(shape) for _ in state]
    for number in range(layer.n_layers):
        out = np.zeros((*x.shape[:2], directions * layer.n_hidden))
        for d in range(directions):
            k = number * directions + d
            end = f"l{number}" + ("_reverse" if d else "")
            rows = layer.n_gates * layer.n_hidden
            zeros = np.zeros(rows)
            weights = [params[f"weight_{w}_{end}"] for w in ("ih", "hh")]
            biases = [params.get(f"bias_{w}_{end}", zeros) for w in ("ih", "hh")]
            for b in range(batch):
                s = [part[k, b] for part in state]
                walk = range(lengths[b])
                for t in reversed(walk) if d else walk:
                    s = step(layer.cell, x[b, t], s, *weights, *biases)
                    out[b, t, d * layer.n_hidden : (d + 1) * layer.n_hidden] = s[0]
                for part, value in zip(last, s, strict=True):
                    part[k, b] = value
        x = out
    return x, last
