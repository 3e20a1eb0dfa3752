from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.image_text.data import open_questions
from perception_tools.main import main


def test_both_splits_are_drawn_and_can_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "picture-questions", str(tmp_path / "out"), "--train", "3", "--val", "2"]) == 0
    assert "3 and 2 drawn pictures" in capsys.readouterr().out
    for split, count in (("train", 3), ("val", 2)):
        questions = open_questions(tmp_path / "out", split, None, None)
        assert len(questions.records) == 6 * count
        assert questions.files.decode(questions.records[0].image_file).pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("words", ["--val 0", "--seed -1"])
def test_numbers_that_cannot_be_used_are_refused(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "picture-questions", str(tmp_path / "out"), *words.split()]) == 2
    assert f"perception sample picture-questions: {words}: expected at least" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
