"""An encoder learns without labels; a classifier takes it over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_tools.points.job import point_job
from perception_tools.points.learning import PointTask
from perception_tools.points.model import load_classifier
from perception_tools.points.pretraining import fixed_seeds, load_autoencoder, load_encoder_of
from perception_tools.points.run import PointRun
from perception_tools.training.curves import read_curves
from perception_tools.training.fit import fit
from perception_tools.training.recipes import BlockRecipe

MakeRun = Callable[..., PointRun]
PRETRAINING = {"mask_ratio": 0.4, "block": BlockRecipe(kind="none")}


@pytest.fixture(scope="module")
def pretrained(make_point_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "run"
    options = {**PRETRAINING, "passes": 3, "learning_rate": 5e-3}
    fit(make_point_run(out, options, name="points/pretrain-micro", logger=("tensorboard",)))
    return out


def test_hidden_points_are_predicted_better_and_better(pretrained: Path) -> None:
    values = [value for _, value in read_curves(pretrained)["val/chamfer"]]
    assert len(values) == 3
    assert values[-1] < values[0]


def test_a_classifier_starts_from_the_encoder(pretrained: Path, make_point_run: MakeRun, tmp_path: Path) -> None:
    run = make_point_run(tmp_path / "run", encoder_run=pretrained)
    job = point_job(run)
    assert isinstance(job.task, PointTask)
    theirs = load_autoencoder(pretrained)[0].encoder.state_dict()
    ours = job.task.model.encoder.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert run.describe()["encoder_run"] == str(pretrained.resolve())


def test_what_is_no_encoder_or_no_classifier_is_refused(
    pretrained: Path, trained_points: Path, make_point_run: MakeRun, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="train one from it with --encoder-run"):
        load_classifier(pretrained)
    with pytest.raises(InputError, match="got a classifier; give a run of points/pretrain-"):
        load_autoencoder(trained_points)
    model, recipe = load_autoencoder(pretrained)
    with pytest.raises(InputError, match="expected an encoder of size small, got micro; give --size micro"):
        load_encoder_of(pretrained, model.encoder, replace(recipe, size="small"))
    with pytest.raises(InputError, match="expected one place to start from"):
        make_point_run(tmp_path / "run", encoder_run=pretrained, start_from=pretrained / "model.safetensors").check()
    with pytest.raises(InputError, match=r"block\.kind: expected none in pre-training"):
        make_point_run(tmp_path / "run", {"mask_ratio": 0.4}).check()


def test_evaluation_hides_the_same_blocks() -> None:
    assert torch.equal(fixed_seeds(5), fixed_seeds(5))
    assert len(fixed_seeds(5).unique()) == 5
