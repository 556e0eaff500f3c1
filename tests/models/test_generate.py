"""Text from language models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparsenn import models, nn
from sparsenn.autograd import Tensor


class Table(nn.Module):
    """Scores of what follows each token, whatever came before."""

    def __init__(self, scores: Any) -> None:
        self.scores = np.asarray(scores, np.float64)
        self.seen: list[int] = []

    def accept(self, x: Any) -> Any:
        return np.asarray(x)

    def forward(self, x: Any) -> Tensor:
        self.seen.append(x.shape[1])
        return Tensor(self.scores[x])


def test_tokens_come_as_often_as_the_model_says() -> None:
    wanted = np.array([0.5, 0.3, 0.2])
    model = Table(np.log(np.tile(wanted, (3, 1))))
    drawn = list(models.generate(model, [0], 600, context=1, seed=0))
    counts = np.bincount(drawn, minlength=3)
    assert np.abs(counts - 600 * wanted).max() < 5 * np.sqrt(600 * 0.25)
    again = list(models.generate(model, [0], 50, context=1, seed=0))
    assert again == drawn[:50]  # whatever else is drawn later
    assert list(models.generate(model, [0], 50, context=1, seed=1)) != again
    cold = list(models.generate(model, [0], 600, context=1, temperature=0.5, seed=0))
    share = wanted[0] ** 2 / (wanted**2).sum()
    assert abs(cold.count(0) - 600 * share) < 5 * np.sqrt(600 * 0.25)


def test_the_likeliest() -> None:
    model = Table(np.roll(np.eye(4), 1, axis=1))  # token i is followed by i + 1
    assert list(models.generate(model, [2], 5, temperature=0)) == [3, 0, 1, 2, 3]
    assert list(models.generate(model, [2], 5, top_k=1, seed=0)) == [3, 0, 1, 2, 3]
    drawn = list(models.generate(Table(np.tile([0, 1, 2, 2.0], (4, 1))), [0], 200,
                                 top_k=2, seed=0))  # fmt: skip
    assert set(drawn) == {2, 3}


def test_context() -> None:
    model = Table(np.zeros((3, 3)))
    list(models.generate(model, [0, 1], 4, seed=0))
    assert model.seen == [2, 3, 4, 5]
    model = Table(np.zeros((3, 3)))
    list(models.generate(model, [0, 1], 4, context=3, seed=0))
    assert model.seen == [2, 3, 3, 3]
    gpt = models.gpt(5, 4, 1, 8, density=0.5, dropout=0.5, seed=0)
    found = list(models.generate(gpt, [0] * 9, 8, seed=0))
    assert len(found) == 8 and set(found) <= set(range(5))
    assert gpt.training
    # Evaluated without dropout: one token is what the model's own scores say.
    gpt.eval()
    likeliest = int(gpt(np.zeros((1, 4), int)).data[0, -1].argmax())
    assert next(models.generate(gpt, [0] * 9, 1, temperature=0)) == likeliest


def test_a_recurrent_model() -> None:
    model = models.char_rnn(6, 8, 0.5, n_layers=1, seed=0)
    assert len(list(models.generate(model, [3], 5, seed=0))) == 5


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ([], {}, "tokens must be integers"),
        ([[1]], {}, "tokens must be integers"),
        ([0.5], {}, "tokens must be integers"),
        ([0], {"n": -1}, "n must be"),
        ([0], {"temperature": -1.0}, "temperature must be"),
        ([0], {"temperature": np.nan}, "temperature must be"),
        ([0], {"top_k": 0}, "top_k must be"),
        ([0], {"context": 0}, "context must be"),
        ([0], {"n": 2.5}, "n must be an integer"),
        ([0], {"top_k": 2.5}, "top_k must be an integer"),
        ([0], {"context": 1.5}, "context must be an integer"),
    ],
)
def test_bad_arguments(tokens: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):  # before anything is drawn
        models.generate(Table(np.zeros((2, 2))), tokens, **{"n": 1, **options})


def test_bad_models() -> None:
    gpt = models.gpt(5, 4, 1, 8, seed=0)
    with pytest.raises(ValueError, match="context must be at most 4, got 5"):
        models.generate(gpt, [0], 1, context=5)
    with pytest.raises(ValueError, match="not finite"):
        list(models.generate(Table(np.full((2, 2), np.nan)), [0], 1))
