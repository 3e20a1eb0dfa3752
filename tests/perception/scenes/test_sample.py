from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.scenes.boxes import instance_boxes
from perception.scenes.classes import BOX_CLASSES
from perception.scenes.motion import random_motion
from perception.scenes.sample import (
    MAX_BOXES,
    box_classes,
    collate_scenes,
    point_features,
    sample_scene,
)
from perception.scenes.scene import Scene


def make_scene(seed: int = 0, *, points: int = 300, objects: int = 5) -> Scene:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(0, 2, (points, 3)).astype(np.float32)
    instance = rng.integers(0, objects + 2, points)
    instance[: objects + 1] = np.arange(objects + 1)  # every id has a point; the last one has no box, like a floor
    ids = 1 + rng.permutation(objects)
    return Scene(
        id="s",
        points=xyz,
        colors=rng.integers(0, 256, (points, 3)).astype(np.uint8),
        semantic=np.zeros(points, np.int64),
        instance=instance,
        boxes=instance_boxes(xyz, instance, ids),
        box_classes=rng.integers(3, 41, objects),
        box_instances=ids,
    )


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_vote_ends_at_the_centre_of_the_box_of_its_points(seed: int, mirror: bool) -> None:
    scene, rng = make_scene(seed), np.random.default_rng(seed)
    motion = random_motion(rng, mirror=mirror)
    sample = sample_scene(scene, rng, count=len(scene.points), motion=motion)
    targets = (sample.points + sample.votes)[sample.votes_valid]
    distance = np.abs(targets[:, None] - sample.boxes[None, :, :3]).max(axis=-1).min(axis=1)
    assert distance.max() < 1e-5
    assert (sample.votes[~sample.votes_valid] == 0).all()
    assert sample.votes_valid.sum() == np.isin(scene.instance, scene.box_instances).sum()
    inside = np.abs(sample.points[:, None] - sample.boxes[:, :3]) <= sample.boxes[:, 3:] / 2 + 1e-5
    assert np.any(np.all(inside, axis=-1), axis=1)[sample.votes_valid].all()


def test_an_unmoved_scene_keeps_its_boxes_and_the_sample_repeats_with_its_seed() -> None:
    scene = make_scene()
    one, other = (sample_scene(scene, np.random.default_rng(7), count=100) for _ in range(2))
    np.testing.assert_array_equal(one.boxes, scene.boxes)
    np.testing.assert_array_equal(one.points, other.points)
    assert len(np.unique(one.points, axis=0)) == 100


def test_a_small_scan_repeats_points_up_to_the_count() -> None:
    assert sample_scene(make_scene(points=20, objects=2), np.random.default_rng(0), count=64).points.shape == (64, 3)


def test_boxes_beyond_the_limit_are_left_out_with_their_votes() -> None:
    scene = make_scene(points=2000, objects=MAX_BOXES + 10)
    sample = sample_scene(scene, np.random.default_rng(0), count=2000)
    assert len(sample.boxes) == MAX_BOXES
    assert sample.votes_valid.sum() == np.isin(scene.instance, scene.box_instances[:MAX_BOXES]).sum()


def test_colours_are_normalised_once_except_with_the_published_bug() -> None:
    points, colors = np.zeros((2, 3), np.float32), np.array([[110, 97, 84], [255, 0, 0]], np.uint8)
    expected = (colors - np.array([109.8, 97.2, 83.8])) / 256
    np.testing.assert_allclose(point_features(points, colors)[:, :3], expected, atol=1e-6)
    twice = point_features(points, colors, legacy_color=True)[:, :3]
    np.testing.assert_allclose(twice, [[-0.429, -0.380, -0.327]] * 2, atol=0.003)


def test_reading_a_scene_again_gives_the_same_colours() -> None:
    scene = make_scene()
    before = scene.colors.copy()
    first = sample_scene(scene, np.random.default_rng(0), count=50).features
    np.testing.assert_array_equal(sample_scene(scene, np.random.default_rng(0), count=50).features, first)
    np.testing.assert_array_equal(scene.colors, before)


def test_height_is_measured_from_the_floor_of_the_whole_scan(real_data: Path) -> None:
    for file, floor in (("vert_all", -0.033092007), ("vert", -0.033585474)):
        vertices = np.load(real_data / "scannet_scene0000" / f"scene0000_00_{file}.npy")
        points, colors = vertices[:, :3], vertices[:, 3:].astype(np.uint8)
        height = point_features(points, colors)[:, 3]
        assert points[:, 2] - height == pytest.approx(np.full(len(points), floor), abs=1e-6)


def test_the_last_of_the_18_classes_is_others() -> None:
    assert len(BOX_CLASSES) == 18
    np.testing.assert_array_equal(box_classes(np.array([3, 36, 24, 39, 35, 40])), [0, 16, 12, 17, 17, 17])


def test_a_batch_pads_boxes_and_masks_the_padding() -> None:
    samples = [sample_scene(make_scene(objects=n), np.random.default_rng(n), count=50) for n in (3, 5)]
    batch = collate_scenes(samples)
    assert batch.features.shape == (2, 50, 4)
    assert batch.boxes_valid.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert torch.equal(batch.boxes[0, :3], torch.from_numpy(samples[0].boxes))
    assert (batch.boxes[0, 3:] == 0).all()
    assert batch.box_classes.dtype == torch.int64


def test_scenes_without_objects_make_a_batch() -> None:
    batch = collate_scenes([sample_scene(make_scene(objects=0), np.random.default_rng(0), count=10)])
    assert not batch.boxes_valid.any()
    assert not batch.votes_valid.any()
