"""Pruning before training on dense matrices, by NumPy alone, in float64.

Nothing here is shared with the library. A network is a list of weights (n_out, n_in)
and one of biases, with ReLU between layers and softmax cross-entropy at the end; masks
are lists of bool matrices.
"""

from __future__ import annotations

import numpy as np

Arrays = list[np.ndarray]


def forward(weights: Arrays, biases: Arrays, x: np.ndarray) -> Arrays:
    """Activations, the input first and the logits last."""
    activations = [x]
    for number, (w, b) in enumerate(zip(weights, biases, strict=True)):
        z = activations[-1] @ w.T + b
        activations.append(z if number + 1 == len(weights) else np.maximum(z, 0))
    return activations


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(weights, biases, x, labels, temperature=1.0) -> float:
    p = softmax(forward(weights, biases, x)[-1] / temperature)
    return float(-np.log(p[np.arange(len(x)), labels]).mean())


def gradients(weights, biases, x, labels, temperature=1.0) -> Arrays:
    """Of the mean loss, for the weights at every position."""
    activations = forward(weights, biases, x)
    d = softmax(activations[-1] / temperature)
    d[np.arange(len(x)), labels] -= 1
    d /= len(x) * temperature
    found = []
    for number in reversed(range(len(weights))):
        found.insert(0, d.T @ activations[number])
        d = (d @ weights[number]) * (activations[number] > 0)
    return found


def hessian_gradient(weights, biases, x, labels, temperature=1.0) -> Arrays:
    """H g by a directional derivative of backpropagation, forward over reverse."""
    n, g = len(x), gradients(weights, biases, x, labels, temperature)
    activations = forward(weights, biases, x)
    moved = [np.zeros_like(x)]  # directional derivatives of the activations
    for number, (w, v) in enumerate(zip(weights, g, strict=True)):
        z = moved[-1] @ w.T + activations[number] @ v.T
        last = number + 1 == len(weights)
        moved.append(z if last else z * (activations[number + 1] > 0))
    p = softmax(activations[-1] / temperature)
    dp = moved[-1] / temperature
    dp = p * (dp - (p * dp).sum(axis=1, keepdims=True))
    d = p.copy()
    d[np.arange(n), labels] -= 1
    d, dd = d / (n * temperature), dp / (n * temperature)
    found = []
    for number in reversed(range(len(weights))):
        found.insert(0, dd.T @ activations[number] + d.T @ moved[number])
        alive = activations[number] > 0
        dd = (dd @ weights[number] + d @ g[number]) * alive
        d = (d @ weights[number]) * alive
    return found


def keep_highest(scores: Arrays, k: int, alive: Arrays | None = None) -> Arrays:
    """Masks of the k highest; of equals the lower (layer, row, column)."""
    flat = np.concatenate([s.reshape(-1) for s in scores])
    order = np.lexsort((np.arange(len(flat)), -flat))
    if alive is not None:
        order = order[np.concatenate([a.reshape(-1) for a in alive])[order]]
    chosen = np.zeros(len(flat), bool)
    chosen[order[:k]] = True
    ends = np.cumsum([s.size for s in scores])[:-1]
    parts = np.split(chosen, ends)
    return [c.reshape(s.shape) for c, s in zip(parts, scores, strict=True)]


def schedule(n: int, k: int, rounds: int) -> list[int]:
    """n (k/n)^(r/rounds), rounded half to even, k at the end."""
    return [round(n * (k / n) ** (r / rounds)) for r in range(1, rounds)] + [k]


def snip(weights, biases, x, labels, k, rounds=1, invert=False, revive=False) -> Arrays:
    """SNIP, or FORCE if what was pruned may come back."""
    masks = [np.ones(w.shape, bool) for w in weights]
    for step in schedule(sum(w.size for w in weights), k, rounds):
        pruned = [w * m for w, m in zip(weights, masks, strict=True)]
        g = gradients(pruned, biases, x, labels)
        scores = [np.abs(w * d) for w, d in zip(weights, g, strict=True)]
        if invert:
            scores = [-s for s in scores]
        masks = keep_highest(scores, step, None if revive else masks)
    return masks


def grasp(weights, biases, x, labels, k, temperature=200.0, absolute=False) -> Arrays:
    """The k lowest -w (H g), or the largest |w (H g)|."""
    products = hessian_gradient(weights, biases, x, labels, temperature)
    flow = [w * h for w, h in zip(weights, products, strict=True)]
    return keep_highest([np.abs(f) for f in flow] if absolute else flow, k)
