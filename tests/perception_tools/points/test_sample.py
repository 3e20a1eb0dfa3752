from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.points.sample import sample_objects


def test_clouds_are_written_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample_objects(tmp_path / "out", count=4, seed=1)
    assert len(list((tmp_path / "out").glob("train/*/*.npy"))) == 4
    assert "4 synthetic clouds" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "message"), [({"count": 0}, "--count 0"), ({"seed": -1}, "--seed -1")])
def test_numbers_out_of_bounds_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        sample_objects(tmp_path, **options)
