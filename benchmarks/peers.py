"""Other engines' training step on a `Problem`, each as its own users would write it.

Every function here returns a callable ``step(x, y) -> loss`` of forward, loss,
backward and SGD with momentum, and raises ImportError if its package is missing. A
full layer is `torch.nn.Linear` in all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array

    from benchmarks.problem import Problem

    Layer = Callable[[csr_array, np.ndarray], Any]
    Step = Callable[[np.ndarray, np.ndarray], float]

warnings.filterwarnings("ignore", "Sparse (CSR tensor|invariant checks)")


def dense_layer(weight: csr_array, bias: np.ndarray) -> Any:
    """`torch.nn.Linear` that holds the weight as a dense matrix."""
    import torch

    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.toarray()))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def sparselab_layer(weight: csr_array, bias: np.ndarray) -> Any:
    """SparseLab's layer, given our pattern in place of its random one."""
    import numpy as np
    import sparselab
    import torch

    m, n = weight.shape
    layer = sparselab.SparseLinear(n, m, sparsity=0.99)
    crow, col, values = map(
        torch.from_numpy, (weight.indptr, weight.indices, weight.data)
    )
    matrix = torch.sparse_csr_tensor(crow, col, values, size=(m, n))
    layer._csr = sparselab.PaddedCSR.from_torch_sparse_csr(matrix)
    layer._values = torch.nn.Parameter(torch.from_numpy(np.asarray(layer._csr.values)))
    with torch.no_grad():
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def sparseprop_layer(weight: csr_array, bias: np.ndarray) -> Any:
    """SparseProp's layer, made from the dense matrix as its interface asks."""
    import torch
    from sparseprop.modules import SparseLinear

    dense = torch.from_numpy(weight.toarray())
    return SparseLinear(dense, torch.nn.Parameter(torch.from_numpy(bias.copy())))


def csr_layer(weight: csr_array, bias: np.ndarray) -> Any:
    """A layer over PyTorch's own CSR tensors."""
    import torch

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parts = (weight.indptr, weight.indices, weight.data.copy())
            crow, col, values = map(torch.from_numpy, parts)
            matrix = torch.sparse_csr_tensor(crow, col, values, size=weight.shape)
            self.weight = torch.nn.Parameter(matrix)
            self.bias = torch.nn.Parameter(torch.from_numpy(bias.copy()))

        def forward(self, x: Any) -> Any:
            return torch.sparse.mm(self.weight, x.t()).t() + self.bias

    return Linear()


def torch_step(problem: Problem, layer: Layer, threads: int, fused: bool) -> Step:
    """The step of a PyTorch network whose sparse layers `layer` makes."""
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    modules: list[Any] = []
    for weight, bias in zip(problem.weights, problem.biases, strict=True):
        full = weight.nnz == np.prod(weight.shape)
        modules += [(dense_layer if full else layer)(weight, bias), torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    optimizer = torch.optim.SGD(
        model.parameters(), lr=problem.lr, momentum=problem.momentum, fused=fused
    )

    def step(x: np.ndarray, y: np.ndarray) -> float:
        logits = model(torch.from_numpy(x))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def sparselab(problem: Problem, threads: int) -> Step:
    """SparseLab (padded CSR, PyTorch)."""
    import sparselab  # noqa: F401

    return torch_step(problem, sparselab_layer, threads, fused=True)


def sparseprop(problem: Problem, threads: int) -> Step:
    """SparseProp (CSR, PyTorch)."""
    import sparseprop  # noqa: F401

    return torch_step(problem, sparseprop_layer, threads, fused=True)


def torch_csr(problem: Problem, threads: int) -> Step:
    """PyTorch with its own CSR tensors; its fused SGD does not take them."""
    return torch_step(problem, csr_layer, threads, fused=False)


def torch_dense(problem: Problem, threads: int) -> Step:
    """PyTorch with dense matrices, the zeros included."""
    return torch_step(problem, dense_layer, threads, fused=True)
