"""Topologies that evolve during training: drop x allocate x grow x schedule.

A method is a :class:`TopologyUpdater` put together from parts, and a recipe such as
:func:`SET` is the parts that its paper chose. A model is anything with parameters;
nothing here knows layers.
"""

from __future__ import annotations

from sparsenn.topology import allocate, drop, grow, score
from sparsenn.topology.drop import Drop
from sparsenn.topology.exploration import Exploration
from sparsenn.topology.grow import Grow
from sparsenn.topology.layer import Layer
from sparsenn.topology.methods import (
    DSR,
    GMP,
    ITOP,
    MEST,
    METHODS,
    NM,
    REFUSED,
    SET,
    SET_DROPS,
    SNFS,
    ContinuousSparsification,
    DeepR,
    GradientFlow,
    GraNet,
    Recipe,
    RigL,
    SRigL,
    Switch,
    make,
)
from sparsenn.topology.methods.cs import Temperature
from sparsenn.topology.newborn import NEWBORNS, Newborn, resample, zero
from sparsenn.topology.plan import Edit
from sparsenn.topology.rebalance import Rebalance
from sparsenn.topology.schedule import DECAYS, Cubic, Periodic, Stages
from sparsenn.topology.updater import Change, TopologyUpdater

__all__ = [
    "DECAYS",
    "DSR",
    "GMP",
    "ITOP",
    "MEST",
    "METHODS",
    "NEWBORNS",
    "NM",
    "REFUSED",
    "SET",
    "SET_DROPS",
    "SNFS",
    "Change",
    "ContinuousSparsification",
    "Cubic",
    "DeepR",
    "Drop",
    "Edit",
    "Exploration",
    "GraNet",
    "GradientFlow",
    "Grow",
    "Layer",
    "Newborn",
    "Periodic",
    "Rebalance",
    "Recipe",
    "RigL",
    "SRigL",
    "Stages",
    "Switch",
    "Temperature",
    "TopologyUpdater",
    "allocate",
    "drop",
    "grow",
    "make",
    "resample",
    "score",
    "zero",
]
