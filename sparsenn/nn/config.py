"""Layers as JSON values and back: how a model file says what it holds."""

from __future__ import annotations

import math
from typing import Any

from sparsenn.nn.module import Module

_LAYERS: dict[str, type[Module]] = {}


def layer(cls: type[Module]) -> type[Module]:
    """Class decorator: a layer that model files may name."""
    _LAYERS[cls.__name__] = cls
    return cls


def is_layer(module: Module) -> bool:
    """Whether the module's class is one of the library's layers."""
    return _LAYERS.get(type(module).__name__) is type(module)


def to_config(module: Module) -> dict[str, Any]:
    """``{"type": name, **constructor arguments}`` of a known layer.

    Raises
    ------
    TypeError
        If the module's class is not one of the library's layers.
    """
    name = type(module).__name__
    if not is_layer(module):
        raise TypeError(
            f"{name} is not a layer of this library; to load a file into it, build it "
            "first and pass it as `into`"
        )
    return {"type": name, **module.config()}


def from_config(config: dict[str, Any]) -> Module:
    """Builds the structure that :func:`to_config` described, without connections.

    Raises
    ------
    ValueError
        For an unknown layer or arguments that it does not take. Whoever wrote the file
        may have meant harm: an argument is a finite number below 2**64, or ``layers``.
    """
    if not isinstance(config, dict) or not isinstance(config.get("type"), str):
        raise ValueError(
            f"a layer is described by a dict with a 'type', got {config!r}"
        )
    arguments = {k: v for k, v in config.items() if k != "type"}
    cls = _LAYERS.get(config["type"])
    if cls is None:
        raise ValueError(
            f"unknown layer {config['type']!r}; known: {', '.join(sorted(_LAYERS))}"
        )
    for name, value in arguments.items():
        if name != "layers" and not _is_number(value):
            raise ValueError(
                f"layer {config['type']}: {name} is {value!r:.60}, it must be a finite "
                "number"
            )
    try:
        return cls.from_config(arguments)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"layer {config['type']}: {error}") from error


def _is_number(value: Any) -> bool:
    if isinstance(value, int):  # or bool
        return abs(value) < 2**64
    return isinstance(value, float) and math.isfinite(value)
