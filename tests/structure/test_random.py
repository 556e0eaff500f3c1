"""Streams: committed vectors, addressing, and the laws that draws follow."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import _core
from sparsenn.config import get_num_threads, set_num_threads
from sparsenn.random import Purpose, Stream, as_seed

STREAM = Stream(seed=0x0123456789ABCDEF, purpose=Purpose.TEST, layer=7, step=11)

# These draws are part of every saved seed: a change here breaks all reproductions.
BITS = [1931465977, 1708066861, 291962217, 2926918761, 2230953352, 1580725723]
UNIFORM = [
    "0x1.973c20b5cc7f4p-2",
    "0x1.5cea78d222cdfp-1",
    "0x1.78dfd76e13e68p-2",
    "0x1.7ed52da6b6078p-4",
]
NORMAL = [
    "-0x1.2231a7db40439p-1",
    "0x1.2d51474740e4ep+0",
    "-0x1.0926a365a216fp+1",
    "-0x1.f3b687d04a713p-2",
]
PERMUTATION = [3, 4, 6, 2, 0, 5, 1, 7]
DRAWS = "cd0fdd479aa3ee93bed04eced94a0b925a68837d994abdf9a57e695f0f51220f"


def words64(stream: Stream, n: int) -> list[int]:
    words = [int(word) for word in stream.bits(2 * n)]
    return [low | high << 32 for low, high in zip(words[::2], words[1::2], strict=True)]


def test_committed_draws():
    assert STREAM.bits(6).tolist() == BITS
    assert [x.hex() for x in STREAM.uniform(4, np.float64).tolist()] == UNIFORM
    assert [x.hex() for x in STREAM.normal(4, np.float64).tolist()] == NORMAL
    assert STREAM.permutation(8).tolist() == PERMUTATION


def test_the_address_is_the_counter_and_the_seed_is_the_key():
    counter = [2, 0, STREAM.step, STREAM.purpose << 24 | STREAM.layer]
    key = [STREAM.seed & 0xFFFFFFFF, STREAM.seed >> 32]
    assert tuple(STREAM.bits(12)[8:]) == _core.philox4x32(counter, key)
    far = np.arange(4) + 4 * (2**33 + 5)
    counter[:2] = [5, 2]
    assert tuple(STREAM.bits(elements=far)) == _core.philox4x32(counter, key)


def test_uniform_is_the_top_of_a_word():
    words = words64(STREAM, 9)
    assert STREAM.uniform(9, np.float64).tolist() == [
        (word >> 11) * 2.0**-53 for word in words
    ]
    assert STREAM.uniform(9, np.float32).tolist() == [
        (word >> 40) * 2.0**-24 for word in words
    ]


def test_normal_is_box_muller():
    n = 20_000
    words = words64(STREAM, 2 * n)
    radius = [math.sqrt(-2 * math.log(((w >> 11) + 1) * 2.0**-53)) for w in words[::2]]
    angle = [2 * math.pi * ((w >> 11) * 2.0**-53) for w in words[1::2]]
    normal = STREAM.normal(n, np.float64)
    expected = np.array(radius) * np.cos(angle)
    # Half an ulp of pi moves the reference's angle by up to 2 pi eps.
    np.testing.assert_allclose(
        normal, expected, rtol=8 * 2.0**-53, atol=8 * 2.0**-53 * max(radius)
    )
    np.testing.assert_array_equal(STREAM.normal(n), normal.astype(np.float32))


@pytest.mark.parametrize("draw", ["bits", "uniform", "normal"])
@given(elements=st.lists(st.integers(0, 300), max_size=40))
def test_any_order_gives_the_same_elements(draw, elements):
    method = getattr(STREAM, draw)
    chosen = np.array(elements, np.int64)
    np.testing.assert_array_equal(method(elements=chosen), method(301)[chosen])


@given(first=st.integers(0, 100), n=st.integers(0, 100))
def test_a_range_may_start_anywhere(first, n):
    for function in (_core.random_bits, _core.random_uniform, _core.random_normal):
        part = function(STREAM, n, first=first)
        np.testing.assert_array_equal(part, function(STREAM, first + n)[first:])


@pytest.fixture(params=_core.available_isas())
def isa(request):
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def test_every_instruction_set_draws_the_same_bits(isa):
    # A float-free reference: Philox in Python integers, and the committed vectors.
    test_committed_draws()
    test_uniform_is_the_top_of_a_word()
    words = STREAM.bits(4 * 37)
    for block in range(37):
        counter = [block, 0, STREAM.step, STREAM.purpose << 24 | STREAM.layer]
        key = [STREAM.seed & 0xFFFFFFFF, STREAM.seed >> 32]
        drawn = _core.philox4x32(counter, key)
        assert tuple(words[4 * block : 4 * block + 4]) == drawn
    # sha256 of draws as they were before there was more than one loop to make them.
    digest = hashlib.sha256()
    elements = np.arange(1000, dtype=np.int64) ** 2 * 3_000_017
    for draw in (_core.random_uniform, _core.random_normal):
        for dtype in (np.float32, np.float64):
            digest.update(draw(STREAM, 1003, dtype=dtype, first=2**33 + 5))
            digest.update(draw(STREAM, elements=elements, dtype=dtype))
    assert digest.hexdigest() == DRAWS


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_draws_the_same_bits(threads):
    n = 100_003  # more than one chunk, and a part of one
    before = get_num_threads()
    set_num_threads(threads)
    try:
        long = STREAM.normal(n)
        listed = STREAM.uniform(elements=np.arange(n)[::-1])
        words = STREAM.bits(n)
    finally:
        set_num_threads(before)
    for begin in range(0, n, 5000):
        part = _core.random_normal(STREAM, min(5000, n - begin), first=begin)
        np.testing.assert_array_equal(long[begin : begin + 5000], part)
    np.testing.assert_array_equal(listed[::-1], STREAM.uniform(n))
    np.testing.assert_array_equal(words[-7:], _core.random_bits(STREAM, 7, first=n - 7))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [0.1, 3.7e-3])
def test_scaled_draws_are_numpys_products(isa, dtype, scale):
    factor = dtype(scale)
    expected = {
        "normal": STREAM.normal(301, dtype) * factor,
        "uniform": (2 * STREAM.uniform(301, dtype) - 1) * factor,
        "constant": np.full(301, factor),
    }
    chosen = np.array([300, 0, 7, 7, 150])
    for law, whole in expected.items():
        options = {"dtype": dtype}
        part = _core.random_scaled(STREAM, law, scale, 298, first=3, **options)
        np.testing.assert_array_equal(part, whole[3:])
        listed = _core.random_scaled(STREAM, law, scale, elements=chosen, **options)
        np.testing.assert_array_equal(listed, whole[chosen])
        size = _core.random_scaled(STREAM, law, scale, 301, absolute=True, **options)
        np.testing.assert_array_equal(size, np.abs(whole))
        assert not np.signbit(size).any()
    with pytest.raises(ValueError, match="law is 'cauchy'"):
        _core.random_scaled(STREAM, "cauchy", 1.0, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": STREAM.seed + 1},
        {"seed": STREAM.seed ^ 1 << 63},
        {"purpose": Purpose.INIT},
        {"layer": 8},
        {"step": 12},
    ],
)
def test_streams_of_other_addresses_are_unrelated(other):
    n = 100_000
    a = STREAM.normal(n, np.float64)
    b = dataclasses.replace(STREAM, **other).normal(n, np.float64)
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(n)


def test_draws_follow_their_laws():
    from scipy import stats

    n = 200_000
    assert stats.kstest(STREAM.uniform(n, np.float64), "uniform").pvalue > 1e-3
    assert stats.kstest(STREAM.normal(n, np.float64), "norm").pvalue > 1e-3
    uniform = STREAM.uniform(n)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    bits = np.unpackbits(STREAM.bits(n).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / math.sqrt(bits.size)


@given(n=st.integers(0, 200))
def test_permutation_holds_every_number_once(n):
    assert sorted(STREAM.permutation(n).tolist()) == list(range(n))


def test_permutations_are_uniform():
    from scipy import stats

    counts: dict[bytes, int] = {}
    for step in range(4800):
        key = dataclasses.replace(STREAM, step=step).permutation(4).tobytes()
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    ("field", "bits"), [("seed", 64), ("purpose", 8), ("layer", 24), ("step", 32)]
)
def test_a_stream_refuses_what_does_not_fit(field, bits):
    dataclasses.replace(STREAM, **{field: 2**bits - 1}).bits(1)
    for value in (-1, 2**bits):
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            dataclasses.replace(STREAM, **{field: value})
    for value in (1.0, True, "1", None):
        with pytest.raises(TypeError, match=field):
            dataclasses.replace(STREAM, **{field: value})


def test_draws_refuse_bad_arguments():
    with pytest.raises(TypeError, match="either n or elements"):
        STREAM.bits()
    with pytest.raises(TypeError, match="either n or elements"):
        STREAM.uniform(3, elements=np.arange(3))
    with pytest.raises(ValueError, match="elements 0 to -1"):
        STREAM.bits(-1)
    with pytest.raises(ValueError, match="holds -2"):
        STREAM.bits(elements=np.array([3, -2]))
    with pytest.raises(TypeError, match="elements has dtype float64"):
        STREAM.bits(elements=np.array([0.5]))
    with pytest.raises(TypeError, match="dtype is float16"):
        STREAM.uniform(3, np.float16)
    with pytest.raises(TypeError, match="dtype is int64"):
        STREAM.normal(3, np.int64)


def test_as_seed():
    assert as_seed(0) == 0
    assert as_seed(np.uint64(2**64 - 1)) == 2**64 - 1
    assert 0 <= as_seed(None) < 2**64
    assert as_seed(None) != as_seed(None)
    a, b = np.random.default_rng(5), np.random.default_rng(5)
    assert as_seed(a) == as_seed(b)
    assert as_seed(a) != as_seed(np.random.default_rng(5))
    for bad in (-1, 2**64):
        with pytest.raises(ValueError, match="lie in"):
            as_seed(bad)
    for wrong in (1.5, "1", True):
        with pytest.raises(TypeError, match="must be an int"):
            as_seed(wrong)
