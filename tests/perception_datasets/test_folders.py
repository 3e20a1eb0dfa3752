import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.folders import SYNTHETIC_MARKER, find_records, is_synthetic, mark_synthetic, record_folders


def test_record_folders_are_sorted_and_leave_out_files_and_hidden_ones(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert record_folders(tmp_path) == ["a", "b"]


def test_records_are_found_at_the_first_place_that_has_any(tmp_path: Path) -> None:
    split, flat = tmp_path / "val", tmp_path
    (split / "x").mkdir(parents=True)
    assert find_records((split, flat), "{name}.txt") is None
    (split / "x" / "x.txt").touch()
    assert find_records((tmp_path / "absent", split, flat), "{name}.txt") == split


def test_a_marker_applies_to_its_folder_and_the_subfolders(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert not is_synthetic(tmp_path / "train")
    mark_synthetic(tmp_path, tmp_path / "train", {"made_by": "a test", "seed": 3})
    assert json.loads((tmp_path / SYNTHETIC_MARKER).read_text()) == {"made_by": "a test", "seed": 3}
    assert is_synthetic(tmp_path)
    assert is_synthetic(tmp_path / "train")


def test_what_is_made_goes_beside_nothing_that_was_made_otherwise(tmp_path: Path) -> None:
    mark_synthetic(tmp_path, tmp_path / "train", {"made_by": "a test", "seed": 3})
    mark_synthetic(tmp_path, tmp_path / "val", {"made_by": "a test", "seed": 3})
    with pytest.raises(InputError, match=r"expected what `a test` made with seed 4, found .*'seed': 3"):
        mark_synthetic(tmp_path, tmp_path / "train", {"made_by": "a test", "seed": 4})
    (tmp_path / SYNTHETIC_MARKER).write_text("{")
    with pytest.raises(InputError, match=r"synthetic\.json: it cannot be parsed .*; choose another folder"):
        mark_synthetic(tmp_path, tmp_path / "train", {"made_by": "a test", "seed": 3})


def test_recorded_data_are_not_marked_as_synthetic(tmp_path: Path) -> None:
    (tmp_path / "train" / "recorded").mkdir(parents=True)
    with pytest.raises(InputError, match="train: expected what `a test` made with seed 3, found other files"):
        mark_synthetic(tmp_path, tmp_path / "train", {"made_by": "a test", "seed": 3})
    assert not is_synthetic(tmp_path)
