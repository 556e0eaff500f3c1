"""Topologies that evolve during training: drop x allocate x grow x schedule.

A method is a :class:`TopologyUpdater` put together from four parts, and a recipe such
as :func:`SET` is the parts that its paper chose. A model is anything with parameters;
nothing here knows layers.
"""

from __future__ import annotations

from sparsenn.topology.allocate import same
from sparsenn.topology.drop import Drop, magnitude, sign
from sparsenn.topology.grow import Grow, random
from sparsenn.topology.layer import Layer
from sparsenn.topology.newborn import Newborn, resample, zero
from sparsenn.topology.recipes import METHODS, NEWBORNS, SET, SET_DROPS, Recipe, make
from sparsenn.topology.schedule import Periodic
from sparsenn.topology.updater import Change, TopologyUpdater

__all__ = [
    "METHODS",
    "NEWBORNS",
    "SET",
    "SET_DROPS",
    "Change",
    "Drop",
    "Grow",
    "Layer",
    "Newborn",
    "Periodic",
    "Recipe",
    "TopologyUpdater",
    "magnitude",
    "make",
    "random",
    "resample",
    "same",
    "sign",
    "zero",
]
