"""Models as files: exact, deterministic, and refused when they do not fit."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sparsenn as snn
from sparsenn import nn
from sparsenn.data import Scaling
from sparsenn.export.model import model_arrays, read_model, set_model_arrays
from sparsenn.export.safetensors import FormatError, read, write


def network(seed: int = 0, dtype: Any = np.float32, density: float = 0.3) -> Any:
    return nn.Sequential(
        nn.Linear(300, 20, density, seed=seed, number=0, dtype=dtype),
        nn.BatchNorm1d(20, dtype=dtype),
        nn.ReLU(),
        nn.Linear(20, 7, 0.0, bias=False, seed=seed, number=1, dtype=dtype),
        nn.SReLU(7),
        nn.Dropout(0.5, seed=3),
        nn.LayerNorm(7, dtype=dtype),
        nn.Linear(7, 4, 1.0, seed=seed, number=2, dtype=dtype),
    )


def assert_same(a: Any, b: Any) -> None:
    left, right = model_arrays(a), model_arrays(b)
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.dtype == right[name].dtype, name
        np.testing.assert_array_equal(array, right[name], err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_comes_back_exactly(tmp_path: Path, dtype: Any) -> None:
    model = network(dtype=dtype)
    model.layers[1].running_mean[...] = np.arange(20)
    path = tmp_path / "m.safetensors"
    snn.save(model, path)
    loaded = snn.load(path)
    assert_same(model, loaded)
    assert not loaded.training
    x = np.random.default_rng(0).normal(size=(5, 300)).astype(dtype)
    model.eval()
    np.testing.assert_array_equal(model(x).numpy(), loaded(x).numpy())


def test_what_lies_in_the_file(tmp_path: Path) -> None:
    model = network()
    path = tmp_path / "m.safetensors"
    snn.save(model, path)
    arrays, metadata = read(path)
    csr = model.layers[0].weight.to_scipy()
    for part, expected in (
        ("indptr", csr.indptr),
        ("indices", csr.indices),
        ("values", csr.data),
    ):
        np.testing.assert_array_equal(arrays[f"0.weight.{part}"], expected)
    assert arrays["0.weight.indices"].dtype == np.int32
    assert "7.weight.indices" not in arrays and arrays["7.weight.values"].size == 28
    assert arrays["3.weight.values"].size == 0
    assert arrays["5.calls"].dtype == np.int64
    assert metadata["sparsenn.format_version"] == "1"
    assert set(metadata) == {
        "sparsenn.architecture", "sparsenn.format_version", "sparsenn.kind",
        "sparsenn.parameters",
    }  # fmt: skip


def test_other_programs_read_it(tmp_path: Path) -> None:
    numpy_files = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "m.safetensors"
    snn.save(network(), path)
    found = numpy_files.load_file(path)
    expected, _ = read(path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    snn.save(network(), a)
    snn.save(snn.load(a), b)
    snn.save(network(seed=1), c)
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


def test_the_order_in_memory_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal weights are equal bytes whatever blocks of columns a layer uses."""
    found = set()
    blocks = set()
    for width in (128, 512):
        monkeypatch.setattr(
            "sparsenn.sparse.pattern.choose_block_width", lambda *a, w=width: w
        )
        model = network()
        blocks.add(model.layers[0].weight.pattern.layout.n_blocks)
        weight = model.layers[0].weight
        weight.values.data[...] = weight.pattern.ranks()
        path = tmp_path / str(width)
        snn.save(model, path)
        found.add(path.read_bytes())
        np.testing.assert_array_equal(
            snn.load(path).layers[0].weight.to_scipy().toarray(),
            weight.to_scipy().toarray(),
        )
    assert blocks == {1, 3} and len(found) == 1


@pytest.mark.parametrize("kind", ["unit", "standard", "none"])
def test_scaling_and_extra_come_back(tmp_path: Path, kind: Any) -> None:
    x = np.random.default_rng(0).normal(size=(30, 300)).astype(np.float32)
    scaling = Scaling.fit(x, kind)
    path = tmp_path / "m.safetensors"
    snn.save(network(), path, scaling=scaling, extra={"note": [1, "two", None]})
    file = read_model(path)
    assert file.scaling.kind == kind and file.extra == {"note": [1, "two", None]}
    np.testing.assert_array_equal(file.scaling.apply(x), scaling.apply(x))


