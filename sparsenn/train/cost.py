"""What training costs and how many connections there are."""

from __future__ import annotations

from typing import Any

from sparsenn.sparse import SparseParameter


def weights(model: Any) -> list[SparseParameter]:
    """The sparse (and full) weights in the order of the network."""
    return [p for _, p in model.named_parameters() if isinstance(p, SparseParameter)]


def connections(model: Any) -> tuple[int, int]:
    """Connections that exist, and positions where one could."""
    found = weights(model)
    return sum(p.nnz for p in found), sum(p.shape[0] * p.shape[1] for p in found)


def flops_per_sample(model: Any) -> int:
    """Floating-point operations of one training step, for one sample.

    Each connection costs a multiplication and an addition in each of three products:
    forward, gradient of the weight, gradient of the input, which the first layer does
    not need. Biases, activations and the optimiser are not counted.
    """
    return sum(2 * p.nnz * (2 if i == 0 else 3) for i, p in enumerate(weights(model)))


def layer_table(model: Any) -> list[dict[str, Any]]:
    """Name, shape, connections and density of every weight, JSON-able."""
    return [
        {
            "name": name,
            "shape": [int(n) for n in parameter.shape],
            "nnz": int(parameter.nnz),
            "density": float(parameter.density),
        }
        for name, parameter in model.named_parameters()
        if isinstance(parameter, SparseParameter)
    ]
