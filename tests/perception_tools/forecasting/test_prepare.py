import shutil
from pathlib import Path

import pytest

from perception_datasets.forecasting import open_forecasting
from perception_tools.main import main


def test_the_command_prepares_splits_and_reports_bad_scenes(
    argoverse1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = argoverse1 / "val" / "data" / "2.csv"
    bad.write_text("broken")
    assert main(["prepare", "forecasting", str(argoverse1), str(tmp_path / "store"), "--processes", "1"]) == 0
    out = capsys.readouterr().out
    assert "train: 2 scenarios" in out
    assert "val: 4 scenarios" in out
    assert f"1 of 5 scenarios could not be read\n  2: {bad}" in out
    assert len(open_forecasting(tmp_path / "store", "val")) == 4


def test_scenarios_without_a_split_level_do_not_become_two_splits(
    made_argoverse2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loose = Path(shutil.copytree(made_argoverse2 / "val", tmp_path / "loose"))
    assert main(["prepare", "forecasting", str(loose), str(tmp_path / "store"), "--processes", "1"]) == 2
    assert "expected different scenarios in splits 'train' and 'val', found the same files" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    words = ["prepare", "forecasting", str(loose), str(tmp_path / "store"), "--splits", "val", "--processes", "1"]
    assert main(words) == 0
    assert len(open_forecasting(tmp_path / "store", "val")) == 4


def test_a_folder_without_data_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    assert main(["prepare", "forecasting", str(tmp_path / "raw"), str(tmp_path / "store")]) == 2
    assert "expected scenarios of split 'train'" in capsys.readouterr().err


def test_help_names_what_goes_in_and_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", "forecasting", "--help"])
    assert "RAW STORE" in capsys.readouterr().out.splitlines()[0]
