from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from perception_datasets.images.open_pictures import open_pictures
from perception_tools.image.model import load_classifier
from perception_tools.image.record_losses import record_losses
from perception_tools.main import main


def test_losses_are_those_of_each_picture_in_a_mixed_order(trained_classifier: Path, pictures: Path) -> None:
    trained = load_classifier(trained_classifier)
    source = record_losses(trained, pictures, "val", None)
    found = torch.stack(list(source.losses(trained.model)))
    split = open_pictures(pictures, "val", classes=trained.classes)
    images = trained.model.collate([trained.model.prepare(split.decode(record)) for record in split])
    expected = F.cross_entropy(trained.model(images), torch.from_numpy(split.labels), reduction="none")
    torch.testing.assert_close(found.sort().values, expected.sort().values)
    assert not torch.allclose(found, expected)
    assert torch.equal(torch.stack(list(source.losses(trained.model))), found)


def test_a_fresh_model_is_a_function_of_its_seed(trained_classifier: Path, pictures: Path) -> None:
    source = record_losses(load_classifier(trained_classifier), pictures, "val", 3)
    one, same, other = (source.initial(seed).encoder.pos_embed for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_command_names_pictures_that_cannot_be_read(
    trained_classifier: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(pictures, tmp_path / "data")
    broken = next((data / "train").glob("*/*.png"))
    broken.write_bytes(b"")
    words = ["--data", str(data), "--out", str(tmp_path / "out"), "--batch", "4", "--batches", "6"]
    assert main(["analyse", "gradients", str(trained_classifier), *words]) == 0
    numbers = json.loads((tmp_path / "out" / "gradients.json").read_text())
    assert numbers["trained"]["pictures"] == 23
    assert len(numbers["failures"]) == 1
    assert broken.name in capsys.readouterr().out
