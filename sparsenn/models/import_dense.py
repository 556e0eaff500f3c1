"""Dense weights of other programs, pruned on the way in."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.export import safetensors
from sparsenn.nn import Module
from sparsenn.sparse import SparseParameter, SparsePattern, allocate, largest

__all__ = ["import_dense"]

Shape = tuple[int, ...]
_COUNTERS = "num_batches_tracked"  # of PyTorch's batch norm; nothing here needs it


def import_dense(
    model: Module,
    source: str | os.PathLike[str] | Mapping[str, Any],
    density: float = 1.0,
    *,
    method: Literal["magnitude"] = "magnitude",
    allocation: str | None = None,
    keep_dense: Sequence[int] = (),
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Fills a model with dense weights, of which the largest stay.

    Arrays are read one by one: no more than one dense weight is in memory beside what
    stays, unless `source` holds them all.

    Parameters
    ----------
    model : Module
        Of any density; its weights, other parameters and buffers are replaced.
    source : path or mapping
        A ``.safetensors`` or ``.npz`` file, or arrays by name, such as the
        ``state_dict()`` of a PyTorch model on the CPU. Weights are
        ``(n_out, n_in[, kernel height, kernel width])`` or flattened to matrices.
    density : float
        Of the whole network afterwards: ``round(density * positions)`` connections.
    method : {"magnitude"}
        Keeps the connections of largest absolute value, ties by position.
    allocation : str, optional
        How layers share the connections (:func:`sparsenn.sparse.allocate`). By default
        the largest of all layers together stay.
    keep_dense : sequence of int
        Weights that keep all connections; negative numbers count from the last.
    names : mapping of str to str, optional
        From names of the model to names of the source. The others are matched: to each
        array of the model, in order, the next one of the source whose shape and last
        part of the name (``weight``, ``bias``, ``running_mean``, ...) are the same.
        Names of a safetensors file, which has no order of its own, are sorted, numbers
        in them by value.

    Returns
    -------
    dict of str to str
        The name in the source of each array of the model.

    Raises
    ------
    ValueError
        If arrays of the model and of the source do not match, all of them; a value is
        not finite; or the density is less than what is kept dense. Nothing has changed
        then.

    References
    ----------
    Han et al., "Learning both weights and connections for efficient neural networks",
    arXiv:1506.02626.
    """
    if method != "magnitude":
        raise ValueError(f"method must be 'magnitude', got {method!r}")
    arrays = _open(source)
    targets = list(_targets(model))
    matched = _match(targets, arrays, names or {})
    weights = [t for t in targets if t.axes is not None]

    def read(target: _Target) -> np.ndarray:
        array = arrays.read(matched[target.name])
        if not np.isfinite(array).all():
            raise ValueError(
                f"{arrays.name}: {matched[target.name]!r} has values that are not "
                "finite"
            )
        return array

    counts = _Counts(weights, density, allocation, keep_dense)
    for target in targets:  # everything is looked at before anything changes
        array = read(target)
        if target.axes is not None:
            counts.look(target, array)
    for target in targets:
        array = read(target)
        if target.axes is None:
            target.put(array)
        else:
            _prune_into(target.parameter, array, counts.of(target, array))
    return matched


# ------------------------------------------------------------------------ the source


@final
class _Arrays:
    """Arrays that are read when they are asked for."""

    def __init__(self, name: str, shapes: dict[str, Shape], read: Any) -> None:
        self.name = name
        self.shapes = {n: s for n, s in shapes.items() if not n.endswith(_COUNTERS)}
        self.read = read


def _open(source: str | os.PathLike[str] | Mapping[str, Any]) -> _Arrays:
    if isinstance(source, Mapping):
        found = source
        shapes = {name: tuple(map(int, a.shape)) for name, a in found.items()}
        return _Arrays("the mapping", shapes, lambda name: np.asarray(found[name]))
    path = Path(source)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            shapes = {name: file[name].shape for name in file.files}
        return _Arrays(str(path), shapes, lambda name: _from_npz(path, name))
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: give a .safetensors or .npz file, or a mapping")
    infos, _ = safetensors.read_header(path)
    start = path.stat().st_size - max((i.end for i in infos.values()), default=0)

    def read(name: str) -> np.ndarray:
        info = infos[name]
        flat = np.fromfile(
            path, info.dtype, math.prod(info.shape), offset=start + info.begin
        )
        return flat.reshape(info.shape)

    shapes = {name: infos[name].shape for name in sorted(infos, key=_natural)}
    return _Arrays(str(path), shapes, read)


