"""A writer for the flat TOML files that runs keep; `tomllib` reads them back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
}


def _text(value: str) -> str:
    out = []
    for char in value:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif ord(char) < 0x20 or ord(char) == 0x7F:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(
        f"a TOML value must be str, bool, int, float or a list of them, "
        f"got {type(value).__name__}"
    )


def dumps(table: Mapping[str, Any]) -> str:
    """A flat table as TOML text; keys whose value is None are left out.

    Parameters
    ----------
    table : mapping
        Keys of letters, digits, ``_`` and ``-``; values str, bool, int, float or lists.

    Raises
    ------
    TypeError
        For values of other types.
    ValueError
        For keys that would need quoting, and text with lone surrogates.
    """
    lines = []
    for key, value in table.items():
        if not key or not all(c.isascii() and (c.isalnum() or c in "_-") for c in key):
            raise ValueError(f"{key!r} is not a bare TOML key")
        if value is not None:
            lines.append(f"{key} = {_value(value)}\n")
    text = "".join(lines)
    text.encode()  # lone surrogates have no UTF-8
    return text
