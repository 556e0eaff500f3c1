"""Models by name."""

from __future__ import annotations

from sparsenn.models.build import build, parse_sizes, sizes_for
from sparsenn.models.gpt import gpt
from sparsenn.models.mlp import ACTIVATIONS, mlp
from sparsenn.models.recurrent import char_rnn, recurrent

__all__ = [
    "ACTIVATIONS",
    "build",
    "char_rnn",
    "gpt",
    "mlp",
    "parse_sizes",
    "recurrent",
    "sizes_for",
]
