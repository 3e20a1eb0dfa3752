from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception.clips.clip_input import ClipInput
from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.images.records import FilePlace
from perception_datasets.video.open_videos import open_videos
from perception_datasets.video.records import Videos
from perception_tools.classification.records import collate_training, collate_validation
from perception_tools.training.sampler import Key
from perception_tools.video.data import (
    ClipReader,
    TrainingClips,
    ValidationClips,
    ordered,
)
from perception_tools.video.recipes import ActionRecipe, ClipAugmentation

SHOWN = ClipInput(4, 16)
PLAIN = ClipAugmentation(scale=1.0, auto_augment="", erasing=0.0, views=1)


def training(clips: Path, recipe: ActionRecipe, **changes: Any) -> TrainingClips:
    augmentation = replace(PLAIN, **changes)
    return TrainingClips(ClipReader(open_videos(clips, "train")), replace(recipe, augmentation=augmentation), SHOWN)


def pixels(clip: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (SHOWN.mean, SHOWN.std))
    return (clip * std + mean) * 255


def test_what_is_random_is_a_function_of_seed_pass_and_clip(clips: Path, tiny_recipe: ActionRecipe) -> None:
    changed = {"scale": 0.3, "auto_augment": "rand-m9-n2-mstd0.5-inc1", "erasing": 0.5}
    made = [
        training(clips, replace(tiny_recipe, seed=seed), **changed)[Key(index, data_pass)].values[0]
        for seed, data_pass, index in ((0, 0, 1), (0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2))
    ]
    assert torch.equal(made[0], made[1])
    assert not any(torch.equal(made[0], other) for other in made[2:])


def test_every_image_of_a_clip_is_changed_alike(tmp_path: Path, tiny_recipe: ActionRecipe) -> None:
    """Of a video whose images are all the same, those of a changed clip are the same too."""
    folder = tmp_path / "train" / "wave" / "v"
    folder.mkdir(parents=True)
    (tmp_path / "train" / "jump").mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8))
    for number in range(6):
        noise.save(folder / f"{number}.png")
    for seed in range(6):
        shown = training(tmp_path, replace(tiny_recipe, seed=seed), scale=0.2, auto_augment="rand-m9-n4-mstd0.5-inc1")
        (copy,) = shown[Key(0, 0)].values
        assert (copy == copy[:, :1]).all()


def test_the_same_part_of_every_image_is_erased(clips: Path, tiny_recipe: ActionRecipe) -> None:
    plain = training(clips, tiny_recipe)[Key(0, 0)].values[0]
    erased = training(clips, tiny_recipe, erasing=1.0)[Key(0, 0)].values[0]
    parts = (plain != erased).any(0)
    assert parts.any()
    assert not parts.all()
    assert (parts == parts[:1]).all()
    assert (erased[:, 0] != erased[:, 1])[:, parts[0]].all(), "by noise of its own"


def test_copies_of_a_clip_show_the_same_images_changed_differently(clips: Path, tiny_recipe: ActionRecipe) -> None:
    shown = training(clips, tiny_recipe, views=2, erasing=1.0)[Key(3, 0)]
    first, second = shown.values
    assert not torch.equal(first, second)
    same = (first == second).all(0)
    assert same.float().mean() > 0.2, "outside of what is erased"
    batch = collate_training([shown, shown])
    assert batch.values.shape == (4, 3, 4, 16, 16)
    assert batch.labels.tolist() == [1] * 4


def test_nothing_is_mirrored_unless_asked(clips: Path, tiny_recipe: ActionRecipe) -> None:
    plain, never, always = (
        training(clips, tiny_recipe, **changes)[Key(1, 0)].values[0]
        for changes in ({}, {"mirror": 0.0}, {"mirror": 1.0})
    )
    assert torch.equal(plain, never)
    torch.testing.assert_close(pixels(always).flip(-1), pixels(plain), rtol=0, atol=2)


def test_kept_videos_are_decoded_once_within_their_room(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    decode = Videos.decode
    monkeypatch.setattr(
        Videos, "decode", lambda self, record, choose: (decoded.append(record.id), decode(self, record, choose))[1]
    )
    videos = open_videos(clips, "train")
    one = 8 * 20 * 30 * 3
    reader = ClipReader(videos, 20, 3 * one + 1)
    first = [reader.read(record, lambda count: np.array([0, count - 1])).images for record in videos]
    assert len(reader) == 3
    again = [reader.read(record, lambda count: np.array([0, count - 1])).images for record in videos]
    assert len(decoded) == 8 + 5
    for mine, other in zip(first, again, strict=True):
        assert mine.shape == (2, 20, 30, 3)
        np.testing.assert_array_equal(mine, other)
    unkept = ClipReader(videos, 20)
    np.testing.assert_array_equal(unkept.read(videos[0], lambda count: np.array([0, count - 1])).images, first[0])


def test_orders_are_controls_of_the_same_images() -> None:
    chosen = np.arange(5)
    assert ordered(chosen, "kept", 0) is chosen
    assert ordered(chosen, "reversed", 0).tolist() == [4, 3, 2, 1, 0]
    assert ordered(chosen, "still", 0).tolist() == [2] * 5
    shuffled = ordered(chosen, "shuffled", "a").tolist()
    assert sorted(shuffled) == [0, 1, 2, 3, 4]
    assert ordered(chosen, "shuffled", "a").tolist() == shuffled
    assert len({tuple(ordered(chosen, "shuffled", name)) for name in "abcdef"}) > 1


def test_a_broken_video_is_replaced_by_the_next_and_named(
    write_clips: Callable[..., Path], tiny_recipe: ActionRecipe, tmp_path: Path
) -> None:
    data = write_clips(tmp_path / "data")
    (data / "train" / "train2.mp4").write_bytes(b"")
    shown = training(data, tiny_recipe)[Key(2, 0)]
    assert shown.label == 1
    ((name, fault),) = shown.unread
    assert name == "train2"
    assert "train2.mp4" in fault
    for path in (data / "train").glob("*.mp4"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="found 8 in a row that cannot"):
        training(data, tiny_recipe)[Key(2, 0)]


def test_validation_sees_the_middles_and_counts_what_it_cannot_read(
    write_clips: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_clips(tmp_path / "data")
    (data / "val" / "val1.mp4").write_bytes(b"no video")
    clips = ValidationClips(ClipReader(open_videos(data, "val")), SHOWN)
    shown = [clips[index] for index in range(len(clips))]
    assert [clip.value is None for clip in shown] == [False, True, False, False]
    batch = collate_validation(shown)
    assert (len(batch.labels), [name for name, _ in batch.unread]) == (3, ["val1"])


def test_an_augmentation_that_timm_does_not_know_is_refused(clips: Path, tiny_recipe: ActionRecipe) -> None:
    with pytest.raises(InputError, match="expected a string that timm knows"):
        training(clips, tiny_recipe, auto_augment="what")


def test_errors_of_readers_stay_what_they_are(clips: Path, tmp_path: Path) -> None:
    videos = open_videos(clips, "train")
    gone = replace(videos, places=(FilePlace(tmp_path / "gone.mp4"), *videos.places[1:]))
    with pytest.raises(RecordError, match=r"gone\.mp4"):
        ClipReader(gone).read(gone[0], np.arange)
