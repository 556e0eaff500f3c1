"""Layers, initialisers and losses."""

from __future__ import annotations

from sparsenn.nn import functional, init
from sparsenn.nn.activation import (
    GELU,
    AllReLU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    SReLU,
    Tanh,
)
from sparsenn.nn.attention import MultiheadAttention, local_pattern
from sparsenn.nn.batch_norm import BatchNorm1d, BatchNorm2d
from sparsenn.nn.config import from_config
from sparsenn.nn.container import Sequential
from sparsenn.nn.conv import Conv1d, Conv2d
from sparsenn.nn.dropout import Dropout
from sparsenn.nn.embedding import Embedding, PositionalEncoding
from sparsenn.nn.k_winners import KWinners
from sparsenn.nn.linear import Linear
from sparsenn.nn.module import Module
from sparsenn.nn.norm import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm
from sparsenn.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
)
from sparsenn.nn.recurrent import GRU, LSTM, RNN, FinalState, Outputs
from sparsenn.nn.residual import Identity, PaddedShortcut, Residual
from sparsenn.nn.shape import Flatten, OverPlaces, ToImage
from sparsenn.nn.transformer import TransformerDecoderLayer, TransformerEncoderLayer

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AllReLU",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "FinalState",
    "Flatten",
    "GlobalAvgPool",
    "GroupNorm",
    "Identity",
    "KWinners",
    "LayerNorm",
    "LayerNorm2d",
    "LeakyReLU",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "MultiheadAttention",
    "Outputs",
    "OverPlaces",
    "PaddedShortcut",
    "PositionalEncoding",
    "RMSNorm",
    "ReLU",
    "Residual",
    "SReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "ToImage",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "from_config",
    "functional",
    "init",
    "local_pattern",
]
