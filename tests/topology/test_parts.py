"""Each part of an update by itself: exact counts, the right connections, protection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import nn, optim, topology
from sparsenn.autograd import Tensor
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparseParameter, SparsePattern
from sparsenn.topology.layer import Layer


def layer_of(
    values: list[float] | np.ndarray, shape: tuple[int, int] = (4, 25)
) -> Layer:
    values = np.asarray(values, np.float64)
    stream = Stream(3, Purpose.TEST)
    pattern = SparsePattern.random(shape, len(values), stream=stream)
    param = SparseParameter(pattern, pattern.from_canonical(values), "w")
    return Layer(0, param, None, seed=0, update=0)


def dropped(layer: Layer, keep: np.ndarray) -> list[float]:
    return sorted(layer.values[~keep].tolist())


def test_magnitude_drops_the_smallest() -> None:
    layer = layer_of([0.5, -0.1, 0.3, -0.9, 0.05, 0.2, -0.6, 0.7, 0.8, -0.4])
    keep = topology.drop.magnitude([layer], 0.3)[0]
    assert dropped(layer, keep) == [-0.1, 0.05, 0.2]


def test_sign_drops_the_fraction_of_each_sign() -> None:
    positive = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    negative = [-1.0, -2.0, -3.0, -4.0]
    layer = layer_of(positive + negative)
    keep = topology.drop.sign()([layer], 0.5)[0]
    assert dropped(layer, keep) == [-2.0, -1.0, 0.1, 0.2, 0.3]


def test_article_drops_half_from_each_sign() -> None:
    positive = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    layer = layer_of([*positive, -1.0, -2.0])
    keep = topology.drop.sign(of_each=False)([layer], 0.4)[0]
    assert dropped(layer, keep) == [-2.0, -1.0, 0.1, 0.2]


def test_article_takes_from_the_other_sign_what_one_lacks() -> None:
    positive = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    layer = layer_of([*positive, -1.0])
    keep = topology.drop.sign(of_each=False)([layer], 0.4)[0]
    assert dropped(layer, keep) == [-1.0, 0.1, 0.2, 0.3]


def test_of_equal_magnitudes_the_lower_position_stays() -> None:
    layer = layer_of(np.ones(10))
    keep = layer.pattern.to_canonical(topology.drop.magnitude([layer], 0.4)[0])
    assert keep.tolist() == [True] * 6 + [False] * 4


def test_zeros_count_as_the_smallest_positive_weights() -> None:
    layer = layer_of([0.0, -0.0, 0.5, 1.0, -1.0, -2.0])
    keep = topology.drop.sign()([layer], 0.5)[0]
    assert dropped(layer, keep) == [-1.0, 0.0, 0.0]


DROPS: list[topology.Drop] = [
    topology.drop.magnitude,
    topology.drop.sign(),
    topology.drop.sign(of_each=False),
]


@given(
    values=st.lists(st.floats(-5, 5, width=32), min_size=0, max_size=100),
    fraction=st.floats(0, 0.99),
    data=st.data(),
)
@pytest.mark.parametrize("drop", DROPS, ids=["magnitude", "sign", "article"])
def test_the_protected_are_never_dropped(
    drop: topology.Drop,
    values: list[float],
    fraction: float,
    data: st.DataObject,
) -> None:
    free = layer_of(values)
    protected = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))),
        bool,
    )
    layer = Layer(0, free.param, None, 0, 0, protected)
    (keep,) = drop([layer], fraction)
    assert keep.dtype == bool
    assert keep[protected].all()
    assert np.count_nonzero(~keep) <= int(fraction * len(values)) + 1


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    density=st.floats(0, 1),
    fraction=st.floats(0, 0.99),
    regrow=st.booleans(),
    newborn=st.sampled_from(["zero", "resample"]),
    drop=st.sampled_from(["sign", "magnitude", "article"]),
    seed=st.integers(0, 99),
)
def test_an_update_keeps_every_promise(
    shape: tuple[int, int],
    density: float,
    fraction: float,
    regrow: bool,
    newborn: str,
    drop: str,
    seed: int,
) -> None:
    layer = nn.Linear(shape[1], shape[0], density, seed=seed)
    weight = layer.weight
    opt = optim.Adam(layer.parameters(), lr=0.1)
    weight.values.grad = Tensor(np.ones(weight.nnz, np.float32))
    opt.step()
    rng = np.random.default_rng(seed)
    marks = {name: rng.random(weight.nnz) + 1 for name in opt.state(weight)}
    for name, array in opt.state(weight).items():
        array[:] = marks[name]
    old = weight.pattern
    values = weight.values.data.copy()
    topo = topology.SET(
        layer.parameters(),
        opt,
        drop_fraction=fraction,
        regrow=regrow,
        newborn=newborn,  # type: ignore[arg-type]
        drop=drop,  # type: ignore[arg-type]
        seed=seed,
    )
    changes = topo.update(fraction)
    assert weight.nnz == old.nnz
    if old.is_full:
        assert changes == []
        return
    (change,) = changes
    assert change.old is old
    assert change.new is weight.pattern
    born = change.source < 0
    source = change.source[~born]
    old_ranks, new_ranks = old.ranks(), weight.pattern.ranks()
    assert np.array_equal(new_ranks[~born], old_ranks[source])
    assert len(np.unique(source)) == len(source)
    assert np.array_equal(weight.values.data[~born], values[source])
    for name, array in opt.state(weight).items():
        assert np.array_equal(array[~born], marks[name][source].astype(np.float32))
        assert not array[born].any()
    assert weight.grad is not None
    assert np.array_equal(weight.grad.data, np.where(born, 0, 1).astype(np.float32))
    if not regrow:
        assert not np.isin(new_ranks[born], old_ranks).any()
    kept = np.zeros(old.nnz, bool)
    kept[source] = True
    assert not np.isin(new_ranks[born], old_ranks[kept]).any()
    if newborn == "zero":
        assert not weight.values.data[born].any()
    report = topo.last_changes[0]
    assert report.dropped == report.grown == np.count_nonzero(born)


def test_the_same_seed_grows_the_same_connections() -> None:
    patterns = []
    for seed in (5, 5, 6):
        layer = nn.Linear(40, 30, 0.2, seed=1)
        topo = topology.SET(layer.parameters(), seed=seed)
        topo.update(0.5)
        patterns.append(layer.weight.pattern.ranks().tolist())
    assert patterns[0] == patterns[1]
    assert patterns[0] != patterns[2]


def test_newborns_are_protected_for_as_many_updates_as_asked() -> None:
    layer = nn.Linear(40, 30, 0.2, seed=1)
    topo = topology.SET(layer.parameters(), protect=1, seed=0)
    (first,) = topo.update(0.5)
    born = set(first.new.ranks()[first.newborn].tolist())
    assert born
    topo.update(0.9)
    now = set(layer.weight.pattern.ranks().tolist())
    assert born <= now, "newborns have weight 0 and would be the first to go"
    topo.update(0.9)
    assert not born <= set(layer.weight.pattern.ranks().tolist())


def test_state_resumes() -> None:
    def run(break_at: int | None) -> list[int]:
        layer = nn.Linear(30, 20, 0.2, seed=1)
        model = nn.Sequential(layer)
        model.parameters()
        topo = topology.SET(model.parameters(), every=2, protect=2, seed=4)
        for step in range(9):
            if step == break_at:
                state = topo.state()
                topo = topology.SET(model.parameters(), every=2, protect=2, seed=99)
                topo.load_state(state)
            topo.step()
        return layer.weight.pattern.ranks().tolist()

    assert run(None) == run(5)


def test_resampled_newborns_follow_the_layers_distribution() -> None:
    layer = nn.Linear(400, 300, 0.1, seed=1, init=nn.init.Normal(0.1))
    topo = topology.SET(layer.parameters(), newborn="resample")
    (change,) = topo.update(0.5)
    born = layer.weight.values.data[change.newborn]
    # About 6,000 draws: the standard error of the deviation is 0.1 / sqrt(2 n).
    assert abs(born.std() - 0.1) < 5 * 0.1 / np.sqrt(2 * born.size)


def test_resampling_needs_an_initializer() -> None:
    layer = layer_of([1.0, 2.0, 3.0, 4.0])
    topo = topology.SET([layer.param], newborn="resample")
    with pytest.raises(ValueError, match="no initializer"):
        topo.update(0.5)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (topology.Periodic(0.3, 2), [None, None, 0.3, None, 0.3, None, 0.3]),
        (topology.Periodic(0.3, 2, 5), [None, None, 0.3, None, 0.3, None, None]),
    ],
)
def test_schedule(schedule: topology.Periodic, expected: list[float | None]) -> None:
    assert [schedule(step) for step in range(7)] == expected


def test_cosine_schedule_reaches_half_at_the_middle() -> None:
    schedule = topology.Periodic(0.3, 100, 1000, "cosine")
    assert schedule(500) == pytest.approx(0.15)
    assert schedule(1000) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 1.0}, r"drop_fraction must be in \[0, 1\), got 1.0"),
        ({"fraction": float("nan")}, "drop_fraction"),
        ({"every": 0}, "every must be at least 1"),
        ({"decay": "cosine"}, "needs an end_step"),
        ({"decay": "square"}, "decay must be one of constant, cosine"),
    ],
)
def test_schedule_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        topology.Periodic(**arguments)


def test_recipes_refuse_unknown_names() -> None:
    layer = nn.Linear(4, 3, 0.5, seed=0)
    with pytest.raises(
        ValueError, match="drop must be one of sign, magnitude, article"
    ):
        topology.SET(layer.parameters(), drop="weight")  # type: ignore[arg-type]
    opt = optim.SGD(layer.parameters())
    with pytest.raises(ValueError, match="method must be one of dense, static, set"):
        topology.make("rigll", layer.parameters(), opt, steps_per_epoch=10)


def test_a_model_is_not_its_parameters() -> None:
    model = nn.Sequential(nn.Linear(4, 3, 0.5, seed=0))
    with pytest.raises(TypeError, match=r"not Linear; give model\.parameters\(\)"):
        topology.SET(model)


def test_methods_whose_topology_never_changes() -> None:
    layer = nn.Linear(4, 3, 0.5, seed=0)
    opt = optim.SGD(layer.parameters())
    for method in ("dense", "static"):
        made = topology.make(method, layer.parameters(), opt, steps_per_epoch=10)
        assert made is None
    assert topology.make("set", layer.parameters(), opt, steps_per_epoch=7, every=None)


def test_a_recipe_takes_the_options_that_it_names() -> None:
    layer = nn.Linear(40, 30, 0.5, seed=0)
    opt = optim.SGD(layer.parameters())
    made = topology.make(
        "set", layer.parameters(), opt, steps_per_epoch=7, seed=4, of_others=1
    )
    assert made is not None
    assert made.seed == 4
    assert repr(made) == (
        "TopologyUpdater(1 evolving parameter, drop=sign(of_each=True), allocate=same, "
        "grow=random(regrow=True), newborn=zero, schedule=Periodic(fraction=0.3, "
        "every=7, end_step=None, decay='constant', floor=0.0, doublings=()), steps=0, "
        "updates=0)"
    )
