"""Dense weights of other programs, pruned on the way in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.export import safetensors
from sparsenn.models.matching import Shape, match, natural
from sparsenn.nn import Embedding, Module
from sparsenn.sparse import SparseParameter, SparsePattern, allocate, largest

__all__ = ["import_dense"]

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
        ``(n_out, n_in[, kernel height, kernel width])`` or flattened to matrices,
        tables of embeddings ``(n_tokens, n_features)``.
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
        From names of the model to names of the source, where a name of the source may
        stand for several of the model. Names of arrays (``"0.weight"``), of modules
        (``"0"``) or of parts of a model (``"2.attention"``), within which arrays are
        matched as they are without `names`.

    Returns
    -------
    dict of str to str
        The name in the source of each array of the model.

    Raises
    ------
    ValueError
        If the source is damaged; if it is not clear which arrays of model and source
        belong together, all of them; if a value is not a finite number of the model's
        dtype; or if the density is less than what is kept dense. Nothing has changed
        then.

    Notes
    -----
    Arrays of a module stay together: a module of the source fits one of the model whose
    arrays have the same last parts of their names (``weight``, ``bias``,
    ``running_mean``, ...) and the same shapes. Among those that fit, names that are the
    same but for numbers say what belongs together, then the usual names of embeddings
    and of the projections of attention. Of the others, those whose names differ only in
    numbers stay together too; where that leaves several ways, the order of the source
    decides if it has one, as the ``state_dict()`` of a PyTorch model has. The names of
    a safetensors file are sorted, also after it was read into a dictionary; then
    `names` must decide.

    References
    ----------
    Han et al., "Learning both weights and connections for efficient neural networks",
    arXiv:1506.02626.
    """
    if method != "magnitude":
        raise ValueError(f"method must be 'magnitude', got {method!r}")
    arrays = _open(source)
    targets = list(_targets(model))
    matched = match(
        {t.name: t.shapes for t in targets},
        {t.name.rpartition(".")[0]: type(t.module).__name__ for t in targets},
        arrays.shapes,
        names or {},
        ordered=arrays.ordered,
        where=arrays.name,
    )
    weights = [t for t in targets if t.axes is not None]

    def read(target: _Target) -> np.ndarray:
        name = matched[target.name]
        array = arrays.read(name)
        if array.dtype.kind not in "fiub":
            raise ValueError(
                f"{arrays.name}: {name!r} has dtype {array.dtype}; allowed are floats, "
                "integers and booleans"
            )
        limit = np.finfo(np.result_type(target.value.dtype, np.float32)).max
        if not -limit <= array.min(initial=0) <= array.max(initial=0) <= limit:
            raise ValueError(
                f"{arrays.name}: {name!r} has values that are not finite in "
                f"{target.value.dtype}"
            )
        return array.T if target.is_transposed else array

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

    def __init__(
        self, name: str, shapes: dict[str, Shape], read: Callable[[str], np.ndarray]
    ) -> None:
        self.name = name
        kept = [n for n in shapes if not n.endswith(_COUNTERS)]
        places = {n: i for i, n in enumerate(kept)}
        twins = [(n, "bias".join(n.rsplit("weight", 1))) for n in kept if "weight" in n]
        # PyTorch sets weights before biases; whoever sorts names puts them behind.
        ahead = [places[w] < places[b] for w, b in twins if b in places]
        self.ordered = bool(ahead) and all(ahead)
        if not self.ordered:
            kept.sort(key=natural)
        self.shapes = {n: shapes[n] for n in kept}
        self.read = read


def _open(source: str | os.PathLike[str] | Mapping[str, Any]) -> _Arrays:
    if isinstance(source, Mapping):
        found = source
        return _lazy("the mapping", found, lambda name: np.asarray(found[name]))
    path = Path(source)
    if path.suffix == ".npz":
        with _reading(str(path)), np.load(path, allow_pickle=False) as file:
            inside = file.files
        return _lazy(str(path), inside, lambda name: _from_npz(path, name))
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: give a .safetensors or .npz file, or a mapping")
    infos, read = safetensors.read_lazily(path)
    return _Arrays(str(path), {name: i.shape for name, i in infos.items()}, read)


def _lazy(
    where: str, inside: Iterable[str], get: Callable[[str], np.ndarray]
) -> _Arrays:
    def read(name: str) -> np.ndarray:
        with _reading(f"{where}: {name!r}"):
            return get(name)

    return _Arrays(where, {name: read(name).shape for name in inside}, read)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Says what could not be read, whatever zipfile, NumPy or PyTorch say."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{what} cannot be read: {error}") from error


def _from_npz(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return np.asarray(file[name])


# ------------------------------------------------------------------------- the model


@final
@dataclass(frozen=True, eq=False)
class _Target:
    """An array of the model: a sparse weight (which has axes), a tensor or a buffer."""

    name: str
    value: SparseParameter | Tensor | np.ndarray
    axes: Shape | None
    module: Module

    @property
    def is_transposed(self) -> bool:
        """Whether a row of the source is a column here."""
        return isinstance(self.module, Embedding) and self.axes is not None

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """What shapes its array may have in the source, the flattened one last."""
        if isinstance(self.value, SparseParameter):
            if self.is_transposed:
                return (self.value.shape[::-1],)
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
                yield _Target(full, value, value.axes, module)
            elif isinstance(value, Tensor) and value.requires_grad:
                yield _Target(full, value, None, module)
        for name in module.buffers:
            full = f"{prefix}.{name}" if prefix else name
            if not full.endswith("calls"):  # of dropout: no weight
                yield _Target(full, getattr(module, name), None, module)


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
