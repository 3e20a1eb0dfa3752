from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from perception.images.image import Picture
from perception.models.image_classifier import ImageClassifier
from perception_nodes.image.messages import answer_to
from perception_nodes.image.node import ImageNode
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import CLASSIFICATION, COMPRESSED_IMAGE, IMAGE, deserialize, stamp_ns_of

CLASSES = ("tench", "goldfish", "shark")
PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
STAMP_NS = 1_700_000_000_123_456_789


@pytest.fixture(scope="module")
def node(image_classifier: ImageClassifier) -> ImageNode:
    node = ImageNode()
    node.configure(image_classifier, CLASSES, model_id="tiny")
    node.activate()
    return node


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("form", ["rgb8", "bgr8, padded", "png"])
def test_the_answer_to_a_pictures_message_is_offlines_and_has_its_header(
    form: str,
    node: ImageNode,
    image_classifier: ImageClassifier,
    image_message: Callable[..., bytes],
    compressed_image_message: Callable[..., bytes],
) -> None:
    of = {"stamp_ns": STAMP_NS, "frame_id": "front/optical"}
    cdr = {
        "rgb8": lambda: image_message(PIXELS, "rgb8", **of),
        "bgr8, padded": lambda: image_message(PIXELS[..., ::-1], "bgr8", padding=5, **of),
        "png": lambda: compressed_image_message(png(PIXELS), "rgb8; png compressed bgr8", **of),
    }[form]()
    answer = deserialize(answer_to(cdr, COMPRESSED_IMAGE if form == "png" else IMAGE, node), CLASSIFICATION)
    assert (stamp_ns_of(answer.header), answer.header.frame_id) == (STAMP_NS, "front/optical")
    (expected,) = image_classifier.classify([Picture("offline", PIXELS)])
    assert [result.class_id for result in answer.results] == [CLASSES[i] for i in (-expected).argsort()]
    np.testing.assert_allclose([result.score for result in answer.results], -np.sort(-expected), atol=1e-6)


def test_another_type_is_no_picture(node: ImageNode, image_message: Callable[..., bytes]) -> None:
    with pytest.raises(MalformedMessage):
        answer_to(image_message(PIXELS, "rgb8"), COMPRESSED_IMAGE, node)
