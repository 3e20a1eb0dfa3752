from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.images.tar_index import MemberPlace
from perception_datasets.video.open_videos import open_videos


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def ssv2(folder: Path) -> Path:
    touch(folder, "20bn-something-something-v2/7.webm", "20bn-something-something-v2/9.webm")
    records = [{"id": "9", "template": "Up"}, {"id": "7", "template": "[x] down"}, {"id": "8", "template": "Up"}]
    (folder / "train.json").write_text(json.dumps(records))
    (folder / "labels.json").write_text('{"x down": "1", "Up": "0"}')
    (folder / "train.csv").write_text("id,signer\n9,tom\n7,jack\n8,tom\n")
    return folder


def test_something_something_is_opened_with_its_labels(tmp_path: Path) -> None:
    videos = open_videos(ssv2(tmp_path), "train")
    assert videos.layout == "Something-Something"
    assert videos.classes == ("Up", "x down")
    assert [(record.id, record.class_name) for record in videos] == [("9", "Up"), ("7", "x down"), ("8", "Up")]
    assert videos[0].place.name == tmp_path / "20bn-something-something-v2" / "9.webm"
    with pytest.raises(RecordError, match=r"8: .*o such file"):
        videos.decode(videos[2], np.arange)


def test_some_videos_are_chosen_by_the_table_beside_them(tmp_path: Path) -> None:
    ssv2(tmp_path)
    assert open_videos(tmp_path, "train", where="signer=tom").ids == ("9", "8")
    with pytest.raises(
        InputError, match=r"train\.csv: expected videos with signer=ann, found none; signer is jack, tom"
    ):
        open_videos(tmp_path, "train", where="signer=ann")
    with pytest.raises(InputError, match=r"train\.csv: it lacks 'colour'"):
        open_videos(tmp_path, "train", where="colour=red")


def test_a_row_that_ends_early_belongs_to_no_choice(tmp_path: Path) -> None:
    ssv2(tmp_path)
    with (tmp_path / "train.csv").open("a") as table:
        table.write("7")
    with pytest.raises(InputError, match="expected videos with signer=ann, found none; signer is"):
        open_videos(tmp_path, "train", where="signer=ann")


def test_folders_of_classes_are_numbered_as_the_training_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/wave/1.mp4", "train/jump/2.mp4", "test/wave/3.mp4")
    train = open_videos(tmp_path, "train")
    assert train.classes == ("jump", "wave")
    test = open_videos(tmp_path, "test", classes=train.classes)
    assert [(record.id, record.label) for record in test] == [("wave/3", 1)]
    with pytest.raises(InputError, match=r"expected the classes of .* found 1 others: wave"):
        open_videos(tmp_path, "test", classes=("jump", "run"))


def test_a_split_that_is_not_there_is_told_the_others(tmp_path: Path) -> None:
    touch(tmp_path, "train/wave/1.mp4", "test/wave/3.mp4")
    with pytest.raises(InputError, match="expected a split 'val', found test, train; name one of them"):
        open_videos(tmp_path, "val")


def test_a_table_finds_videos_by_path_and_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "clips/a/1.mp4", "clips/b/abc_000003_000013.mp4")
    (tmp_path / "train.csv").write_text("clips/a/1.mp4 0\nelsewhere/abc_000003_000013.mp4 3\n")
    videos = open_videos(tmp_path, "train")
    assert videos.labels.tolist() == [0, 3]
    assert [record.place.name.name for record in videos] == ["1.mp4", "abc_000003_000013.mp4"]


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "known layout, found an empty folder"), (("notes.md",), "found notes.md"), (("a.mp4",), "found a.mp4")],
)
def test_what_is_no_data_set_of_videos_is_told_the_layouts(
    names: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        open_videos(tmp_path, "train")
    assert "Kinetics" in str(caught.value)


def test_labels_without_videos_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('[{"id": "1", "template": "Up"}]')
    with pytest.raises(InputError, match=r"the videos that train\.json names"):
        open_videos(tmp_path, "train")
    with pytest.raises(InputError, match="expected a folder of videos"):
        open_videos(tmp_path / "none", "train")


def test_the_real_clips_are_found_decoded_and_counted(real_data: Path) -> None:
    folder = real_data / "asl_clips"
    train, test = (open_videos(folder, split) for split in ("train", "test"))
    assert (len(train), len(test), len(train.classes)) == (904, 406, 24)
    motion = open_videos(folder, "train", labels="motion")
    assert (len(motion), len(open_videos(folder, "test", labels="motion"))) == (453, 192)
    assert motion.classes[0] == "Holding something still"
    assert isinstance(motion[0].place, MemberPlace)
    assert motion.decode(motion[0], lambda count: np.array([0, count - 1])).images.shape == (2, 128, 128, 3)
    assert len(open_videos(folder, "train", labels="motion", where="signer=jack")) == 253
