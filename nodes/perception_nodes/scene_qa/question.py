"""Questions about a scene as they arrive at a node, and what they get."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float


class Status(IntEnum):
    """How it went, numbered as in scene_qa_msgs/msg/SceneAnswer."""

    OK = 0
    NO_ANSWER = 1
    STALE_SCENE = 2
    DEADLINE = 3
    OVERLOADED = 4
    ERROR = 5


class AnswerMode(IntEnum):
    """What is wanted, numbered as in scene_qa_msgs/msg/SceneQuestion. Every answer of ours is short."""

    ANY = 0
    SHORT = 1
    YES_NO = 2
    WITH_EVIDENCE = 3


@dataclass(frozen=True)
class AskedQuestion:
    """A question as it arrives.

    Attributes:
        id: Comes back with the answer.
        question: In words.
        situation: Where the asker stands, in words; may be empty.
        deadline_ns: On the stream's clock; None for none.
        mode: What is wanted.
        language: BCP 47; empty for the model's own.
    """

    id: str
    question: str
    situation: str = ""
    deadline_ns: int | None = None
    mode: AnswerMode = AnswerMode.ANY
    language: str = ""


@dataclass(frozen=True)
class Evidence:
    """A proposal of an object that bears an answer.

    Attributes:
        proposal: Its number in this version of the scene.
        label: Class of the object.
        score: Its share of the answer's attention; those of all proposals are 1 in sum.
        box: Centre, then full size along the axes; map frame, metres.
    """

    proposal: int
    label: str
    score: float
    box: Float[np.ndarray, " 6"]


@dataclass(frozen=True)
class GivenAnswer:
    """What a question gets.

    Attributes:
        question_id: Of the question.
        status: How it went.
        reason: Why there is no answer, or what to know about it; may be empty.
        answer: Empty unless the status is OK.
        confidence: Of the likeliest answer, whether it was given or not. Each answer's is for itself; they have no sum.
        alternatives: The next likely answers and their confidences; the likeliest too where it was not given.
        evidence: The strongest first; where it was asked for.
        scene_version: That the answer is about; 0 for none.
        scene_stamp_ns: Of that scene.
        latency_ms: From the question's arrival, on a monotonic clock.
        model_id: Which model it is from.
    """

    question_id: str
    status: Status
    reason: str
    answer: str = ""
    confidence: float = 0.0
    alternatives: tuple[tuple[str, float], ...] = ()
    evidence: tuple[Evidence, ...] = ()
    scene_version: int = 0
    scene_stamp_ns: int = 0
    latency_ms: float = 0.0
    model_id: str = ""
