"""Back towards an isometry: what an update unbalanced, a few descent steps restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from sparsenn.ops.isometry import descend_to_isometry
from sparsenn.topology.layer import Layer


@final
class Rebalance:
    """Moves every evolving layer a little towards an isometry, after each update.

    Signals and gradients keep their length in a layer whose singular values are all
    one. Dropping connections destroys that; descent on ``|W^T W / gain^2 - I|^2`` over
    the connections restores as much as their pattern allows, of the smaller side of W.
    It is a part: ``GradientFlow(..., after=[Rebalance()])``, or ``topo.after`` of any
    updater. Patterns and the optimiser's state stay.

    Parameters
    ----------
    steps : int
        Of descent in each layer, at every update. A step that makes matters worse is
        taken back, so that the error never rises.
    lr : float
        Length of the first step.
    gain : float
        Wanted singular value. The default ``sqrt(2)`` makes up for what a ReLU takes;
        1, the paper's, is for linear layers.

    Notes
    -----
    Time of a step: ``3 nnz min(n_in, n_out)`` multiply-adds a layer, as many as three
    products with a batch of that size.

    References
    ----------
    Lee et al., "A signal propagation perspective for pruning neural networks at
    initialization", arXiv:1906.06307, section 4.3, who do it once, before training.
    """

    def __init__(
        self, steps: int = 3, *, lr: float = 0.05, gain: float = 2**0.5
    ) -> None:
        if steps < 0:
            raise ValueError(f"steps must be at least 0, got {steps}")
        for name, value in (("lr", lr), ("gain", gain)):
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.steps = steps
        self.lr = lr
        self.gain = gain

    def __repr__(self) -> str:
        """With its options."""
        return f"Rebalance({self.steps}, lr={self.lr}, gain={self.gain})"

    def __call__(self, layers: Sequence[Layer]) -> None:
        """Moves the values of the layers, in place."""
        for layer in layers:
            gain = layer.values.dtype.type(self.gain)
            values, _ = descend_to_isometry(
                layer.values / gain, layer.pattern, self.steps, lr=self.lr
            )
            layer.param.values.assign_(values * gain)
