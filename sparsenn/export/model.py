"""Models as files: safetensors with canonical CSR inside.

``docs/files.md`` describes the format. Nothing in a file depends on the time, a path,
the number of threads or how a layer lies in memory, so equal models are equal bytes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from sparsenn.export.safetensors import FormatError, read, write

if TYPE_CHECKING:
    from sparsenn.nn import Module

FORMAT_VERSION = 1

_VERSION = "sparsenn.format_version"
_KIND = "sparsenn.kind"
_ARCHITECTURE = "sparsenn.architecture"
_PARAMETERS = "sparsenn.parameters"
_SCALING = "sparsenn.scaling"
_EXTRA = "sparsenn.extra"
GATED = "sparsenn.gated"  # of a checkpoint whose weights are not what layers use
_KINDS = ("model", "checkpoint")
_MAX_DEPTH = 64  # of lists and objects in an architecture; a layer in another takes two


@dataclass
class ModelFile:
    """What a model file holds, checked.

    Attributes
    ----------
    path : str
        Where it was read.
    kind : {"model", "checkpoint"}
        A checkpoint holds a model and what training needs to go on.
    architecture : dict
        The model's ``config()``.
    parameters : dict
        ``{name: {"shape": (n_out, n_in), "full": bool}}`` of every sparse weight.
    scaling : Scaling or None
        What to do to the input first.
    extra : dict
        What the writer added.
    arrays : dict of str to array
        The tensors of the model.
    other : dict of str to array
        The tensors of a checkpoint that are not the model's (names with ``/``).
    metadata : dict of str to str
        The text of the file's header.
    """

    path: str
    kind: str
    architecture: dict[str, Any]
    parameters: dict[str, dict[str, Any]]
    scaling: Any
    extra: dict[str, Any]
    arrays: dict[str, np.ndarray]
    other: dict[str, np.ndarray] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def build(self) -> Module:
        """The model: its structure from `architecture`, filled from `arrays`.

        Raises
        ------
        FormatError
            If the two do not fit, or an index is out of place.
        """
        from sparsenn import nn

        self.check_ungated()
        self._check_sizes()
        try:
            model = nn.from_config(self.architecture)
        except (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError,
                ValueError) as error:  # fmt: skip
            raise FormatError(
                f"{self.path}: its architecture cannot be built: {error}"
            ) from error
        fill(model, self.arrays, self.parameters, self.path, keep_dtype=False)
        return model

    def check_ungated(self) -> None:
        """Refuses a checkpoint whose weights still have gates that are trained.

        Raises
        ------
        FormatError
        """
        if GATED in self.metadata:
            _fail(
                self.path,
                "its weights have gates that are still trained, without which they are "
                "another function; train to the end (--resume) and use the model file",
            )

    def _check_sizes(self) -> None:
        """Refuses layers that the tensors do not back, before they take memory."""
        totals = {"n_out": 0, "n_features": 0, "n_hidden": 0}
        stack: list[tuple[Any, int]] = [(self.architecture, 0)]
        while stack:
            item, depth = stack.pop()
            if depth > _MAX_DEPTH:
                _fail(self.path, f"its architecture is nested beyond {_MAX_DEPTH} deep")
            if isinstance(item, dict):
                layers = item.get("n_layers", 1)  # of a recurrent layer, each as wide
                layers = layers if isinstance(layers, int) and layers > 0 else 1
                for key in totals:
                    # What is no size at all, the layer itself refuses.
                    value = item.get(key)
                    if isinstance(value, int) and not 0 <= value < 2**31:
                        _fail(
                            self.path,
                            f"its architecture has {key} {_short(value)}, allowed are "
                            "0 to 2**31 - 1",
                        )
                    totals[key] += value * layers if isinstance(value, int) else 0
                stack.extend((sub, depth + 1) for sub in item.values())
            elif isinstance(item, list):
                stack.extend((sub, depth + 1) for sub in item)
        # What the file says of its tensors' shapes is only words: count what is there.
        backed = sum(array.size for array in self.arrays.values())
        for key, total in totals.items():
            if total > backed:
                _fail(
                    self.path,
                    f"its architecture has {key} {total} in all, its tensors only have "
                    f"{backed} numbers",
                )

    def fill(self, model: Module) -> None:
        """Puts the weights into a model of the same structure, or changes nothing."""
        fill(model, self.arrays, self.parameters, self.path)


def model_arrays(model: Module, *, effective: bool = False) -> dict[str, np.ndarray]:
    """Copies of all weights and buffers under the names that files give them.

    Parameters
    ----------
    effective : bool
        Whether weights that have gates come as what the gates make of them, which is
        what an ordinary weight of the same function holds.

    Returns
    -------
    dict of str to array
        ``<weight>.indptr``, ``.indices`` (int32) and ``.values`` of canonical CSR for a
        sparse weight, ``<weight>.values`` for a full one, and dense tensors and
        buffers under their own names.
    """
    from sparsenn.sparse import SparseParameter

    arrays: dict[str, np.ndarray] = {}
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, SparseParameter):
            arrays[name] = np.array(parameter.data)
            continue
        pattern = _pattern_of(name, parameter)
        if not pattern.is_full:
            arrays[f"{name}.indptr"] = np.array(pattern.indptr, dtype=np.int32)
            arrays[f"{name}.indices"] = np.array(pattern.indices, dtype=np.int32)
        values = parameter.effective() if effective else parameter.values.data
        arrays[f"{name}.values"] = np.array(pattern.to_canonical(values))
    for name, buffer in model.named_buffers():
        if name in arrays:
            raise ValueError(f"a buffer and a parameter are both named {name!r}")
        arrays[name] = np.array(buffer)
    return arrays


def _pattern_of(name: str, parameter: Any) -> Any:
    pattern = parameter.pattern
    if pattern is None:
        raise ValueError(
            f"weight {name!r} is virtual (density=None): prune the model before saving"
        )
    return pattern


def parameter_table(model: Module) -> dict[str, dict[str, Any]]:
    """Shape and fullness of every sparse weight, JSON-able."""
    from sparsenn.sparse import SparseParameter

    return {
        name: {
            "shape": [int(n) for n in parameter.shape],
            "full": bool(_pattern_of(name, parameter).is_full),
        }
        for name, parameter in model.named_parameters()
        if isinstance(parameter, SparseParameter)
    }


def set_model_arrays(model: Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Puts back what `model_arrays` of the same model, or an equal one, returned."""
    from sparsenn.sparse import SparseParameter

    table = {
        name: {
            "shape": [int(n) for n in parameter.shape],
            "full": f"{name}.indptr" not in arrays,
        }
        for name, parameter in model.named_parameters()
        if isinstance(parameter, SparseParameter)
    }
    fill(model, arrays, table, "snapshot")


