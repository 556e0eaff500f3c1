"""Functions of tensors: activations, losses and the sparse products."""

from __future__ import annotations

from sparsenn.ops import (
    bce,
    bce_with_logits,
    conv2d,
    cross_entropy,
    gelu,
    k_winners,
    leaky_relu,
    linear,
    log_softmax,
    mse,
    nll,
    relu,
    sddmm,
    sigmoid,
    silu,
    softmax,
    softplus,
    spmm,
    spmm_t,
    tanh,
)

__all__ = [
    "bce",
    "bce_with_logits",
    "conv2d",
    "cross_entropy",
    "gelu",
    "k_winners",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse",
    "nll",
    "relu",
    "sddmm",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "spmm",
    "spmm_t",
    "tanh",
]