def test_load_into(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    source = network(seed=1)
    snn.save(source, path)
    target = network(density=0.8)
    bias = target.layers[0].bias
    assert snn.load(path, into=target) is target
    assert_same(source, target)
    assert target.layers[0].bias is bias and target.training


def test_load_into_keeps_the_dtype(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    source = network(seed=1, dtype=np.float64)
    snn.save(source, path)
    target = network()
    snn.load(path, into=target)
    assert target.layers[0].weight.dtype == np.float32
    np.testing.assert_array_equal(
        target.layers[0].weight.values.numpy(),
        source.layers[0].weight.values.numpy().astype(np.float32),
    )


def test_load_into_lists_every_difference(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3, bias=False), nn.Linear(3, 2))
    snn.save(model, path)
    other = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 6), nn.ReLU())
    before = model_arrays(other)
    with pytest.raises(FormatError) as caught:
        snn.load(path, into=other)
    text = str(caught.value)
    for part in (
        "m.safetensors",
        "1.weight has shape (3, 4), the model's is (6, 4)",
        "1.bias is missing",
        "2.weight.values is not in the model",
        "2.bias is not in the model",
    ):
        assert part in text
    for name, array in model_arrays(other).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_model_of_own_layers_needs_into(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Linear(3, 2, seed=0)

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    with pytest.raises((TypeError, ValueError), match="Own"):
        snn.save(Own(), tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    model = network()
    model.layers[0].weight.values.data[0] = np.nan
    snn.save(model, tmp_path / "m")
    assert np.isnan(snn.load(tmp_path / "m").layers[0].weight.values.data).sum() == 1


def test_snapshot_in_memory() -> None:
    model, other = network(), network(seed=1)
    kept = model_arrays(model)
    expected = model_arrays(model)
    model.layers[0].weight.values.data[...] = 0  # the snapshot is a copy
    set_model_arrays(other, kept)
    set_model_arrays(model, kept)
    assert_same(model, other)
    for name, array in model_arrays(model).items():
        np.testing.assert_array_equal(array, expected[name])


CHANGES: list[tuple[str, Any, str]] = [
    ("sparsenn.format_version", None, "not a model of sparsenn"),
    ("sparsenn.format_version", "2", "has format version '2'; this reads 1"),
    ("sparsenn.kind", "cat", "is a 'cat'"),
    ("sparsenn.architecture", None, "has no 'sparsenn.architecture'"),
    ("sparsenn.architecture", "{", "is not JSON"),
    ("sparsenn.architecture", "[]", "must be a JSON object"),
    ("sparsenn.architecture", "[" * 100_000, "is not JSON"),
    ("sparsenn.architecture", '{"type":"Line"}', "unknown layer 'Line'"),
    ("sparsenn.architecture", '{"type":"Linear","n_in":5,"n_out":1e3}', "built"),
    ("sparsenn.architecture", '{"type":"Linear","n_in":5,"n_out":2}', "not fit"),
    (
        "sparsenn.architecture",
        '{"type":"Linear","n_in":5,"n_out":2000000000}',
        "has n_out 2000000000 in all, its tensors only have",
    ),
    (
        "sparsenn.architecture",
        '{"type":"LayerNorm","n_features":2000000000}',
        "has n_features 2000000000 in all",
    ),
    ("sparsenn.architecture", '{"type":"Sequential","layers":3}', "list of layers"),
    ("sparsenn.parameters", "{}", "weight is missing"),
    ("sparsenn.parameters", '{"weight":3}', "describes 'weight' as 3"),
    ("sparsenn.parameters", '{"weight":{"shape":[3,-5],"full":false}}', "describes"),
    ("sparsenn.parameters", '{"weight":{"shape":[3,5],"full":true}}', "weight.values"),
    ("sparsenn.parameters", '{"weight":{"shape":[5,3],"full":false}}', "shape"),
    ("sparsenn.scaling", '{"kind":"odd"}', "its input scaling is not valid"),
    ("sparsenn.scaling", "3", "must be a JSON object"),
    (
        "sparsenn.scaling",
        '{"kind":"unit","n_features":5,"shift":null,"divisor":[%s]}' % ("9" * 400),
        "its input scaling is not valid",
    ),
]


def _two(**layer: Any) -> str:
    first = {"type": "Linear", "n_in": 5, "n_out": 3, "bias": True}
    return json.dumps({"type": "Sequential", "layers": [first, layer]})


def _linear(n_out: int) -> dict[str, Any]:
    return {"type": "Linear", "n_in": 1, "n_out": n_out, "bias": False}


def _nested(depth: int) -> str:
    return '{"type":"Sequential","layers":[' * depth + "]}" * depth


ARCHITECTURES: list[tuple[str, str]] = [
    # Sizes that would cancel, are lists, or are numbers beyond what Python prints.
    (
        json.dumps(
            {"type": "Sequential", "layers": [_linear(2**31 - 1), _linear(1 - 2**31)]}
        ),
        "n_out -2147483647, allowed are 0",
    ),
    (_two(type="LayerNorm", n_features=[60000, 60000]), "n_features is [60000, 60000]"),
    (_two(type="LayerNorm", n_features=3, dtype="S2000000000"), "dtype is 'S2000"),
    ('{"type":"Linear","n_in":5,"n_out":%s}' % ("9" * 4300), "beyond 10**20"),
    ('{"type":"Linear","n_in":%s,"n_out":3}' % ("9" * 4300), "finite number"),
    # Arguments of the wrong type, which only a forward pass would meet.
    (_two(type="LayerNorm", n_features=3, eps="x"), "eps is 'x'"),
    (_two(type="LeakyReLU", slope=[1, 2]), "slope is [1, 2]"),
    (_two(type="LeakyReLU", slope=float("nan")), "slope is nan"),
    (_two(type="Linear", n_in=3, n_out=2, pattern={}), "pattern is {}"),
    (_two(type="Linear", n_in=3, n_out=2, pattern=5), "no attribute"),
    (_two(type="Linear", n_in=3, n_out=2, nnz=6), "nnz"),
    (_nested(200), "nested beyond 64 deep"),
]


@pytest.mark.parametrize(("architecture", "text"), ARCHITECTURES)
def test_architectures_that_lie(tmp_path: Path, architecture: str, text: str) -> None:
    path = tmp_path / "m.safetensors"
    snn.save(nn.Linear(5, 3, 0.5, seed=0), path)
    arrays, metadata = read(path)
    metadata["sparsenn.architecture"] = architecture
    write(path, arrays, metadata)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError) as caught:
            snn.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert "m.safetensors" in str(caught.value) and text in str(caught.value)


def test_a_table_that_promises_room_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    snn.save(nn.Linear(5, 3, 0.5, seed=0), path)
    arrays, metadata = read(path)
    metadata["sparsenn.architecture"] = (
        '{"type":"Linear","n_in":5,"n_out":100000000,"bias":true}'
    )
    metadata["sparsenn.parameters"] = '{"weight":{"shape":[100000000,5],"full":false}}'
    write(path, arrays, metadata)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="n_out 100000000 in all"):
            snn.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_nested_models_are_read(tmp_path: Path) -> None:
    model: Any = nn.Linear(5, 3, 0.5, seed=0)
    for _ in range(30):
        model = nn.Sequential(model)
    path = tmp_path / "m.safetensors"
    snn.save(model, path)
    assert_same(model, snn.load(path))
    assert "Linear" in repr(snn.load(path))