def _from_npz(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return np.asarray(file[name])


def _natural(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]


# ------------------------------------------------------------------------- the model


@final
@dataclass(frozen=True, eq=False)
class _Target:
    """An array of the model: a sparse weight (which has axes), a tensor or a buffer."""

    name: str
    value: SparseParameter | Tensor | np.ndarray
    axes: Shape | None

    @property
    def kind(self) -> str:
        return self.name.rsplit(".", 1)[-1]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """What shapes its array may have in the source."""
        if isinstance(self.value, SparseParameter):
            return self.value.axes, self.value.shape
        return (self.value.shape,)

    @property
    def parameter(self) -> SparseParameter:
        assert isinstance(self.value, SparseParameter)
        return self.value

    def put(self, array: np.ndarray) -> None:
        if isinstance(self.value, Tensor):
            self.value.assign_(array.astype(self.value.dtype))
        elif isinstance(self.value, np.ndarray):
            self.value[...] = array


def _targets(model: Module) -> Iterator[_Target]:
    """In order: of each module its parameters, then its buffers."""
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            full = f"{prefix}.{name}" if prefix else name
            if isinstance(value, SparseParameter):
                value.check_trainable()
                value.check_ungated("replaced")
                yield _Target(full, value, value.axes)
            elif isinstance(value, Tensor) and value.requires_grad:
                yield _Target(full, value, None)
        for name in module.buffers:
            full = f"{prefix}.{name}" if prefix else name
            if not full.endswith("calls"):  # of dropout: no weight
                yield _Target(full, getattr(module, name), None)


def _match(
    targets: Sequence[_Target], arrays: _Arrays, names: Mapping[str, str]
) -> dict[str, str]:
    """Name in the source of each target; all that does not match in one error."""
    wrong = [f"the model has no array {n!r}" for n in names
             if n not in {t.name for t in targets}]  # fmt: skip
    matched: dict[str, str] = {}
    free = dict(arrays.shapes)
    for ours, theirs in names.items():
        if theirs not in free:
            wrong.append(f"it has no array {theirs!r} (for {ours!r})")
        free.pop(theirs, None)
    for target in targets:
        theirs = names.get(target.name, "")
        if not theirs:
            theirs = next(
                (
                    name
                    for name, shape in free.items()
                    if shape in target.shapes and name.rsplit(".", 1)[-1] == target.kind
                ),
                "",
            )
            if not theirs:
                wrong.append(
                    f"nothing fits {target.name!r}, {target.kind} of shape "
                    f"{' or '.join(map(str, dict.fromkeys(target.shapes)))}"
                )
                continue
            del free[theirs]
        elif arrays.shapes.get(theirs) not in (None, *target.shapes):
            wrong.append(
                f"{theirs!r} has shape {arrays.shapes[theirs]}, {target.name!r} "
                f"{target.shapes[0]}"
            )
        matched[target.name] = theirs
    wrong += [f"nothing in the model fits {n!r}, {s}" for n, s in free.items()]
    if wrong:
        shown = "; ".join(wrong[:8]) + ("; ..." if len(wrong) > 8 else "")
        raise ValueError(f"{arrays.name} does not fit the model: {shown}")
    return matched


# --------------------------------------------------------------------------- pruning


@final
class _Counts:
    """How many connections each weight keeps."""

    def __init__(
        self,
        weights: Sequence[_Target],
        density: float,
        allocation: str | None,
        keep_dense: Sequence[int],
    ) -> None:
        axes = [t.axes for t in weights if t.axes is not None]
        # Checks the arguments for either way.
        shared = allocate(axes, density, allocation or "uniform", keep_dense)
        dense = {number % len(axes) for number in keep_dense}
        self._fixed: dict[str, int] = {}
        for number, target in enumerate(weights):
            if number in dense or allocation is not None:
                self._fixed[target.name] = shared[number]
        self._left = sum(shared) - sum(self._fixed.values())
        self._largest = np.zeros(0)
        self._threshold: np.float64 | None = None

    def look(self, target: _Target, array: np.ndarray) -> None:
        """Remembers the largest of all layers together; as many as may stay."""
        if target.name in self._fixed or not self._left:
            return
        found = _magnitudes(array)
        if self._largest.size == self._left:  # what is lower cannot be among them
            found = found[found > self._largest.min()]
        pool = np.concatenate([self._largest, found]) if self._largest.size else found
        if pool.size > self._left:
            pool = np.partition(pool, pool.size - self._left)[-self._left :].copy()
        self._largest = pool

    def of(self, target: _Target, array: np.ndarray) -> int:
        """Of a weight; to be asked in the order of the weights."""
        if target.name in self._fixed:
            return self._fixed[target.name]
        if not self._left and self._threshold is None:
            return 0
        if self._threshold is None:
            # A NumPy number: it is not rounded to the dtype that it is compared with.
            self._threshold = np.float64(self._largest.min())
            # Ties at the threshold that fit in go to the first layers.
            self._left -= int(np.count_nonzero(self._largest > self._threshold))
            self._largest = np.zeros(0)
        magnitudes = _magnitudes(array)
        ties = int(np.count_nonzero(magnitudes == self._threshold))
        taken = min(ties, self._left)
        self._left -= taken
        return int(np.count_nonzero(magnitudes > self._threshold)) + taken


def _magnitudes(array: np.ndarray) -> np.ndarray:
    """Absolute values, flat, in float32 where that is exact."""
    narrow = array.dtype in (np.float16, np.float32)
    return np.abs(array, dtype=np.float32 if narrow else np.float64).reshape(-1)


def _prune_into(param: SparseParameter, array: np.ndarray, count: int) -> None:
    """Makes the `count` largest of a dense array the connections of a weight."""
    n_out, n_columns = param.shape
    flat = np.ascontiguousarray(array, dtype=param.dtype).reshape(-1)
    by_column = param.virtual is None and param.pattern.by_column
    pattern = SparsePattern.full(param.shape)
    if count < flat.size:
        # Magnitudes of the source: a narrower dtype could make ties of them.
        kept = largest(pattern, _magnitudes(array), count)
        rows = kept.reshape(n_out, n_columns)
        indptr = np.concatenate([[0], np.cumsum(rows.sum(axis=1))])
        indices = np.nonzero(rows)[1]
        pattern = SparsePattern(param.shape, indptr, indices)
        flat = flat[kept]
    if by_column:
        pattern = pattern.stored_by_column()
    param.set(pattern, pattern.from_canonical(flat))
    param.origin = None  # its values were drawn elsewhere
