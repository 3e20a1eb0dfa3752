from pathlib import Path

import pytest

from perception_datasets.forecasting import open_forecasting
from perception_tools.main import main


def test_the_command_makes_scenarios_that_our_reader_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sample", "argoverse2", str(tmp_path / "out"), "--count", "2", "--seed", "3", "--splits", "val"]
    assert main([*words, "--processes", "1"]) == 0
    assert "2 synthetic scenarios in each of val" in capsys.readouterr().out
    scenarios = open_forecasting(tmp_path / "out", "val")
    assert len(scenarios) == 2
    assert all(scenario.synthetic for scenario in scenarios)


def test_a_count_below_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "argoverse2", str(tmp_path), "--count", "0"]) == 2
    assert "--count 0: expected at least 1" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["sample", "argoverse2", str(tmp_path / "file" / "out"), "--count", "1", "--processes", "1"]) == 2
    assert "cannot be written (Not a directory" in capsys.readouterr().err
