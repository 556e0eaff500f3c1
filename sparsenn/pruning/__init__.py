"""Pruning before and after training.

Every function takes a model (anything with ``parameters()``) and the density of the
whole network that is to remain, all weights counted, and keeps exactly
``round(density * positions)`` connections; among equal scores the lower (layer, row,
column) stays. Only weights are pruned, never biases.
"""

from __future__ import annotations

from sparsenn.pruning.controls import reinitialize, shuffle, varying_inputs
from sparsenn.pruning.graph import (
    Effective,
    EffectiveLayer,
    collapsed,
    dead_neurons,
    drop_ineffective,
    effective,
    effective_density,
)
from sparsenn.pruning.grasp import grasp
from sparsenn.pruning.isometry import IsometryLayer, IsometryResult, isometry
from sparsenn.pruning.lamp import lamp
from sparsenn.pruning.lottery import Iterations, iterative_magnitude
from sparsenn.pruning.n_m import n_m
from sparsenn.pruning.reset import rerandomize, reset
from sparsenn.pruning.restore import Undo
from sparsenn.pruning.result import LayerResult, Result
from sparsenn.pruning.robustness import Robustness, layer_robustness
from sparsenn.pruning.sensitivity import SPARSITIES, Sensitivity, sensitivity
from sparsenn.pruning.simple import magnitude, random
from sparsenn.pruning.snip import force, snip
from sparsenn.pruning.synflow import synflow
from sparsenn.pruning.wanda import wanda
from sparsenn.pruning.weights import Weight

__all__ = [
    "SPARSITIES",
    "Effective",
    "EffectiveLayer",
    "IsometryLayer",
    "IsometryResult",
    "Iterations",
    "LayerResult",
    "Result",
    "Robustness",
    "Sensitivity",
    "Undo",
    "Weight",
    "collapsed",
    "dead_neurons",
    "drop_ineffective",
    "effective",
    "effective_density",
    "force",
    "grasp",
    "isometry",
    "iterative_magnitude",
    "lamp",
    "layer_robustness",
    "magnitude",
    "n_m",
    "random",
    "reinitialize",
    "rerandomize",
    "reset",
    "sensitivity",
    "shuffle",
    "snip",
    "synflow",
    "varying_inputs",
    "wanda",
]
