"""Questions about a scene, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float


class Status(IntEnum):
    """Outcome of a question, numbered as in scene_qa_msgs/msg/SceneAnswer."""

    OK = 0
    NO_ANSWER = 1
    STALE_SCENE = 2
    DEADLINE = 3
    OVERLOADED = 4
    ERROR = 5


class AnswerMode(IntEnum):
    """Wanted answer, numbered as in scene_qa_msgs/msg/SceneQuestion. All our answers are short."""

    ANY = 0
    SHORT = 1
    YES_NO = 2
    WITH_EVIDENCE = 3


@dataclass(frozen=True)
class AskedQuestion:
    """A question as it arrives.

    Attributes:
        id: Identifier, which is repeated in the answer.
        question: The question in words.
        situation: Where the asker stands, in words; may be empty.
        deadline_ns: Deadline on the stream's clock; None for none.
        mode: Wanted answer.
        language: Language (BCP 47); empty for the model's own.
    """

    id: str
    question: str
    situation: str = ""
    deadline_ns: int | None = None
    mode: AnswerMode = AnswerMode.ANY
    language: str = ""


@dataclass(frozen=True)
class Evidence:
    """A proposal of an object that an answer is based on.

    Attributes:
        proposal: Number of the proposal in this version of the scene.
        label: Class of the object.
        score: Share of the answer's attention; the shares of all proposals sum to 1.
        box: Centre and full size along the axes, in the map frame, metres.
    """

    proposal: int
    label: str
    score: float
    box: Float[np.ndarray, " 6"]


@dataclass(frozen=True)
class GivenAnswer:
    """The answer to a question, or why there is none.

    Attributes:
        question_id: Identifier of the question.
        status: Outcome.
        reason: Why there is no answer, or a note about it; may be empty.
        answer: The answer; empty unless the status is OK.
        confidence: Confidence of the likeliest answer, given or not. Confidences of several answers do not sum to 1.
        alternatives: The next likely answers with their confidences; the likeliest too if it was not given.
        evidence: The evidence, strongest first, if it was asked for.
        scene_version: Version of the scene that the answer is about; 0 for none.
        scene_stamp_ns: Stamp of that scene.
        latency_ms: Time from the question's arrival, on a monotonic clock.
        model_id: Name of the model.
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
