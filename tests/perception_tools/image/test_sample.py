from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.main import main


def test_both_splits_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "shapes", str(tmp_path / "out"), "--train", "9", "--val", "8"]) == 0
    assert "9 and 8 pictures" in capsys.readouterr().out
    counts = {split: len(list((tmp_path / "out" / split).glob("*/*.png"))) for split in ("train", "val")}
    assert counts == {"train": 9, "val": 8}


@pytest.mark.parametrize("words", ["--val 0", "--seed -1"])
def test_numbers_that_cannot_be_used_are_refused(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "shapes", str(tmp_path / "out"), *words.split()]) == 2
    assert f"perception sample shapes: {words}: expected at least" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
