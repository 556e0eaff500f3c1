"""KWinners against a plain NumPy twin, over several steps, files and resumed runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparsenn as snn
from sparsenn import nn, optim
from sparsenn.autograd import Tensor


class Twin:
    """The layer in float64, units of a sample in the last axes, by sorting."""

    def __init__(self, n: int, percent_on: float, strength: float, period: int) -> None:
        self.duty, self.seen, self.strength = np.zeros(n), 0, strength
        self.n, self.period, self.percent_on = n, period, percent_on

    def __call__(self, x: np.ndarray, training: bool) -> np.ndarray:
        units = x[0].size
        k = round(self.percent_on * units)
        if not training:
            k = int(k * 1.5)
        boost = np.exp(self.strength * (k / units - self.duty))
        boosted = x * boost.reshape(-1, *[1] * (x.ndim - 2))
        flat = boosted.reshape(len(x), -1)
        best = np.argsort(-flat, axis=1, kind="stable")[:, :k]
        mask = np.zeros(flat.shape)
        np.put_along_axis(mask, best, 1, axis=1)
        y = x * mask.reshape(x.shape)
        if training:
            self.seen += len(x)
            period = max(len(x), min(self.period, self.seen))
            wins = (y > 0).sum(axis=0).reshape(self.n, -1).mean(axis=1)
            self.duty = (self.duty * (period - len(x)) + wins) / period
        return y


@pytest.mark.parametrize("shape", [(7, 40), (3, 6, 4, 5)])
@pytest.mark.parametrize("period", [1, 20, 1000])
def test_winners_and_duty_cycles_over_steps(shape: tuple, period: int) -> None:
    rng = np.random.default_rng(0)
    n = shape[1]
    layer = nn.KWinners(n, 0.15, boost_strength=3.0, duty_cycle_period=period)
    twin = Twin(n, 0.15, 3.0, period)
    favoured = 1 + np.arange(n).reshape(-1, *[1] * (len(shape) - 2)) / n
    for step in range(12):
        x = rng.standard_normal(shape) * favoured
        layer.train(step % 4 != 3)
        y = layer(x)
        assert np.array_equal(y.data, twin(x, layer.training))
        np.testing.assert_allclose(layer.duty_cycle, twin.duty, rtol=1e-5, atol=1e-6)
        layer.duty_cycle[...] = twin.duty.astype(np.float32)
        twin.duty = layer.duty_cycle.astype(np.float64)
        if step % 5 == 4:
            layer.update_boost_strength()
            twin.strength *= 0.9
    assert layer.seen[0] == twin.seen > 0
    assert layer.strength[0] == pytest.approx(3 * 0.9**2)


def test_boosting_lets_more_units_win() -> None:
    rng = np.random.default_rng(0)
    won = {}
    for strength in (0.0, 5.0):
        layer = nn.KWinners(50, 0.1, boost_strength=strength, duty_cycle_period=100)
        seen = np.zeros(50, bool)
        for _ in range(30):
            x = np.linspace(1, 3, 50) + 0.05 * rng.standard_normal((10, 50))
            seen |= (layer(x).data > 0).any(axis=0)
        won[strength] = seen.sum()
    assert won[0.0] < 12
    assert won[5.0] > 25


def test_who_competes_in_images() -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 3, 4)).astype(np.float32)
    for per, counted, axes in (
        ("sample", 24, (1, 2, 3)),
        ("location", 2, 1),
        ("channel", 3, (2, 3)),
    ):
        layer = nn.KWinners(8, 0.25, per=per)
        y = layer(x).data
        assert (np.count_nonzero(y, axis=axes) == counted).all()
        assert layer.duty_cycle.shape == (8,)
        layer.eval()
        before = layer.duty_cycle.copy()
        more = np.count_nonzero(layer(x).data, axis=axes)
        assert (more == int(1.5 * counted)).all()
        assert np.array_equal(layer.duty_cycle, before)


def test_extremes() -> None:
    layer = nn.KWinners(4, 1.0, boost_strength=1e30)
    layer.duty_cycle[:] = [0, 1, 0.5, 0.25]
    x = np.array([[1.0, -2.0, 0.0, np.nan]])
    assert np.array_equal(layer(x).data, x, equal_nan=True)
    assert layer(np.zeros((0, 4))).shape == (0, 4)
    small = nn.KWinners(4, 0.01, boost_strength=0.0)
    assert np.array_equal(small(np.array([[1.0, 3.0, 2.0, 3.0]])).data, [[0, 3, 0, 0]])


def model(seed: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(20, 50, 0.3, seed=seed),
        nn.KWinners(50, 0.1, duty_cycle_period=64),
        nn.Linear(50, 3, 0.5, seed=seed, number=1, sparse_input=True),
    )


def test_the_model_is_saved_with_its_duty_cycles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    trained = model()
    for _ in range(3):
        trained(rng.standard_normal((8, 20)).astype(np.float32))
    trained[1].update_boost_strength()
    path = tmp_path / "m.safetensors"
    snn.save(trained, path)
    loaded = snn.load(path)
    assert repr(loaded) == repr(trained)
    for name in nn.KWinners.buffers:
        ours, theirs = getattr(trained[1], name), getattr(loaded[1], name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert trained[1].duty_cycle.any()
    x = rng.standard_normal((8, 20)).astype(np.float32)
    for m in (trained, loaded):
        m.eval()
    assert np.array_equal(trained(x).data, loaded(x).data)


@pytest.mark.parametrize("batch", [1, 16])
def test_a_resumed_run_has_the_same_bits(tmp_path: Path, batch: int) -> None:
    data = np.random.default_rng(0).standard_normal((12, batch, 20)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, (12, batch))

    def steps(m: nn.Module, which: range) -> nn.Module:
        opt = optim.SGD(m.parameters(), lr=0.1)
        for i in which:
            loss = nn.functional.cross_entropy(m(data[i]), labels[i])
            loss.backward()
            opt.step()
            opt.zero_grad()
        return m

    whole = steps(model(), range(12))
    half = steps(model(), range(6))
    snn.save(half, tmp_path / "half.safetensors")
    loaded = snn.load(tmp_path / "half.safetensors").train()
    resumed = steps(loaded, range(6, 12))
    for (name, a), (_, b) in zip(
        whole.named_parameters(), resumed.named_parameters(), strict=True
    ):
        one, two = (p.data if isinstance(p, Tensor) else p.values.data for p in (a, b))
        assert one.tobytes() == two.tobytes(), name
    for name in nn.KWinners.buffers:
        ours, theirs = getattr(whole[1], name), getattr(resumed[1], name)
        assert ours.tobytes() == theirs.tobytes(), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 0}, "n_features must be at least 1, got 0"),
        ({"percent_on": 0.0}, r"percent_on must be in \(0, 1\], got 0.0"),
        ({"percent_on": np.nan}, "percent_on must be"),
        ({"k_inference_factor": 0.0}, "k_inference_factor must be positive"),
        ({"boost_strength": -1.0}, "boost_strength must be 0 or more"),
        ({"boost_strength_factor": 1.1}, "boost_strength_factor must be in"),
        ({"duty_cycle_period": 0}, "duty_cycle_period must be at least 1"),
        ({"per": "row"}, "per must be one of sample, location, channel; got 'row'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.KWinners(**{"n_features": 4} | arguments)


def test_wrong_features_are_refused() -> None:
    with pytest.raises(ValueError, match=r"KWinners\(4\) takes \(batch, 4, ...\), got"):
        nn.KWinners(4)(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="per must be a number below 3"):
        nn.from_config({"type": "KWinners", "n_features": 3, "per": 7})
