"""What the engine is meant to reach, and where a result that says so is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import ceilings

Documents = Mapping[str, Mapping[str, Any]]
FORWARD, TRAINING = "forward", "forward + dX + dW"


@dataclass(frozen=True)
class Target:
    """`value` takes the documents; it raises LookupError where none tells."""

    work: str
    goal: float
    value: Callable[[Documents], float]
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value <= self.goal if self.at_most else value >= self.goal


def find(documents: Documents, run: str, column: str, **where: object) -> float:
    """A column of the first row of a run's document with the given values."""
    if documents[run]["options"]["quick"]:
        raise LookupError(f"{run} was quick: its sizes are not those of the targets")
    for row in documents[run]["rows"]:
        same = all(row.get(key) == value for key, value in where.items())
        if same and isinstance(row.get(column), int | float):
            return float(row[column])
    raise LookupError(f"no {column} where {where} in {run}")


def layer(product: str, density: float) -> Callable[[Documents], float]:
    """Speed-up of a layer's product over dense BLAS."""
    where = {"product": product, "density": density, "name": "OpenBLAS"}
    return lambda d: find(d, "density", "speedup", **where)


def step(run: str, density: float, rival: str) -> Callable[[Documents], float]:
    """Speed-up of a training step over another engine's."""
    return lambda d: find(d, run, "speedup", density=density, name=rival)


def convolution(name: str, density: float, rival: str) -> Callable[[Documents], float]:
    """Speed-up of a convolution's step over another engine's."""
    where = {"layer": name, "density": density, "name": rival}
    return lambda d: find(d, "convolution", "speedup", **where)


def growth(density: float, part: str, column: str) -> Callable[[Documents], float]:
    """What a part of an update costs."""
    return lambda d: find(d, "growth", column, density=density, name=part)


def break_even(documents: Documents) -> float:
    """Density at which a training layer is only as fast as dense BLAS."""
    found = documents["density"]["break_even"][TRAINING]
    if found is not None:
        return float(found)
    where = {"product": TRAINING, "name": "OpenBLAS"}
    densest = max(
        r["density"] for r in documents["density"]["rows"] if r["density"] < 1
    )
    faster = find(documents, "density", "speedup", density=densest, **where) >= 1
    return 1.0 if faster else 0.0


def peak(documents: Documents) -> float:
    """Multiply-adds from registers, GFLOP/s, on the instruction set that was used."""
    isa = documents["density"]["machine"]["sparsenn_isa"]
    return ceilings.limits(documents["ceilings"], isa)["fma"]


def scaling(documents: Documents) -> float:
    """Two threads against one, of the first training step."""
    return find(documents, "threads", "scaling", name="sparsenn", threads=2)


def share(product: str) -> Callable[[Documents], float]:
    """Fraction of the peak at density 0.1."""
    where = {"product": product, "density": 0.1, "name": "sparsenn"}
    return lambda d: find(d, "density", "gflops", **where) / peak(d)


def frozen(density: float) -> Callable[[Documents], float]:
    """Speed-up of one sample through a frozen layer over a dense product."""
    where = {"density": density, "batch": 1, "name": "sparsenn, frozen"}
    return lambda d: find(d, "batch_one", "times", **where)


def winners(share: float, batch: int) -> Callable[[Documents], float]:
    """Speed-up over dense BLAS of k-winners on weights of the same density."""
    where = {"density": share, "active": share, "storage": "by column"}
    return lambda d: find(d, "k_winners", "blas", batch=batch, **where)


def worst_choice(documents: Documents) -> float:
    """The chosen path's time over the faster one's, at worst on the map."""
    find(documents, "k_winners", "loss")  # raises if it was not measured
    rows = documents["k_winners"]["rows"]
    return max(max(row["loss"], row["loss_back"]) for row in rows)


WIDE = "step of 3072-4000-1000-4000-10, two threads"
FORWARDS = ((0.2, 4), (0.1, 8), (0.05, 14), (0.02, 28), (0.01, 50))
TARGETS = (
    *(
        Target(f"forward, density {d}, times OpenBLAS", goal, layer(FORWARD, d))
        for d, goal in FORWARDS
    ),
    *(
        Target(f"{TRAINING}, density {d}, times OpenBLAS", goal, layer(TRAINING, d))
        for d, goal in ((0.1, 6.5), (0.02, 25))
    ),
    *(
        Target(f"one sample, frozen, density {d}, times OpenBLAS", goal, frozen(d))
        for d, goal in ((0.1, 3.5), (0.02, 16))
    ),
    *(
        Target(f"k-winners, batch {b}, {s:.0%} x {s:.0%}, times BLAS", g, winners(s, b))
        for b, s, g in (
            *((1, 0.2, 5), (1, 0.1, 25), (1, 0.05, 100), (1, 0.02, 450)),
            *((64, 0.05, 17), (64, 0.02, 79)),
        )
    ),
    Target("k-winners, worst choice of path", 1.05, worst_choice, at_most=True),
    Target("break-even density of a training layer", 0.75, break_even),
    Target("forward, density 0.1, fraction of peak", 0.55, share(FORWARD)),
    Target(f"{TRAINING}, density 0.1, fraction of peak", 0.45, share(TRAINING)),
    *(
        Target(
            f"{WIDE}, density {d}, times {rival}", goal, step("train-wide", d, rival)
        )
        for rival, goals in (
            ("PyTorch dense", (7, 12, 20)),
            ("SparseLab", (3.5, 3.5, 3.5)),
        )
        for d, goal in zip((0.1, 0.05, 0.02), goals, strict=True)
    ),
    Target(
        "step of 784-1000-1000-1000-10, density 0.04, times SparseLab",
        3,
        step("train-set", 0.04, "SparseLab"),
    ),
    Target(
        "step of LeNet-300-100, density 0.1, batch 32, times PyTorch dense",
        2,
        step("train-lenet", 0.1, "PyTorch dense"),
    ),
    Target(f"{WIDE} against one", 1.8, scaling),
    Target(
        "update of SET, density 0.1, training steps",
        1,
        growth(0.1, "update of SET", "steps"),
        at_most=True,
    ),
    Target(
        "update that grows by gradient, density 0.1, training steps",
        4,
        growth(0.1, "update that grows by gradient", "steps"),
        at_most=True,
    ),
    *(
        Target(
            f"search of the gradient, density {d}, times its products",
            1.3,
            growth(d, "its search of the gradient", "gemms"),
            at_most=True,
        )
        for d in (0.05, 0.02)
    ),
    Target(
        "memory of training, bytes a connection",
        18,
        lambda d: find(d, "memory", "slope", name="sparsenn"),
        at_most=True,
    ),
    Target(
        "first layer on sparse batches, times the same made dense",
        20,
        lambda d: find(d, "sparse_input", "times", name="sparse, by column"),
    ),
    *(
        Target(
            f"convolution of {name}, density {d}, times {rival}",
            goal,
            convolution(name, d, rival),
        )
        for name in ("64, 16 x 16", "128, 28 x 28")
        for d, rival, goal in (
            *((0.1, "PyTorch dense", 4), (0.05, "PyTorch dense", 7)),
            *((0.1, "SparseProp", 2.5), (0.05, "SparseProp", 2.5)),
        )
    ),
)
