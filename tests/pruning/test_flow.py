"""SynFlow's rounds against a dense NumPy twin: exact masks, ties, conservation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn import _core, nn
from sparsenn.config import get_num_threads, set_num_threads
from sparsenn.pruning import flow as flow_module
from sparsenn.pruning.flow import Flow
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern, VirtualWeight
from sparsenn.sparse.living import Death, LivingWeight, Search


def scores(weights: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """dR/dw * w of a chain of magnitudes."""
    arriving = [x]
    for w in weights[:-1]:
        arriving.append(w @ arriving[-1])
    leaving = [np.ones(len(weights[-1]))]
    for w in weights[:0:-1]:
        leaving.append(w.T @ leaving[-1])
    pairs = zip(leaving[::-1], weights, arriving, strict=True)
    return [g[:, None] * w * x for g, w, x in pairs]


def twin(weights: list[np.ndarray], counts: list[int], x: np.ndarray) -> list[Any]:
    """Masks after a round for each count."""
    masks = [np.ones(w.shape, bool) for w in weights]
    for k in counts:
        living = [w * m for w, m in zip(weights, masks, strict=True)]
        joined = np.concatenate(
            [
                np.where(m, s, -1).reshape(-1)
                for m, s in zip(masks, scores(living, x), strict=True)
            ]
        )
        chosen = np.zeros(joined.size, bool)
        chosen[np.argsort(-joined, kind="stable")[:k]] = True
        parts = np.split(chosen, np.cumsum([w.size for w in weights])[:-1])
        masks = [p.reshape(w.shape) for p, w in zip(parts, weights, strict=True)]
    return masks


def chain(sizes: list[int], init: Any, dtype: Any, seed: int) -> list[VirtualWeight]:
    streams = [Stream(seed, Purpose.INIT, layer=i) for i in range(len(sizes))]
    return [
        VirtualWeight((n_out, n_in), init, stream, dtype)
        for (n_in, n_out), stream in zip(pairwise(sizes), streams, strict=False)
    ]


def dense(weight: VirtualWeight) -> np.ndarray:
    return np.abs(weight.rows(0, weight.shape[0]).astype(np.float64))


def as_masks(living: list[LivingWeight], kept: list[Any]) -> list[np.ndarray]:
    masks = []
    for weight, (indptr, indices) in zip(living, kept, strict=True):
        mask = np.zeros(weight.shape, bool)
        mask[SparsePattern(weight.shape, indptr, indices).positions()] = True
        assert mask.sum() == weight.live
        masks.append(mask)
    return masks


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks go the way of large ones."""
    monkeypatch.setattr(flow_module, "_FEW", 0)
    monkeypatch.setattr(flow_module, "_SAMPLE", 1 << 9)
    monkeypatch.setattr(flow_module, "_LEAST", 1 << 6)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("stored", [False, True], ids=["virtual", "stored"])