@pytest.mark.parametrize(("key", "value", "text"), CHANGES)
def test_metadata_that_lie(tmp_path: Path, key: str, value: Any, text: str) -> None:
    path = tmp_path / "m.safetensors"
    snn.save(nn.Linear(5, 3, 0.5, seed=0), path)
    arrays, metadata = read(path)
    metadata.pop(key, None)
    if value is not None:
        metadata[key] = value
    write(path, arrays, metadata)
    with pytest.raises(FormatError) as caught:
        snn.load(path)
    assert "m.safetensors" in str(caught.value) and text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("weight.indptr", lambda a: a.astype(np.int64), "int64, not int32"),
        ("weight.indptr", lambda a: a[:-1], "has shape"),
        ("weight.indptr", lambda a: a[::-1], "tensor 'weight'"),
        ("weight.indices", lambda a: a + 3, "tensor 'weight'"),
        ("weight.indices", lambda a: a * 0, "tensor 'weight'"),
        ("weight.indices", lambda a: a[:, None], "1"),
        ("weight.indices", lambda a: a.astype(np.float32), "float32, not int32"),
        ("weight.values", lambda a: a[1:], "has shape"),
        ("weight.values", lambda a: a.astype(np.int32), "int32, not float32"),
        ("weight.values", lambda a: None, "weight.values is missing"),
        ("bias", lambda a: a[1:], "bias has shape (2,), the model's is (3,)"),
        ("bias", lambda a: a.astype(np.int8), "bias holds int8, not floats"),
        ("bias", lambda a: None, "bias is missing"),
        ("other", lambda a: np.ones(3), "other is not in the model"),
        ("a/b", lambda a: np.ones(3), "'a/b', which is no model's"),
    ],
)
def test_tensors_that_lie(tmp_path: Path, name: str, change: Any, text: str) -> None:
    path = tmp_path / "m.safetensors"
    snn.save(nn.Linear(5, 3, 0.5, seed=0), path)
    arrays, metadata = read(path)
    changed = change(arrays.pop(name, None))
    if changed is not None:
        arrays[name] = changed
    write(path, arrays, metadata)
    with pytest.raises(FormatError) as caught:
        snn.load(path)
    assert "m.safetensors" in str(caught.value) and text in str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    snn.save(nn.Linear(40, 30, 0.2, seed=0), path)
    return path


@given(data=st.data())
def test_any_flipped_bit_is_found(saved: Path, data: st.DataObject) -> None:
    content = bytearray(saved.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    damaged = saved.with_name("damaged")
    damaged.write_bytes(content)
    with pytest.raises(FormatError, match="damaged"):
        snn.load(damaged)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file; models are saved by"):
        snn.load(tmp_path / "none")
