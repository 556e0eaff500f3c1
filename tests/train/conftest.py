"""A small problem that every training test can afford."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn.data import Dataset


@pytest.fixture(scope="session")
def blobs() -> Dataset:
    """Three noisy clusters of bytes in 12 dimensions: 150 to learn, 60 to test."""
    rng = np.random.default_rng(7)
    centres = rng.integers(40, 216, (3, 12))
    y = np.arange(210) % 3
    x = centres[y] + rng.normal(0, 25, (210, 12))
    x = np.clip(x, 0, 255).astype(np.uint8)
    x[0, 0] = 255
    return Dataset("blobs", x[:150], y[:150], x[150:], y[150:], 3).validate()
