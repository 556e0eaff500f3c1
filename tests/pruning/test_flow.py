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


def scores(weights: list[np.ndarray]) -> list[np.ndarray]:
    """dR/dw * w of a chain of magnitudes."""
    arriving = [np.ones(weights[0].shape[1])]
    for w in weights[:-1]:
        arriving.append(w @ arriving[-1])
    leaving = [np.ones(len(weights[-1]))]
    for w in weights[:0:-1]:
        leaving.append(w.T @ leaving[-1])
    pairs = zip(leaving[::-1], weights, arriving, strict=True)
    return [g[:, None] * w * x for g, w, x in pairs]


def twin(
    weights: list[np.ndarray],
    masks: list[np.ndarray],
    counts: list[int],
    mortal: list[bool],
    weakest: bool = False,
) -> list[np.ndarray]:
    """Masks after a round for each count."""
    sign = -1 if weakest else 1
    for k in counts:
        living = [w * m for w, m in zip(weights, masks, strict=True)]
        found = zip(masks, scores(living), mortal, strict=True)
        joined = np.concatenate(
            [
                np.where(m, sign * s, -np.inf).reshape(-1)
                for m, s, alive in found
                if alive
            ]
        )
        chosen = np.zeros(joined.size, bool)
        chosen[np.argsort(-joined, kind="stable")[:k]] = True
        sizes = [m.size for m, alive in zip(masks, mortal, strict=True) if alive]
        parts = iter(np.split(chosen, np.cumsum(sizes)[:-1]))
        masks = [
            next(parts).reshape(m.shape) if alive else m
            for m, alive in zip(masks, mortal, strict=True)
        ]
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
    monkeypatch.setattr(flow_module, "_ONE_IN", 1)
    monkeypatch.setattr(flow_module, "_SAMPLE", 1 << 9)
    monkeypatch.setattr(flow_module, "_LEAST", 1 << 6)


def living_of(
    virtual: list[VirtualWeight], masks: list[np.ndarray], stored: bool
) -> list[LivingWeight]:
    if stored:
        patterns = [SparsePattern.from_mask(m) for m in masks]
        values = [
            p.from_canonical(v.rows(0, v.shape[0])[m])
            for p, v, m in zip(patterns, virtual, masks, strict=True)
        ]
        return [LivingWeight(pair) for pair in zip(patterns, values, strict=True)]
    weights = []
    for v, m in zip(virtual, masks, strict=True):
        bits = np.zeros((len(m), -(-m.shape[1] // 64) * 64), np.uint8)
        bits[:, : m.shape[1]] = m
        words = np.packbits(bits, axis=1, bitorder="little").view("<u8")
        weights.append(LivingWeight(v.masked(words.astype(np.uint64))))
    return weights


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("stored", [False, True], ids=["virtual", "stored"])
@pytest.mark.parametrize("init", [nn.init.KaimingNormal(), nn.init.KaimingUniform()])
@given(
    sizes=st.lists(st.integers(1, 90), min_size=2, max_size=5),
    dtype=st.sampled_from([np.float32, np.float64]),
    rounds=st.integers(1, 5),
    density=st.sampled_from([1.0, 0.6, 0.02]),
    final=st.sampled_from([0.0, 0.003, 0.05, 0.4]),
    kept=st.integers(0, 4),
    weakest=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25)
def test_rounds_are_those_of_a_dense_network(
    init: Any,
    stored: bool,
    sizes: list[int],
    dtype: Any,
    rounds: int,
    density: float,
    final: float,
    kept: int,
    weakest: bool,
    seed: int,
) -> None:
    virtual = chain(sizes, init, dtype, seed)
    weights = [dense(v) for v in virtual]
    rng = np.random.default_rng(seed)
    masks = [rng.random(w.shape) < density for w in weights]
    mortal = [i != kept for i in range(len(weights))] if len(weights) > 1 else [True]
    total = sum(int(m.sum()) for m, alive in zip(masks, mortal, strict=True) if alive)
    counts = [round(total * final ** ((r + 1) / rounds)) for r in range(rounds)]
    living = living_of(virtual, masks, stored)
    flow = Flow(living, mortal, weakest=weakest)
    for k in counts:
        flow.keep(k)
        assert flow.live == k
        np.testing.assert_allclose(flow.sums, flow.sums[0], rtol=1e-10)
    found = as_masks(living, flow.finish())
    expected = twin(weights, masks, counts, mortal, weakest)
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.usefixtures("sampled")
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    density=st.sampled_from([1.0, 0.5, 0.2]),
    fractions=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    weakest=st.booleans(),
    stored=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=80)
def test_ties_go_to_the_lower_layer_row_and_column(
    sizes: list[int],
    density: float,
    fractions: list[float],
    weakest: bool,
    stored: bool,
    seed: int,
) -> None:
    # Weights of 1: every score is an exact integer, and 0 where a path ends.
    virtual = chain(sizes, nn.init.Constant(1.0), np.float32, 0)
    weights = [np.ones(v.shape) for v in virtual]
    rng = np.random.default_rng(seed)
    masks = [rng.random(w.shape) < density for w in weights]
    total = sum(int(m.sum()) for m in masks)
    counts = sorted((round(f * total) for f in fractions), reverse=True)
    living = living_of(virtual, masks, stored)
    flow = Flow(living, weakest=weakest)
    for k in counts:
        flow.keep(k)
    found = as_masks(living, flow.finish())
    mortal = [True] * len(weights)
    for mine, other in zip(
        found, twin(weights, masks, counts, mortal, weakest), strict=True
    ):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.usefixtures("sampled")
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    share=st.sampled_from([0.01, 0.2, 0.7]),
    least=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40)
def test_what_is_shed_carries_at_most_its_share(
    sizes: list[int], share: float, least: float, seed: int
) -> None:
    virtual = chain(sizes, nn.init.KaimingNormal(), np.float64, seed)
    weights = [dense(v) for v in virtual]
    masks = [np.ones(w.shape, bool) for w in weights]
    total = sum(w.size for w in weights)
    living = [LivingWeight(v) for v in virtual]
    flow = Flow(living)
    floor = round(least * total)
    for _ in range(3):
        here = [w * m for w, m in zip(weights, masks, strict=True)]
        parts = [s[m] for s, m in zip(scores(here), masks, strict=True)]
        passed = np.cumsum([0.0, *np.sort(np.concatenate(parts))])
        dead = np.searchsorted(passed[1:], share * passed[-1] / len(parts), "right")
        k = flow.live
        if floor < k:
            k = max(k - max(int(dead), 1), floor)
        flow.shed(share, floor)
        assert flow.live == k
        masks = twin(weights, masks, [k], [True] * len(weights))
    found = as_masks(living, flow.finish())
    for mine, other in zip(found, masks, strict=True):
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
        flow.vectors()
        np.testing.assert_array_equal(flow.sums / flow.sums[0], [1, 1])
        flow.keep(k)
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
        ranks, sizes, unit = weight.sample(3000, Stream(0, Purpose.PROBE))
        assert alive.reshape(-1)[ranks].all()
        np.testing.assert_array_equal(sizes, w.reshape(-1)[ranks])
        assert abs(len(ranks) * unit / alive.sum() - 1) < 0.5
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
