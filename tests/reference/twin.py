"""A multilayer perceptron simulated with masks, its optimisers and SET's drop rule.

Nothing here is shared with the library: a weight is ``mask * dense``, gradients are
dense products, state is dense and masked.
"""

from __future__ import annotations

import numpy as np


class Twin:
    """ReLU layers with cross-entropy; weights[l] and masks[l] are (n_out, n_in)."""

    def __init__(
        self,
        weights: list[np.ndarray],
        masks: list[np.ndarray],
        biases: list[np.ndarray],
    ) -> None:
        self.weights = [w.copy() for w in weights]
        self.masks = [m.copy() for m in masks]
        self.biases = [b.copy() for b in biases]
        self.state: dict[str, list[np.ndarray]] = {}
        self.steps = 0

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Activations of every layer, the input first, the logits last."""
        activations = [x]
        for number, (w, m, b) in enumerate(
            zip(self.weights, self.masks, self.biases, strict=True)
        ):
            z = activations[-1] @ (w * m).T + b
            last = number + 1 == len(self.weights)
            activations.append(z if last else np.maximum(z, 0))
        return activations

    def gradients(
        self, x: np.ndarray, labels: np.ndarray
    ) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
        """Loss, and masked gradients of weights and biases."""
        activations = self.forward(x)
        logits = activations[-1]
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(labels))
        loss = -log_p[rows, labels].mean()
        g = np.exp(log_p)
        g[rows, labels] -= 1
        g /= len(labels)
        d_weights: list[np.ndarray] = []
        d_biases: list[np.ndarray] = []
        for number in reversed(range(len(self.weights))):
            d_weights.insert(0, (g.T @ activations[number]) * self.masks[number])
            d_biases.insert(0, g.sum(axis=0))
            g = g @ (self.weights[number] * self.masks[number])
            g = g * (activations[number] > 0)
        return loss, d_weights, d_biases

    def sgd(
        self,
        gradients: tuple[list[np.ndarray], list[np.ndarray]],
        lr: float,
        momentum: float,
        weight_decay: float,
        nesterov: bool,
    ) -> None:
        """One step of SGD on the masked weights and the biases."""
        params = self.weights + self.biases
        buffers = self.state.setdefault("momentum", [np.zeros_like(p) for p in params])
        masks = self.masks + [np.ones_like(b) for b in self.biases]
        for p, g, v, m in zip(
            params, gradients[0] + gradients[1], buffers, masks, strict=True
        ):
            d = (g + weight_decay * p) * m
            v[...] = (momentum * v + d) * m
            p -= lr * (d + momentum * v if nesterov else v)

    def adam(
        self,
        gradients: tuple[list[np.ndarray], list[np.ndarray]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        decoupled: bool,
    ) -> None:
        """One step of Adam or AdamW on the masked weights and the biases."""
        self.steps += 1
        params = self.weights + self.biases
        first = self.state.setdefault("m", [np.zeros_like(p) for p in params])
        second = self.state.setdefault("v", [np.zeros_like(p) for p in params])
        masks = self.masks + [np.ones_like(b) for b in self.biases]
        for p, g, m1, m2, mask in zip(
            params, gradients[0] + gradients[1], first, second, masks, strict=True
        ):
            d = g * mask
            if decoupled:
                p -= lr * weight_decay * p * mask
            else:
                d = d + weight_decay * p * mask
            m1[...] = betas[0] * m1 + (1 - betas[0]) * d
            m2[...] = betas[1] * m2 + (1 - betas[1]) * d**2
            corrected = m1 / (1 - betas[0] ** self.steps)
            scale = np.sqrt(m2 / (1 - betas[1] ** self.steps)) + eps
            p -= lr * corrected / scale * mask

    def change(self, number: int, kept: np.ndarray, new_mask: np.ndarray) -> None:
        """Moves one layer to another mask: newborns have weight 0 and state 0."""
        self.weights[number] *= kept
        for arrays in self.state.values():
            arrays[number] *= kept
        self.masks[number] = new_mask


def drop_by_magnitude(w: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """Mask without its `count` smallest weights; of equals the last position goes."""
    return _without(mask, _smallest(w, mask, count))


def drop_by_sign(w: np.ndarray, mask: np.ndarray, fraction: float) -> np.ndarray:
    """Mask without `fraction` of the positive and of the negative weights."""
    for side in (mask * (w >= 0), mask * (w < 0)):
        gone = _smallest(w, side, int(fraction * side.sum()))
        mask = _without(mask, gone)
    return mask


def _smallest(w: np.ndarray, mask: np.ndarray, count: int) -> list[int]:
    positions = np.flatnonzero(mask)
    return sorted(positions, key=lambda p: (abs(w.flat[p]), -p))[:count]


def _without(mask: np.ndarray, positions: list[int]) -> np.ndarray:
    mask = mask.copy()
    mask.flat[positions] = 0
    return mask
