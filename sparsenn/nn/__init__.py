"""Layers, initialisers and losses."""

from __future__ import annotations

from sparsenn.nn import functional, init
from sparsenn.nn.activation import (
    GELU,
    AllReLU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SReLU,
    Tanh,
)
from sparsenn.nn.config import from_config
from sparsenn.nn.container import Sequential
from sparsenn.nn.dropout import Dropout
from sparsenn.nn.k_winners import KWinners
from sparsenn.nn.linear import Linear
from sparsenn.nn.module import Module
from sparsenn.nn.norm import BatchNorm1d, LayerNorm

__all__ = [
    "GELU",
    "AllReLU",
    "BatchNorm1d",
    "Dropout",
    "KWinners",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Module",
    "ReLU",
    "SReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "from_config",
    "functional",
    "init",
]
