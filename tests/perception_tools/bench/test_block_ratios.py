from __future__ import annotations

from pathlib import Path

from matplotlib.image import imread

from perception_tools.bench.block_ratios import draw_ratios


def test_more_bars_make_a_taller_picture(tmp_path: Path):
    draw_ratios([("one", 3.0)], tmp_path / "one.png")
    draw_ratios([("one", 3.0), ("two", 0.5), ("three", 100.0)], tmp_path / "three.png")
    assert imread(tmp_path / "one.png").shape[0] < imread(tmp_path / "three.png").shape[0]
