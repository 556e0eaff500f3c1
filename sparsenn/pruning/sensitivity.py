"""How much of each layer, or block of layers, a trained network can do without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

import numpy as np

from sparsenn.pruning.apply import prune
from sparsenn.pruning.choose import keep_by_layer
from sparsenn.pruning.restore import Undo
from sparsenn.pruning.weights import LayerName, Weight, number_of, weights_of
from sparsenn.random import Purpose, Stream

Evaluate: TypeAlias = Callable[[Any], float]
Blocks: TypeAlias = Mapping[str, Iterable[LayerName]]
Score: TypeAlias = Literal["magnitude", "random"] | Callable[[Weight], np.ndarray]

SPARSITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


@final
@dataclass(frozen=True, eq=False)
class Sensitivity:
    """A score of the network for each block and each share of it that is pruned.

    Attributes
    ----------
    blocks : tuple of str
    layers : tuple of tuple of str
        Names of the weights of each block.
    connections : tuple of int
        Of each block, unpruned.
    sparsities : tuple of float
        Shares of the connections that are pruned.
    values : ndarray of float, shape (blocks, sparsities)
        What `evaluate` returned with one block pruned.
    full : ndarray of float, shape (sparsities,)
        The same with all of the blocks' layers pruned at once.
    baseline : float
        The same with nothing pruned.
    """

    blocks: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    connections: tuple[int, ...]
    sparsities: tuple[float, ...]
    values: np.ndarray
    full: np.ndarray
    baseline: float

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "blocks": list(self.blocks),
            "layers": [list(names) for names in self.layers],
            "connections": list(self.connections),
            "sparsities": list(self.sparsities),
            "values": self.values.tolist(),
            "full": self.full.tolist(),
            "baseline": self.baseline,
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sensitivity:
        """What `to_dict` gave."""
        return cls(
            tuple(data["blocks"]),
            tuple(tuple(names) for names in data["layers"]),
            tuple(data["connections"]),
            tuple(data["sparsities"]),
            np.array(data["values"], float),
            np.array(data["full"], float),
            float(data["baseline"]),
        )

    def to_csv(self) -> str:
        """One line a block and sparsity: ``block,sparsity,value``, full model last."""
        lines = ["block,sparsity,value"]
        for name, row in [*zip(self.blocks, self.values, strict=True),
                          ("full model", self.full)]:  # fmt: skip
            label = (
                '"' + name.replace('"', '""') + '"' if set(name) & set(',"') else name
            )
            lines += [
                f"{label},{s!r},{float(value)!r}"
                for s, value in zip(self.sparsities, row, strict=True)
            ]
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        """A table: a line a block, a column a sparsity."""
        rows = [*zip(self.blocks, self.values, strict=True), ("full model", self.full)]
        width = max(len(name) for name, _ in rows)
        head = " ".join(f"{s:>7.3g}" for s in self.sparsities)
        lines = [f"unpruned {self.baseline:.4g}", f"{'':<{width}} {head}"]
        for name, row in rows:
            lines.append(f"{name:<{width}} " + " ".join(f"{v:>7.4g}" for v in row))
        return "\n".join(lines)


def sensitivity(
    model: Any,
    evaluate: Evaluate,
    sparsities: Sequence[float] = SPARSITIES,
    *,
    blocks: Blocks | None = None,
    score: Score = "magnitude",
    seed: int = 0,
    progress: Callable[[str, float, float], None] | None = None,
) -> Sensitivity:
    """Prunes one block at a time at each sparsity, without training, and evaluates.

    Every layer of a block loses the same share of its own connections, those of lowest
    score. After each evaluation the model is as it was, to the bit.

    Parameters
    ----------
    model : Module
        Trained.
    evaluate : callable
        ``evaluate(model)`` gives a number, say the test accuracy. It must not train.
    sparsities : sequence of float
        Shares to prune, in [0, 1], of the connections that there are.
    blocks : mapping of str to layers, optional
        Layers (numbers or names, as in ``keep_dense``) of each block, one row of the
        article's heatmap; by default every weight is a block of its own.
    score : {"magnitude", "random"} or callable
        ``|w|``; random numbers; or ``score(weight) -> scores`` of shape (nnz,) in
        storage order, of a :class:`sparsenn.pruning.Weight`.
    seed : int
        Of random scores.
    progress : callable, optional
        ``progress(block, sparsity, value)`` after each evaluation.

    Returns
    -------
    Sensitivity
        :func:`sparsenn.plot.sensitivity` draws it.

    Notes
    -----
    ``len(sparsities) * (len(blocks) + 1)`` evaluations; sparsity 0 is evaluated once.
    Memory beyond the model's is that of one pruned copy of a block.

    References
    ----------
    The protocol of distiller's sensitivity analysis (Zmora et al., arXiv:1910.12232),
    by blocks.
    """
    shares = tuple(float(s) for s in sparsities)
    if not shares or not all(0 <= s <= 1 for s in shares):
        raise ValueError(f"sparsities must be numbers in [0, 1], got {sparsities!r}")
    weights = weights_of(model)
    groups = block_weights(weights, blocks)
    # Each weight once, however many blocks it is in.
    together = list({w.number: w for group in groups.values() for w in group}.values())
    baseline = float(evaluate(model))

    def measure(name: str, group: Sequence[Weight], share: float) -> float:
        value = baseline
        if share:
            with Undo([w.param for w in group]):
                _prune(group, share, score, seed)
                value = float(evaluate(model))
        if progress is not None:
            progress(name, share, value)
        return value

    values = [[measure(name, g, s) for s in shares] for name, g in groups.items()]
    full = [measure("full model", together, s) for s in shares]
    return Sensitivity(
        tuple(groups),
        tuple(tuple(w.name for w in group) for group in groups.values()),
        tuple(sum(w.before for w in group) for group in groups.values()),
        shares,
        np.array(values, float),
        np.array(full, float),
        baseline,
    )


def block_weights(
    weights: Sequence[Weight], blocks: Blocks | None
) -> dict[str, list[Weight]]:
    """The weights of each block, by its name."""
    if blocks is None:
        return {w.name: [w] for w in weights}
    names = [w.name for w in weights]
    groups = {}
    for name, layers in blocks.items():
        if isinstance(layers, str | int):
            layers = (layers,)
        numbers = {number_of(layer, names, f"block {name!r}") for layer in layers}
        if not numbers:
            raise ValueError(f"block {name!r} holds no layer")
        groups[name] = [weights[number] for number in sorted(numbers)]
    if not groups:
        raise ValueError("blocks is empty; leave it out for a block a layer")
    return groups


def _prune(group: Sequence[Weight], share: float, score: Score, seed: int) -> None:
    counts = [w.param.nnz - round(share * w.param.nnz) for w in group]
    scores = [_scores(w, score, seed) for w in group]
    prune(group, keep_by_layer(group, scores, counts))


def _scores(weight: Weight, score: Score, seed: int) -> np.ndarray:
    param = weight.param
    if callable(score):
        return np.asarray(score(weight))
    if score == "magnitude":
        return np.abs(param.values.data)
    if score == "random":
        stream = Stream(seed, Purpose.CONTROL, layer=weight.number, step=3)
        return stream.uniform(elements=param.pattern.ranks())
    raise ValueError(f"score must be 'magnitude', 'random' or callable, got {score!r}")
