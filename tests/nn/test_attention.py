"""Attention and the blocks of transformers against plain NumPy, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsenn as snn
from sparsenn import nn, ops
from sparsenn.autograd import Tensor, gradcheck
from sparsenn.nn.attention import local_pattern
from sparsenn.sparse import SparsePattern


def softmax(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        e = np.exp(x - np.max(x, -1, keepdims=True))
        return np.nan_to_num(e / e.sum(-1, keepdims=True))


def attention(q, k, v, heads, allowed):
    """Allowed: (batch, queries, keys)."""
    out = np.zeros_like(q)
    d = q.shape[2] // heads
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        scores = q[..., part] @ k[..., part].swapaxes(1, 2) / np.sqrt(d)
        out[..., part] = softmax(np.where(allowed, scores, -np.inf)) @ v[..., part]
    return out


def dense(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.to_scipy().toarray().T + layer.bias.data


def multihead(module: Any, x, memory, allowed):
    q, k, v = (
        dense(module.query, x),
        dense(module.key, memory),
        dense(module.value, memory),
    )
    return dense(module.output, attention(q, k, v, module.heads, allowed))


def norm(module: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    spread = np.sqrt(x.var(-1, keepdims=True) + module.eps)
    return (
        x - x.mean(-1, keepdims=True)
    ) / spread * module.weight.data + module.bias.data


def feed_forward(module: Any, x: np.ndarray) -> np.ndarray:
    from scipy.stats import norm as normal

    hidden = dense(module.up, x)
    return dense(module.down, hidden * normal.cdf(hidden))


@st.composite
def cases(draw):
    heads = draw(st.integers(1, 3))
    width = heads * draw(st.integers(1, 3))
    batch, queries, keys = (draw(st.integers(1, 5)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    causal = draw(st.booleans())
    if causal:
        keys = queries
    q = rng.standard_normal((batch, queries, width))
    k, v = rng.standard_normal((2, batch, keys, width))
    padding = rng.random((batch, keys)) < 0.3 if draw(st.booleans()) else None
    pattern = None
    allowed = np.ones((batch, queries, keys), bool)
    if causal:
        allowed &= np.tri(queries, dtype=bool)
    if draw(st.booleans()):
        mask = (rng.random((queries, keys)) < 0.5) & allowed[0]
        pattern = SparsePattern.from_mask(mask)
        allowed &= mask
    if padding is not None:
        allowed &= ~padding[:, None]
    options = {
        "heads": heads,
        "causal": causal,
        "key_padding_mask": padding,
        "pattern": pattern,
    }
    return q, k, v, options, allowed


@given(cases())
def test_attention_is_its_definition(case):
    q, k, v, options, allowed = case
    expected = attention(q, k, v, options["heads"], allowed)
    got = ops.attention(q, k, v, **options)
    np.testing.assert_allclose(got.data, expected, rtol=1e-12, atol=1e-12)


@given(cases())
@settings(max_examples=10)
def test_attention_differentiates_twice(case):
    q, k, v, options, _ = case
    gradcheck(lambda *qkv: ops.attention(*qkv, **options), (q, k, v))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"window": 2},
        {"window": 2, "stride": 3, "causal": True},
        {"pattern": SparsePattern.from_mask(np.eye(7, dtype=bool))},
    ],
)
@pytest.mark.parametrize("density", [0.4, 1.0])
def test_multihead_attention(options: dict[str, Any], density: float) -> None:
    module = nn.MultiheadAttention(6, 2, density, seed=0, dtype=np.float64, **options)
    x = np.random.default_rng(0).standard_normal((3, 7, 6))
    allowed = np.ones((7, 7), bool)
    away = np.abs(np.arange(7)[:, None] - np.arange(7))
    if "window" in options:
        allowed = away < options["window"]
    if "stride" in options:
        allowed |= away % options["stride"] == 0
    if "pattern" in options:
        allowed = np.eye(7, dtype=bool)
    if options.get("causal"):
        allowed = allowed & np.tri(7, dtype=bool)
    expected = multihead(module, x, x, allowed[None])
    np.testing.assert_allclose(module(x).data, expected, rtol=1e-11, atol=1e-12)


def test_attention_to_a_memory() -> None:
    module = nn.MultiheadAttention(6, 3, 0.5, seed=0, dtype=np.float64)
    rng = np.random.default_rng(0)
    x, memory = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 5, 6))
    padding = np.array([[0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], bool)
    expected = multihead(module, x, memory, ~padding[:, None])
    got = module(x, memory=memory, key_padding_mask=padding)
    np.testing.assert_allclose(got.data, expected, rtol=1e-11, atol=1e-12)


def test_encoder_layer() -> None:
    module = nn.TransformerEncoderLayer(6, 2, 10, 0.5, seed=0, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((2, 4, 6))
    everything = np.ones((1, 4, 4), bool)
    normal = norm(module.norm1, x)
    y = x + multihead(module.attention, normal, normal, everything)
    y = y + feed_forward(module.feed_forward, norm(module.norm2, y))
    np.testing.assert_allclose(module(x).data, y, rtol=1e-11, atol=1e-12)


def test_decoder_layer() -> None:
    module = nn.TransformerDecoderLayer(6, 2, 10, 0.5, seed=0, dtype=np.float64)
    rng = np.random.default_rng(0)
    x, memory = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 5, 6))
    normal = norm(module.norm1, x)
    y = x + multihead(module.attention, normal, normal, np.tri(4, dtype=bool)[None])
    across = module.cross_attention
    y = y + multihead(
        across, norm(module.norm_memory, y), memory, np.ones((1, 4, 5), bool)
    )
    y = y + feed_forward(module.feed_forward, norm(module.norm2, y))
    np.testing.assert_allclose(module(x, memory).data, y, rtol=1e-11, atol=1e-12)
    with pytest.raises(TypeError, match="memory"):
        module(x)


def test_a_block_differentiates_twice() -> None:
    module = nn.TransformerEncoderLayer(4, 2, 6, 0.6, seed=0, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    gradcheck(lambda t: (module(t) ** 2).sum(), [x])


@pytest.mark.parametrize("options", [{}, {"window": 16}])
def test_same_bits_for_any_number_of_threads(options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).standard_normal((4, 96, 128)).astype(np.float32)
    results = []
    threads = snn.get_num_threads()
    try:
        for n in (1, 3):
            snn.set_num_threads(n)
            module = nn.TransformerEncoderLayer(128, 2, density=0.3, seed=0, **options)
            y = module(x)
            (y * y).sum().backward()
            gradients = [p.grad.data for p in module.parameters()]
            results.append([y.data, *gradients])
    finally:
        snn.set_num_threads(threads)
    for one, three in zip(*results, strict=True):
        assert np.array_equal(one, three)


def test_tokens_are_not_copied_between_modules() -> None:
    module = nn.TransformerEncoderLayer(8, 2, seed=0)
    x = np.random.default_rng(0).standard_normal((3, 5, 8)).astype(np.float32)
    y = module(x)
    joined = ops.join_samples(y)
    assert np.shares_memory(joined.data, y.data) and joined.data.flags.f_contiguous


def test_dropout_of_tokens_keeps_their_order() -> None:
    tokens = Tensor(np.ones((15, 8), np.float32, order="F"))
    y = nn.Dropout(0.5, seed=0)(ops.split_samples(tokens, (3, 5)))
    assert y.shape == (3, 5, 8)
    assert np.shares_memory(ops.join_samples(y).data, y.data)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("window", "stride"), [(0, 0), (1, 0), (3, 0), (2, 4), (0, 2)])
@pytest.mark.parametrize("shape", [(6, 6), (4, 7), (7, 4), (1, 1)])
def test_local_pattern(shape, window, stride, causal) -> None:
    away = np.arange(shape[0])[:, None] - np.arange(shape[1])
    expected = np.abs(away) < window
    if stride:
        expected |= away % stride == 0
    if causal:
        expected &= away >= 0
    got = local_pattern(shape, window, stride, causal)
    assert np.array_equal(got.to_mask(), expected)


def test_a_local_pattern_is_built_once_a_shape(monkeypatch: Any) -> None:
    built = []

    def count(shape: tuple[int, int], *kind: Any) -> SparsePattern:
        built.append(shape)
        return local_pattern(shape, *kind)

    monkeypatch.setattr(f"{nn.MultiheadAttention.__module__}.local_pattern", count)
    module = nn.MultiheadAttention(4, 2, window=2, seed=0)
    for time in (5, 5, 6, 6):
        x = np.random.default_rng(0).standard_normal((2, time, 4)).astype(np.float32)
        fresh = nn.MultiheadAttention(
            4, 2, pattern=local_pattern((time, time), 2), seed=0
        )
        np.testing.assert_array_equal(module(x).data, fresh(x).data)
    assert built == [(5, 5), (6, 6)]


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Embedding(11, 8, seed=0),
        nn.PositionalEncoding(9, 8),
        nn.TransformerEncoderLayer(8, 2, density=0.4, window=3, dropout=0.1, seed=0),
        nn.RMSNorm(8),
        nn.MultiheadAttention(8, 4, 0.5, seed=1),
    )
    x = np.random.default_rng(0).integers(0, 11, (2, 9))
    snn.save(model, tmp_path / "m.safetensors")
    loaded = snn.load(tmp_path / "m.safetensors")
    assert np.array_equal(model.eval()(x).data, loaded(x).data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MultiheadAttention(6, 4), "divide"),
        (lambda: nn.MultiheadAttention(6, 2, window=-1), "window"),
        (lambda: nn.MultiheadAttention(6.0, 2), "width must be an integer"),
        (lambda: nn.TransformerEncoderLayer(6, 2, 2.5), "hidden must be an integer"),
        (
            lambda: nn.MultiheadAttention(
                6, 2, window=1, pattern=SparsePattern.full((3, 3))
            ),
            "0 with a pattern",
        ),
        (lambda: nn.MultiheadAttention(6, 2, nnz=[1]), "4 numbers"),
        (lambda: nn.MultiheadAttention(6, 2)(np.zeros((2, 6))), r"\(2, 6\)"),
        (lambda: ops.attention(*np.zeros((3, 2, 3, 4)), heads=3), "3 heads"),
        (
            lambda: ops.attention(*np.zeros((3, 2, 3, 4)), key_padding_mask=[[0, 1]]),
            "key_padding_mask",
        ),
        (
            lambda: ops.attention(
                *np.zeros((3, 2, 3, 4)), causal=True, pattern=SparsePattern.full((3, 3))
            ),
            "diagonal",
        ),
        (
            lambda: ops.attention(
                np.zeros((2, 3, 4)), *np.zeros((2, 2, 5, 4)), causal=True
            ),
            "as many",
        ),
    ],
)
def test_bad_input_is_explained(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
