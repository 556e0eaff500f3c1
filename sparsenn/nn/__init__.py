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
from sparsenn.nn.batch_norm import BatchNorm1d, BatchNorm2d
from sparsenn.nn.config import from_config
from sparsenn.nn.container import Sequential
from sparsenn.nn.dropout import Dropout
from sparsenn.nn.k_winners import KWinners
from sparsenn.nn.linear import Linear
from sparsenn.nn.module import Module
from sparsenn.nn.norm import GroupNorm, LayerNorm
from sparsenn.nn.pooling import AvgPool2d, GlobalAvgPool, MaxPool2d
from sparsenn.nn.recurrent import GRU, LSTM, RNN, FinalState
from sparsenn.nn.residual import Identity, PaddedShortcut, Residual
from sparsenn.nn.shape import Flatten, ToImage

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AllReLU",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Dropout",
    "FinalState",
    "Flatten",
    "GlobalAvgPool",
    "GroupNorm",
    "Identity",
    "KWinners",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "PaddedShortcut",
    "ReLU",
    "Residual",
    "SReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "ToImage",
    "from_config",
    "functional",
    "init",
]
