"""The TOML that runs write comes back through the standard library's reader."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn.cli import toml

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    text,
)
keys = st.text("abcXYZ019_-", min_size=1, max_size=10)


@given(st.dictionaries(keys, st.one_of(scalars, st.lists(scalars, max_size=4))))
def test_comes_back(table: dict[str, Any]) -> None:
    back = tomllib.loads(toml.dumps(table))
    assert back == table
    assert {k: type(v) for k, v in back.items()} == {
        k: type(v) for k, v in table.items()
    }


def test_none_is_left_out_and_nan_is_kept() -> None:
    assert toml.dumps({"a": None, "b": 1}) == "b = 1\n"
    assert math.isnan(tomllib.loads(toml.dumps({"a": math.nan}))["a"])


def test_what_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="got dict"):
        toml.dumps({"a": {}})
    with pytest.raises(ValueError, match="not a bare TOML key"):
        toml.dumps({"a b": 1})
    with pytest.raises(ValueError, match="surrogates"):
        toml.dumps({"a": "\ud800"})
