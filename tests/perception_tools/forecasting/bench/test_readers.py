import json
from pathlib import Path

import pytest

from perception_tools.main import main


def test_it_times_our_reader_and_av2s_on_the_same_files(made_argoverse2: Path, tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    options = ["--limit", "2", "--repeat", "1", "--json", str(file)]
    assert main(["bench", "readers", str(made_argoverse2), *options]) == 0
    rows = json.loads(file.read_text())["readers"]
    assert [row["reader"] for row in rows] == ["perception: tracks + map", "av2: tracks", "av2: map"]
    for row in rows:
        assert (row["source"], row["scenarios"]) == ("synthetic", 2)
        assert 0 < row["median_ms"] <= row["p95_ms"]


def test_a_citys_first_scene_is_shown_apart(
    argoverse1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "times.json"
    assert main(["bench", "readers", str(argoverse1.parent), "--repeat", "1", "--json", str(file)]) == 0  # one level up
    (row,) = json.loads(file.read_text())["readers"]
    assert row["scenarios"] == 5
    assert len(row["first_touch_ms"]) == 1
    assert "median ms" in capsys.readouterr().out


def test_a_folder_without_data_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "readers", str(tmp_path)]) == 2
    assert "expected scenarios of split 'val'" in capsys.readouterr().err
