"""Sizes as users give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparsenn.sizes import each, pair, whole


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2)])
def test_integers_of_any_kind_are_taken(value: Any) -> None:
    assert whole("n", value) == pair("n", value)[1] == each("n", value, 1, 1)[0] == 2
    assert type(whole("n", value)) is type(pair("n", value)[0]) is int
    assert pair("n", (value, 3)) == pair("n", [value, 3]) == (2, 3)
    assert pair("n", np.array([2, 3])) == (2, 3)


@pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, True, "same", "2", None, np.nan])
def test_what_is_no_size_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got"):
        whole("n", value)
    for given in (value, (value, 3), (3, value)):
        with pytest.raises(ValueError, match="of at least 1, or 2 of them, got"):
            pair("n", given)


@pytest.mark.parametrize("value", [(), (1,), (1, 2, 3), "ab"])
def test_there_is_one_for_each_axis(value: Any) -> None:
    with pytest.raises(ValueError, match="or 2 of them"):
        pair("n", value)
