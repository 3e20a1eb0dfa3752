from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.points.learning import EpochRecord, PointTask
from perception_tools.points.model import build_classifier
from perception_tools.points.recipes import PointRecipe


def test_the_best_epoch_is_saved_and_the_first_of_equals_counts(tmp_path: Path) -> None:
    saved: list[int] = []
    record = EpochRecord(tmp_path / "epochs.json", "held-out", saved.append)
    for epoch, top1 in enumerate([0.5, 0.7, 0.6, 0.7]):
        record.add(epoch, 10 * epoch + 10, top1)
    found = json.loads(record.path.read_text())
    assert saved == [10, 20]
    assert found["best"] == {"epoch": 1, "step": 20, "top1": 0.7}
    assert found["last"] == {"epoch": 3, "step": 40, "top1": 0.7}


def test_epochs_that_a_broken_run_left_are_forgotten(tmp_path: Path) -> None:
    saved: list[int] = []
    record = EpochRecord(tmp_path / "epochs.json", "held-out", saved.append)
    record.add(0, 10, 0.5)
    record.add(1, 20, 0.9)
    again = EpochRecord(tmp_path / "epochs.json", "held-out", saved.append)
    again.add(1, 20, 0.8)
    assert saved == [10, 20, 20]
    assert json.loads(record.path.read_text())["best"]["top1"] == 0.8
    record.path.write_text("{")
    with pytest.raises(InputError, match=r"epochs\.json"):
        again.add(2, 30, 0.1)


def test_groups_of_parameters_are_apart_and_named(tiny_point_recipe: PointRecipe) -> None:
    model = build_classifier(tiny_point_recipe, 3)
    groups = PointTask(tiny_point_recipe, model, 3).parameter_groups()
    names = {id(p): name for name, p in model.named_parameters()}
    assert not {id(p) for p in groups["block"]} & {id(p) for p in groups["no_decay"]}
    no_decay = {names[id(p)] for p in groups["no_decay"]}
    assert {"encoder.cls_token", "encoder.norm.weight", "head.mlp.0.bias"} <= no_decay
    assert "encoder.cls_pos" not in no_decay
    assert all(names[id(p)].startswith("block.") for p in groups["block"])
