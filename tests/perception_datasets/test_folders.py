import json
from pathlib import Path

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
    mark_synthetic(tmp_path, {"made_by": "a test", "seed": 3})
    assert json.loads((tmp_path / SYNTHETIC_MARKER).read_text()) == {"made_by": "a test", "seed": 3}
    assert is_synthetic(tmp_path)
    assert is_synthetic(tmp_path / "train")
