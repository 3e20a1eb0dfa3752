from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image
from torchvision import transforms

from perception.errors import InputError
from perception_datasets.errors import Failures, RecordError
from perception_datasets.images import corrupted
from perception_datasets.images.corrupted import CorruptedPictures
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import PictureSource, read_all

Pixels = UInt8[np.ndarray, "height width 3"]
Calls = list[tuple[str, int, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What the library was asked for, in whose place a negative picture is made."""
    found: Calls = []

    def corrupt(pixels: Pixels, name: str, severity: int, seed: int) -> Pixels:
        found.append((name, severity, seed))
        return 255 - pixels

    monkeypatch.setattr(corrupted, "corrupt", corrupt)
    monkeypatch.setattr(corrupted, "is_installed", lambda: True)
    return found


def test_a_view_has_the_records_of_its_source(folder: Path, calls: Calls) -> None:
    source = open_pictures(folder, "train")
    view = CorruptedPictures(source, "fog", 2)
    assert isinstance(view, PictureSource)
    assert (len(view), view.classes, view[3]) == (9, source.classes, source[3])
    picture = view.decode(view[3])
    np.testing.assert_array_equal(picture.pixels, 255 - source.decode(source[3]).pixels)
    assert picture.id == "dog/0.jpg"
    assert [call[:2] for call in calls] == [("fog", 2)]


def test_seeds_are_of_the_record_and_of_all_that_is_chosen(folder: Path, calls: Calls) -> None:
    source = open_pictures(folder, "train")
    for view in (
        CorruptedPictures(source, "fog", 2),
        CorruptedPictures(source, "fog", 3),
        CorruptedPictures(source, "snow", 2),
        CorruptedPictures(source, "fog", 2, seed=1),
    ):
        view.decode(view[0])
        view.decode(view[1])
    assert len({seed for _, _, seed in calls}) == 8
    again = CorruptedPictures(source.subset(np.array([1, 0])), "fog", 2)
    again.decode(again[1])
    assert calls[-1] == calls[0]
    assert all(0 <= seed < 2**32 for _, _, seed in calls)


@pytest.mark.parametrize(("width", "height"), [(90, 61), (61, 90), (70, 70), (300, 45)])
@pytest.mark.usefixtures("calls")
def test_what_is_cut_out_is_torchvisions(tmp_path: Path, encode: Callable[..., bytes], width: int, height: int) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encode(1, width, height, format="PNG"))
    view = CorruptedPictures(open_pictures(tmp_path, "test"), "fog", 1, size=35)
    whole = view.source.decode(view[0]).pixels
    cut = transforms.Compose([transforms.Resize(40), transforms.CenterCrop(35)])
    expected = np.asarray(cut(Image.fromarray(whole)))
    np.testing.assert_array_equal(255 - view.decode(view[0]).pixels, expected)


def test_pictures_that_are_too_small_are_skipped_with_a_reason(
    folder: Path, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrupted, "is_installed", lambda: True)
    (folder / "val" / "cat" / "0.jpg").write_bytes(encode(0, 20, 20))
    view, failures = CorruptedPictures(open_pictures(folder, "val").subset(np.array([0])), "fog", 1), Failures()
    assert list(read_all(view, failures.add)) == []
    assert "cat/0.jpg: expected at least 32 × 32 pixels to corrupt, found (20, 20); " in failures.reasons["cat/0.jpg"]
    with pytest.raises(RecordError):
        view.decode(view[0])


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"corruption": "rain", "severity": 1}, "corruption 'rain': expected one of"),
        ({"corruption": "fog", "severity": 0}, "severity: expected 1, 2, 3, 4 or 5, got 0"),
        ({"corruption": "fog", "severity": 1, "size": 31}, "size: expected at least 32 pixels, got 31"),
    ],
)
def test_what_does_not_exist_is_refused_at_once(folder: Path, options: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        CorruptedPictures(open_pictures(folder, "val"), **options)


def test_without_the_library_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrupted, "is_installed", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'frozen-perception\[corruptions\]'"):
        CorruptedPictures(open_pictures(folder, "val"), "fog", 1)
