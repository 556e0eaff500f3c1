"""How many connections each layer gets: exact integers throughout."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["ALLOCATIONS", "allocate", "apportion", "erdos_renyi_nnz"]

ALLOCATIONS = ("uniform", "er", "erk", "igq")
"""What `allocate` takes as its method."""


def apportion(
    total: int, weights: Sequence[float | Fraction], capacities: Sequence[int]
) -> list[int]:
    """Share a total among receivers in proportion to weights, within capacities.

    Receivers whose proportional share exceeds their capacity get their capacity, until
    none does; the others get their share rounded down, and what is left goes one by one
    to the largest remainders (to the lower index among equals).

    Parameters
    ----------
    total : int
        0 <= total <= sum(capacities).
    weights : sequence of float, int or Fraction, length n
        Finite and not negative. Receivers of weight 0 get something only when the
        others are at their capacity, and then share equally.
    capacities : sequence of int, length n

    Returns
    -------
    list of int, length n
        Sums to total exactly; 0 <= result[i] <= capacities[i].

    Raises
    ------
    ValueError
        If the capacities are too small or an argument is negative or not finite.
    """
    total = operator.index(total)
    capacities = [operator.index(capacity) for capacity in capacities]
    if len(weights) != len(capacities):
        raise ValueError(
            f"weights has length {len(weights)}, capacities has {len(capacities)}"
        )
    for name, numbers in (("weights", weights), ("capacities", capacities)):
        for i, number in enumerate(numbers):
            if not 0 <= number < math.inf:
                raise ValueError(
                    f"{name}[{i}] is {number}, it must be finite and not negative"
                )
    if not 0 <= total <= sum(capacities):
        raise ValueError(
            f"total is {total}, it must lie in 0..{sum(capacities)}, the sum of the "
            "capacities"
        )
    shares = _fill(Fraction(total), [_exact(w) for w in weights], capacities)
    result = [math.floor(share) for share in shares]
    # Only shares below their capacity have a fraction, so rounding up stays within it.
    by_remainder = sorted(range(len(shares)), key=lambda i: result[i] - shares[i])
    for i in by_remainder[: total - sum(result)]:
        result[i] += 1
    return result


def _exact(weight: float | Fraction) -> Fraction:
    """The number itself; NumPy's scalars would compute in their own width."""
    if hasattr(weight, "__index__"):
        return Fraction(operator.index(weight))
    return weight if isinstance(weight, Fraction) else Fraction(float(weight))


def _fill(
    total: Fraction, weights: list[Fraction], capacities: Sequence[int]
) -> list[Fraction]:
    """Proportional shares, capped: water-filling, exact."""
    shares = [Fraction(0)] * len(weights)
    open_ = [i for i, capacity in enumerate(capacities) if capacity > 0]
    while open_ and total:
        weight = sum(weights[i] for i in open_)
        if not weight:
            weights = [Fraction(1)] * len(weights)
            continue
        full = [i for i in open_ if weights[i] * total >= capacities[i] * weight]
        if not full:
            for i in open_:
                shares[i] = weights[i] * total / weight
            break
        for i in full:
            shares[i] = Fraction(capacities[i])
            total -= capacities[i]
            open_.remove(i)
    return shares


def erdos_renyi_nnz(shape: Sequence[int], epsilon: float) -> int:
    """Connections of an Erdos-Renyi layer, epsilon * (n_out + n_in), at most all.

    Parameters
    ----------
    shape : sequence of int
        (n_out, n_in), or (n_out, n_in, kernel height, kernel width), where every tap of
        the kernel counts as one such layer.
    epsilon : float

    References
    ----------
    Mocanu et al., Scalable training of artificial neural networks with adaptive sparse
    connectivity inspired by network science, Nature Communications 2018.
    """
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon is {epsilon}, it must be finite and not negative")
    return min(math.prod(shape), round(epsilon * _weight(shape, "er")))


def _weight(shape: Sequence[int], method: str) -> int:
    """What the layer's expected number of connections is proportional to."""
    if method == "uniform":
        return math.prod(shape)
    if method == "er":
        return (shape[0] + shape[1]) * math.prod(shape[2:])
    return sum(shape)


