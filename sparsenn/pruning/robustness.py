"""Which layers matter: each one reset or redrawn by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sparsenn.pruning.reset import rerandomize, reset, values_at
from sparsenn.pruning.sensitivity import Evaluate
from sparsenn.pruning.weights import Weight, weights_of


@final
@dataclass(frozen=True, eq=False)
class Robustness:
    """A score of the network for each layer and each state that the layer is put in.

    Attributes
    ----------
    layers : tuple of str
        Names of the weights.
    states : tuple of str
        The names of the checkpoints, then ``"random"`` if layers were redrawn.
    values : ndarray of float, shape (layers, states)
        What `evaluate` returned with one layer in that state.
    distances : ndarray of float, shape (layers, states)
        Euclidean distance of the trained weight from that state.
    nnz : tuple of int
        Connections; ``distances / sqrt(nnz)`` compares layers of different size.
    baseline : float
        What `evaluate` returned for the model as it is.
    """

    layers: tuple[str, ...]
    states: tuple[str, ...]
    values: np.ndarray
    distances: np.ndarray
    nnz: tuple[int, ...]
    baseline: float

    def to_json(self) -> str:
        """Everything as JSON."""
        data = {
            "layers": list(self.layers),
            "states": list(self.states),
            "values": self.values.tolist(),
            "distances": self.distances.tolist(),
            "nnz": list(self.nnz),
            "baseline": self.baseline,
        }
        return json.dumps(data, indent=2) + "\n"

    def to_csv(self) -> str:
        """One line a layer and state: ``layer,state,value,distance``."""
        lines = ["layer,state,value,distance"]
        for i, layer in enumerate(self.layers):
            lines += [
                f"{layer},{state},{float(self.values[i, j])!r},"
                f"{float(self.distances[i, j])!r}"
                for j, state in enumerate(self.states)
            ]
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        """A table: value and distance, a line a layer."""
        width = max(len(name) for name in self.layers)
        head = "  ".join(f"{state:>20}" for state in self.states)
        lines = [f"as trained {self.baseline:.4g}", f"{'':<{width}}  {head}"]
        for i, name in enumerate(self.layers):
            cells = [
                f"{v:>9.4g} ({d:>8.4g})"
                for v, d in zip(self.values[i], self.distances[i], strict=True)
            ]
            lines.append(f"{name:<{width}}  " + "  ".join(cells))
        return "\n".join(lines)


def layer_robustness(
    model: Any,
    evaluate: Evaluate,
    checkpoints: Mapping[str, Any] | None = None,
    *,
    random: bool = True,
    keep_pattern: bool = False,
    seed: int = 0,
) -> Robustness:
    """Evaluates a trained model with each layer by itself reset, and redrawn.

    Layers that can be reset to their initial values without loss are robust, others
    critical; few are both deep inside and critical. After each evaluation the model is
    as it was, to the bit.

    Parameters
    ----------
    model : Module
        Trained.
    evaluate : callable
        ``evaluate(model)`` gives a number, say the test accuracy. It must not train.
    checkpoints : mapping of str to "init", arrays or ModelFile, optional
        States to reset each layer to, by name, see `reset`; by default the initial one.
    random : bool
        Also redraw each layer.
    keep_pattern : bool
        See `reset`.
    seed : int
        Of the redrawn values.

    Returns
    -------
    Robustness

    References
    ----------
    Zhang, Bengio & Singer, "Are all layers created equal?", JMLR 23, 2022.
    """
    checkpoints = {"init": "init"} if checkpoints is None else dict(checkpoints)
    if random and "random" in checkpoints:
        raise ValueError("a checkpoint is named 'random'; give it another name")
    states = [*checkpoints, *(["random"] if random else [])]
    if not states:
        raise ValueError("there is no checkpoint, and random=False: nothing to do")
    weights = weights_of(model)
    baseline = float(evaluate(model))
    values = np.zeros((len(weights), len(states)))
    distances = np.zeros_like(values)
    for i, weight in enumerate(weights):
        trained = weight.param.pattern, weight.param.values.data
        for j, state in enumerate(states):
            if random and state == "random":
                undo = rerandomize(model, i, seed)
            else:
                undo = reset(model, i, checkpoints[state], keep_pattern=keep_pattern)
            with undo:
                distances[i, j] = _distance(weight, *trained)
                values[i, j] = float(evaluate(model))
    return Robustness(
        tuple(w.name for w in weights),
        tuple(states),
        values,
        distances,
        tuple(w.param.nnz for w in weights),
        baseline,
    )


def _distance(weight: Weight, pattern: Any, values: np.ndarray) -> float:
    """Euclidean distance of the present weight from another, over all positions."""
    param = weight.param
    now = param.values.data.astype(np.float64)
    then = values.astype(np.float64)
    common = values_at(param.pattern, pattern, then)
    # Positions that only the other one has are left over of its norm.
    rest = max(float(then @ then) - float(common @ common), 0.0)
    if param.pattern is pattern:
        rest = 0.0
    difference = now - common
    return float(np.sqrt(float(difference @ difference) + rest))