def save(
    model: Module,
    path: str | os.PathLike[str],
    *,
    scaling: Any = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model as one safetensors file, whole or not at all.

    Parameters
    ----------
    model : Module
        Any model of registered layers. Weights that are not finite are written as they
        are; ``sparsenn inspect --check`` finds them.
    path : path
        The file.
    scaling : Scaling, optional
        What was done to the input in training, for `evaluate` and exports.
    extra : mapping, optional
        JSON-able facts to keep in the file.

    Raises
    ------
    ValueError
        If a weight is virtual, or a layer is not registered.
    RuntimeError
        If a weight has gates that are still trained.
    """
    from sparsenn.sparse import SparseParameter

    for _, parameter in model.named_parameters():
        if isinstance(parameter, SparseParameter):
            parameter.check_ungated("saved as a model")
    arrays = model_arrays(model)
    metadata = model_metadata(model, scaling=scaling, extra=extra, kind="model")
    write(path, arrays, metadata)


def model_metadata(
    model: Module, *, scaling: Any, extra: Mapping[str, Any] | None, kind: str
) -> dict[str, str]:
    """The text entries of a model file."""
    from sparsenn.nn.config import to_config

    metadata = {
        _VERSION: str(FORMAT_VERSION),
        _KIND: kind,
        _ARCHITECTURE: _dumps(to_config(model)),
        _PARAMETERS: _dumps(parameter_table(model)),
    }
    if scaling is not None:
        metadata[_SCALING] = _dumps(scaling.to_dict())
    if extra:
        metadata[_EXTRA] = _dumps(dict(extra))
    return metadata


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def load(path: str | os.PathLike[str], into: Module | None = None) -> Module:
    """Reads a model, building it or filling the given one.

    Parameters
    ----------
    path : path
        A model or checkpoint file.
    into : Module, optional
        A model with the same weights (names and shapes; densities may differ). Its
        values keep their dtype. Nothing changes if the file does not fit.

    Returns
    -------
    Module
        In evaluation mode if it was built here. Use `read_model` for the scaling.

    Raises
    ------
    FormatError
        If the file is not a model: damaged, of an unknown version, or with an index
        that is out of place. The message names the file and the tensor.
        The same (a ValueError) if `into` has other weights; lists all differences.
    OSError
        If the file cannot be read.
    """
    file = read_model(path)
    if into is not None:
        file.check_ungated()
        file.fill(into)
        return into
    model = file.build()
    model.eval()
    return model


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Reads and checks a model file with all that it says about the model.

    Raises
    ------
    FormatError
        If the file is not a model or its parts do not fit each other.
    """
    name = os.fspath(path)
    try:
        arrays, metadata = read(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno,
            "there is no such file; models are saved by sparsenn.save, and by "
            "`sparsenn train --out` as model.safetensors in the folder of the run",
            name,
        ) from error
    version = metadata.get(_VERSION)
    if version is None:
        _fail(name, f"has no {_VERSION!r} in its metadata: not a model of sparsenn")
    if version != str(FORMAT_VERSION):
        _fail(name, f"has format version {version!r}; this reads {FORMAT_VERSION}")
    kind = metadata.get(_KIND)
    if kind not in _KINDS:
        _fail(name, f"is a {kind!r}; expected one of {', '.join(_KINDS)}")
    architecture = _loads(name, metadata, _ARCHITECTURE)
    table = _checked_table(name, _loads(name, metadata, _PARAMETERS))
    scaling = None
    if _SCALING in metadata:
        from sparsenn.data import Scaling

        try:
            scaling = Scaling.from_dict(_loads(name, metadata, _SCALING))
        except (ValueError, TypeError, KeyError) as error:
            _fail(name, f"its input scaling is not valid: {error}")
    other = {key: array for key, array in arrays.items() if "/" in key}
    if other and kind == "model":
        _fail(name, f"has the tensor {next(iter(other))!r}, which is no model's")
    return ModelFile(
        path=name,
        kind=kind,
        architecture=architecture,
        parameters=table,
        scaling=scaling,
        extra=_loads(name, metadata, _EXTRA) if _EXTRA in metadata else {},
        arrays={key: array for key, array in arrays.items() if "/" not in key},
        other=other,
        metadata=metadata,
    )


def _fail(path: str, what: str) -> NoReturn:
    raise FormatError(f"{path}: {what}")


def _short(number: int) -> str:
    """A number of any length, which Python refuses to print beyond some."""
    return str(number) if abs(number) < 10**20 else "beyond 10**20"


def _loads(path: str, metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    if key not in metadata:
        _fail(path, f"has no {key!r} in its metadata")
    try:
        value = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        _fail(path, f"metadata {key!r} is not JSON ({error})")
    if not isinstance(value, dict):
        _fail(path, f"metadata {key!r} must be a JSON object")
    return value


def _checked_table(path: str, table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    for name, entry in table.items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if (
            not isinstance(shape, list)
            or len(shape) < 2
            or not all(type(n) is int and 0 <= n < 2**31 for n in shape)
            or not isinstance(entry.get("full"), bool)
        ):
            _fail(path, f"{_PARAMETERS!r} describes {name!r} as {entry!r:.100}")
    return table


def fill(
    model: Module,
    arrays: Mapping[str, np.ndarray],
    table: Mapping[str, Mapping[str, Any]],
    path: str,
    *,
    keep_dtype: bool = True,
) -> None:
    """Puts arrays into a model once all of them are known to fit.

    Parameters
    ----------
    model : Module
    arrays : mapping of str to array
        As `model_arrays` names them.
    table : mapping
        As `parameter_table` returns it.
    path : str
        For messages.
    keep_dtype : bool
        Convert to the model's dtypes and write into its arrays; otherwise take the
        file's dtypes, which replaces dense tensors and buffers (for a model that
        nobody else refers to yet).

    Raises
    ------
    FormatError
        If an index or a length is wrong, or names or shapes differ from the model's.
    """
    from sparsenn.autograd import Tensor
    from sparsenn.sparse import SparseParameter

    _check_structure(model, arrays, table, path)
    patterns = {
        name: _read_pattern(name, table[name], arrays, path)
        for name, parameter in model.named_parameters()
        if isinstance(parameter, SparseParameter)
    }
    for prefix, module in model.named_modules():
        for attribute, parameter in list(vars(module).items()):
            name = f"{prefix}.{attribute}" if prefix else attribute
            if isinstance(parameter, SparseParameter):
                pattern = patterns[name]
                if parameter.pattern.by_column:
                    pattern = pattern.stored_by_column()
                values = pattern.from_canonical(arrays[f"{name}.values"])
                dtype = parameter.dtype if keep_dtype else values.dtype
                parameter.set(pattern, values.astype(dtype))
            elif isinstance(parameter, Tensor) and parameter.requires_grad:
                if keep_dtype:
                    parameter.data[...] = arrays[name]
                    parameter.touch()
                else:
                    tensor = Tensor(arrays[name].copy(), requires_grad=True)
                    setattr(module, attribute, tensor)
        for attribute in module.buffers:
            name = f"{prefix}.{attribute}" if prefix else attribute
            if keep_dtype:
                getattr(module, attribute)[...] = arrays[name]
            else:
                setattr(module, attribute, arrays[name].copy())


def _check_structure(
    model: Module,
    arrays: Mapping[str, np.ndarray],
    table: Mapping[str, Mapping[str, Any]],
    path: str,
) -> None:
    """Compares names, shapes and kinds of numbers; lists every difference."""
    from sparsenn.sparse import SparseParameter

    wrong: list[str] = []
    used: set[str] = set()

    def expect(name: str, shape: tuple[int, ...] | None) -> np.ndarray | None:
        used.add(name)
        array = arrays.get(name)
        if array is None:
            wrong.append(f"{name} is missing")
        elif shape is not None and array.shape != shape:
            wrong.append(f"{name} has shape {array.shape}, the model's is {shape}")
        else:
            return array
        return None

    for name, parameter in model.named_parameters():
        if not isinstance(parameter, SparseParameter):
            array = expect(name, parameter.data.shape)
            if array is not None and array.dtype.kind != "f":
                wrong.append(f"{name} holds {array.dtype}, not floats")
            continue
        entry = table.get(name)
        if entry is None:
            used.update(f"{name}.{part}" for part in ("indptr", "indices", "values"))
            wrong.append(f"{name} is missing")
            continue
        shape = tuple(int(n) for n in parameter.shape)
        if tuple(entry["shape"]) != shape:
            used.update(f"{name}.{part}" for part in ("indptr", "indices", "values"))
            wrong.append(
                f"{name} has shape {tuple(entry['shape'])}, the model's is {shape}"
            )
            continue
        n_cols = math.prod(shape[1:])
        if entry["full"]:
            values = expect(f"{name}.values", (shape[0] * n_cols,))
        else:
            indptr = expect(f"{name}.indptr", (shape[0] + 1,))
            indices = expect(f"{name}.indices", None)
            values = expect(
                f"{name}.values", None if indices is None else indices.shape
            )
            for part, array in (("indptr", indptr), ("indices", indices)):
                if array is not None and array.dtype != np.int32:
                    wrong.append(f"{name}.{part} holds {array.dtype}, not int32")
            if indices is not None and indices.ndim != 1:
                wrong.append(f"{name}.indices has {indices.ndim} axes, not 1")
        if values is not None and values.dtype not in (np.float32, np.float64):
            wrong.append(f"{name}.values holds {values.dtype}, not float32 or float64")
    for name, buffer in model.named_buffers():
        array = expect(name, buffer.shape)
        if array is not None and array.dtype.kind != buffer.dtype.kind:
            wrong.append(f"{name} holds {array.dtype}, the model {buffer.dtype}")
    model_names = {name for name, _ in model.named_parameters()}
    unknown = [name for name in arrays if name not in used]
    unknown += [name for name in table if name not in model_names]
    wrong += [f"{name} is not in the model" for name in unknown]
    if wrong:
        raise FormatError(f"{path}: does not fit the model: " + "; ".join(wrong))


def _read_pattern(
    name: str,
    entry: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    path: str,
) -> Any:
    from sparsenn.sparse import SparsePattern

    shape = (int(entry["shape"][0]), math.prod(int(n) for n in entry["shape"][1:]))
    try:
        if entry["full"]:
            return SparsePattern.full(shape)
        return SparsePattern(shape, arrays[f"{name}.indptr"], arrays[f"{name}.indices"])
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path}: tensor {name!r}: {error}") from error
