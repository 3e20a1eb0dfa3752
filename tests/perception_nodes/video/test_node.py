from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from perception.clips.clip import Clip
from perception.clips.resizing import resized
from perception.errors import InputError
from perception.models.action_recognizer import ActionRecognizer
from perception_nodes.operations.lifecycle import LifecycleError
from perception_nodes.operations.reasons import MissingInput
from perception_nodes.video.node import VideoNode

CLASSES = ("up", "down", "still")
STEP_NS = 100_000_000


def active(model: ActionRecognizer, **options: Any) -> VideoNode:
    node = VideoNode(3, **{"stride_s": 0.2, **options})
    node.configure(model, CLASSES, model_id="tiny")
    node.activate()
    return node


@pytest.mark.parametrize("side", [0, 20, 16])
def test_its_answers_are_what_the_model_says_of_the_same_pictures_offline(
    side: int, action_recognizer: ActionRecognizer, scenes: np.ndarray
) -> None:
    node = active(action_recognizer.folded(), shorter_side=side)
    told = []
    for number, picture in enumerate(scenes):
        assert node.see(number * STEP_NS, picture)
        if number >= 6:
            images = scenes[[number - 6, number - 4, number - 2, number]]
            (expected,) = action_recognizer.classify([Clip("offline", resized(images, side))])
            found = node.classify()
            scores = dict(zip(found.names, found.scores, strict=True))
            np.testing.assert_allclose([scores[name] for name in CLASSES], expected, atol=1e-6)
            told.append(expected)
    assert np.ptp(told, axis=0).max() > 1e-3  # clips differ


def test_an_answer_is_due_every_so_many_pictures(action_recognizer: ActionRecognizer, scenes: np.ndarray) -> None:
    node = active(action_recognizer, every=3)
    due = []
    for number, picture in enumerate(scenes[:12]):
        due.append(node.see(number * STEP_NS, picture))
        if due[-1] and number < 6:
            with pytest.raises(MissingInput, match="since the first picture"):
                node.classify()
        elif due[-1]:
            assert node.classify().names
    assert [number for number, is_due in enumerate(due) if is_due] == [2, 5, 8, 11]


def test_pictures_may_change_their_size_and_be_read_only(
    action_recognizer: ActionRecognizer, scenes: np.ndarray
) -> None:
    node = active(action_recognizer, stride_s=0.1)
    frozen = scenes.copy()
    frozen.flags.writeable = False
    for number in range(4):
        node.see(number * STEP_NS, frozen[number] if number % 2 else scenes[number, :20, :20])
    assert len(node.classify().names) == 3


def test_what_cannot_be_seen_is_an_error_and_the_next_is_seen(
    action_recognizer: ActionRecognizer, scenes: np.ndarray
) -> None:
    node = active(action_recognizer, stride_s=0.1)
    with pytest.raises(InputError, match="pixels long after resizing"):
        node.see(0, np.zeros((1, 100_000, 3), np.uint8))
    for number in range(4):
        node.see(number * STEP_NS, scenes[number])
    with pytest.raises(InputError, match=r"a picture 0\.100 s before the last one"):
        node.see(2 * STEP_NS, scenes[0])
    assert node.classify().names


def test_it_answers_while_it_is_active_and_the_model_is_finite(
    action_recognizer: ActionRecognizer, scenes: np.ndarray
) -> None:
    with pytest.raises(LifecycleError, match="see: expected an active node, it is unconfigured"):
        VideoNode().see(0, scenes[0])
    with pytest.raises(LifecycleError, match="classify: expected an active node"):
        VideoNode().classify()
    with pytest.raises(InputError, match="expected a name for each of the model's 3 classes, got 2"):
        VideoNode().configure(action_recognizer, CLASSES[:2], model_id="tiny")
    broken = deepcopy(action_recognizer)
    torch.nn.init.constant_(broken.head.fc.bias, torch.nan)
    node = active(broken, stride_s=0.01)
    for number in range(4):
        node.see(number * STEP_NS, scenes[number])
    with pytest.raises(ValueError, match="the probabilities are not finite"):
        node.classify()


def test_another_model_sees_a_clip_of_its_own(action_recognizer: ActionRecognizer, scenes: np.ndarray) -> None:
    node = active(action_recognizer, stride_s=0.1)
    for number in range(4):
        node.see(number * STEP_NS, scenes[number])
    node.deactivate()
    node.cleanup()
    node.configure(action_recognizer, CLASSES, model_id="again")
    node.activate()
    with pytest.raises(MissingInput, match="no picture yet"):
        node.classify()
