from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.images.imagenet_c import SEVERITIES, corruptions, find_corruption, open_imagenet_c


def test_there_are_15_corruptions_and_4_more() -> None:
    groups = {group: [c.name for c in corruptions() if c.group == group] for group in {c.group for c in corruptions()}}
    assert {group: len(names) for group, names in groups.items()} == {
        "noise": 3,
        "blur": 4,
        "weather": 4,
        "digital": 4,
        "extra": 4,
    }
    assert [c.name for c in corruptions() if c.alexnet_error is None] == groups["extra"]


def test_alexnet_has_the_errors_that_hendrycks_publishes() -> None:
    errors = {c.name: c.alexnet_error for c in corruptions() if c.alexnet_error is not None}
    assert len(errors) == 15
    assert (errors["gaussian_noise"], errors["brightness"], errors["jpeg_compression"]) == (0.886428, 0.564592, 0.6065)
    assert all(0.5 < error < 1 for error in errors.values())
    assert find_corruption("fog").alexnet_error == errors["fog"]


@pytest.mark.parametrize("prefix", ["", "blur/"])
def test_folders_with_and_without_groups_are_opened(tmp_path: Path, encode: Callable[..., bytes], prefix: str) -> None:
    for severity in SEVERITIES:
        for wnid in ("n01440764", "n01443537"):
            path = tmp_path / f"{prefix}defocus_blur/{severity}/{wnid}/ILSVRC2012_val_0000{severity}.JPEG"
            path.parent.mkdir(parents=True)
            path.write_bytes(encode(severity))
    pictures = open_imagenet_c(tmp_path, "defocus_blur", 3)
    assert [r.id for r in pictures] == [f"{w}/ILSVRC2012_val_00003.JPEG" for w in ("n01440764", "n01443537")]
    assert open_imagenet_c(tmp_path, "defocus_blur", 3, classes=("n01443537", "n01440764"))[0].label == 1


@pytest.mark.parametrize(
    ("corruption", "severity", "reason"),
    [
        ("rain", 1, "corruption 'rain': expected one of gaussian_noise, shot_noise"),
        ("snow", 6, "severity: expected 1, 2, 3, 4 or 5, got 6"),
        ("snow", 1, r"expected pictures in snow/1/ or weather/snow/1/, found none; unpack ImageNet-C's weather\.tar"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, corruption: str, severity: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_imagenet_c(tmp_path, corruption, severity)
