"""The node that answers questions about the scene around it. No transport in here.

A scene is encoded once a version, by the first question that needs it; all others only pay for their own words. Every
question gets an answer with a status and, where that is not plain OK, a reason.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from perception.encoders.text import LstmText
from perception.encoders.votenet import Detections
from perception.errors import InputError
from perception.models.scene_answerer import SceneAnswerer, SceneTokens
from perception.scenes.classes import BOX_CLASSES
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import MAX_WORDS, split_words
from perception_nodes.block.service import DeadlineExceeded, Overloaded
from perception_nodes.operations.lifecycle import Lifecycle
from perception_nodes.scene_qa.encoding import EncodedScene, SceneEncoder, encode_snapshot
from perception_nodes.scene_qa.question import AnswerMode, AskedQuestion, Evidence, GivenAnswer, Status
from perception_nodes.scene_qa.scene_map import SceneSnapshot

NAMED_WORDS = 5
"""How many unknown words a reason names."""


@dataclass(frozen=True)
class SceneQaSettings:
    """Bounds of a node.

    Attributes:
        max_age_s: Questions about an older scene are refused; infinite for a loaded scan.
        max_lag_s: A question is answered from the scene that is encoded, while the newest one is at most so much newer;
            otherwise it waits for the newest. Encoding takes a second, and a map may change ten times in that.
        min_confidence: Less certain answers are not given.
        max_waiting: Questions that may be in work or wait; the next is turned away.
        max_characters: Longer texts are refused. Of shorter ones the first 100 words are read, as offline.
        alternatives: How many other answers are named.
        evidence: How many boxes are named.
        language: Of the model; questions in another are not answered.
    """

    max_age_s: float = math.inf
    max_lag_s: float = 2.0
    min_confidence: float = 0.0
    max_waiting: int = 8
    max_characters: int = 1000
    alternatives: int = 9
    evidence: int = 8
    language: str = "en"

    def __post_init__(self) -> None:
        for name, least in {"max_age_s": 0, "max_lag_s": 0, "max_waiting": 1, "max_characters": 1}.items():
            if not getattr(self, name) >= least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)}; give a larger number")


class _NotAnswered(Exception):
    """Ends the work on a question."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class _Configured:
    model: SceneAnswerer
    answers: AnswerVocabulary
    model_id: str
    encoder: SceneEncoder


