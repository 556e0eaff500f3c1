"""Shuffles, fresh values, resets: what changes, what does not, and back to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparsenn import nn, optim, pruning
from sparsenn.autograd import Tensor
from sparsenn.autograd.sequences import Sequences
from sparsenn.export import model as model_file


def net(density: float = 1.0, seed: int = 3, by_column: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(20, 15, density, seed=seed, sparse_input=by_column),
        nn.ReLU(),
        nn.Linear(15, 10, density, seed=seed, number=1),
    )


def pruned(seed: int = 0, by_column: bool = False) -> nn.Sequential:
    """A net that started full, at about a third of its connections."""
    model = net(by_column=by_column)
    rng = np.random.default_rng(seed)
    for param in model.chain():
        param.replace(param.pattern.with_changes(rng.random(param.nnz) < 0.3))
        if by_column and param is model.chain()[0]:
            pattern = param.pattern.stored_by_column()
            param.set(pattern, np.zeros(param.nnz, np.float32))
            param.set(pattern, param.initial_values())
    return model


def dense(model: nn.Sequential) -> list[np.ndarray]:
    return [p.to_scipy().toarray() for p in model.chain()]


# ---------------------------------------------------------------------------- shuffle


@settings(max_examples=30)
@given(
    seed=st.integers(0, 99),
    values=st.sampled_from(["initial", "permute", "redraw"]),
    by_column=st.booleans(),
    restricted=st.booleans(),
)
def test_a_shuffle_keeps_only_the_numbers(
    seed: int, values: str, by_column: bool, restricted: bool
) -> None:
    model = pruned(seed, by_column)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    old = dense(model)
    for param in model.chain():
        opt.state(param)["momentum"][:] = 1
    rows = {"last": [0, 2, 3, 5, 6, 7, 9]} if restricted else None
    columns = {0: np.arange(20) % 3 > 0} if restricted else None
    result = pruning.shuffle(
        model,
        seed,
        values=values,  # type: ignore[arg-type]
        rows=rows,
        columns=columns,
        optimizer=opt,
    )
    new = dense(model)
    start = dense(net())
    for i, (param, a, b, w0) in enumerate(
        zip(model.chain(), old, new, start, strict=True)
    ):
        assert result.layers[i].before == result.layers[i].after == param.nnz
        assert np.count_nonzero(b) == np.count_nonzero(a)
        assert (b != 0).sum() != ((a != 0) & (b != 0)).sum(), "nothing moved"
        assert not opt.state(param)["momentum"].any()
        assert param.pattern.by_column == (by_column and i == 0)
        if values == "initial":
            assert np.array_equal(b, np.where(b != 0, w0, 0))
        elif values == "permute":
            assert np.array_equal(np.sort(a[a != 0]), np.sort(b[b != 0]))
            assert not np.array_equal(a[a != 0], b[b != 0])
        else:
            assert not np.isin(b[b != 0], w0).any()
            # Of the scale of a full weight, not of the connections that there are.
            assert 0.5 < b[b != 0].std() / w0.std() < 1.5
    if restricted:
        assert not new[0][:, ::3].any()
        assert not new[1][[1, 4, 8]].any()


def test_positions_are_uniform() -> None:
    counts = np.zeros((4, 6))
    for seed in range(300):
        layer = nn.Linear(6, 4, nnz=8, seed=0)
        pruning.shuffle(layer, seed, values="permute", columns={0: [1, 2, 3, 4]})
        counts += layer.weight.pattern.to_mask()
    assert not counts[:, [0, 5]].any()
    # Binomial of 300 draws at 1/2: standard deviation 8.7.
    assert np.abs(counts[:, 1:5] - 150).max() < 45


def test_the_same_seed_is_the_same_shuffle() -> None:
    found = []
    for seed in (1, 1, 2):
        model = pruned()
        pruning.shuffle(model, seed, keep_dense=["last"])
        assert np.array_equal(dense(model)[1], dense(pruned())[1])
        found.append(dense(model)[0])
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_shuffle_that_cannot_be_changes_nothing() -> None:
    model = pruned()
    before = dense(model)
    with pytest.raises(ValueError, match="10 rows and 1 columns allowed have 10"):
        pruning.shuffle(model, columns={"last": [3]})
    with pytest.raises(ValueError, match=r"columns of '0.weight' holds numbers"):
        pruning.shuffle(model, columns={0: [20]})
    with pytest.raises(ValueError, match=r"bool of shape \(20,\), or integers"):
        pruning.shuffle(model, columns={0: np.ones(19, bool)})
    with pytest.raises(ValueError, match="rows holds 'x', which names no weight"):
        pruning.shuffle(model, rows={"x": [0]})
    with pytest.raises(ValueError, match="must be 'initial', 'permute' or 'redraw'"):
        pruning.shuffle(model, values="old")  # type: ignore[arg-type]
    model.chain()[1].origin = None
    with pytest.raises(RuntimeError, match="values='permute' or 'redraw'"):
        pruning.shuffle(model)
    model.chain()[1].initializer = None
    with pytest.raises(RuntimeError, match="has no initializer"):
        pruning.shuffle(model, values="redraw")
    assert all(np.array_equal(a, b) for a, b in zip(before, dense(model), strict=True))


def test_varying_inputs() -> None:
    x = np.array([[0, 1, 2, 0], [0, 1, 3, 5], [0, 1, 2, 0]], np.float32)
    assert pruning.varying_inputs(x).tolist() == [False, False, True, True]
    assert pruning.varying_inputs(sparse.csr_array(x)).tolist() == [0, 0, 1, 1]
    assert pruning.varying_inputs(x.reshape(3, 2, 2)).shape == (4,)
    steps = np.stack([x, x])  # of sequences; what is past an end is not looked at
    for lengths, varying in (([3, 2], [0, 0, 1, 1]), ([1, 1], [0, 0, 0, 0])):
        assert pruning.varying_inputs(Sequences(steps, lengths)).tolist() == varying


# ---------------------------------------------------------------------- fresh values


def test_reinitialised_weights_keep_their_positions() -> None:
    model = pruned()
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for param in model.chain():
        opt.state(param)["momentum"][:] = 1
    patterns = [p.pattern for p in model.chain()]
    old = dense(model)
    pruning.reinitialize(model, 3, keep_dense=[1], optimizer=opt)  # the net's own seed
    assert [p.pattern for p in model.chain()] == patterns
    new = dense(model)
    assert np.array_equal(new[1], old[1])
    assert not np.isin(new[0][new[0] != 0], old[0]).any()
    assert 0.5 < new[0][new[0] != 0].std() / old[0][old[0] != 0].std() < 1.5
    assert not opt.state(model.chain()[0])["momentum"].any()
    assert opt.state(model.chain()[1])["momentum"].all()


# ------------------------------------------------------------------------------ reset


def trained(seed: int = 0) -> nn.Sequential:
    model = pruned(seed)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        array = (
            parameter.data if isinstance(parameter, Tensor) else parameter.values.data
        )
        array += rng.normal(size=array.shape).astype(np.float32)
    return model


def snapshot(model: nn.Sequential) -> list[object]:
    return [
        p.data.copy() if isinstance(p, Tensor) else (p.pattern, p.values.data.copy())
        for p in model.parameters()
    ]


def assert_same(model: nn.Sequential, before: list[object]) -> None:
    for now, then in zip(snapshot(model), before, strict=True):
        if isinstance(then, tuple):
            assert now[0] is then[0]  # type: ignore[index]
            now, then = now[1], then[1]  # type: ignore[index]
        assert np.array_equal(now, then)  # type: ignore[arg-type]


@pytest.mark.parametrize("keep_pattern", [False, True])
@pytest.mark.parametrize("layer", [0, "last"])
def test_resets_to_a_start_a_file_and_back(
    layer: int | str, keep_pattern: bool, tmp_path: object
) -> None:
    model = trained()
    i = 0 if layer == 0 else 1
    before, start = snapshot(model), dense(net())
    weight = model.chain()[i]
    bias = model.layers[2 * i].bias  # type: ignore[union-attr]
    with pruning.reset(model, layer):
        w = dense(model)[i]
        assert np.array_equal(w, np.where(w != 0, start[i], 0))
        assert weight.nnz == np.count_nonzero(w)
        assert not bias.data.any()
        others = [p for p in model.parameters() if p is not weight and p is not bias]
        assert_same(
            nn_like(others),
            [
                s
                for s, p in zip(before, model.parameters(), strict=True)
                if any(p is o for o in others)
            ],
        )
    assert_same(model, before)

    other = trained(seed=1)
    path = f"{tmp_path}/other.safetensors"
    model_file.save(other, path)
    for source in (model_file.model_arrays(other), model_file.read_model(path)):
        with (
            pytest.raises(KeyError),
            pruning.reset(model, layer, source, keep_pattern=keep_pattern),
        ):
            expected = dense(other)[i]
            if keep_pattern:
                expected = np.where(before_mask(before, model, weight), expected, 0)
            assert np.array_equal(dense(model)[i], expected)
            assert np.array_equal(bias.data, other.layers[2 * i].bias.data)
            raise KeyError
        assert_same(model, before)
    with pruning.reset(model, layer, model_file.model_arrays(net())) as undo:
        assert weight.pattern.is_full
    assert_same(model, before)
    undo.undo()
    assert_same(model, before)


class nn_like:
    """Some parameters as a model."""

    def __init__(self, params: list[object]) -> None:
        self.params = params

    def parameters(self) -> list[object]:
        return self.params


def before_mask(before: list, model: nn.Sequential, weight: object) -> np.ndarray:
    where = next(i for i, p in enumerate(model.parameters()) if p is weight)
    return before[where][0].to_mask()


def test_rerandomised_for_a_while() -> None:
    model = trained()
    before = snapshot(model)
    start = dense(pruned())[1]
    with pruning.rerandomize(model, "2", seed=3):
        w = dense(model)[1]
        assert np.array_equal(w != 0, start != 0)
        assert not np.isin(w[w != 0], start).any()
        assert not model.layers[2].bias.data.any()  # type: ignore[union-attr]
    assert_same(model, before)
    pruning.rerandomize(model, "2", seed=3)
    assert np.array_equal(dense(model)[1], w), "the same seed, the same values"


def test_resets_that_cannot_be() -> None:
    model = trained()
    before = snapshot(model)
    with pytest.raises(ValueError, match="to must be 'init'"):
        pruning.reset(model, 0, "start")
    with pytest.raises(ValueError, match=r"have no '0.weight.values', only nothing"):
        pruning.reset(model, 0, {})
    arrays = model_file.model_arrays(model)
    del arrays["0.bias"]
    with pytest.raises(ValueError, match=r"no '0.bias' of shape \(15,\)"):
        pruning.reset(model, 0, arrays)
    with pytest.raises(ValueError, match=r"has shape .* nnz=300"):
        pruning.reset(model, 0, {"0.weight.values": np.ones(3)})
    with pytest.raises(ValueError, match="layer holds 7, the model has 2"):
        pruning.reset(model, 7)
    assert_same(model, before)
