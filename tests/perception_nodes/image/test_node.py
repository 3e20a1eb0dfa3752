from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.images.image import Picture
from perception.models.image_classifier import ImageClassifier
from perception_nodes.image.node import ImageNode
from perception_nodes.operations.lifecycle import LifecycleError, State

CLASSES = ("tench", "goldfish", "shark")
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def configured(model: ImageClassifier, top: int = 5) -> ImageNode:
    node = ImageNode(top)
    node.configure(model, CLASSES, model_id="tiny")
    return node


def test_its_answer_is_what_the_model_says_of_the_picture_offline(image_classifier: ImageClassifier) -> None:
    node = configured(image_classifier.folded())
    node.activate()
    (expected,) = image_classifier.classify([Picture("offline", PIXELS)])
    found = node.classify(PIXELS)
    assert len(found.names) == 3
    scores = dict(zip(found.names, found.scores, strict=True))
    np.testing.assert_allclose([scores[name] for name in CLASSES], expected, atol=1e-6)
    assert list(found.scores) == sorted(found.scores, reverse=True)
    fewer = configured(image_classifier.folded(), top=1)
    fewer.activate()
    assert fewer.classify(PIXELS).names == found.names[:1]


def test_it_answers_while_it_is_active(image_classifier: ImageClassifier) -> None:
    node = configured(image_classifier)
    with pytest.raises(LifecycleError, match="classify: expected an active node, it is inactive"):
        node.classify(PIXELS)
    node.activate()
    assert node.classify(PIXELS).names
    node.deactivate()
    with pytest.raises(LifecycleError):
        node.classify(PIXELS)
    node.cleanup()
    node.configure(image_classifier, CLASSES, model_id="again")
    assert node.model_id == "again"
    node.shutdown()
    assert node.lifecycle.state is State.FINALISED


def test_every_class_has_a_name(image_classifier: ImageClassifier) -> None:
    with pytest.raises(InputError, match="expected a name for each of the model's 3 classes, got 2"):
        ImageNode().configure(image_classifier, CLASSES[:2], model_id="tiny")


def test_what_cannot_be_answered_is_an_error_and_the_next_is_answered(
    image_classifier: ImageClassifier,
) -> None:
    node = configured(image_classifier)
    node.activate()
    with pytest.raises(InputError, match="expected one that is at most 32768 pixels long after resizing"):
        node.classify(np.zeros((1, 100_000, 3), np.uint8))
    assert node.classify(PIXELS).names
    broken = deepcopy(image_classifier)
    torch.nn.init.constant_(broken.head.fc.bias, torch.nan)
    node = configured(broken)
    node.activate()
    with pytest.raises(ValueError, match="the probabilities are not finite"):
        node.classify(PIXELS)
