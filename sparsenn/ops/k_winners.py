"""The k largest activations of each sample, and the lists that say which they are.

With a constant set of events E, the (sample, feature) pairs that count::

    keep(x) = x at E, 0 elsewhere

is linear and its own adjoint, so derivatives of any order exist. `k_winners` chooses E
by the values of x; the result carries E, so that :func:`sparsenn.ops.linear` can walk
the events alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from sparsenn import _core
from sparsenn.autograd import Tensor
from sparsenn.autograd.array import as_order, sample_last
from sparsenn.autograd.registry import Primitive, Sample, apply, primitive
from sparsenn.autograd.tensor import as_tensor, mark_active

Competition = Literal["sample", "location", "channel"]


def _rows(x: np.ndarray, locations: bool) -> np.ndarray:
    """View as (competitions, units): a sample's units, or a location's channels."""
    memory = sample_last(as_order(x, True))
    units = memory.shape[0] if locations else memory.size // max(len(x), 1)
    return memory.reshape(units, -1 if memory.size else 0).T if x.ndim > 2 else memory.T


def _keep(x: np.ndarray, *, events: _core.Events, locations: bool) -> np.ndarray:
    kept = _core.keep(events, _rows(x, locations))
    if x.ndim == 2:
        return kept
    memory = kept.T.reshape(*x.shape[1:], x.shape[0])
    return np.moveaxis(memory, -1, 0)


def mask_of(events: _core.Events) -> np.ndarray:
    """The events as a boolean array in the order of an activation."""
    batch, n = events.shape
    mask = np.zeros((n, batch), bool).T
    mask[np.repeat(np.arange(batch), np.diff(events.start)), events.features] = True
    return mask


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, k in (((4, 7), 3), ((1, 5), 2), ((3, 4), 0)):
        x = np.asfortranarray(rng.standard_normal(shape))
        events = _core.k_winners(np.asfortranarray(rng.standard_normal(shape)), k)
        yield Sample((x,), {"events": events, "locations": False})
    x = as_order(rng.standard_normal((2, 3, 2, 2)), True)
    events = _core.k_winners(np.asfortranarray(rng.standard_normal((2, 12))), 4)
    yield Sample((x,), {"events": events, "locations": False})
    events = _core.k_winners(np.asfortranarray(rng.standard_normal((8, 3))), 1)
    yield Sample((x,), {"events": events, "locations": True})


def _reference(x: np.ndarray, *, events: _core.Events, locations: bool) -> np.ndarray:
    mask = mask_of(events)
    if locations:  # a row is (height, width, sample)
        batch, channels, *place = x.shape
        mask = np.moveaxis(mask.reshape(*place, batch, channels), (-2, -1), (0, 1))
    return x * mask.reshape(x.shape)


keep_: Primitive = primitive(
    "keep",
    _keep,
    lambda g, out, inputs, needs, *, events, locations: (
        apply(keep_, (g,), {"events": events, "locations": locations}),
    ),
    sample=_samples,
    reference=_reference,
)


def keep(x: Tensor, events: _core.Events) -> Tensor:
    """`x` (batch, n) at the events, 0 elsewhere."""
    return apply(keep_, (x,), {"events": events, "locations": False})


def k_winners(
    x: Any,
    k: int,
    *,
    boost: np.ndarray | None = None,
    per: Competition = "sample",
) -> Tensor:
    """The k largest units of each competition, and 0 in place of all others.

    Values pass unchanged and gradients flow to the winners only. Among equals the lower
    unit wins (channels before places), -0 equals 0, and NaN wins over all, so that it
    stays visible.

    Parameters
    ----------
    x : Tensor or array_like, shape (batch, features) or (batch, channels, ...)
    k : int
        0 <= k <= units of one competition.
    boost : ndarray, optional
        Positive factors; units compete with ``x * boost``. One a feature, or one a
        channel, on which it has no influence if `per` is "channel".
    per : {"sample", "location", "channel"}
        Who competes: all units of a sample; the channels at each place of a sample; the
        places of each channel of a sample.

    Returns
    -------
    Tensor, shape of x
        With two axes its `active` holds the winners.

    References
    ----------
    Ahmad & Scheinkman, "How can we be so dense? The benefits of using highly sparse
    representations", arXiv:1903.11257.
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"k_winners takes (batch, features, ...), got shape {x.shape}")
    if per not in ("sample", "location", "channel"):
        raise ValueError(f"per must be sample, location or channel, got {per!r}")
    if boost is not None and np.shape(boost) != (x.shape[1],):
        raise ValueError(
            f"boost has shape {np.shape(boost)}, x of shape {x.shape} takes "
            f"({x.shape[1]},)"
        )
    events = winners(x.data, k, boost, per)
    static = {"events": events, "locations": per == "location" and x.ndim > 2}
    out = apply(keep_, (x,), static)
    if x.ndim == 2:
        mark_active(out, events)
    return out


def winners(
    x: np.ndarray, k: int, boost: np.ndarray | None, per: Competition
) -> _core.Events:
    """Who wins; of (batch, units), or of (places and samples, channels)."""
    if boost is not None:
        boost = np.ascontiguousarray(boost, x.dtype)
    if x.ndim == 2 and per != "channel":
        return _core.k_winners(as_order(x, True), k, boost)
    if per == "channel":
        return _winners_of_channels(x, k)
    if boost is not None and per == "sample":
        boost = np.repeat(boost, int(np.prod(x.shape[2:])))
    return _core.k_winners(_rows(x, per == "location"), k, boost)


def _winners_of_channels(x: np.ndarray, k: int) -> _core.Events:
    batch, channels = x.shape[:2]
    places = int(np.prod(x.shape[2:]))
    found = np.empty((batch, channels, k), np.int32)
    for c in range(channels):
        part = _rows(x[:, c].reshape(batch, places, order="A"), False)
        found[:, c] = _core.k_winners(part, k).features.reshape(batch, k)
        found[:, c] += np.int32(c * places)
    start = np.arange(batch + 1, dtype=np.int32) * np.int32(channels * k)
    return _core.Events((batch, channels * places), start, found.reshape(-1))
