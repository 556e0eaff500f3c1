"""sparsenn's network and training step on a `Problem`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.problem import Problem


def network(problem: Problem) -> Any:
    """A `Sequential` with the weights and biases of the problem."""
    import numpy as np

    from sparsenn import nn
    from sparsenn.sparse import SparsePattern

    layers: list[nn.Module] = []
    for weight, bias in zip(problem.weights, problem.biases, strict=True):
        n_out, n_in = weight.shape
        if weight.nnz == n_out * n_in:
            pattern = SparsePattern.full((n_out, n_in))
        else:
            pattern = SparsePattern.from_scipy(weight)
        layer = nn.Linear(n_in, n_out, pattern=pattern, seed=0)
        layer.weight.set(pattern, np.asarray(pattern.from_canonical(weight.data)))
        layer.bias.data[:] = bias
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(
    problem: Problem, threads: int
) -> tuple[Any, Any, Callable[[np.ndarray, np.ndarray], float]]:
    """Model, optimiser and the step as a user of the package writes it."""
    import sparsenn
    from sparsenn import nn, optim

    sparsenn.set_num_threads(threads)
    model = network(problem)
    optimizer = optim.SGD(model.parameters(), lr=problem.lr, momentum=problem.momentum)

    def step(x: np.ndarray, y: np.ndarray) -> float:
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.numpy())

    return model, optimizer, step


def sparsenn(
    problem: Problem, threads: int
) -> Callable[[np.ndarray, np.ndarray], float]:
    """sparsenn (column-blocked CSR, no framework)."""
    return train(problem, threads)[2]
