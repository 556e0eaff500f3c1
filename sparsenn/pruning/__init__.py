"""Pruning before and after training.

Every function takes a model (anything with ``parameters()``) and the density of the
whole network that is to remain, all weights counted, and keeps exactly
``round(density * positions)`` connections; among equal scores the lower (layer, row,
column) stays. Only weights are pruned, never biases.
"""

from __future__ import annotations

from sparsenn.pruning.result import LayerResult, Result

__all__ = ["LayerResult", "Result"]
