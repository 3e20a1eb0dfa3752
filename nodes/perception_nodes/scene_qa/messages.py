"""The scene question node's messages: `SceneQuestion` in, `SceneAnswer` out."""

from __future__ import annotations

from typing import Any

import numpy as np

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import SCENE_ANSWER, header, make, stamp_ns_of
from perception_nodes.scene_qa.question import AnswerMode, AskedQuestion, Evidence, GivenAnswer


def asked_question_of(message: Any, arrived_ns: int) -> AskedQuestion:
    """Returns the question in a `scene_qa_msgs/SceneQuestion`.

    Args:
        message: The message. Its deadline counts from its stamp, or from its arrival if it has none. Its viewpoint is
            ignored, since the model reads places in words.
        arrived_ns: Time of its arrival, on the stream's clock.

    Raises:
        MalformedMessage: The answer mode is unknown.
    """
    try:
        mode = AnswerMode(message.answer_mode)
    except ValueError as error:
        known = ", ".join(f"{mode.value} ({mode.name})" for mode in AnswerMode)
        raise MalformedMessage(f"answer_mode {message.answer_mode}; expected one of {known}") from error
    lasts_ns = message.deadline.sec * 10**9 + message.deadline.nanosec
    return AskedQuestion(
        id=message.question_id,
        question=message.question,
        situation=message.situation,
        deadline_ns=(stamp_ns_of(message.header) or arrived_ns) + lasts_ns if lasts_ns else None,
        mode=mode,
        language=message.language,
    )


def scene_answer_of(given: GivenAnswer, stamp_ns: int, frame_id: str) -> Any:
    """Returns an answer as a `scene_qa_msgs/SceneAnswer`.

    Args:
        given: The answer.
        stamp_ns: Stamp of the answer.
        frame_id: Name of the map's frame, which its boxes are in.
    """
    return make(
        SCENE_ANSWER,
        header=header(stamp_ns, frame_id),
        question_id=given.question_id,
        status=int(given.status),
        reason=given.reason,
        answer=given.answer,
        confidence=given.confidence,
        alternatives=[answer for answer, _ in given.alternatives],
        alternative_confidences=np.array([confidence for _, confidence in given.alternatives], np.float32),
        evidence=[_grounding(evidence) for evidence in given.evidence],
        scene_version=given.scene_version,
        scene_stamp=header(given.scene_stamp_ns, "").stamp,
        latency_ms=given.latency_ms,
        model_id=given.model_id,
    )


def _grounding(evidence: Evidence) -> Any:
    """Returns evidence without point indices, since the map has voxels instead of a cloud."""
    center, size = np.split(evidence.box.astype(float), 2)
    upright = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    at = make("geometry_msgs/msg/Point", **dict(zip("xyz", center, strict=True)))
    return make(
        "scene_qa_msgs/msg/Grounding",
        label=evidence.label,
        object_id=str(evidence.proposal),
        score=evidence.score,
        box=make(
            "vision_msgs/msg/BoundingBox3D",
            center=make("geometry_msgs/msg/Pose", position=at, orientation=upright),
            size=make("geometry_msgs/msg/Vector3", **dict(zip("xyz", size, strict=True))),
        ),
        point_indices=np.zeros(0, np.uint32),
    )
