from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from perception.clips.clip import Clip
from perception.models.action_recognizer import ActionRecognizer
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import CLASSIFICATION, COMPRESSED_IMAGE, IMAGE, deserialize, stamp_ns_of
from perception_nodes.video.messages import answer_to
from perception_nodes.video.node import VideoNode

CLASSES = ("up", "down", "still")
STAMP_NS = 1_700_000_000_123_456_789


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", [IMAGE, COMPRESSED_IMAGE])
def test_the_answer_is_offlines_and_has_the_header_of_the_newest_picture(
    kind: str,
    action_recognizer: ActionRecognizer,
    scenes: np.ndarray,
    image_message: Callable[..., bytes],
    compressed_image_message: Callable[..., bytes],
) -> None:
    node = VideoNode(stride_s=0.1, every=4)
    node.configure(action_recognizer, CLASSES, model_id="tiny")
    node.activate()
    answers = []
    for number, picture in enumerate(scenes[:4]):
        of = {"stamp_ns": STAMP_NS + number * 100_000_000, "frame_id": "front"}
        if kind == IMAGE:
            cdr = image_message(picture, "rgb8", padding=3, **of)
        else:
            cdr = compressed_image_message(png(picture), "png", **of)
        answers.append(answer_to(cdr, kind, node))
    assert answers[:3] == [None] * 3
    assert answers[3] is not None
    answer = deserialize(answers[3], CLASSIFICATION)
    assert (stamp_ns_of(answer.header), answer.header.frame_id) == (STAMP_NS + 300_000_000, "front")
    (expected,) = action_recognizer.classify([Clip("offline", scenes[:4])])
    scores = {result.class_id: result.score for result in answer.results}
    assert [scores[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-6)


def test_an_answer_may_wait_and_malformed_pictures_are_refused(
    action_recognizer: ActionRecognizer, scenes: np.ndarray, image_message: Callable[..., bytes]
) -> None:
    node = VideoNode(stride_s=1e-9)
    node.configure(action_recognizer, CLASSES, model_id="tiny")
    node.activate()
    asked: list[int] = []

    def wait() -> bool:
        asked.append(node.unanswered)
        return len(asked) < 4

    answers = [
        answer_to(image_message(picture, "rgb8", stamp_ns=number + 1), IMAGE, node, wait)
        for number, picture in enumerate(scenes[:4])
    ]
    assert [answer is None for answer in answers] == [True, True, True, False]
    assert asked == [1, 2, 3, 4]
    with pytest.raises(MalformedMessage):
        answer_to(image_message(scenes[0], "rgb8", step=1), IMAGE, node)
    assert node.unanswered == 0
