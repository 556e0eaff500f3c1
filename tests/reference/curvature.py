"""Gradients of a dense network at every position, and the Hessian by differences."""

from __future__ import annotations

import numpy as np


class Twin:
    """Layers of one activation, and cross-entropy; which units are on stays as it was.

    ``kind`` is "tanh", "relu" or "winners" (the two largest units of each sample).
    """

    def __init__(
        self,
        weights: list[np.ndarray],
        biases: list[np.ndarray],
        x: np.ndarray,
        labels: np.ndarray,
        kind: str,
    ) -> None:
        self.kind, self.x, self.labels = kind, x, labels
        self.weights, self.biases = weights, biases
        self.on: list[np.ndarray] = []
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z = x @ w.T + b
            on = np.ones(z.shape) if self.kind == "tanh" else (z > 0) * 1.0
            if self.kind == "winners":
                on = (z >= np.sort(z, axis=1)[:, [-2]]) * 1.0
            self.on.append(on)
            x = on * (np.tanh(z) if self.kind == "tanh" else z)

    def gradients(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        inputs = [self.x]
        for w, b, on in zip(weights[:-1], self.biases[:-1], self.on, strict=True):
            z = inputs[-1] @ w.T + b
            inputs.append(on * (np.tanh(z) if self.kind == "tanh" else z))
        logits = inputs[-1] @ weights[-1].T + self.biases[-1]
        g = np.exp(logits - logits.max(axis=1, keepdims=True))
        g /= g.sum(axis=1, keepdims=True)
        g[np.arange(len(g)), self.labels] -= 1
        g /= len(g)
        found: list[np.ndarray] = []
        for number in reversed(range(len(weights))):
            found.insert(0, g.T @ inputs[number])
            g = g @ weights[number]
            if number:
                g = g * self.on[number - 1]
                if self.kind == "tanh":
                    g = g * (1 - inputs[number] ** 2)
        return found

    def hessian_product(self, vectors: list[np.ndarray]) -> list[np.ndarray]:
        """Differences of fourth order."""
        step = 1e-3 / max(1.0, *(np.abs(v).max() for v in vectors))

        def moved(s: float) -> list[np.ndarray]:
            pairs = zip(self.weights, vectors, strict=True)
            return self.gradients([w + s * step * v for w, v in pairs])

        around = zip(*(moved(s) for s in (1, -1, 2, -2)), strict=True)
        return [(8 * (a - b) - (c - d)) / (12 * step) for a, b, c, d in around]
