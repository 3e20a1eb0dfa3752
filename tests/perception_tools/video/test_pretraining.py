from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_tools.classification.learning import LabelledBatch
from perception_tools.training.curves import read_curves
from perception_tools.video.job import action_job
from perception_tools.video.learning import ActionTask
from perception_tools.video.model import build_autoencoder, load_encoder_of, load_recognizer
from perception_tools.video.pretraining import PretrainingTask, reconstruction_loss
from perception_tools.video.recipes import ActionRecipe
from perception_tools.video.run import ActionRun

MakeRun = Callable[..., ActionRun]


def test_a_run_leaves_an_autoencoder_and_its_curves(pretrained: Path) -> None:
    trained = load_recognizer(pretrained)
    assert isinstance(trained.model, MaskedAutoencoder)
    assert (trained.name, trained.classes) == ("video/pretrain-micro", ())
    assert read_curves(pretrained).keys() >= {"train/loss", "val/loss"}


def test_fine_tuning_starts_from_its_encoder(pretrained: Path, make_run: MakeRun, tmp_path: Path) -> None:
    job = action_job(make_run(tmp_path, encoder_run=pretrained))
    assert isinstance(job.task, ActionTask)
    model = load_recognizer(pretrained).model
    weights = model.encoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in job.task.model.encoder.state_dict().items())


def test_an_encoder_of_another_size_and_a_run_of_another_kind_are_refused(
    pretrained: Path, trained_recognizer: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="expected a run of video/pretrain-…, found one of video/micro-llama"):
        action_job(make_run(tmp_path, encoder_run=trained_recognizer))
    with pytest.raises(InputError, match="give the same size, patch, tubelet, images and picture to both"):
        action_job(make_run(tmp_path, {"images": 2}, encoder_run=pretrained))
    with pytest.raises(InputError, match="expected one model to start from"):
        make_run(tmp_path, encoder_run=pretrained, start_from=tmp_path / "x.pth").check()


def test_the_loss_of_the_same_draw_is_the_same_and_falls_by_learning(tiny_recipe: ActionRecipe) -> None:
    model = build_autoencoder(tiny_recipe)
    clips = torch.nn.functional.interpolate(torch.randn(4, 3, 1, 2, 2), (4, 16, 16), mode="trilinear")

    def loss() -> torch.Tensor:
        return reconstruction_loss(model, clips, 0.5, torch.Generator().manual_seed(0))

    before = loss()
    assert torch.equal(before, loss())
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        reconstruction_loss(model, clips, 0.5).backward()
        optimizer.step()
    assert loss() < 0.8 * before


def test_clips_that_cannot_be_read_are_named(tiny_recipe: ActionRecipe) -> None:
    task = PretrainingTask(tiny_recipe, build_autoencoder(tiny_recipe))
    empty = LabelledBatch(torch.zeros(0, 3, 1, 1, 1), torch.zeros(0, dtype=torch.int64), (("a", "a: gone"),))
    task.validation_step(empty, 0)
    assert task.unread_in_words() == "1 validation clips could not be read, they are not counted: a: gone"


def test_encoders_are_copied_whole(pretrained: Path) -> None:
    encoder = build_autoencoder(load_recognizer(pretrained).recipe).encoder
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    load_encoder_of(pretrained, encoder)
    assert all(parameter.abs().sum() > 0 for name, parameter in encoder.named_parameters() if name.endswith("weight"))