@pytest.mark.parametrize("init", [nn.init.KaimingNormal(), nn.init.KaimingUniform()])
@given(
    sizes=st.lists(st.integers(1, 90), min_size=2, max_size=5),
    dtype=st.sampled_from([np.float32, np.float64]),
    rounds=st.integers(1, 5),
    final=st.sampled_from([0.0, 0.003, 0.05, 0.4]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25)
def test_rounds_are_those_of_a_dense_network(
    init: Any,
    stored: bool,
    sizes: list[int],
    dtype: Any,
    rounds: int,
    final: float,
    seed: int,
) -> None:
    virtual = chain(sizes, init, dtype, seed)
    weights = [dense(v) for v in virtual]
    total = sum(w.size for w in weights)
    counts = [round(total * final ** ((r + 1) / rounds)) for r in range(rounds)]
    rng = np.random.default_rng(seed)
    x = rng.random(sizes[0]) if seed % 2 else np.ones(sizes[0])
    living = [LivingWeight(v) for v in virtual]
    if stored:
        full = [SparsePattern.full(v.shape) for v in virtual]
        values = [v.rows(0, v.shape[0]).reshape(-1) for v in virtual]
        living = [LivingWeight(pair) for pair in zip(full, values, strict=True)]
    flow = Flow(living, None if (x == 1).all() else x)
    for k in counts:
        flow.keep(k)
        if flow.sums.max() > 0:
            np.testing.assert_allclose(flow.sums, flow.sums[0], rtol=1e-10)
    found = as_masks(living, flow.finish())
    for mine, other in zip(found, twin(weights, counts, x), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.usefixtures("sampled")
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    fractions=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60)
def test_ties_go_to_the_lower_layer_row_and_column(
    sizes: list[int], fractions: list[float], seed: int
) -> None:
    # Weights of 1 and inputs of 0, 1, 2: everything is an exact integer.
    virtual = chain(sizes, nn.init.Constant(1.0), np.float32, 0)
    weights = [np.ones(v.shape) for v in virtual]
    total = sum(w.size for w in weights)
    counts = sorted((round(f * total) for f in fractions), reverse=True)
    x = np.random.default_rng(seed).integers(0, 3, sizes[0]).astype(float)
    living = [LivingWeight(v) for v in virtual]
    flow = Flow(living, x)
    for k in counts:
        flow.keep(k)
    found = as_masks(living, flow.finish())
    for mine, other in zip(found, twin(weights, counts, x), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_known_answer() -> None:
    # By hand: scores [[2, 4], [3, .5]] and [[6, 3.5]].
    first = np.array([1, -2, 3, 0.5])
    second = np.array([2.0, -1])
    for k, expected in ((3, "010011"), (1, "000010"), (6, "111111")):
        living = [
            LivingWeight((SparsePattern.full((2, 2)), first)),
            LivingWeight((SparsePattern.full((1, 2)), second)),
        ]
        flow = Flow(living)
        flow.keep(k)
        np.testing.assert_array_equal(flow.sums / flow.sums[0], [1, 1])
        found = np.concatenate([m.reshape(-1) for m in as_masks(living, flow.finish())])
        assert "".join("01"[int(m)] for m in found) == expected


def test_deep_networks_neither_overflow_nor_vanish() -> None:
    for scale in (1e30, 1e-30):
        init = nn.init.Normal(scale)
        virtual = chain([20] * 41, init, np.float32, 0)
        flow = Flow([LivingWeight(v) for v in virtual])
        flow.keep(2000)
        np.testing.assert_allclose(flow.sums, flow.sums[0], rtol=1e-10)
        assert sum(len(indices) for _, indices in flow.finish()) == 2000
    with pytest.raises(OverflowError, match="is not finite"):
        virtual = chain([3, 3, 3], nn.init.Constant(np.inf), np.float32, 0)
        Flow([LivingWeight(v) for v in virtual]).keep(3)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("threads", [1, 3])
def test_every_instruction_set_and_number_of_threads(isa: str, threads: int) -> None:
    before = _core.isa(), get_num_threads()
    results = []
    try:
        for chosen, n in ((before[0], 1), (isa, threads)):
            _core.set_isa(chosen)
            set_num_threads(n)
            (virtual,) = chain([700, 300], nn.init.KaimingNormal(), np.float32, 0)
            rng = np.random.default_rng(0)
            x, g = rng.random(700), rng.random(300)
            weight = LivingWeight(virtual)
            passes = []
            for threshold in (0.01, 0.05):
                y, z = np.empty(300), np.empty(700)
                search = Search(0.03, 0.04, 10**6)
                death = Death(g, x, threshold, -1)
                weight.flow(death=death, x=x, g=g, y=y, z=z, search=search)
                order = np.argsort(search.ranks)
                passes += [y, z, search.scores[order], search.ranks[order]]
                passes += [np.array([weight.live, search.above, search.found])]
            results.append(passes)
    finally:
        _core.set_isa(before[0])
        set_num_threads(before[1])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    w = dense(virtual)
    score = (g[:, None] * w) * x
    alive = score > 0.05
    np.testing.assert_allclose(results[0][5], (w * alive) @ x, rtol=1e-12)
    np.testing.assert_allclose(results[0][6], (w * alive).T @ g, rtol=1e-12)
    inside = (score >= 0.03) & (score <= 0.04)
    np.testing.assert_array_equal(results[0][3], np.flatnonzero(inside))
    np.testing.assert_array_equal(results[0][2], score[inside])
    assert results[0][9].tolist() == [alive.sum(), alive.sum(), 0]


def test_a_thin_weight_is_listed() -> None:
    (virtual,) = chain([640, 300], nn.init.KaimingUniform(), np.float32, 0)
    weight = LivingWeight(virtual)
    mask_bytes = weight.nbytes
    assert mask_bytes == 640 * 300 / 8
    w = dense(virtual)
    ones = np.ones(300)
    for kept in (1 / 32, 1 / 100, 1 / 1000):
        threshold = np.quantile(w, 1 - kept)
        weight.flow(death=Death(ones, None, threshold, -1))
        alive = w > threshold
        assert weight.live == alive.sum()
        (mask,) = as_masks([weight], [weight.csr()])
        np.testing.assert_array_equal(mask, alive)
        for row in (0, 7, 299):
            columns, sizes = weight.row(row)
            np.testing.assert_array_equal(columns, np.flatnonzero(alive[row]))
            np.testing.assert_array_equal(sizes, w[row, columns])
        ranks = np.random.default_rng(0).integers(0, w.size, 1000)
        living, sizes = weight.sample(ranks)
        np.testing.assert_array_equal(living, alive.reshape(-1)[ranks])
        np.testing.assert_array_equal(sizes, w.reshape(-1)[ranks[living]])
    assert weight.nbytes < mask_bytes
    assert virtual.mask is None


def test_bad_arguments() -> None:
    first, second = (
        LivingWeight(v) for v in chain([4, 3, 2], nn.init.Normal(), np.float32, 0)
    )
    with pytest.raises(ValueError, match="at least one layer"):
        Flow([])
    with pytest.raises(
        ValueError, match=r"\(2, 3\) cannot come before one of shape \(3, 4\)"
    ):
        Flow([second, first])
    with pytest.raises(ValueError, match="inputs must be 4 numbers"):
        Flow([first, second], -np.ones(4))
    flow = Flow([first, second])
    for k in (-1, 19):
        with pytest.raises(ValueError, match=r"k must be in \[0, 18\]"):
            flow.keep(k)
    with pytest.raises(ValueError, match="g must be a writeable vector of 3 float64"):
        first.flow(g=np.ones(4), z=np.empty(4))
    with pytest.raises(ValueError, match="need g"):
        first.flow(z=np.empty(4))
    with pytest.raises(ValueError, match="must have a mask"):
        _core.flow(chain([4, 3], nn.init.Normal(), np.float32, 0)[0])
