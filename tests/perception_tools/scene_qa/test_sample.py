from pathlib import Path

import pytest

from perception_datasets.scannet.folder import open_scans
from perception_datasets.sqa3d.questions import question_files, read_questions
from perception_tools.main import main


def test_the_command_makes_rooms_that_our_readers_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "rooms", str(tmp_path), "--count", "2", "--processes", "1"]) == 0
    assert "2 synthetic rooms with questions" in capsys.readouterr().out
    assert open_scans(tmp_path).names() == ["synthetic00000_00", "synthetic00001_00"]
    assert len(read_questions(*question_files(tmp_path, "train"))) > 20
    assert read_questions(*question_files(tmp_path, "test")) == []


def test_a_count_below_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "rooms", str(tmp_path), "--count", "0"]) == 2
    assert "--count 0: expected at least 1" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["sample", "rooms", str(tmp_path / "file" / "out"), "--count", "1", "--processes", "1"]) == 2
    assert "cannot be written (Not a directory" in capsys.readouterr().err
