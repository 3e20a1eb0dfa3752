"""A training run from start to end: what it leaves, broken off and gone on with, from a checkpoint, on broken data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_tools.training.curves import read_curves
from perception_tools.training.fit import fit
from perception_tools.training.run import RUN_FILE
from perception_tools.video.job import action_job, open_splits
from perception_tools.video.learning import ActionTask
from perception_tools.video.model import load_recognizer
from perception_tools.video.run import ActionRun

MakeRun = Callable[..., ActionRun]


def test_a_run_leaves_its_model_and_its_curves(trained_recognizer: Path) -> None:
    trained = load_recognizer(trained_recognizer)
    assert (trained.name, trained.training.source) == ("video/micro-llama", "squares")
    assert (trained.training.clips, trained.training.steps) == (8, 4)
    assert trained.classes == ("Moving something to the left", "Moving something to the right")
    assert json.loads((trained_recognizer / RUN_FILE).read_text())["recipe"] == trained.recipe.to_json()
    curves = read_curves(trained_recognizer)
    assert curves.keys() >= {"train/loss", "val/top1", "val/top5", "val/loss"}


def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(
    make_run: MakeRun,
    trained_recognizer: Path,
    fit_broken_off: Callable[..., None],
    assert_same_model: Callable[[Path, Path], None],
    tmp_path: Path,
) -> None:
    """Decoding anew gives the same clips."""
    out = tmp_path / "run"
    fit_broken_off(ActionTask, 4, make_run(out), make_run(out, keep_mb=0))
    assert_same_model(out, trained_recognizer)


def test_every_validation_clip_is_seen_once_by_any_number_of_processes(make_run: MakeRun, tmp_path: Path) -> None:
    job = action_job(make_run(tmp_path))
    for processes in (1, 2, 4):
        batches = [batch for rank in range(processes) for batch in job.loaders(rank, processes)[1]]
        assert sum(len(batch.labels) for batch in batches) == 4


def test_a_trained_videomae_can_be_the_start(make_run: MakeRun, tmp_path: Path) -> None:
    job = action_job(make_run(tmp_path / "a"))
    assert isinstance(job.task, ActionTask)
    start = {f"encoder.{name}": torch.full_like(v, 0.01) for name, v in job.task.model.encoder.state_dict().items()}
    torch.save({"model": start}, tmp_path / "videomae.pth")
    begun = action_job(make_run(tmp_path / "b", start_from=tmp_path / "videomae.pth"))
    assert isinstance(begun.task, ActionTask)
    assert all(torch.equal(v, torch.full_like(v, 0.01)) for v in begun.task.model.encoder.state_dict().values())


def test_some_clips_and_a_part_of_them_can_be_trained_on(make_run: MakeRun, tmp_path: Path) -> None:
    train, val = open_splits(make_run(tmp_path, where="hand=left"))
    assert (train.ids, val.ids) == (("train0", "train1", "train2", "train3"), ("val0", "val1"))
    train, val = open_splits(make_run(tmp_path, held_out=0.25, val_split="nowhere"))
    assert (len(train), len(val)) == (6, 2)
    assert not set(train.ids) & set(val.ids)
    with pytest.raises(InputError, match="nowhere"):
        open_splits(make_run(tmp_path, val_split="nowhere"))


def test_a_broken_video_is_named_and_training_goes_on(
    write_clips: Callable[..., Path], make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_clips(tmp_path / "data")
    (data / "train" / "train0.mp4").write_bytes(b"")
    (data / "val" / "val3.mp4").unlink()
    fit(make_run(tmp_path / "run", {"passes": 1}, data=data))
    said = capsys.readouterr().out
    assert "1 training clips could not be read, others took their places" in said
    assert "1 validation clips could not be read, they are not counted" in said
