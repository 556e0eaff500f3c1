"""Tables: headers, labels, separators, and errors that name the line."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from sparsenn.data import DataError, load, read_csv


def write(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1.5,2,a\n3,4.5,b\n",
        "1.5;2;a\r\n3;4.5;b\r\n",
        "1.5\t2\ta\n\n3\t4.5\tb",
        "width,height,kind\n1.5,2,a\n3,4.5,b\n",
        '"width","the, height",kind\n"1.5",2,"a"\n 3, 4.5,b\n',
        "\ufeff1.5,2,a\n3,4.5,b\n",
    ],
)
def test_what_is_read(tmp_path, text):
    parts = read_csv(write(tmp_path, text))
    np.testing.assert_array_equal(parts.x_train, np.array([[1.5, 2], [3, 4.5]]))
    assert parts.x_train.dtype == np.float32
    assert parts.y_train.tolist() == ["a", "b"]


def test_compressed(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"1,2,a\n3,4,b\n"))
    assert load(path).classes == ("a", "b")


def test_label_by_name(tmp_path):
    path = write(tmp_path, "a,kind,b\n1,x,2\n3,y,4\n")
    parts = read_csv(path, label="kind")
    np.testing.assert_array_equal(parts.x_train, [[1, 2], [3, 4]])
    assert parts.y_train.tolist() == ["x", "y"]
    with pytest.raises(DataError, match="no column 'kinds'; it has 'kind'"):
        read_csv(path, label="kinds")
    path = write(tmp_path, "a,a,b\n1,x,2\n")
    with pytest.raises(DataError, match="2 columns are called 'a'"):
        read_csv(path, label="a")


def test_header_of_numbers_with_a_word_for_the_label(tmp_path):
    parts = read_csv(write(tmp_path, "0,1,label\n5,6,1\n7,8,0\n"))
    np.testing.assert_array_equal(parts.x_train, [[5, 6], [7, 8]])
    parts = read_csv(write(tmp_path, "5,6,cat\n7,8,dog\n"))
    assert parts.y_train.tolist() == ["cat", "dog"]


def test_bytes_stay_bytes(tmp_path):
    rows = "".join(f"{k % 256},{255 - k % 256},{k % 3}\n" for k in range(5000))
    parts = read_csv(write(tmp_path, rows))
    assert parts.x_train.dtype == np.uint8
    np.testing.assert_array_equal(parts.x_train[:, 0], np.arange(5000) % 256)
    parts = read_csv(write(tmp_path, rows + "1,256,0\n"))
    assert parts.x_train.dtype == np.float32
    np.testing.assert_array_equal(parts.x_train[:5000, 0], np.arange(5000) % 256)
    assert parts.x_train[-1].tolist() == [1, 256]


def test_classes(tmp_path):
    rows = [f"{k},1,{label}" for k, label in enumerate([10, 9, 2, 9, 10, 2])]
    data = load(write(tmp_path, "\n".join(rows)))
    assert data.classes == ("2", "9", "10")
    rows = [f"{k},1,{label}" for k, label in enumerate(["1.0", "2.0", "1", "2"])]
    assert load(write(tmp_path, "\n".join(rows))).classes == ("1", "2")
    data = load(write(tmp_path, "\n".join(rows)), classes=["2", "3", "1"])
    assert data.n_classes == 3
    assert set(data.y_train) | set(data.y_test) == {0, 2}
    with pytest.raises(DataError, match="label '1' is not a class: 2, 3"):
        load(write(tmp_path, "\n".join(rows)), classes=["2", "3"])


GOOD = "1,2,a\n" * 3000


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b,c\n", "header and no samples"),
        ("1\n2\n", "one column"),
        ("1,2,a\n1,2\n", "line 2 has 2 columns; the first has 3"),
        ("1,2,a\n1,2,3,a\n", "line 2 has 4 columns"),
        ("1,2,a\n1,,a\n", "line 2, column 2: the value is missing"),
        ("1,?,a\n1,2,a\n", "line 1, column 2: the value is missing"),
        ("1,2,a\n1,NaN,a\n", "line 2, column 2: the value is missing"),
        ("1,2,a\n1,inf,a\n", "line 2, column 2: 'inf' is not a finite"),
        ("1,2,a\n1,1e39,a\n", "line 2, column 2: '1e39' is not a finite"),
        ("1,2,a\n1,1e999,a\n", "line 2, column 2: '1e999' is not a finite"),
        ("1,2,a\n1,two,a\n", "line 2, column 2: 'two' is not a number"),
        ("1,2,a\n1,1_0,a\n", "line 2, column 2: '1_0' is not a number"),
        ("1,2,a\n1,2,\n", "line 2: the label is missing"),
        ("1,2,a\n1,2,?\n", "line 2: the label is missing"),
        ("1,2,0.5\n1,2,1.5\n", "label of sample 0 is 0.5"),
        (",x,y\n0,1,a\n1,2,b\n", "column 1 has no name"),
        ('1,"2,a\n1,2,a\n', "line 2: unexpected end"),
        (GOOD + "1,x,a\n", "line 3001, column 2: 'x'"),
        (GOOD + "\n\n1,nan,a\n" + GOOD, "line 3003, column 2"),
        ("1,2,a\n", "1 samples cannot be split"),
        ("1," + "9" * 200_000 + ",a\n1,2,a\n", "field larger than"),
    ],
)
def test_hostile(tmp_path, text, match):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value) or "split" in match
    assert len(str(caught.value)) < 500


def test_column_number_counts_the_label(tmp_path):
    path = write(tmp_path, "k,a,b\nx,1,2\ny,1,z\n")
    with pytest.raises(DataError, match="line 3, column 3: 'z'"):
        read_csv(path, label="k")


def test_not_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\x89PNG\r\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_csv(path)
    path.write_bytes(gzip.compress(b"1,2,a\n" * 1000)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(path)
