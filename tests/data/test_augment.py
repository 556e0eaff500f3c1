"""Random flips and crops: addressed by sample, never by batch."""

from __future__ import annotations

import numpy as np
import pytest

from sparsenn import data
from sparsenn.random import Purpose, Stream

X = np.random.default_rng(0).integers(1, 256, (40, 6, 5, 3), dtype=np.uint8)
STREAM = Stream(3, Purpose.AUGMENT, step=2)


def test_nothing_asked_changes_nothing() -> None:
    plain = data.Augmentation(flip=False, crop=0)
    assert np.array_equal(plain.apply(X, np.arange(40), STREAM), X)


def test_flips_are_mirror_images_of_about_half() -> None:
    changed = data.Augmentation(crop=0).apply(X, np.arange(40), STREAM)
    mirrored = [np.array_equal(c, x[:, ::-1]) for c, x in zip(changed, X, strict=True)]
    same = [np.array_equal(c, x) for c, x in zip(changed, X, strict=True)]
    assert all(m or s for m, s in zip(mirrored, same, strict=True))
    assert 8 <= sum(mirrored) <= 32


@pytest.mark.parametrize("x", [X, X[..., 0]])
def test_crops_are_windows_of_padded_images(x: np.ndarray) -> None:
    changed = data.Augmentation(flip=False, crop=2).apply(x, np.arange(40), STREAM)
    seen = set()
    for one, image in zip(changed, x, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), *((0, 0),) * (x.ndim - 3)))
        found = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(padded[i : i + 6, j : j + 5], one)
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 10


def test_a_sample_changes_alike_in_any_batch() -> None:
    both = data.Augmentation()
    whole = both.apply(X, np.arange(40), STREAM)
    some = np.array([7, 3, 39])
    assert np.array_equal(both.apply(X[some], some, STREAM), whole[some])


def test_batches_change_from_epoch_to_epoch() -> None:
    y = np.arange(40)

    def epoch(step: int, size: int) -> np.ndarray:
        order = Stream(0, Purpose.SHUFFLE, step=step)
        found = data.batches(
            X, y, size, stream=order, shuffle=False, augment=data.Augmentation()
        )
        return np.concatenate([x for x, _ in found])

    assert np.array_equal(epoch(0, 7), epoch(0, 40))
    assert not np.array_equal(epoch(0, 40), epoch(1, 40))


def test_what_is_no_image_is_refused() -> None:
    order = Stream(0, Purpose.SHUFFLE)
    with pytest.raises(ValueError, match="takes images"):
        data.batches(X.reshape(40, -1), np.arange(40), 5, stream=order,
                     augment=data.Augmentation())  # fmt: skip
    with pytest.raises(ValueError, match="needs a stream"):
        data.batches(X, np.arange(40), 5, shuffle=False, augment=data.Augmentation())
    with pytest.raises(ValueError, match="at least 0"):
        data.Augmentation(crop=-1)
    with pytest.raises(ValueError, match="crop must be an integer"):
        data.Augmentation(crop=1.5)  # type: ignore[arg-type]


def test_scaling_by_channels() -> None:
    scaling = data.Scaling.fit(X, "channels")
    scaled = scaling.apply(X, np.float64).reshape(X.shape)
    np.testing.assert_allclose(scaled.mean((0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std((0, 1, 2)), 1, rtol=1e-12)
    gray = data.Scaling.fit(X[..., 0], "channels").apply(X[..., 0], np.float64)
    assert abs(gray.mean()) < 1e-12
    assert abs(gray.std() - 1) < 1e-12
    with pytest.raises(ValueError, match="takes images"):
        data.Scaling.fit(X.reshape(40, -1), "channels")
