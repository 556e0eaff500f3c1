"""Which weights take part in pruning, and how many connections they may keep.

A density is that of the whole network: positions of all sparse parameters are counted,
those of layers that are kept dense as well. Biases are never pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, final

import numpy as np

from sparsenn.sparse import SparseParameter

LayerName: TypeAlias = int | str
"""A layer by its number (negative: from the last), its name, "first" or "last"."""
Kept: TypeAlias = np.ndarray | tuple[np.ndarray, np.ndarray]
"""Of a stored weight a mask in storage order; of a virtual one (indptr, indices)."""


class Model(Protocol):
    """What is pruned: anything with parameters; scores by data also call it.

    If it has ``named_parameters()``, layers can be named; if it has
    ``named_modules()``, modes of training and evaluation are restored.
    """

    def parameters(self) -> Iterable[Any]:
        """All parameters, in order from the first layer to the last."""


@final
@dataclass(frozen=True)
class Weight:
    """One sparse parameter that takes part.

    Attributes
    ----------
    number : int
        Among the model's sparse parameters, from 0.
    name : str
    param : SparseParameter
    exempt : bool
        True if it keeps every connection that it has.
    before : int
        Connections when pruning began.
    """

    number: int
    name: str
    param: SparseParameter
    exempt: bool
    before: int

    @property
    def n_positions(self) -> int:
        """Of the weight, connected or not."""
        n_out, n_in = self.param.shape
        return n_out * n_in

    def everything(self) -> Kept:
        """All its connections, as `prune` takes them."""
        if self.param.virtual is None:
            return np.ones(self.param.nnz, np.bool_)
        n_out, n_in = self.param.shape
        columns = np.tile(np.arange(n_in, dtype=np.int32), n_out)
        return np.arange(n_out + 1, dtype=np.int64) * n_in, columns


def weights_of(
    model: Model, keep_dense: Iterable[LayerName] = (), *, virtual: bool = False
) -> list[Weight]:
    """The sparse parameters of a model, each once, from the first layer to the last.

    Parameters
    ----------
    model : Model
    keep_dense : iterable of int or str
        Layers that keep every connection that they have: by number among the sparse
        parameters (negative: from the last), by the name of the parameter ("2.weight")
        or of its layer ("2"), or "first", "last".
    virtual : bool
        Whether virtual weights are welcome.

    Raises
    ------
    ValueError
        If the model has no sparse parameter, or no layer of a given name or number.
    RuntimeError
        If a weight is frozen or has gates, or is virtual and must not be.
    """
    named = getattr(model, "named_parameters", None)
    if named is None:
        pairs = [(getattr(p, "name", ""), p) for p in model.parameters()]
    else:
        pairs = list(named())
    found: dict[int, tuple[str, SparseParameter]] = {}
    for name, param in pairs:
        if isinstance(param, SparseParameter):
            found.setdefault(id(param), (name, param))
    if not found:
        raise ValueError(
            "the model has no sparse parameter (SparseParameter), so there is nothing "
            "to prune; build it of nn.Linear layers, density 1 for full ones"
        )
    named_params = [(n or str(i), p) for i, (n, p) in enumerate(found.values())]
    if isinstance(keep_dense, str | int):
        keep_dense = (keep_dense,)
    exempt = {number_of(layer, [n for n, _ in named_params]) for layer in keep_dense}
    for _, param in named_params:
        param.check_trainable()
        param.check_ungated("pruned")
        if not virtual:
            param.check_stored("used here")
    return [
        Weight(number, name, param, number in exempt, param.nnz)
        for number, (name, param) in enumerate(named_params)
    ]


def number_of(layer: LayerName, names: Sequence[str], what: str = "keep_dense") -> int:
    """The number of a layer that a user named in an argument, `what`."""
    if isinstance(layer, str):
        if layer in ("first", "last"):
            return 0 if layer == "first" else len(names) - 1
        if layer in names:
            return names.index(layer)
        below = [i for i, name in enumerate(names) if name.startswith(layer + ".")]
        if len(below) == 1:
            return below[0]
        found = f"means {len(below)} weights" if below else "names no weight"
        raise ValueError(
            f"{what} holds {layer!r}, which {found}; there are "
            f"{', '.join(map(repr, names))}, 'first' and 'last'"
        )
    if isinstance(layer, bool) or not hasattr(layer, "__index__"):
        raise TypeError(
            f"{what} holds {layer!r}, it must hold numbers or names of layers"
        )
    number = layer.__index__()
    if not -len(names) <= number < len(names):
        raise ValueError(
            f"{what} holds {number}, the model has {len(names)} sparse weights, "
            f"numbered 0..{len(names) - 1} (or -{len(names)}..-1 from the last)"
        )
    return number % len(names)


def target(weights: Sequence[Weight], density: float) -> int:
    """Connections that a network of the given density has, exempt layers included.

    Parameters
    ----------
    weights : sequence of Weight
    density : float
        Of the whole network, in 0..1.

    Returns
    -------
    int
        ``round(density * positions)``, half to even.

    Raises
    ------
    ValueError
        If that is more than there are, or less than exempt layers have.
    """
    positions = sum(w.n_positions for w in weights)
    if not 0 <= density <= 1:
        raise ValueError(f"density is {density}, it must lie in 0..1")
    total = round(density * positions)
    present = sum(w.before for w in weights)
    if total > present:
        raise ValueError(
            f"density {density:g} of {positions:,} positions is {total:,} connections, "
            f"the model has {present:,} (density {present / positions:.4g}); pruning "
            "only removes, start from a denser model"
        )
    kept = sum(w.before for w in weights if w.exempt)
    if kept > total:
        raise ValueError(
            f"the layers kept dense have {kept:,} connections, density {density:g} of "
            f"{positions:,} positions allows {total:,}; raise the density or keep "
            "fewer dense"
        )
    return total
