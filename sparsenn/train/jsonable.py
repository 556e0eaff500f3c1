"""Between Python objects and JSON: plain values, and arrays kept beside."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def jsonable(value: Any) -> Any:
    """The same value in types that JSON has; NaN and infinities become None.

    NumPy scalars become Python numbers, tuples lists, arrays nested lists and paths
    and other objects their text.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    return str(value)


def split_arrays(value: Any, prefix: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Takes the arrays out of a nested value, so that the rest can be JSON.

    Parameters
    ----------
    value : object
        Dicts and lists of JSON-able values and arrays.
    prefix : str
        Begins the names of the arrays.

    Returns
    -------
    plain : object
        The value with each array replaced by ``{"array": name}``.
    arrays : dict
        The arrays by name.
    """
    arrays: dict[str, np.ndarray] = {}

    def visit(item: Any, name: str) -> Any:
        if isinstance(item, np.ndarray):
            arrays[name] = item
            return {"array": name}
        if isinstance(item, dict):
            return {str(key): visit(sub, f"{name}/{key}") for key, sub in item.items()}
        if isinstance(item, list | tuple):
            return [visit(sub, f"{name}/{i}") for i, sub in enumerate(item)]
        if isinstance(item, np.bool_ | np.integer | np.floating):
            return item.item()
        return item

    return visit(value, prefix), arrays


def join_arrays(plain: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `split_arrays`."""
    if isinstance(plain, dict):
        if set(plain) == {"array"} and isinstance(plain["array"], str):
            return arrays[plain["array"]]
        return {key: join_arrays(item, arrays) for key, item in plain.items()}
    if isinstance(plain, list):
        return [join_arrays(item, arrays) for item in plain]
    return plain
