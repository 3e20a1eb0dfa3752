"""Grounding of objects by names and viewpoint, and of the viewpoint by objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.text import LstmText
from perception.fusion.grounding import (
    EncodedText,
    Grounding,
    SceneObjects,
    ViewpointPointer,
    attend_by_name,
    floor_centre,
    view_from,
)
from perception.fusion.mcan import SceneTextFusion
from perception.geometry import rotation_matrix
from perception.scenes.scene import Viewpoint
from perception.scenes.viewpoint import ViewpointEstimate
from perception.texts.vocabulary import TextBatch, Vocabulary
from perception.tokens import Tokens

NAMES = ("chair", "shower curtain", "others")
ANGLE = st.floats(-np.pi, np.pi)


def upright(angle: float) -> torch.Tensor:
    return torch.tensor([[0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2)]], dtype=torch.float32)


@settings(deadline=None, max_examples=30)
@given(ANGLE, st.floats(-3, 3), st.floats(-3, 3))
def test_an_object_straight_ahead_is_ahead_whichever_way_the_asker_looks(angle: float, x: float, y: float) -> None:
    quaternion = upright(angle)
    forward = Viewpoint(np.zeros(3), quaternion[0].double().numpy()).forward
    left = rotation_matrix(np.array([0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4)])) @ forward
    position = torch.tensor([[x, y, 0.0]])
    offsets = torch.tensor(np.stack([2 * forward, 3 * left, -1 * forward]), dtype=torch.float32)
    boxes = torch.cat([(position + offsets)[None], torch.ones(1, 3, 3)], dim=-1)
    ahead, leftward, up, distance, _, cosine, sine = view_from(ViewpointEstimate(position, quaternion), boxes)[0].T
    for numbers, expected in (
        (ahead, [2, 0, -1]),
        (leftward, [0, 3, 0]),
        (up, [0, 0, 0]),
        (distance, [2, 3, 1]),
        (cosine, [1, 0, -1]),
        (sine, [0, 1, 0]),
    ):
        torch.testing.assert_close(numbers, torch.tensor(expected, dtype=torch.float32), atol=1e-4, rtol=0)


def test_an_object_attends_to_the_words_of_its_name_only() -> None:
    chair, table, tokens = torch.eye(8)[0], torch.eye(8)[1], torch.eye(8)[2:6]
    words = torch.stack([torch.eye(8)[2], chair, torch.eye(8)[3], torch.eye(8)[4]])[None]
    text = Tokens(tokens[None], torch.tensor([[True, True, True, False]]))
    read, mentioned = attend_by_name(torch.stack([chair, table])[None], words, text)
    torch.testing.assert_close(read[0, 0], tokens[1], atol=0.05, rtol=0)
    assert mentioned[0, 0] > 0.95
    assert read[0, 1].abs().max() < 0.05
    assert mentioned[0, 1] < 0.05
    hidden = Tokens(text.values, torch.tensor([[True, False, True, True]]))
    assert attend_by_name(chair[None, None], words, hidden)[1] < 0.05, "padding words should not be attended to"


def test_the_pointer_can_stand_by_one_object_and_look_at_another() -> None:
    pointer = ViewpointPointer(4, 3)
    with torch.no_grad():
        for parameter in pointer.move.parameters():
            parameter.zero_()
        linear = torch.nn.Linear(4, 2, bias=False)
        linear.weight.copy_(50 * torch.eye(4)[:2])
        pointer.score = torch.nn.Sequential(linear)
    objects = Tokens(torch.eye(4)[None, :3], torch.ones(1, 3, dtype=torch.bool))
    centres = torch.tensor([[[1.0, 2.0, 0.5], [4.0, 6.0, 1.0], [-9.0, -9.0, 0.0]]])
    estimate = pointer(objects, centres, torch.zeros(1, 3))
    torch.testing.assert_close(estimate.position, torch.tensor([[1.0, 2.0, 0.0]]))
    looked = Viewpoint(np.zeros(3), estimate.rotation[0].detach().double().numpy()).forward
    np.testing.assert_allclose(looked, [0.6, 0.8, 0.0], atol=1e-6)


def test_the_floor_centre_ignores_padding() -> None:
    boxes = torch.tensor([[[0.0, 0, 1, 1, 1, 1], [2, 4, 3, 1, 1, 1], [99, 99, 99, 1, 1, 1]]])
    torch.testing.assert_close(
        floor_centre(boxes, torch.tensor([[True, True, False]])), torch.tensor([[1.0, 2.0, 0.0]])
    )


@pytest.fixture
def grounded():
    """Grounds the objects of two questions, with the scene shifted by a given distance."""
    torch.manual_seed(0)
    text = LstmText(
        Vocabulary.of_texts(["I face the chair by the shower curtain is it red ?"]), dim=8, word_dim=64
    ).eval()
    fusion = SceneTextFusion(8, heads=2, layers=1, dropout=0.0).eval()
    grounding = Grounding(4, text, NAMES, 8, 5).eval()
    situation, question = text.batch(["I face the chair", "by the shower curtain"]), text.batch(["is it red ?"] * 2)
    encoded = text(situation)
    objects = Tokens(torch.randn(2, 3, 8), torch.tensor([[True, True, False], [True, True, True]]))
    boxes, classes, appearance = torch.rand(2, 3, 6), torch.rand(2, 3, 3).softmax(-1), torch.randn(2, 3, 4)
    seen = SceneObjects(objects, boxes, classes, appearance)

    def ground(shift: float = 0.0, seen: SceneObjects = seen, question: TextBatch = question):
        moved = replace(seen, boxes=seen.boxes + torch.tensor([shift, -2 * shift, 0, 0, 0, 0]))
        texts = [
            EncodedText(text.words(batch.ids), read, torch.ones(2, 5))
            for batch, read in ((situation, encoded), (question, text(question)))
        ]
        return grounding(fusion, text.words, moved, *texts)

    ground.text, ground.grounding, ground.seen = text, grounding, seen
    return ground


def test_grounding_does_not_depend_on_the_origin_of_a_scan(grounded) -> None:
    here, there = grounded(), grounded(50.0)
    torch.testing.assert_close(here.objects.values, there.objects.values, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(here.viewpoint.position + torch.tensor([50.0, -100, 0]), there.viewpoint.position)


def test_a_name_of_several_words_is_their_mean_and_an_unknown_one_is_learned(grounded) -> None:
    vectors = grounded.text.words(grounded.text.batch(["shower curtain"]).ids)[0]
    names = grounded.grounding._name_vectors(grounded.text.words)
    torch.testing.assert_close(names[1], vectors.mean(0))
    torch.testing.assert_close(names[2], grounded.grounding.unknown_names[2])


def test_the_answer_does_not_move_the_viewpoint(grounded) -> None:
    grounded().objects.values.sum().backward()
    moved = grounded.grounding.viewpoint.move[-1].weight.grad
    assert moved is None or not moved.any()


def test_mentions_are_summed_over_objects_without_padding(grounded) -> None:
    seen, viewpoint = grounded.seen, grounded.grounding.viewpoint
    with torch.no_grad():  # fixes the viewpoint, whatever objects there are
        for parameter in (*viewpoint.move.parameters(), *viewpoint.score.parameters()):
            parameter.zero_()
    one = replace(
        seen,
        boxes=seen.boxes[:, :1].expand(-1, 3, -1),
        classes=seen.classes[:, :1].expand(-1, 3, -1),
        appearance=seen.appearance[:, :1].expand(-1, 3, -1),
    )
    sums = []
    for count in (1, 2, 3):
        valid = (torch.arange(3) < count).expand(2, -1)
        sums.append(grounded(seen=replace(one, tokens=Tokens(seen.tokens.values, valid))).mentions)
    torch.testing.assert_close(sums[1], 2 * sums[0])
    torch.testing.assert_close(sums[2], 3 * sums[0])
    assert (sums[0] != 0).any()


def test_objects_that_are_not_named_contribute_little(grounded) -> None:
    named = replace(grounded.seen, classes=torch.eye(3)[[0, 0, 0]].expand(2, -1, -1))
    about_chairs = grounded.text.batch(["is the chair red ?"] * 2)
    assert grounded(seen=named, question=about_chairs).mentions.norm() > 2 * grounded(seen=named).mentions.norm()
