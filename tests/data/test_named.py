"""Named sets: found in $SPARSENN_DATA, downloaded, verified."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest

from sparsenn.data import DataError, load, named

RECORD = 3073


@pytest.fixture
def cifar(monkeypatch):
    """A tiny archive laid out like cifar-10-binary.tar.gz, and its digest as known."""
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    files = [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]
    records = {}
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in files:
            array = rng.integers(0, 256, (10, RECORD), np.uint8)
            array[:, 0] = np.arange(10)
            records[name] = array
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = array.size
            archive.addfile(info, io.BytesIO(array.tobytes()))
    content = buffer.getvalue()
    know(monkeypatch, "cifar10", {"cifar-10-binary.tar.gz": content})
    return content, records


def know(monkeypatch, name, contents):
    entry = named.NAMED[name]
    digests = {k: hashlib.sha256(v).hexdigest() for k, v in contents.items()}
    changed = named.Named(entry.folder, digests, entry.urls, entry.read)
    monkeypatch.setitem(named.NAMED, name, changed)


def fake_pooch(monkeypatch, tmp_path, retrieve):
    module = types.ModuleType("pooch")
    module.os_cache = lambda project: tmp_path / "cache" / project
    module.retrieve = retrieve
    monkeypatch.setitem(sys.modules, "pooch", module)


def test_original_cifar10(tmp_path, monkeypatch, cifar):
    content, records = cifar
    (tmp_path / "cifar10").mkdir()
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    path.write_bytes(content)
    monkeypatch.setenv("SPARSENN_DATA", str(tmp_path))
    data = load("cifar10")
    assert data.x_train.shape == (50, 32, 32, 3)
    assert data.x_test.shape == (10, 32, 32, 3)
    assert data.n_classes == 10
    planes = records["data_batch_2.bin"][3, 1:].reshape(3, 32, 32)
    np.testing.assert_array_equal(data.x_train[13, :, :, 1], planes[1])
    # Another file of the same name is refused.
    path.write_bytes(content + b"\0")
    with pytest.raises(DataError, match=r"tar\.gz: has SHA-256 .*the original"):
        load("cifar10")


@pytest.mark.parametrize("damage", ["cut", "junk", "short"])
def test_unsound_archives(tmp_path, monkeypatch, cifar, damage):
    content = cifar[0]
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "junk":
        content = gzip.compress(b"junk" * 1000)
    else:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            info = tarfile.TarInfo("data_batch_1.bin")
            info.size = 10
            archive.addfile(info, io.BytesIO(b"0123456789"))
        content = buffer.getvalue()
    know(monkeypatch, "cifar10", {"cifar-10-binary.tar.gz": content})
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(content)
    monkeypatch.setenv("SPARSENN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: "):
        load("cifar10")


def test_download(tmp_path, monkeypatch, cifar):
    content, _ = cifar
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append(url)
        assert known_hash == "sha256:" + hashlib.sha256(content).hexdigest()
        Path(path).mkdir(parents=True)
        (Path(path) / fname).write_bytes(content)

    fake_pooch(monkeypatch, tmp_path, retrieve)
    monkeypatch.delenv("SPARSENN_DATA", raising=False)
    assert load("cifar10").x_train.shape == (50, 32, 32, 3)
    assert calls == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]


def test_a_failing_download_tries_each_mirror(tmp_path, monkeypatch):
    def retrieve(url, known_hash, fname, path):
        raise OSError("no route to host")

    fake_pooch(monkeypatch, tmp_path, retrieve)
    monkeypatch.setenv("SPARSENN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="The download failed") as caught:
        load("mnist")
    text = str(caught.value)
    assert "ossci-datasets" in text
    assert "cvdf-datasets" in text
    assert "no route to host" in text
    assert f"$SPARSENN_DATA ({tmp_path}) lacks" in text


def test_without_pooch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("SPARSENN_DATA", raising=False)
    with pytest.raises(
        DataError, match=r"SPARSENN_DATA is not set.*sparsenn\[datasets"
    ):
        load("fashion-mnist")
    with pytest.raises(DataError, match="cannot be downloaded"):
        load("cifar10-jpeg")


def test_jpeg_copy(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    contents = {}
    for part, n in (("train", 6), ("test", 3)):
        pieces = []
        for k in range(n):
            buffer = io.BytesIO()
            image.new("RGB", (32, 32), (40 * k, 0, 255)).save(buffer, "JPEG")
            pieces.append(buffer.getvalue())
        archive = io.BytesIO()
        np.savez(
            archive,
            jpeg=np.frombuffer(b"".join(pieces), np.uint8),
            offset=np.cumsum([0, *map(len, pieces)]).astype(np.uint32),
            label=np.arange(n, dtype=np.uint8) % 3,
        )
        contents[f"cifar10_jpeg_{part}.npz"] = archive.getvalue()
    know(monkeypatch, "cifar10-jpeg", contents)
    (tmp_path / "cifar10").mkdir()
    for name, content in contents.items():
        (tmp_path / "cifar10" / name).write_bytes(content)
    monkeypatch.setenv("SPARSENN_DATA", str(tmp_path))
    data = load("cifar10-jpeg")
    assert data.x_train.shape == (6, 32, 32, 3)
    assert abs(int(data.x_train[2, 5, 5, 0]) - 80) < 4
    with pytest.raises(DataError, match="it holds cifar10-jpeg, which can be used"):
        monkeypatch.setitem(sys.modules, "pooch", None)
        load("cifar10")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="pip install pillow"):
        load("cifar10-jpeg")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_sets(name):
    root = os.environ.get("SPARSENN_DATA")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"SPARSENN_DATA has no {name}")
    data = load(name)
    assert data.x_train.shape == (60000, 28, 28)
    assert data.x_test.shape == (10000, 28, 28)
    assert data.n_classes == 10
    mean = {"mnist": 0.1307, "fashion-mnist": 0.2860}[name]
    assert data.x_train.mean() / 255 == pytest.approx(mean, abs=5e-5)
    expected = 1000 if name == "fashion-mnist" else 980
    assert np.bincount(data.y_test)[0] == expected
