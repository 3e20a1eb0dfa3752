from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from perception_datasets.clouds.open_clouds import open_clouds
from perception_tools.main import main
from perception_tools.points.model import load_classifier
from perception_tools.points.record_losses import record_losses


def test_losses_are_those_of_each_cloud_in_a_mixed_order(trained_points: Path, clouds: Path) -> None:
    trained = load_classifier(trained_points)
    source = record_losses(trained, clouds, "test", None)
    found = torch.stack(list(source.losses(trained.model)))
    split = open_clouds(clouds, "test", classes=trained.classes)
    points = trained.model.collate([trained.model.prepare(split.decode(record)) for record in split])
    expected = F.cross_entropy(trained.model(points), torch.from_numpy(split.labels), reduction="none")
    torch.testing.assert_close(found.sort().values, expected.sort().values)
    assert not torch.allclose(found, expected)
    assert torch.equal(torch.stack(list(source.losses(trained.model))), found)


def test_a_fresh_model_is_a_function_of_its_seed(trained_points: Path, clouds: Path) -> None:
    source = record_losses(load_classifier(trained_points), clouds, "test", 3)
    one, same, other = (source.initial(seed).encoder.cls_pos for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_command_names_clouds_that_cannot_be_read(
    trained_points: Path, write_clouds: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_clouds(tmp_path / "data")
    np.save(data / "train" / "ball" / "3.npy", np.full((5, 3), np.nan, np.float32))
    words = ["--data", str(data), "--out", str(tmp_path / "out"), "--batch", "4", "--batches", "9"]
    assert main(["analyse", "gradients", str(trained_points), *words]) == 0
    numbers = json.loads((tmp_path / "out" / "gradients.json").read_text())
    assert numbers["trained"]["clouds"] == 35
    assert len(numbers["failures"]) == 1
    assert "ball/3" in capsys.readouterr().out
