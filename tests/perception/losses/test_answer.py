"""The loss of answers and viewpoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.heads.answer import SceneAnswers
from perception.losses.answer import AnswerTargets, scene_answer_loss
from perception.losses.detection import DetectionLoss
from perception.scenes.viewpoint import ViewpointEstimate


def random_answers() -> tuple[SceneAnswers, AnswerTargets]:
    generator = torch.Generator().manual_seed(0)
    logits, scores = torch.randn(4, 6, generator=generator), torch.rand(4, 6, generator=generator)
    estimate = ViewpointEstimate(torch.randn(4, 3, generator=generator), torch.randn(4, 4, generator=generator))
    rotations = torch.nn.functional.normalize(torch.randn(4, 4, generator=generator), dim=-1)
    located = torch.tensor([True, False, True, False])
    targets = AnswerTargets(scores, torch.randn(4, 3, generator=generator), rotations, located)
    return SceneAnswers(logits, None, estimate), targets


def test_the_loss_equals_the_explicit_sum() -> None:
    answers, targets = random_answers()
    loss = scene_answer_loss(answers, targets)
    probability = 1 / (1 + np.exp(-answers.logits.double().numpy()))
    scores = targets.scores.double().numpy()
    entropy = -(scores * np.log(probability) + (1 - scores) * np.log(1 - probability)).sum() / 4
    assert loss.answer.item() == pytest.approx(entropy, rel=1e-5)
    assert answers.viewpoint is not None
    assert loss.viewpoint is not None
    errors = []
    for row in (0, 2):
        position = (answers.viewpoint.position[row] - targets.positions[row]).square().mean()
        same, opposite = (
            (answers.viewpoint.quaternion[row] - sign * targets.rotations[row]).square().mean() for sign in (1, -1)
        )
        errors.append((position + min(same, opposite)).item())
    assert loss.viewpoint.item() == pytest.approx(np.mean(errors), rel=1e-5)
    assert loss.total.item() == pytest.approx(loss.answer.item() + loss.viewpoint.item(), rel=1e-6)


def test_a_rotation_and_its_negative_are_the_same() -> None:
    answers, targets = random_answers()
    turned = replace(targets, rotations=-targets.rotations)
    assert scene_answer_loss(answers, turned).viewpoint == scene_answer_loss(answers, targets).viewpoint


def test_detection_has_weight_ten_and_missing_parts_add_nothing() -> None:
    answers, targets = random_answers()
    answers = replace(answers, viewpoint=None)
    vote, objectness, box, semantic = torch.tensor([1.0, 2.0, 3.0, 4.0])
    detection = DetectionLoss(vote, objectness, box, semantic)
    alone, both = scene_answer_loss(answers, targets), scene_answer_loss(answers, targets, detection)
    assert alone.viewpoint is None
    assert alone.total == alone.answer
    assert (both.total - alone.total).item() == pytest.approx(10 * (1 + 0.5 * 2 + 3 + 0.1 * 4), rel=1e-6)


def test_without_a_located_asker_the_viewpoint_loss_is_zero() -> None:
    answers, targets = random_answers()
    loss = scene_answer_loss(answers, replace(targets, located=torch.zeros(4, dtype=torch.bool)))
    assert loss.viewpoint is not None
    assert loss.viewpoint.item() == 0


def test_competing_answers_have_a_softmax_cross_entropy() -> None:
    answers, targets = random_answers()
    loss = scene_answer_loss(replace(answers, one_answer=True), targets)
    logits, scores = answers.logits.double().numpy(), targets.scores.double().numpy()
    log_probability = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -(scores / scores.sum(1, keepdims=True) * log_probability).sum() / 4
    assert loss.answer.item() == pytest.approx(expected, rel=1e-5)
