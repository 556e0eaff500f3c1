"""Models by name."""

from __future__ import annotations

from sparsenn.models.budget import Layers, with_budget
from sparsenn.models.build import (
    ARCHITECTURES,
    DEFAULT_ARCHITECTURES,
    axes_of,
    build,
    is_mlp,
    parse_sizes,
    sizes_for,
)
from sparsenn.models.generate import generate
from sparsenn.models.gpt import gpt
from sparsenn.models.import_dense import import_dense
from sparsenn.models.lenet import lenet5
from sparsenn.models.mixer import mixer
from sparsenn.models.mlp import ACTIVATIONS, mlp
from sparsenn.models.recurrent import char_rnn, recurrent
from sparsenn.models.resnet import resnet, wide_resnet
from sparsenn.models.vgg import vgg

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "DEFAULT_ARCHITECTURES",
    "Layers",
    "axes_of",
    "build",
    "char_rnn",
    "generate",
    "gpt",
    "import_dense",
    "is_mlp",
    "lenet5",
    "mixer",
    "mlp",
    "parse_sizes",
    "recurrent",
    "resnet",
    "sizes_for",
    "vgg",
    "wide_resnet",
    "with_budget",
]
