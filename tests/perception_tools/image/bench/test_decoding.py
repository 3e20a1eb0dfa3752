from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_tools.image.bench.decoding import bench_decoding

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # timm leaves files open


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four noisy pictures, of which two are large enough to be decoded at half their size."""
    for number, side in enumerate((40, 40, 160, 160)):
        pixels = np.random.default_rng(number).integers(0, 256, (side // 4, side // 4, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"{number}.jpg", quality=90)
    return tmp_path


def test_all_pipelines_are_timed_side_by_side(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = bench_decoding(photos, "val", size=32, repeat=3)
    assert (found["pictures"], found["size"]) == (4, 32)
    rates = {rate["pipeline"]: rate for rate in found["rates"]}
    assert list(rates) == ["all pixels", "reduced", "torchvision", "torchvision as float", "timm"]
    for name, rate in rates.items():
        assert rate["pictures_per_s"] > 0
        assert list(rate["ratios"]) == ["torchvision", "torchvision as float", "timm"]
        assert all(0 < low <= middle <= high for middle, low, high in rate["ratios"].values())
        if name in rate["ratios"]:
            assert rate["ratios"][name] == (1, 1, 1)
    difference = found["difference"]
    assert 0 < difference["reduced"] < 1
    assert 0 < difference["mean"] < 10
    assert difference["mean"] < difference["largest"]
    printed = capsys.readouterr().out
    assert "4 pictures, one thread" in printed
    assert "of crops are decoded at a reduced size; they differ from others by" in printed


def test_small_pictures_are_never_reduced(photos: Path) -> None:
    found = bench_decoding(photos, "val", size=96, repeat=1, limit=2)
    assert found["difference"] == {"reduced": 0.0, "mean": 0.0, "largest": 0}
