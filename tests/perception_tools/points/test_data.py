from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception.clouds.cloud import CloudInput
from perception.errors import InputError
from perception_datasets.clouds.open_clouds import open_clouds
from perception_datasets.clouds.records import Clouds
from perception_tools.points.data import SampledClouds, TrainingClouds, augment
from perception_tools.points.recipes import AugmentationRecipe, PointRecipe
from perception_tools.training.sampler import Key


@given(st.integers(0, 2**16))
def test_a_part_is_stretched_and_shifted_within_bounds(seed: int) -> None:
    points = torch.randn(30, 3)
    recipe = AugmentationRecipe(oversample=30, stretch=1.5, shift=0.2)
    seen = augment(points, 20, recipe, np.random.default_rng(seed))
    same = augment(points, 20, recipe, np.random.default_rng(seed))
    assert torch.equal(seen, same)
    # Each axis was mapped by one line: solve for it from its ends, and look the points up again.
    matched = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(30)[:20]))
    for axis in range(3):
        before, after = points[matched, axis].double(), seen[:, axis].double()
        low, high = before.argmin(), before.argmax()
        stretch = (after[high] - after[low]) / (before[high] - before[low])
        shift = after[low] - stretch * before[low]
        assert 1 / 1.5 - 1e-4 <= stretch <= 1.5 + 1e-4
        assert abs(shift) <= 0.2 + 1e-4
        torch.testing.assert_close(before * stretch + shift, after, rtol=1e-4, atol=1e-4)


def test_what_is_seen_is_a_function_of_seed_pass_and_cloud(clouds: Path, tiny_point_recipe: PointRecipe) -> None:
    train = TrainingClouds(open_clouds(clouds, "train"), CloudInput(32), tiny_point_recipe, keep=3)
    first, again, other = (train[Key(5, p)].values[0] for p in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (32, 3)
    assert train[Key(5, 0)].label == 0


class _Drawn:
    is_drawn = True
    reads = 0

    def read(self, row: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG002
        type(self).reads += 1
        return rng.normal(size=(50, 3)).astype(np.float32)


def test_clouds_stay_in_memory_or_are_drawn_anew() -> None:
    numbers = np.zeros(2, np.int64)
    drawn = Clouds(Path("data"), "train", "made", ("a",), ["x", "y"], numbers, np.arange(2), _Drawn())
    kept = SampledClouds(drawn, CloudInput(8), 10, keep=1)
    assert torch.equal(kept[0], kept[0])
    assert _Drawn.reads == 1
    assert not torch.equal(kept.drawn_anew(0, 1), kept[0])
    assert torch.equal(kept.drawn_anew(0, 0), kept[0])


def test_after_too_many_broken_clouds_training_stops(
    write_clouds, tiny_point_recipe: PointRecipe, tmp_path: Path
) -> None:
    data = write_clouds(tmp_path, train=10)
    for path in data.glob("train/*/*.npy"):
        path.write_bytes(b"")
    train = TrainingClouds(open_clouds(data, "train"), CloudInput(32), tiny_point_recipe, keep=0)
    with pytest.raises(InputError, match=r"found 20 in a row that cannot; the first: .*npy"):
        train[Key(0, 0)]
