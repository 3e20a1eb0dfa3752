"""A classifier's training run from start to end: what it leaves, broken off and gone on with, on broken data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception_tools.points.job import open_splits, point_job
from perception_tools.points.learning import EPOCHS_FILE, PointTask
from perception_tools.points.model import BEST_FILE, load_classifier
from perception_tools.points.run import PointRun
from perception_tools.training.fit import fit

MakeRun = Callable[..., PointRun]


def test_a_run_leaves_its_last_and_its_best_model(trained_points: Path) -> None:
    trained = load_classifier(trained_points)
    assert (trained.name, trained.training.source, trained.classes) == (
        "points/micro-llama",
        "shapes",
        ("ball", "plate", "stick"),
    )
    assert (trained.training.clouds, trained.training.steps, trained.training.best_on) == (27, 6, "held-out")
    epochs = json.loads((trained_points / EPOCHS_FILE).read_text())
    assert [entry["epoch"] for entry in epochs["epochs"]] == [0, 1]
    assert epochs["last"] == epochs["epochs"][-1]
    assert epochs["best"]["top1"] == max(entry["top1"] for entry in epochs["epochs"])
    assert epochs["best_on"] == "held-out"
    assert load_classifier(trained_points / BEST_FILE).training.steps == epochs["best"]["step"]


def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(
    make_point_run: MakeRun,
    trained_points: Path,
    fit_broken_off: Callable[..., None],
    assert_same_model: Callable[[Path, Path], None],
    tmp_path: Path,
) -> None:
    """The clouds of a pass, how they are changed, dropout and BatchNorm's averages are functions of the step."""
    out = tmp_path / "run"
    fit_broken_off(PointTask, 5, make_point_run(out), make_point_run(out))
    assert_same_model(out, trained_points)
    assert (out / EPOCHS_FILE).read_text() == (trained_points / EPOCHS_FILE).read_text()


def test_the_test_clouds_are_looked_at_only_by_name(make_point_run: MakeRun, tmp_path: Path) -> None:
    train, val = open_splits(make_point_run(tmp_path / "a"))
    assert (train.split, val.split, len(train), len(val)) == ("train", "train", 27, 9)
    assert not {record.id for record in train} & {record.id for record in val}
    train, val = open_splits(make_point_run(tmp_path / "b", best_on="test"))
    assert (val.split, len(train), len(val)) == ("test", 36, 12)
    with pytest.raises(InputError, match="expected another split than that of validation"):
        make_point_run(tmp_path / "c", best_on="val-split", val_split="train").check()


def test_a_broken_cloud_is_named_and_training_goes_on(
    write_clouds: Callable[..., Path], make_point_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_clouds(tmp_path / "data")
    for split in ("train", "test"):
        (data / split / "ball" / "0.npy").write_bytes(b"")
        np.save(data / split / "ball" / "1.npy", np.full((5, 3), np.nan, np.float32))
    fit(make_point_run(tmp_path / "run", {"passes": 1}, data=data, best_on="test"))
    printed = capsys.readouterr().out
    assert "2 training clouds could not be read, others took their places" in printed
    assert "2 validation clouds could not be read, they are not counted" in printed
    assert "expected at least one point with finite coordinates" in printed


def test_a_published_encoder_can_be_the_start(make_point_run: MakeRun, tmp_path: Path) -> None:
    job = point_job(make_point_run(tmp_path / "a"))
    assert isinstance(job.task, PointTask)
    start = {name: torch.full_like(value, 1) for name, value in job.task.model.encoder.state_dict().items()}
    named = {f"module.transformer_q.{name}": value for name, value in start.items()}
    torch.save({"base_model": named}, tmp_path / "Point-BERT.pth")
    begun = point_job(make_point_run(tmp_path / "b", start_from=tmp_path / "Point-BERT.pth"))
    assert isinstance(begun.task, PointTask)
    weights = begun.task.model.encoder.state_dict()
    assert all(torch.equal(weights[name], start[name]) for name in start)
