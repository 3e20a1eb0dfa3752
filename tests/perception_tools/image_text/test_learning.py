"""Steps and their losses: answers, captions, and parameters with rates of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F

from perception_tools.image_text.job import image_text_job
from perception_tools.image_text.learning import ImageTextTask
from perception_tools.image_text.recipes import RECIPES
from perception_tools.image_text.run import ImageTextRun
from perception_tools.training.optim import parameter_groups


def job_task(make_run: Callable[..., ImageTextRun], tmp_path: Path, goal: str) -> tuple[ImageTextTask, Any]:
    job = image_text_job(make_run(tmp_path / "run", goal))
    assert isinstance(job.task, ImageTextTask)
    train, _ = job.loaders(0, 1)
    return job.task.eval(), next(iter(train))


def test_answers_are_taught_by_their_soft_scores(make_run: Callable[..., ImageTextRun], tmp_path: Path) -> None:
    task, batch = job_task(make_run, tmp_path, "vqa")
    task.log_step = Mock()
    loss = task.training_step(batch, 0)
    logits = task.model(batch.images, batch.texts)
    expected = F.binary_cross_entropy_with_logits(logits, batch.scores) * batch.scores.shape[1]
    torch.testing.assert_close(loss, expected, msg="METER's mean times the number of answers")


def test_captions_compete_and_match(make_run: Callable[..., ImageTextRun], tmp_path: Path) -> None:
    task, batch = job_task(make_run, tmp_path, "retrieval")
    task.log_step = Mock()
    model: Any = task.model
    loss = task.training_step(batch, 0)
    images, texts = model.encode_image(batch.images), model.encode_text(batch.texts)
    pooled = [
        model.fuse(type(images)(images.values[[i // 4]], images.valid[[i // 4]]),
                   type(texts)(texts.values[[i]], texts.valid[[i]]))
        for i in range(4 * len(batch.images))
    ]  # fmt: skip
    ranks = torch.cat([model.rank(of) for of in pooled]).view(-1, 4)
    matches = torch.cat([model.itm_score(of) for of in pooled]).view(-1, 4, 2)
    true = torch.zeros(len(ranks), dtype=torch.long)
    matching = (F.cross_entropy(matches[:, 0], true + 1) + F.cross_entropy(matches[:, 1], true)) / 2
    torch.testing.assert_close(loss, F.cross_entropy(ranks, true) + 0.5 * matching, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("goal", ["vqa", "retrieval"])
def test_meters_rates_reach_the_modules(make_run: Callable[..., ImageTextRun], tmp_path: Path, goal: str) -> None:
    task, _ = job_task(make_run, tmp_path, goal)
    paper = RECIPES[f"image-text/{goal}-llama"]
    groups = parameter_groups(task.model, task.parameter_groups(), paper)
    rates = {group["name"].split("/")[0]: group["lr"] for group in groups}
    head = 50 if goal == "vqa" else 5
    assert rates == {
        "rest": pytest.approx(5e-6),
        "head": pytest.approx(head * 5e-6),
        "fusion": pytest.approx(25e-6),
        "block": pytest.approx(50e-6),
    }
    rest = {id(parameter) for group in groups if group["name"].startswith("rest") for parameter in group["params"]}
    assert {id(parameter) for parameter in task.model.image.parameters()} <= rest
    if goal == "retrieval":
        assert id(task.model.get_parameter("rank_output.weight")) in rest, "as in METER"
