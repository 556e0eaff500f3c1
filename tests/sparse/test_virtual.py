"""Virtual weights: the values of a full weight, bit for bit, none of them stored."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsenn as snn
from sparsenn import _core, models, nn, optim, topology
from sparsenn.config import get_num_threads, set_num_threads
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparseParameter, SparsePattern, VirtualWeight
from sparsenn.sparse.virtual import blocks

STREAM = Stream(seed=3, purpose=Purpose.INIT, layer=1)
INITS = [
    nn.init.KaimingNormal(),
    nn.init.KaimingUniform(),
    nn.init.XavierNormal(1.5),
    nn.init.XavierUniform(),
    nn.init.Normal(0.3),
    nn.init.Constant(2.0),
]
named = pytest.mark.parametrize("init", INITS, ids=lambda i: type(i).__name__)


def full(shape: tuple[int, int], init: Any, dtype: Any) -> np.ndarray:
    pattern = SparsePattern.full(shape)
    return init(pattern, STREAM, np.dtype(dtype), None).reshape(shape)


@named
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    n_rows=st.integers(1, 40),
    n_cols=st.integers(1, 150),
    data=st.data(),
)
@settings(max_examples=20)
def test_values_are_those_of_a_full_weight(
    init: Any, dtype: Any, n_rows: int, n_cols: int, data: Any
) -> None:
    shape = n_rows, n_cols
    expected = full(shape, init, dtype)
    weight = VirtualWeight(shape, init, STREAM, dtype)
    first = data.draw(st.integers(0, n_rows))
    count = data.draw(st.integers(0, n_rows - first))
    rows = weight.rows(first, count)
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows, expected[first : first + count])
    np.testing.assert_array_equal(weight.magnitudes().rows(first, count), np.abs(rows))
    mask = data.draw(st.integers(0, 2**32)) & 1
    chosen = np.random.default_rng(mask).random(shape) < 0.3
    pattern = SparsePattern.from_mask(chosen)
    indptr, indices = pattern.csr()
    np.testing.assert_array_equal(weight.at(indptr, indices), expected[chosen])
    bits = np.zeros((n_rows, -(-n_cols // 64) * 64), np.uint8)
    bits[:, :n_cols] = chosen
    words = np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    masked = weight.masked(words)
    np.testing.assert_array_equal(masked.rows(0, n_rows), expected * chosen)
    assert masked.nbytes == words.nbytes
    assert weight.nbytes == 0


@pytest.mark.parametrize("shape", [(3, 2_000_000), (2_000_000, 3), (2500, 2100)])
def test_tiles_cover_a_weight_once(shape: tuple[int, int]) -> None:
    weight = VirtualWeight(shape, nn.init.KaimingUniform(), STREAM)
    seen = 0
    for rows, columns, tile in blocks(weight):
        assert tile.nbytes <= 4 << 20
        inner = weight.shape[1] * (rows.stop - 1) + columns.stop - 1
        assert tile[-1, -1] == weight.at_ranks(np.array([inner]))[0]
        seen += tile.size
    assert seen == weight.size


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("threads", [1, 3])
def test_every_instruction_set_and_number_of_threads(isa: str, threads: int) -> None:
    init = nn.init.KaimingNormal()
    weight = VirtualWeight((70, 999), init, STREAM)
    expected = full((70, 999), init, np.float32)
    before = _core.isa(), get_num_threads()
    _core.set_isa(isa)
    set_num_threads(threads)
    try:
        out = np.full((60, 800), np.nan, np.float32)
        weight.tile(slice(5, 60), slice(130, 830), out[:55, :700])
    finally:
        _core.set_isa(before[0])
        set_num_threads(before[1])
    np.testing.assert_array_equal(out[:55, :700], expected[5:60, 130:830])
    assert np.isnan(out[55:]).all()
    assert np.isnan(out[:, 700:]).all()


def test_positions_beyond_two_to_the_32() -> None:
    weight = VirtualWeight((70_000, 70_000), nn.init.KaimingNormal(), STREAM)
    row = weight.rows(69_999, 1)[0]
    indptr = np.zeros(70_001, np.int32)
    indptr[-1] = 2
    some = weight.at(indptr, np.array([17, 69_998], np.int32))
    np.testing.assert_array_equal(some, row[[17, 69_998]])
    ranks = 69_999 * 70_000 + np.array([17, 69_998])
    scale = np.float32(np.sqrt(2.0) / np.sqrt(70_000))
    np.testing.assert_array_equal(some, STREAM.normal(elements=ranks) * scale)


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="has no law"):
        VirtualWeight((2, 3), lambda *_: None, STREAM)
    with pytest.raises(TypeError, match="dtype is float16"):
        VirtualWeight((2, 3), INITS[0], STREAM, np.float16)
    with pytest.raises(ValueError, match="mask must be uint64 of shape"):
        VirtualWeight((2, 3), INITS[0], STREAM, mask=np.zeros((2, 3), bool))
    weight = VirtualWeight((2, 3), INITS[0], STREAM)
    with pytest.raises(ValueError, match=r"rows 1\.\.2"):
        weight.rows(1, 2)
    with pytest.raises(ValueError, match="does not lie in"):
        _core.random_tile(STREAM, "normal", 1.0, 0, 2, np.empty((2, 3)))
    with pytest.raises(ValueError, match="must be contiguous"):
        _core.random_tile(STREAM, "normal", 1.0, 0, 3, np.empty((3, 2)).T)
    with pytest.raises(ValueError, match="writeable"):
        _core.random_tile(STREAM, "normal", 1.0, 0, 3, [[1.0]])


# ---------------------------------------------------------------- parameters


@named
@pytest.mark.parametrize("sparse_input", [False, True])
def test_a_layer_keeps_the_values_of_the_full_one(
    init: Any, sparse_input: bool
) -> None:
    options: dict[str, Any] = {"init": init, "seed": 4, "number": 2}
    layer = nn.Linear(50, 30, None, sparse_input=sparse_input, **options)
    weight = layer.weight
    reference = nn.Linear(50, 30, **options).weight.to_scipy().toarray()
    assert weight.virtual is not None
    assert (weight.shape, weight.nnz, weight.density) == ((30, 50), 1500, 1.0)
    keep = np.random.default_rng(0).random((30, 50)) < 0.1
    weight.materialize(*SparsePattern.from_mask(keep).csr())
    assert weight.virtual is None
    assert weight.pattern.by_column == sparse_input
    np.testing.assert_array_equal(weight.to_scipy().toarray(), reference * keep)
    np.testing.assert_array_equal(weight.initial_values(), weight.values.data)
    with pytest.raises(RuntimeError, match="is not virtual"):
        weight.materialize(np.zeros(31), np.zeros(0))
    optim.SGD([weight], lr=0.1)


def test_a_virtual_model_says_so() -> None:
    model = models.mlp([20, 10, 3], None, seed=0)
    assert "virtual" in repr(model)
    assert model.summary().count("virtual") == 2
    assert "virtual" in repr(model.parameters()[0])
    assert sum(p.nbytes for p in model.parameters() if hasattr(p, "virtual")) == 0
    twin = models.mlp([20, 10, 3], 1.0, seed=0)
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        if isinstance(mine, SparseParameter):
            assert mine.virtual is not None
            whole = mine.virtual.rows(0, mine.shape[0])
            np.testing.assert_array_equal(whole, other.to_scipy().toarray())
    clone = copy.deepcopy(model)
    assert "virtual" in repr(clone)


def test_what_a_virtual_weight_cannot_do(tmp_path: Any) -> None:
    model = models.mlp([20, 10, 3], None, seed=0)
    weight = model.parameters()[0]
    assert isinstance(weight, SparseParameter)
    for done in (
        lambda: optim.SGD(model.parameters(), lr=0.1),
        lambda: optim.Adam(model.parameters(), lr=0.1),
        lambda: topology.SET(model.parameters()).update(0.3),
        lambda: snn.save(model, tmp_path / "m.safetensors"),
        lambda: model.freeze(),
        lambda: weight.to_scipy(),
        lambda: weight.positions(),
    ):
        with pytest.raises(RuntimeError, match=r"is virtual .* sparsenn\.pruning"):
            done()
    assert list(tmp_path.iterdir()) == []
    assert model.frozen is None
    weight.set(SparsePattern.empty((10, 20)), np.zeros(0, np.float32))
    assert weight.virtual is None
