"""Operations on tensors: primitives with their derivatives, and what they compose.

Every function takes Tensors or arrays and returns a Tensor; arrays are constants.
"""

from __future__ import annotations

import sys

from sparsenn.autograd.tensor import bind_ops
from sparsenn.ops import event_linear as _event_linear  # noqa: F401
from sparsenn.ops.activations import gelu, leaky_relu, relu, silu
from sparsenn.ops.arithmetic import (
    add,
    astype,
    div,
    mul,
    neg,
    pow,
    square,
    sub,
)
from sparsenn.ops.attention import attention
from sparsenn.ops.batch_norm import batch_norm
from sparsenn.ops.broadcasting import broadcast_to, sum_to
from sparsenn.ops.choice import (
    abs,
    clip,
    gate,
    maximum,
    minimum,
    sign,
    where,
)
from sparsenn.ops.conv import conv2d
from sparsenn.ops.curvature import gradient_flow, hessian_product
from sparsenn.ops.elementwise import (
    cos,
    erf,
    exp,
    expm1,
    log,
    log1p,
    sigmoid,
    sin,
    softplus,
    sqrt,
    tanh,
)
from sparsenn.ops.indexing import getitem, scatter_add, take, take_along_axis
from sparsenn.ops.inputs import as_input
from sparsenn.ops.isometry import (
    descend_to_isometry,
    isometry_error,
    isometry_floor,
)
from sparsenn.ops.k_winners import k_winners
from sparsenn.ops.layer_norm import layer_norm, rms_norm
from sparsenn.ops.losses import bce, bce_with_logits, cross_entropy, mse, nll
from sparsenn.ops.normalized import log_softmax, logsumexp, softmax
from sparsenn.ops.outer_sum import OuterSum
from sparsenn.ops.patches import Patches
from sparsenn.ops.pooling import avg_pool2d, max_pool2d
from sparsenn.ops.product import matmul
from sparsenn.ops.recurrence import recurrence
from sparsenn.ops.reduce import max, mean, min, norm, sum, var
from sparsenn.ops.score_stream import (
    ArrayScores,
    TileScores,
    WeightScores,
    largest_scores,
)
from sparsenn.ops.shape import (
    concatenate,
    contiguous,
    expand_dims,
    flatten,
    join_samples,
    pad,
    reshape,
    split_samples,
    squeeze,
    stack,
    transpose,
)
from sparsenn.ops.sparse import linear, sddmm, spmm, spmm_t
from sparsenn.ops.sparse_batch import SparseBatch

__all__ = [
    "ArrayScores",
    "OuterSum",
    "Patches",
    "SparseBatch",
    "TileScores",
    "WeightScores",
    "abs",
    "add",
    "as_input",
    "astype",
    "attention",
    "avg_pool2d",
    "batch_norm",
    "bce",
    "bce_with_logits",
    "broadcast_to",
    "clip",
    "concatenate",
    "contiguous",
    "conv2d",
    "cos",
    "cross_entropy",
    "descend_to_isometry",
    "div",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "flatten",
    "gate",
    "gelu",
    "getitem",
    "gradient_flow",
    "hessian_product",
    "isometry_error",
    "isometry_floor",
    "join_samples",
    "k_winners",
    "largest_scores",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse",
    "mul",
    "neg",
    "nll",
    "norm",
    "pad",
    "pow",
    "recurrence",
    "relu",
    "reshape",
    "rms_norm",
    "scatter_add",
    "sddmm",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "split_samples",
    "spmm",
    "spmm_t",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "sum_to",
    "take",
    "take_along_axis",
    "tanh",
    "transpose",
    "var",
    "where",
]

bind_ops(sys.modules[__name__])
