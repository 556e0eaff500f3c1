"""What a training step costs, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sparsenn import models, nn
from sparsenn.autograd.sequences import Sequences
from sparsenn.sparse import SparseParameter
from sparsenn.train.cost import StepCost


def counts(model: nn.Module) -> list[int]:
    return [p.nnz for p in model.parameters() if isinstance(p, SparseParameter)]


def test_what_follows_the_outputs_of_every_step_is_counted_in_each() -> None:
    model = nn.Sequential(
        nn.GRU(3, 4, density=0.5, seed=0), nn.Outputs(), nn.Linear(4, 5, seed=0)
    )
    of_input, of_hidden, head = counts(model)
    x = np.zeros((2, 6, 3), np.float32)
    cost = StepCost(model)
    assert cost(x) == 12 * (4 * of_input + 6 * of_hidden + 6 * head)
    # The recurrent layer stops at the ends, what follows works on padded steps.
    cut = Sequences(x, [6, 1])
    assert cost(cut) == 7 * (4 * of_input + 6 * of_hidden) + 12 * 6 * head
    shorter = Sequences(x[:, :4], [4, 1])
    assert cost(shorter) == 5 * (4 * of_input + 6 * of_hidden) + 8 * 6 * head


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_all_layers_and_directions_stop_at_the_ends(kind: str) -> None:
    model = models.recurrent(kind, 3, 4, 2, 0.5, n_layers=2, bidirectional=True, seed=0)
    first, *others, head = counts(model)
    x = Sequences(np.zeros((2, 6, 3)), [6, 1])
    assert StepCost(model)(x) == 7 * (4 * first + 6 * sum(others)) + 2 * 6 * head


def test_a_transformer_of_floats_counts_every_token() -> None:
    model = nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, density=0.5, seed=0), nn.Linear(8, 3, seed=0)
    )
    # The norm before the first weight learns, so that its input has a gradient too.
    x = np.zeros((2, 6, 8), np.float32)
    assert StepCost(model)(x) == 12 * 6 * sum(counts(model))


def test_a_sparse_embedding_counts_the_connections_of_its_tokens() -> None:
    model = nn.Sequential(
        nn.Embedding(10, 4, nnz=15, seed=0), nn.Linear(4, 3, seed=0, number=1)
    )
    tokens = np.array([[0, 3, 3], [9, 1, 0]])
    fan_out = (model[0].weight.to_scipy().toarray() != 0).sum(0)
    assert StepCost(model)(tokens) == 4 * fan_out[tokens].sum() + 6 * 6 * 12


def test_a_head_on_the_final_state_of_tokens_is_counted_once() -> None:
    model = nn.Sequential(
        nn.Embedding(10, 4, seed=0),
        nn.GRU(4, 5, seed=0),
        nn.FinalState(),
        nn.Linear(5, 3, seed=0),
    )
    *walked, head = counts(model)
    tokens = np.zeros((2, 7), int)
    assert StepCost(model)(tokens) == 6 * (14 * sum(walked) + 2 * head)


def test_a_convolution_counts_its_pixels() -> None:
    model = models.lenet5(0.5, caffe=True, seed=0)
    first, second, *rest = counts(model)
    made = 4 * 24 * 24 * first + 6 * (8 * 8 * second + sum(rest))
    assert StepCost(model)(np.zeros((3, 784), np.float32)) == 3 * made
    assert model.training


def test_a_sparse_batch_that_is_made_dense_meets_every_connection() -> None:
    x = sparse.csr_array(np.eye(2, 6, dtype=np.float32))
    linear = nn.Linear(6, 4, 0.5, seed=0)
    column = (linear.weight.to_scipy().toarray() != 0).sum(0)
    assert StepCost(nn.Sequential(linear))(x) == 4 * column[:2].sum()
    wrapped = nn.Sequential(nn.Residual(linear, nn.Linear(6, 4, 0.5, seed=1)))
    assert StepCost(wrapped)(x) == 2 * (4 + 6) * 12
