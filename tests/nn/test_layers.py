"""Layers against plain NumPy, in values and (through gradcheck) in derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenn import nn, ops
from sparsenn.autograd import Tensor, gradcheck
from sparsenn.random import Purpose, Stream
from sparsenn.sparse import SparsePattern

RNG = np.random.default_rng(7)


def batch(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def check(module: nn.Module, x: np.ndarray, expected: np.ndarray) -> None:
    y = module(x)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-12)
    gradcheck(lambda t: (module(t) ** 2).sum(), [Tensor(x, requires_grad=True)])


def test_linear_is_the_dense_product() -> None:
    layer = nn.Linear(20, 15, 0.3, seed=0, dtype=np.float64)
    layer.bias.assign_(batch(15))
    x = batch(6, 20)
    weight = layer.weight.to_scipy().toarray()
    assert np.count_nonzero(weight) == layer.weight.nnz == round(0.3 * 300)
    check(layer, x, x @ weight.T + layer.bias.data)


@pytest.mark.parametrize("density", [0.3, 1.0, None])
def test_linear_takes_any_leading_axes(density: float | None) -> None:
    layer = nn.Linear(20, 15, density, seed=0, dtype=np.float64)
    x = batch(2, 3, 20)
    flat = layer(x.reshape(6, 20)).data
    assert np.array_equal(layer(x).data, flat.reshape(2, 3, 15))
    gradcheck(lambda t: (layer(t) ** 2).sum(), [Tensor(x, requires_grad=True)])


def test_linear_and_relu_fuse_to_the_same_bits() -> None:
    layer = nn.Linear(20, 15, 0.3, seed=0)
    fused = nn.Sequential(layer, nn.ReLU())
    x = batch(6, 20).astype(np.float32)
    results = []
    for f in (fused, lambda t: ops.relu(layer(t))):
        y = f(x)
        (y * y).sum().backward()
        results.append((y.data, layer.weight.grad.data, layer.bias.grad.data))
        layer.weight.values.grad = layer.bias.grad = None
    for ours, apart in zip(*results, strict=True):
        assert np.array_equal(ours, apart)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
        (nn.AllReLU(1), lambda x: np.where(x > 0, x, 0.6 * x)),
        (nn.AllReLU(2), lambda x: np.where(x > 0, x, -0.6 * x)),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Tanh(), np.tanh),
    ],
)
def test_activations(module: nn.Module, function) -> None:
    x = batch(5, 7)
    check(module, x, function(x))


def test_gelu() -> None:
    from scipy.stats import norm

    x = batch(5, 7)
    check(nn.GELU(), x, x * norm.cdf(x))


def test_silu() -> None:
    from scipy.special import expit

    x = batch(5, 7)
    check(nn.SiLU(), x, x * expit(x))


def test_srelu_has_three_pieces() -> None:
    module = nn.SReLU(4, dtype=np.float64)
    module.a_right.assign_(np.full(4, 0.5))
    module.t_left.assign_(np.full(4, -0.3))
    x = batch(6, 4)
    expected = np.where(
        x >= 0.4, 0.4 + 0.5 * (x - 0.4), np.where(x <= -0.3, -0.3 + 0.2 * (x + 0.3), x)
    )
    check(module, x, expected)
    assert len(module.parameters()) == 4
    module(x).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_layer_norm() -> None:
    module = nn.LayerNorm(9, dtype=np.float64)
    module.weight.assign_(batch(9))
    module.bias.assign_(batch(9) + 1)
    x = batch(5, 9)
    scaled = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    check(module, x, scaled * module.weight.data + module.bias.data)


def test_rms_norm() -> None:
    module = nn.RMSNorm(9, dtype=np.float64)
    module.weight.assign_(batch(9))
    x = batch(2, 5, 9)
    scaled = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    check(module, x, scaled * module.weight.data)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.LayerNorm(4), (5, 3, 4)),
        (nn.RMSNorm(4), (5, 3, 4)),
        (nn.GroupNorm(2, 4), (5, 4, 3)),
        (nn.LayerNorm2d(4), (5, 4, 3, 2)),
        (nn.BatchNorm1d(4), (5, 4)),
        (nn.BatchNorm1d(4).eval(), (5, 4)),
        (nn.BatchNorm2d(4), (5, 4, 3, 2)),
        (nn.TransformerEncoderLayer(4, 2, seed=0), (5, 3, 4)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_takes_the_dtype_of_the_weights(
    module: nn.Module, shape: tuple[int, ...], dtype: type
) -> None:
    for parameter in module.parameters():
        values = getattr(parameter, "values", parameter)
        assert values.dtype == np.float32
    x = batch(*shape).astype(np.float32).astype(dtype)
    y = module(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.data, module(x.astype(np.float32)).data)
    with pytest.raises(ValueError, match=r"\(5, 3, 7, 2\)"):
        module(np.zeros((5, 3, 7, 2), dtype))


def test_batch_norm_of_one_sample_uses_what_it_has_learnt() -> None:
    module = nn.BatchNorm1d(3, dtype=np.float64)
    module(np.random.default_rng(0).normal(2, 3, (8, 3)))
    mean, var = module.running_mean.copy(), module.running_var.copy()
    x = np.array([[1.0, -2.0, 3.0]])
    training = module(x).numpy()
    np.testing.assert_array_equal(module.running_mean, mean)
    np.testing.assert_array_equal(module.running_var, var)
    np.testing.assert_array_equal(training, module.eval()(x).numpy())


def test_batch_norm_in_training_and_evaluation() -> None:
    module = nn.BatchNorm1d(4, dtype=np.float64)
    x = batch(8, 4)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(module(x).data, expected, rtol=1e-10)
    np.testing.assert_allclose(module.running_mean, 0.1 * x.mean(0))
    np.testing.assert_allclose(
        module.running_var, 0.9 + 0.1 * x.var(0, ddof=1), rtol=1e-12
    )
    module.eval()
    mean, var = module.running_mean, module.running_var
    check(module, x, (x - mean) / np.sqrt(var + 1e-5))
    module.train()
    gradcheck(lambda t: (module(t) ** 3).sum(), [Tensor(x, requires_grad=True)])


def test_dropout_masks_are_addressed_by_the_call() -> None:
    x = np.ones((50, 40), np.float32)
    first = nn.Dropout(0.3, seed=1)
    second = nn.Dropout(0.3, seed=1)
    y1, y2 = first(x).data, first(x).data
    assert np.array_equal(y1, second(x).data)
    assert not np.array_equal(y1, y2)
    assert set(np.unique(y1)) == {np.float32(0), np.float32(1 / 0.7)}
    # 2,000 Bernoulli draws: five standard errors.
    assert abs((y1 == 0).mean() - 0.3) < 5 * np.sqrt(0.21 / 2000)
    assert np.array_equal(first.eval()(x).data, x)


INITIALISERS = {
    nn.init.KaimingNormal(): lambda i, o: np.sqrt(2 / i),
    nn.init.KaimingUniform(): lambda i, o: np.sqrt(2 / i),
    nn.init.XavierNormal(): lambda i, o: np.sqrt(2 / (i + o)),
    nn.init.XavierUniform(): lambda i, o: np.sqrt(2 / (i + o)),
    nn.init.Normal(0.1): lambda i, o: 0.1 + 0 * i,
}


@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("init", INITIALISERS, ids=lambda i: type(i).__name__)
def test_initialisers_use_the_real_fan(init, density: float) -> None:
    stream = Stream(0, Purpose.TEST)
    pattern = SparsePattern.random((300, 200), round(density * 60000), stream=stream)
    values = init(pattern, stream, np.dtype(np.float64), None)
    rows, cols = pattern.positions()
    fan_in = np.bincount(rows, minlength=300)[rows]
    fan_out = np.bincount(cols, minlength=200)[cols]
    scaled = values / INITIALISERS[init](fan_in, fan_out)
    # Mean and deviation of n draws of unit variance (kurtosis at most 3).
    n = scaled.size
    assert abs(scaled.mean()) < 5 / np.sqrt(n)
    assert abs(scaled.std() - 1) < 5 / np.sqrt(2 * n)
    some = np.arange(0, pattern.nnz, 7)
    part = init(pattern, stream, np.dtype(np.float64), some)
    assert np.array_equal(part, values[some])


def test_initial_values_do_not_depend_on_the_density_of_storage() -> None:
    f32 = nn.Linear(50, 40, 0.3, seed=3)
    f64 = nn.Linear(50, 40, 0.3, seed=3, dtype=np.float64)
    assert np.array_equal(f32.weight.positions(), f64.weight.positions())
    np.testing.assert_allclose(
        f32.weight.values.data, f64.weight.values.data, rtol=2e-6
    )


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 1))
def test_linear_holds_exactly_its_connections(n: int, m: int, density: float) -> None:
    layer = nn.Linear(n, m, density, seed=0)
    assert layer.weight.nnz == round(density * n * m)
    assert layer(np.zeros((3, n), np.float32)).shape == (3, m)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Linear(3, 2, 1.5), r"density must be in \[0, 1\], got 1.5"),
        (lambda: nn.Linear(3, 2, float("nan")), "density"),
        (lambda: nn.Linear(-1, 2), "at least 0"),
        (lambda: nn.Linear(3.0, 2), "n_in must be an integer of at least 0, got 3.0"),
        (
            lambda: nn.Linear(3, 2, nnz=1, pattern=SparsePattern.full((2, 3))),
            "nnz or a pattern, not both; got nnz=1 and a pattern of 6 connections",
        ),
        (lambda: nn.LayerNorm(-3), "n_features must be an integer of at least 0"),
        (lambda: nn.LayerNorm(3, eps=-1), "eps must be at least 0 and finite, got -1"),
        (lambda: nn.BatchNorm1d(3, np.nan), "eps must be at least 0 and finite"),
        (lambda: nn.BatchNorm1d(3, momentum=5), r"momentum must be in \[0, 1\], got 5"),
        (lambda: nn.Linear(3, 2, nnz=7), "7"),
        (lambda: nn.Linear(3, 2, pattern=SparsePattern.full((3, 2))), r"\(2, 3\)"),
        (lambda: nn.Linear(3, 2, seed=0)(np.zeros((4, 5))), r"\(4, 3\)"),
        (lambda: nn.Linear(3, 2, seed=0)(np.zeros(3)), "first axis"),
        (lambda: nn.Dropout(1.0), r"p must be in \[0, 1\)"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((4, 2))), r"\(4, 2\)"),
        (lambda: nn.LayerNorm(3)(np.zeros((4, 2))), r"\(4, 2\)"),
        (lambda: nn.RMSNorm(3)(np.zeros((4, 2))), r"\(4, 2\)"),
    ],
)
def test_layers_refuse(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_sequential_takes_modules_only() -> None:
    with pytest.raises(TypeError, match="layer 1 of a Sequential is a function"):
        nn.Sequential(nn.ReLU(), lambda x: x)  # type: ignore[arg-type]


def test_a_sequential_names_both_layers_where_a_state_is_in_the_way() -> None:
    x = batch(2, 5, 3)
    gru, linear = nn.GRU(3, 4, seed=0), nn.Linear(4, 2, seed=1)
    for rest in (linear, nn.Sequential(linear)):
        with pytest.raises(TypeError, match=r"1 \(Linear\).* 0 \(GRU\).*FinalState"):
            nn.Sequential(gru, rest)(x)
    passed_on = nn.Sequential(gru, nn.Identity(), nn.Sequential(nn.Outputs(), linear))
    assert passed_on(x).shape == (2, 5, 2)

    class Last(nn.Module):
        """A user's module that takes both."""

        def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
            return x[1][-1]

    assert nn.Sequential(gru, Last(), linear)(x).shape == (2, 2)


def test_a_nested_sequential_is_indented() -> None:
    inner = nn.Sequential(nn.ReLU(), nn.Residual(nn.Sequential(nn.Tanh())))
    assert repr(nn.Sequential(inner, nn.Flatten())) == (
        "Sequential(\n"
        "  (0): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Residual(\n"
        "      (branch): Sequential(\n"
        "        (0): Tanh()\n"
        "      )\n"
        "      (shortcut): Identity()\n"
        "    )\n"
        "  )\n"
        "  (1): Flatten()\n"
        ")"
    )
