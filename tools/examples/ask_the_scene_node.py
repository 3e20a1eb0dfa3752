"""Asks a running deployment about the scene around it, as any client of its service does.

    python tools/examples/ask_the_scene_node.py "What is left of me?" --situation "I am facing the window."

A ROS 2 node calls the service as any other. This client has no ROS and knows nothing of the node: it is a plain zenoh
session, which sends a query to the key that rmw_zenoh gives the service, and reads the answer by its .msg definition.
Where the deployment has `security`, take `perception_nodes.ros.topics.open_secure_session` to open it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import tyro
import zenoh

from perception_nodes.ros.messages import (
    ASK_SCENE,
    SCENE_ANSWER,
    SCENE_QUESTION,
    deserialize,
    header,
    make,
    serialize,
    service_of,
)
from perception_nodes.ros.wire import RmwZenoh

OK = 0
"""Status of a scene_qa_msgs/SceneAnswer that holds an answer."""


def main(
    question: tyro.conf.Positional[str],
    situation: str = "",
    connect: str = "tcp/127.0.0.1:7447",
    service: str = "/scene_qa/ask",
    domain: int = 0,
    timeout_s: float = 10.0,
) -> Any:
    """Prints the answer to a question, the other candidates, and what it is about.

    Args:
        question: The question.
        situation: Where the asker stands, in words.
        connect: Where the deployment's router listens.
        service: The node's `service` in the deployment's file.
        domain: ROS_DOMAIN_ID.
        timeout_s: How long to wait for the answer.
    """
    config = zenoh.Config()
    config.insert_json5("mode", '"client"')
    config.insert_json5("connect/endpoints", json.dumps([connect]))
    key = RmwZenoh(domain=domain).key(service_of(service, ASK_SCENE))
    with zenoh.open(config) as session:
        for reply in session.get(key, payload=request(question, situation, timeout_s), timeout=timeout_s):
            if reply.ok is not None:
                answer = deserialize(reply.ok.payload.to_bytes(), SCENE_ANSWER)
                show(answer)
                return answer
    sys.exit(f"nobody answers {service} at {connect} within {timeout_s:g} s")


def request(question: str, situation: str, timeout_s: float) -> bytes:
    """The CDR of a scene_qa_msgs/SceneQuestion, which is all that a request of scene_qa_msgs/AskScene holds."""
    seconds, rest = divmod(timeout_s, 1)
    message = make(
        SCENE_QUESTION,
        header=header(0, "map"),  # without a stamp the deadline counts from the arrival
        question_id="1",
        question=question,
        situation=situation,
        language="en",
        answer_mode=3,  # ANSWER_WITH_EVIDENCE
        deadline=make("builtin_interfaces/msg/Duration", sec=int(seconds), nanosec=int(rest * 1e9)),
        viewpoint=[],
    )
    return serialize(message, SCENE_QUESTION)


def show(answer: Any) -> None:
    """Prints a scene_qa_msgs/SceneAnswer."""
    if answer.status != OK:
        print(f"no answer: {answer.reason}")
    else:
        print(f"{answer.answer} ({answer.confidence:.2f})")
    for other, confidence in zip(answer.alternatives, answer.alternative_confidences, strict=True):
        print(f"  or {other} ({confidence:.2f})")
    for part in answer.evidence:
        at = part.box.center.position
        print(f"  looked at {part.label or 'something'} at ({at.x:.1f}, {at.y:.1f}, {at.z:.1f}) m ({part.score:.2f})")
    print(f"  scene {answer.scene_version}, {answer.latency_ms:.0f} ms, {answer.model_id}")


if __name__ == "__main__":
    tyro.cli(main)
