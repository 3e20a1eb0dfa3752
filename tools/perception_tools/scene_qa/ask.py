"""`perception ask`: a question to a running scene question node."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from perception.errors import InputError
from perception_tools.joining import joined

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.ros.wire import Topic

_LOOK_AGAIN_S = 0.1
_STATUSES = ("ok", "no_answer", "stale_scene", "deadline", "overloaded", "error")
"""Statuses of scene_qa_msgs/SceneAnswer, by their numbers."""


def ask(
    question: Positional[str],
    situation: str = "",
    service: str = "/scene_qa/ask",
    domain: int = 0,
    timeout_s: float = 10.0,
    connect: str | None = None,
    config: Path | None = None,
    name: str = "asker",
) -> dict:
    """Ask a running scene question node, over its service as any ROS 2 client does.

    Prints the answer with its confidence, the other candidates, what it is about, and how long it took.

    Args:
        question: The question.
        situation: Where the asker stands, in words, such as "I am facing the window".
        service: The node's `service` in the deployment's file.
        domain: ROS_DOMAIN_ID.
        timeout_s: How long to wait for the answer, seconds.
        connect: Endpoint of the router; by default that of the deployment, or tcp/127.0.0.1:7447.
        config: The deployment's file; needed where it has `security`.
        name: Name of this process in the deployment's `security`, under `others`.
    """
    from perception_nodes.ros.messages import ASK_SCENE, SCENE_ANSWER, deserialize, service_of

    if not 0 < timeout_s <= 86_400:
        raise InputError(f"--timeout-s {timeout_s:g}: expected seconds above 0, at most a day; give another number")
    topic = service_of(service, ASK_SCENE)
    with joined(connect, config, name) as session:
        began = time.monotonic()
        cdr = _response(session, topic, domain, _request(question, situation, timeout_s), timeout_s)
        round_trip_ms = 1e3 * (time.monotonic() - began)
    told = _told(deserialize(cdr, SCENE_ANSWER)) | {"round_trip_ms": round_trip_ms}
    print("\n".join(_lines(told)))
    return told


def _request(question: str, situation: str, timeout_s: float) -> bytes:
    """Returns the CDR of a SceneQuestion, which is all that a request of AskScene holds."""
    from perception_nodes.ros.messages import SCENE_QUESTION, header, make, serialize
    from perception_nodes.scene_qa.question import AnswerMode

    seconds, rest = divmod(timeout_s, 1)
    message = make(
        SCENE_QUESTION,
        header=header(0, "map"),  # without a stamp the deadline counts from the arrival
        question_id=str(time.time_ns()),
        question=question,
        situation=situation,
        language="en",
        answer_mode=int(AnswerMode.WITH_EVIDENCE),
        deadline=make("builtin_interfaces/msg/Duration", sec=int(seconds), nanosec=int(rest * 1e9)),
        viewpoint=[],
    )
    return serialize(message, SCENE_QUESTION)


def _response(session: zenoh.Session, service: Topic, domain: int, request: bytes, timeout_s: float) -> bytes:
    """Returns the CDR of the answer.

    Raises:
        InputError: Nobody answers in time; the message says whether there is a node at all.
    """
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh, Role

    wire, end = RmwZenoh(node="ask", domain=domain), time.monotonic() + timeout_s
    with RosNode(session, wire) as ros:
        while True:
            for reply in session.get(wire.key(service), payload=request, timeout=max(0.1, end - time.monotonic())):
                if reply.ok is not None:
                    return reply.ok.payload.to_bytes()
            servers = [entity.topic for entity in ros.others() if entity.role is Role.SERVICE]
            if time.monotonic() > end:
                break
            time.sleep(_LOOK_AGAIN_S)  # the router may not have told of the node yet
    if service.name in {topic.name for topic in servers}:
        raise InputError(f"{service.name}: the node did not answer within {timeout_s:g} s; give more --timeout-s")
    ours = sorted(topic.name for topic in servers if topic.type == service.type)
    cure = f"give --service {ours[0]}" if ours else "start a node of kind scene-qa with `perception up`"
    raise InputError(
        f"{service.name}: expected a node that answers it in domain {domain}, found none within {timeout_s:g} s; {cure}"
    )


def _told(answer: Any) -> dict:
    """Returns what an answer says, as JSON has it."""
    status = int(answer.status)
    return {
        "status": _STATUSES[status] if status < len(_STATUSES) else str(status),
        "reason": str(answer.reason),
        "answer": str(answer.answer),
        "confidence": float(answer.confidence),
        "alternatives": [
            {"answer": str(other), "confidence": float(confidence)}
            for other, confidence in zip(answer.alternatives, answer.alternative_confidences, strict=False)
        ],
        "evidence": [
            {
                "label": str(part.label),
                "score": float(part.score),
                "position_m": [float(getattr(part.box.center.position, axis)) for axis in "xyz"],
                "size_m": [float(getattr(part.box.size, axis)) for axis in "xyz"],
            }
            for part in answer.evidence
        ],
        "scene_version": int(answer.scene_version),
        "latency_ms": float(answer.latency_ms),
        "model": str(answer.model_id),
    }


def _lines(told: dict) -> list[str]:
    answered = told["status"] == "ok"
    given = f"{told['answer']} ({told['confidence']:.2f})"
    lines = [given if answered else f"no answer ({told['status']}): {told['reason']}"]
    lines += [f"  or {other['answer']} ({other['confidence']:.2f})" for other in told["alternatives"]]
    for part in told["evidence"]:
        x, y, z = part["position_m"]
        lines.append(
            f"  looked at {part['label'] or 'something'} at ({x:.1f}, {y:.1f}, {z:.1f}) m ({part['score']:.2f})"
        )
    took = f"{told['latency_ms']:.0f} ms in the node, {told['round_trip_ms']:.0f} ms in all"
    return [*lines, f"  scene {told['scene_version']}, {took}, {told['model']}"]