class SceneQaNode:
    """Answers questions, from as many threads as ask, one at a time.

    Args:
        settings: Bounds.
        clock: The stream's time now, ns; a replay gives its own.

    Attributes:
        counts: How many questions went how.
        scenes_encoded: How many versions of the scene were.
    """

    def __init__(self, settings: SceneQaSettings = SceneQaSettings(), clock: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings
        self.lifecycle = Lifecycle()
        self.counts: Counter[Status] = Counter()
        self.scenes_encoded = 0
        self._clock = clock
        self._configured: _Configured | None = None
        self._scene: SceneSnapshot | None = None
        self._waiting = 0
        self._changes, self._turn = threading.Lock(), threading.Lock()

    def configure(self, model: SceneAnswerer, answers: AnswerVocabulary, *, model_id: str) -> None:
        """Takes a model in evaluation mode, and the answers of its classes.

        Args:
            model: One that sees scenes.
            answers: As many as the model has classes for.
            model_id: Goes into every answer.
        """
        self.lifecycle.check("configure")
        if model.scene is None:
            raise InputError(f"{model_id}: expected a model that sees scenes, got a blind one; train one that does")
        encoder = SceneEncoder(lambda snapshot: self._encode(model, snapshot))
        self._configured = _Configured(model, answers, model_id, encoder)
        self.lifecycle.change("configure")

    def activate(self) -> None:
        """Begins to answer."""
        self.lifecycle.change("activate")

    def deactivate(self) -> None:
        """Stops to answer; the scene stays."""
        self.lifecycle.change("deactivate")

    def cleanup(self) -> None:
        """Gives back the model."""
        self.lifecycle.change("cleanup")
        self._forget_model()

    def shutdown(self) -> None:
        """Ends for good."""
        self.lifecycle.change("shutdown")
        self._forget_model()
        self._scene = None

    def set_scene(self, scene: SceneSnapshot) -> None:
        """Takes a newer version of the scene, in any state; costs nothing until somebody asks."""
        self._scene = scene

    def encode(self) -> None:
        """Encodes the newest scene where that is not done yet, so that the next question need not wait for it."""
        configured, scene = self._configured, self._scene
        if configured is not None and scene is not None:
            configured.encoder.start(scene).result()

    def answer(self, question: AskedQuestion) -> GivenAnswer:
        """Answers a question; never raises because of what is in it.

        Raises:
            LifecycleError: The node is not active.
        """
        self.lifecycle.require_active("answer")
        configured = self._configured
        assert configured is not None, "an active node has a model"
        begin_s = time.perf_counter()
        try:
            given = self._answer(configured, question)
        except _NotAnswered as refused:
            given = GivenAnswer(question.id, refused.status, refused.reason)
        except DeadlineExceeded as error:
            given = GivenAnswer(question.id, Status.DEADLINE, str(error))
        except Overloaded as error:
            given = GivenAnswer(question.id, Status.OVERLOADED, str(error))
        except Exception as error:
            given = GivenAnswer(question.id, Status.ERROR, f"{type(error).__name__}: {error}")
        with self._changes:
            self.counts[given.status] += 1
        return replace(given, latency_ms=(time.perf_counter() - begin_s) * 1e3, model_id=configured.model_id)

    def _answer(self, configured: _Configured, question: AskedQuestion) -> GivenAnswer:
        until_s = self._until(question)
        notes = self._check(configured, question)
        with self._my_turn(until_s):
            scene = self._encoded_scene(configured, until_s)
            with torch.inference_mode():
                given = self._ask(configured, scene, question, notes)
        if time.monotonic() > until_s:
            raise _NotAnswered(Status.DEADLINE, "the deadline passed while the answer was computed")
        return given

    def _until(self, question: AskedQuestion) -> float:
        """The deadline on the monotonic clock, infinite for none."""
        if question.deadline_ns is None:
            return math.inf
        left_s = (question.deadline_ns - self._clock()) / 1e9
        if left_s <= 0:
            raise _NotAnswered(Status.DEADLINE, f"the deadline passed {-left_s:.3f} s before the question arrived")
        return time.monotonic() + left_s

    def _check(self, configured: _Configured, question: AskedQuestion) -> list[str]:
        """Refuses texts that cannot be answered; gives what to know about the others."""
        notes = []
        for name, text in (("question", question.question), ("situation", question.situation)):
            if len(text) > self.settings.max_characters:
                most = self.settings.max_characters
                raise _NotAnswered(Status.ERROR, f"the {name} has {len(text)} characters; expected at most {most}")
            if len(split_words(text)) > MAX_WORDS:
                notes.append(f"only the first {MAX_WORDS} words of the {name} were read")
        if not question.question.strip():
            raise _NotAnswered(Status.ERROR, "the question is empty")
        own = self.settings.language
        if question.language and question.language.split("-")[0].lower() != own:
            raise _NotAnswered(Status.NO_ANSWER, f"the question is in {question.language!r}; this model reads {own!r}")
        return notes + _unknown_words(configured.model, question)

    @contextmanager
    def _my_turn(self, until_s: float) -> Iterator[None]:
        with self._changes:
            if self._waiting >= self.settings.max_waiting:
                raise _NotAnswered(Status.OVERLOADED, f"{self._waiting} questions are in work or wait")
            self._waiting += 1
        try:
            if not self._turn.acquire(timeout=_left(until_s)):
                raise _NotAnswered(Status.DEADLINE, "the deadline passed while others were answered")
            try:
                yield
            finally:
                self._turn.release()
        finally:
            with self._changes:
                self._waiting -= 1

    def _encoded_scene(self, configured: _Configured, until_s: float) -> EncodedScene:
        """The scene to answer from, encoded now where none that is encoded is new enough."""
        newest, known = self._scene, configured.encoder.newest
        if newest is None:
            raise _NotAnswered(Status.STALE_SCENE, "there is no scene yet")
        if (age_s := self._age_s(newest)) > self.settings.max_age_s:
            reason = f"the scene is {age_s:.1f} s old; expected at most {self.settings.max_age_s:g} s"
            raise _NotAnswered(Status.STALE_SCENE, reason)
        if known is not None and self._is_good_enough(known, newest):
            return known
        try:
            return configured.encoder.start(newest).result(None if math.isinf(until_s) else _left(until_s))
        except TimeoutError:
            raise _NotAnswered(Status.DEADLINE, "the deadline passed while the scene was encoded") from None

    def _is_good_enough(self, known: EncodedScene, newest: SceneSnapshot) -> bool:
        if known.snapshot is newest:
            return True
        lag_s = (newest.stamp_ns - known.snapshot.stamp_ns) / 1e9
        is_earlier = known.snapshot.version < newest.version and 0 < lag_s <= self.settings.max_lag_s
        return is_earlier and self._age_s(known.snapshot) <= self.settings.max_age_s

    def _age_s(self, scene: SceneSnapshot) -> float:
        return (self._clock() - scene.stamp_ns) / 1e9

    def _encode(self, model: SceneAnswerer, snapshot: SceneSnapshot) -> SceneTokens:
        tokens = encode_snapshot(model, snapshot)
        with self._changes:
            self.scenes_encoded += 1
        return tokens

    def _ask(
        self, configured: _Configured, scene: EncodedScene, question: AskedQuestion, notes: list[str]
    ) -> GivenAnswer:
        model = configured.model
        said = model.ask(scene.tokens, [question.situation], [question.question])
        scores = said.probabilities[0]
        if not scores.isfinite().all():
            raise _NotAnswered(Status.ERROR, "the model's scores are not finite")
        ranked = _rank(scores, configured.answers, question.mode)
        answer, confidence = ranked[0]
        why_not = self._why_not(answer, confidence, float(scores[-1]))
        first_other = 0 if why_not else 1
        evidence: tuple[Evidence, ...] = ()
        if question.mode is AnswerMode.WITH_EVIDENCE and said.evidence is not None:
            evidence = _evidence(said.evidence[0], scene.tokens.detections, self.settings.evidence)
        return GivenAnswer(
            question.id,
            Status.NO_ANSWER if why_not else Status.OK,
            "; ".join([why_not, *notes] if why_not else notes),
            answer="" if why_not else answer,
            confidence=confidence,
            alternatives=tuple(ranked[first_other : first_other + self.settings.alternatives]),
            evidence=evidence,
            scene_version=scene.snapshot.version,
            scene_stamp_ns=scene.snapshot.stamp_ns,
        )

    def _why_not(self, answer: str, confidence: float, unknown: float) -> str:
        """Why the likeliest answer is not given; empty where it is."""
        if unknown > confidence:
            return "the likeliest answer is none that the model can name"
        if confidence < self.settings.min_confidence:
            return f"not certain enough: {confidence:.3f} for {answer!r}"
        return ""

    def _forget_model(self) -> None:
        if self._configured is not None:
            self._configured.encoder.close()
        self._configured = None


def _left(until_s: float) -> float:
    """Seconds to a moment of the monotonic clock, as `acquire` and `result` take them; -1 is no limit to `acquire`."""
    return -1 if math.isinf(until_s) else max(0.0, until_s - time.monotonic())


def _unknown_words(model: SceneAnswerer, question: AskedQuestion) -> list[str]:
    """A note of words that the model does not know; refuses a question that consists of such words."""
    if not isinstance(model.text, LstmText):
        return []  # a tokenizer of word pieces knows some pieces of every word
    vocabulary = model.text.vocabulary
    unknown = vocabulary.unknown_words(question.question)
    if len(unknown) == len(split_words(question.question, vocabulary.rule)):
        raise _NotAnswered(Status.NO_ANSWER, f"no word of the question is known: {', '.join(unknown[:NAMED_WORDS])}")
    unknown += vocabulary.unknown_words(question.situation) if model.with_situation else []
    return [f"words that are not known: {', '.join(unknown[:NAMED_WORDS])}"] if unknown else []


def _rank(scores: Float[Tensor, " answers"], answers: AnswerVocabulary, mode: AnswerMode) -> list[tuple[str, float]]:
    """Answers and how likely each is, the likeliest first, as an evaluation ranks them: without the unknown one."""
    words = answers.answers
    if mode is AnswerMode.YES_NO:
        words = tuple(word for word in ("yes", "no") if word in answers)
        if not words:
            raise _NotAnswered(Status.NO_ANSWER, "the model knows neither yes nor no")
    chosen = scores[[answers.class_of(word) for word in words]]
    order = chosen.argsort(descending=True, stable=True).tolist()
    return [(words[i], float(chosen[i])) for i in order]


def _evidence(weights: Float[Tensor, " proposals"], found: Detections, count: int) -> tuple[Evidence, ...]:
    best = weights.topk(min(count, int((weights > 0).sum())))
    labels, boxes = found.class_scores[0].argmax(-1).tolist(), found.boxes[0].cpu().numpy()
    return tuple(
        Evidence(i, BOX_CLASSES[labels[i]], weight, boxes[i])
        for i, weight in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