def allocate(
    shapes: Sequence[Sequence[int]],
    density: float,
    method: str = "erk",
    keep_dense: Sequence[int] = (),
    capacities: Sequence[int] | None = None,
) -> list[int]:
    """Share a network's connections among its layers.

    Parameters
    ----------
    shapes : sequence of shapes
        (n_out, n_in) or (n_out, n_in, kernel height, kernel width) of each layer.
    density : float
        Of the whole network, 0 <= density <= 1.
    method : {"erk", "er", "uniform", "igq"}
        ``uniform``: every layer has the same density. ``er``: density of a layer in
        proportion to (n_out + n_in) / (n_out * n_in) (Mocanu et al. 2018). ``erk``: to
        the sum of all axes over their product (Evci et al. 2020). Layers that would be
        more than full are full, and the others share the rest. ``igq``, ideal gas
        quotas: a layer of n positions has the density 1 / (1 + F n), with the F that
        gives the network its own (Vysogorets & Kempe 2021); no layer is ever full.
    keep_dense : sequence of int
        Layers that stay full whatever the method; they count towards the density.
    capacities : sequence of int, optional
        The most that each layer can have, for networks that are sparse already; by
        default all positions. Layers kept dense get this much.

    Returns
    -------
    list of int
        nnz of each layer; their sum is exactly ``round(density * n_positions)``.

    Raises
    ------
    ValueError
        If an argument is out of range, or if the layers kept dense alone have more
        connections than the density allows.
    """
    if method not in ALLOCATIONS:
        allowed = ", ".join(ALLOCATIONS)
        raise ValueError(f"method is {method!r}, it must be one of {allowed}")
    if not 0 <= density <= 1:
        raise ValueError(f"density is {density}, it must lie in 0..1")
    for i, shape in enumerate(shapes):
        if len(shape) < 2 or any(n < 0 for n in shape):
            raise ValueError(
                f"shapes[{i}] is {tuple(shape)}, it must be (n_out, n_in) or "
                "(n_out, n_in, kernel height, kernel width)"
            )
    dense = set()
    for i in keep_dense:
        if not -len(shapes) <= i < len(shapes):
            raise ValueError(f"keep_dense holds {i}, there are {len(shapes)} layers")
        dense.add(i % len(shapes))

    sizes = [math.prod(shape) for shape in shapes]
    most = sizes if capacities is None else [operator.index(c) for c in capacities]
    if len(most) != len(sizes) or any(
        not 0 <= c <= n for c, n in zip(most, sizes, strict=False)
    ):
        raise ValueError(
            f"capacities are {most}, they must be one for each layer and lie in 0..its "
            f"positions, {sizes}"
        )
    total = round(density * sum(sizes))
    n_dense = sum(most[i] for i in dense)
    if n_dense > total:
        raise ValueError(
            f"the layers kept dense have {n_dense} connections, density {density:g} of "
            f"{sum(sizes)} allows {total}; raise the density or keep fewer dense"
        )
    sparse = [i for i in range(len(shapes)) if i not in dense]
    open_ = [most[i] for i in sparse]
    weights: Sequence[float | Fraction]
    if method == "igq":
        weights = _ideal_gas(total - n_dense, [sizes[i] for i in sparse], open_)
    else:
        weights = [_weight(shapes[i], method) for i in sparse]
    counts = apportion(total - n_dense, weights, open_)
    result = list(most)
    for i, count in zip(sparse, counts, strict=True):
        result[i] = count
    return result


def _ideal_gas(
    total: int, sizes: Sequence[int], capacities: Sequence[int]
) -> list[float]:
    """Shares ``n / (1 + F n)`` that sum to the total within capacities; by bisection.

    References
    ----------
    Vysogorets & Kempe, "Connectivity matters: neural network pruning through the lens
    of effective sparsity", arXiv:2107.02306, section 5.
    """
    low, high = 0.0, len(sizes) / max(total, 1)  # at F = high the sum is below total
    while low < (middle := (low + high) / 2) < high:
        shares = [n / (1 + middle * n) for n in sizes]
        if sum(map(min, shares, capacities)) > total:
            low = middle
        else:
            high = middle
    return [n / (1 + high * n) for n in sizes]
