"""Iterative magnitude pruning: nested masks, exact densities, exact rewinding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import nn, pruning


def net(density: float = 1.0, seed: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(20, 15, density, seed=seed, number=0),
        nn.BatchNorm1d(15),
        nn.ReLU(),
        nn.Linear(15, 10, density, seed=seed, number=1),
    )


class Recorder:
    """Stands for training: remembers what it is given, then disturbs everything."""

    def __init__(self) -> None:
        self.weights: list[list[np.ndarray]] = []
        self.tensors: list[list[np.ndarray]] = []
        self.rng = np.random.default_rng(0)

    def __call__(self, model: nn.Sequential, number: int) -> int:
        assert number == len(self.weights)
        self.weights.append([p.to_scipy().toarray() for p in model.chain()])
        self.tensors.append(
            [t.data.copy() for n, t in model.named_parameters() if "weight" not in n]
            + [b.copy() for _, b in model.named_buffers()]
        )
        for param in model.chain():
            param.values.data[:] = self.rng.normal(size=param.nnz)
        for name, tensor in model.named_parameters():
            if "weight" not in name:
                tensor.data[:] += 1  # type: ignore[union-attr]
        for _, buffer in model.named_buffers():
            buffer += 1
        return number


@settings(max_examples=20)
@given(
    start=st.sampled_from([1.0, 0.5]),
    rewind=st.sampled_from(["init", "start", None]),
    scope=st.sampled_from(["global", "layer"]),
    share=st.floats(0.02, 1.0),
    rate=st.sampled_from([0.2, 0.5]),
    disturbed=st.booleans(),
)
def test_rounds_are_nested_exact_and_rewound(
    start: float,
    rewind: str | None,
    scope: str,
    share: float,
    rate: float,
    disturbed: bool,
) -> None:
    model = net(start)
    initial = [p.to_scipy().toarray() for p in net(start).chain()]
    if disturbed:  # some steps of training before the call
        for param in model.chain():
            param.values.data[:] = np.arange(1, param.nnz + 1)
    at_call = [p.to_scipy().toarray() for p in model.chain()]
    train = Recorder()
    density = start * share
    found = pruning.iterative_magnitude(
        model,
        train,
        density,
        rate=rate,
        rewind=rewind,
        scope=scope,  # type: ignore[arg-type]
    )
    n = sum(p.nnz for p in net(start).chain())
    last = round(density * 450)
    counts = [sum(np.count_nonzero(w) for w in ws) for ws in train.weights]
    assert counts[-1] == last
    for i, count in enumerate(counts[:-1]):
        assert count == round(n * (1 - rate) ** i) or (i and count == counts[i - 1] - 1)
    assert found.densities == tuple(c / 450 for c in counts)
    assert found.returned == tuple(range(len(counts)))
    assert [r.after for r in found.results] == counts[1:]
    goal = {"init": initial, "start": at_call}.get(rewind or "", [])
    for number, weights in enumerate(train.weights[1:], 1):
        for i, w in enumerate(weights):
            assert not np.any((w != 0) & (train.weights[number - 1][i] == 0))
            if rewind is not None:
                assert np.array_equal(w, np.where(w != 0, goal[i], 0))
        moved = number if rewind is None else 0
        for a, b in zip(train.tensors[number], train.tensors[0], strict=True):
            np.testing.assert_allclose(a, b + moved)


def test_ten_rounds_of_a_fifth() -> None:
    model = nn.Sequential(nn.Linear(1000, 10, seed=0))
    densities: list[float] = []
    pruning.iterative_magnitude(
        model,
        lambda m, round: densities.append(m.chain()[0].density),
        0.8**10,
    )
    assert len(densities) == 11
    np.testing.assert_allclose(densities, 0.8 ** np.arange(11.0), atol=5e-5)
    assert densities[-1] == 0.1074  # of .107374


def test_only_magnitudes_of_this_round_count() -> None:
    layer = nn.Linear(4, 1, seed=0, dtype=np.float64)

    def train(model: nn.Linear, number: int) -> None:
        order = [[1.0, 2, 3, 4], [4, 3, 2, 1]][number % 2]
        model.weight.values.data[:] = order[: model.weight.nnz]

    pruning.iterative_magnitude(layer, train, 0.5, rate=0.25)
    assert layer.weight.pattern.to_mask().tolist() == [[False, True, True, False]]


def test_dense_layers_stay_dense_and_rewind_too() -> None:
    model = net()
    train = Recorder()
    pruning.iterative_magnitude(model, train, 0.5, keep_dense=["last"])
    assert all(np.count_nonzero(w[1]) == 150 for w in train.weights)
    assert np.array_equal(train.weights[-1][1], train.weights[0][1])


def test_a_model_from_a_file_cannot_go_back_to_its_start() -> None:
    layer = nn.Linear(4, 3, seed=0)
    layer.weight.origin = None
    with pytest.raises(RuntimeError, match="give the values themselves"):
        pruning.iterative_magnitude(layer, lambda m, i: None, 0.5)
    for wrong, match in (
        ({"rate": 1.0}, "rate must be in"),
        ({"rewind": "end"}, "rewind must be"),
        ({"scope": "row"}, "scope must be"),
    ):
        with pytest.raises(ValueError, match=match):
            pruning.iterative_magnitude(layer, lambda m, i: None, 0.5, **wrong)  # type: ignore[arg-type]
