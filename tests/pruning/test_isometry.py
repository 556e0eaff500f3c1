"""Approximate isometry of a model's weights, without touching their patterns."""

from __future__ import annotations

import numpy as np

from sparsenn import nn, pruning


def test_a_model_by_layer() -> None:
    model = nn.Sequential(
        nn.Linear(40, 60, 0.3, seed=0),
        nn.ReLU(),
        nn.Linear(60, 20, 0.3, seed=1),
        nn.Linear(20, 5, seed=2),
    )
    patterns = [p.pattern for p in model.chain()]
    last = model.chain()[2].values.data.copy()
    result = pruning.isometry(model, 300, gain=2.0, exempt=["last"])
    assert [layer.name for layer in result.layers] == ["0.weight", "2.weight"]
    for param, layer in zip(model.chain(), result.layers, strict=False):
        assert layer.after < 0.02 < 5 < layer.before
        assert layer.floor == 0
        singular = np.linalg.svd(param.to_scipy().toarray(), compute_uv=False)
        np.testing.assert_allclose(singular, 2.0, atol=0.1)
        assert param.values.requires_grad
    assert [p.pattern for p in model.chain()] == patterns
    assert np.array_equal(model.chain()[2].values.data, last)
    assert "0.weight" in repr(result)
