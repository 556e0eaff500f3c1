"""svmlight files: kept sparse, read fast, refused with a line number."""

from __future__ import annotations

import gzip
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenn.data import DataError, load, read_svmlight

sparse = pytest.importorskip("scipy.sparse")


def write(tmp_path, text, name="a.svm"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_what_is_read(tmp_path):
    text = (
        "# a comment\n+1 1:0.5 3:-2e-1 # more\n\n-1\n"
        "1.0\t2:1   4:.5\r\n\n-1 1:0 # nothing but zero\n"
    )
    parts = read_svmlight(write(tmp_path, text))
    expected = [[0.5, 0, -0.2, 0], [0, 0, 0, 0], [0, 1, 0, 0.5], [0, 0, 0, 0]]
    np.testing.assert_array_equal(
        parts.x_train.toarray(), np.array(expected, np.float32)
    )
    assert parts.y_train.tolist() == [1, -1, 1, -1]
    assert parts.x_train.nnz == 5
    assert parts.x_train.indices.dtype == parts.x_train.indptr.dtype == np.int32
    assert parts.x_train.dtype == np.float32


@pytest.mark.parametrize("name", ["a.svm", "a.svmlight", "a.svm.gz", "a.SVMLIGHT.gz"])
def test_names(tmp_path, name):
    text = b"".join(b"%d %d:1\n" % (k % 2, k + 1) for k in range(10))
    path = write(tmp_path, gzip.compress(text) if name.endswith("gz") else text, name)
    data = load(path)
    assert data.is_sparse
    assert data.n_features == 10
    assert data.classes == ("0", "1")
    data.validate()


def test_first_index(tmp_path):
    zero = write(tmp_path, "1 0:1 2:3\n2 1:5\n")
    np.testing.assert_array_equal(
        read_svmlight(zero).x_train.toarray(), [[1, 0, 3], [0, 5, 0]]
    )
    with pytest.raises(DataError, match="index 0"):
        read_svmlight(zero, zero_based=False)
    one = write(tmp_path, "1 1:1 3:3\n")
    assert read_svmlight(one).x_train.shape == (1, 3)
    assert read_svmlight(one, zero_based=True).x_train.shape == (1, 4)


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(
        st.dictionaries(st.integers(0, 30), st.floats(-(2.0**100), 2.0**100, width=32)),
        min_size=1,
        max_size=20,
    )
)
def test_round_trip(tmp_path_factory, rows):
    rows[0][0] = 1.0
    text = "".join(
        f"{k % 3} " + " ".join(f"{j}:{row[j]!r}" for j in sorted(row)) + "\n"
        for k, row in enumerate(rows)
    )
    path = write(tmp_path_factory.getbasetemp(), text)
    x = read_svmlight(path).x_train
    expected = np.zeros(x.shape, np.float32)
    for k, row in enumerate(rows):
        for j, value in row.items():
            expected[k, j] = value
    np.testing.assert_array_equal(x.toarray(), expected)
    assert x.nnz == sum(map(len, rows))


GOOD = "1 1:1 2:2\n" * 5000


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("# only\n\n", "is empty"),
        ("1\n2\n", "no line has a feature"),
        ("x 1:1\n", "line 1: the label is 'x'"),
        ("0.5 1:1\n", "line 1: the label is '0.5'"),
        ("nan 1:1\n", "line 1: the label is 'nan'"),
        ("1_0 1:1\n", "line 1: the label is '1_0'"),
        ("1e300 1:1\n", "line 1: the label is '1e300'"),
        ("1,2 1:1\n", "line 1: the label is '1,2'"),
        ("1 1:1\n1 2\n", "line 2: '2' is not index:value"),
        ("1 1:1\n1 a:2\n", "line 2: 'a:2' is not index:value"),
        ("1 1:1\n1 1.5:2\n", "line 2: '1.5:2' is not index:value"),
        ("1 1:1\n1 -1:2\n", "line 2: '-1:2' is not index:value"),
        ("1 1:1\n1 :2\n", "line 2: ':2' is not index:value"),
        ("1 1:1\n1 1:\n", "line 2: the value of '1:'"),
        ("1 1:1\n1 1:2:3 4\n", "line 2: the value of '1:2:3'"),
        ("1 1:1\n1 1: 2\n", "line 2: the value of '1:'"),
        ("1 1:1\n1 1:x\n", "line 2: the value of '1:x'"),
        ("1 1:1\n1 1:nan\n", "line 2: the value of '1:nan'"),
        ("1 1:1\n1 1:inf\n", "line 2: the value of '1:inf'"),
        ("1 1:1\n1 1:1e39\n", "line 2: the value of '1:1e39'"),
        ("1 1:1\n1 1:1_0\n", "line 2: the value of '1:1_0'"),
        ("1 1:1\n1 1_0:1\n", "line 2: '1_0:1' is not index:value"),
        ("1 1:1\n1 3:1 2:1\n", "line 2: index 2 follows 3"),
        ("1 1:1\n1 3:1 3:1\n", "line 2: index 3 follows 3"),
        ("1 1:1\n1 2147483647:1\n", "line 2: index 2147483647 is larger"),
        ("1 1:1\n1 99999999999999999999999:1\n", "line 2: index 9999"),
        ("1 qid:3 1:1\n", "line 1: 'qid:3': data for ranking"),
        (GOOD + "\n# x\n1 1:1 1:1\n", "line 5003: index 1 follows 1"),
        (GOOD + "1 1\n" + GOOD, "line 5001: '1' is not index:value"),
        ("1 1:1 \xff:1\n", "line 1: .* is not index:value"),
    ],
)
def test_hostile(tmp_path, text, match):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=match) as caught:
        read_svmlight(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500


@settings(deadline=None, max_examples=100)
@given(text=st.text("019.-+:_ \t\n#einfa", max_size=60))
def test_random_text_gives_one_kind_of_error(tmp_path_factory, text):
    path = write(tmp_path_factory.getbasetemp(), text)
    try:
        x = read_svmlight(path).x_train
    except DataError as error:
        assert "malformed" not in str(error)
    else:
        x.check_format(full_check=True)
        assert np.isfinite(x.data).all()


def test_truncated_gzip(tmp_path):
    whole = gzip.compress(GOOD.encode())
    for length in (1, 5, 15, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DataError):
            read_svmlight(write(tmp_path, whole[:length], "a.svm.gz"))


def test_many_lines_take_seconds(tmp_path):
    rng = np.random.default_rng(0)
    lines = []
    for k in range(500):
        index = np.sort(rng.choice(10_000, 20, replace=False)) + 1
        values = rng.random(20)
        pairs = zip(index, values, strict=True)
        lines.append(f"{k % 2} " + " ".join(f"{i}:{v:.4f}" for i, v in pairs))
    path = write(tmp_path, "\n".join(lines * 40) + "\n")
    start = time.thread_time()
    parts = read_svmlight(path)
    seconds = time.thread_time() - start
    assert parts.x_train.shape[0] == 20_000
    assert parts.x_train.nnz == 400_000
    # About 0.2 s; 100,000 such lines must stay within seconds on a busy machine.
    assert seconds < 4
