"""safetensors files: round trips, equal bytes, and the reference package."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparsenn.export import safetensors as ours

DTYPES = ["?", "u1", "i1", *(f"<{k}{n}" for n in (2, 4, 8) for k in "uif")]


def sample():
    rng = np.random.default_rng(0)
    arrays = {
        "layer.values": rng.normal(size=7).astype(np.float32),
        "layer.columns": np.array([3, 1, 2], np.uint8),
        "layer.indptr": np.arange(4, dtype=np.int32),
        "flags": np.array([[True, False], [True, True]]),
        "scalar": np.float64(2.5),
        "empty": np.zeros((0, 5), np.int64),
        "half": np.linspace(0, 1, 5).astype(np.float16),
    }
    return arrays, {"kind": "test", "größe": "1 %"}


def header(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        x, y = np.asarray(a[name]), b[name]
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        assert x.tobytes() == y.tobytes()


def test_round_trip(tmp_path):
    arrays, metadata = sample()
    ours.write(tmp_path / "a", arrays, metadata)
    read, text = ours.read(tmp_path / "a", require_checksum=True)
    assert_same(arrays, read)
    assert text == metadata
    for array in read.values():
        assert array.flags.writeable
        assert array.flags.aligned


@settings(deadline=None, max_examples=50)
@given(
    arrays=st.dictionaries(
        st.text(max_size=5).filter(
            lambda name: name != "__metadata__" and name.isprintable()
        ),
        st.sampled_from(DTYPES).flatmap(
            lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0))
        ),
        max_size=4,
    )
)
def test_round_trip_of_anything(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("any") / "a"
    ours.write(path, arrays, {})
    assert_same(arrays, ours.read(path)[0])


def test_bytes_do_not_depend_on_order_layout_or_byte_order(tmp_path):
    arrays, metadata = sample()
    arrays["matrix"] = np.arange(6.0).reshape(2, 3)
    ours.write(tmp_path / "a", arrays, metadata)
    other = dict(reversed(arrays.items()))
    other["matrix"] = np.asfortranarray(arrays["matrix"])
    other["layer.values"] = arrays["layer.values"].astype(">f4")
    ours.write(tmp_path / "b", other, dict(reversed(metadata.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_are_aligned_without_gaps(tmp_path):
    arrays, metadata = sample()
    ours.write(tmp_path / "a", arrays, metadata)
    length = int.from_bytes((tmp_path / "a").read_bytes()[:8], "little")
    assert length % 8 == 0
    infos, _ = ours.read_lazily(tmp_path / "a")
    assert ours.read(tmp_path / "a")[1] == metadata
    end = 0
    for name, info in infos.items():
        assert info.begin == end
        assert info.begin % info.dtype.itemsize == 0
        assert info.shape == np.shape(arrays[name])
        end = info.end


def test_reference_package_reads_ours(tmp_path):
    reference = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    arrays, metadata = sample()
    ours.write(tmp_path / "a", arrays, metadata)
    read = load_file(tmp_path / "a")
    assert_same(arrays, read)
    with reference.safe_open(tmp_path / "a", framework="np") as file:
        text = file.metadata()
    assert metadata.items() <= text.items()


def test_ours_reads_the_reference_package(tmp_path):
    pytest.importorskip("safetensors")
    from safetensors.numpy import save_file

    arrays, metadata = sample()
    arrays["scalar"] = np.asarray(arrays["scalar"])
    save_file(arrays, tmp_path / "a", metadata)
    read, text = ours.read(tmp_path / "a")
    assert_same(arrays, read)
    assert text == metadata
    save_file(arrays, tmp_path / "b")
    assert ours.read(tmp_path / "b")[1] == {}
    with pytest.raises(ours.FormatError, match="checksum"):
        ours.read(tmp_path / "b", require_checksum=True)


def test_nothing_at_all(tmp_path):
    ours.write(tmp_path / "a", {})
    assert ours.read(tmp_path / "a") == ({}, {})


@pytest.mark.parametrize(
    ("arrays", "metadata", "error", "match"),
    [
        ({"a": np.zeros(2, np.complex64)}, {}, ValueError, "complex64; the format"),
        ({"a": np.array([object()])}, {}, ValueError, "dtype object"),
        ({"a": np.array(["x"])}, {}, ValueError, "dtype <U1"),
        ({"__metadata__": np.zeros(1)}, {}, ValueError, "reserved"),
        ({1: np.zeros(1)}, {}, TypeError, "name 1 is not a string"),
        ({}, {"a": 1}, TypeError, "both must be strings"),
        ({}, {"sparsenn.checksum": "x"}, ValueError, "set by this function"),
    ],
)
def test_what_cannot_be_written(tmp_path, arrays, metadata, error, match):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error, match=match):
        ours.write(tmp_path / "a", arrays, metadata)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_lazily(tmp_path):
    arrays, metadata = sample()
    path = tmp_path / "a"
    ours.write(path, arrays, metadata)
    infos, read_one = ours.read_lazily(path)
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    assert {name: info.shape for name, info in infos.items()} == shapes
    assert_same(arrays, {name: read_one(name) for name in reversed(infos)})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ours.FormatError, match="checksum"):
        ours.read_lazily(path)


def test_bfloat16_is_read_as_float32(tmp_path):
    bits = np.array([0x3F80, 0xC020, 0x7F80], "<u2")  # 1, -2.5, infinity
    entry = {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}
    text = json.dumps({"a": entry}).encode()
    path = tmp_path / "a"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bits.tobytes())
    wanted = {"a": np.array([1, -2.5, np.inf], "<f4")}
    assert_same(wanted, ours.read(path)[0])
    assert_same(wanted, {"a": ours.read_lazily(path)[1]("a")})
