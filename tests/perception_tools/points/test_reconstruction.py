from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from perception_tools.main import main
from perception_tools.points.reconstruction import PICTURE, analyse_reconstruction
from perception_tools.points.run import PointRun
from perception_tools.training.fit import fit
from perception_tools.training.recipes import BlockRecipe


def test_a_picture_and_numbers_show_what_is_predicted(
    make_point_run: Callable[..., PointRun], write_clouds: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = {"mask_ratio": 0.4, "block": BlockRecipe(kind="none"), "passes": 1}
    fit(make_point_run(tmp_path / "run", recipe, name="points/pretrain-micro"))
    data = write_clouds(tmp_path / "data")
    (data / "test" / "ball" / "0.npy").write_bytes(b"")
    numbers = analyse_reconstruction(tmp_path / "run", data, tmp_path / "out", shown=2)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == numbers
    assert numbers["clouds"] == 11
    assert list(numbers["unread"]) == ["ball/0.npy"]
    assert 0 < numbers["copy_of_nearest"] < numbers["chamfer"] * 100
    with Image.open(tmp_path / "out" / PICTURE) as picture:
        assert picture.width == pytest.approx(924, abs=2)
        assert picture.height == pytest.approx(594, abs=2)


def test_the_run_is_named_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", "reconstruction", "nowhere", "--data", "data", "--out", "out"]) == 2
    assert "nowhere" in capsys.readouterr().err
