"""The node that answers questions about the scene around it, without transport.

A version of the scene is encoded once, for the first question that needs it; further questions cost only their own
words. Every question gets an answer with a status and, unless that is plain OK, a reason.
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
from typing_extensions import override

from perception.errors import InputError
from perception.models.scene_answerer import SceneAnswerer, SceneTokens
from perception.texts.answers import AnswerVocabulary
from perception_nodes.block.service import DeadlineExceeded, Overloaded
from perception_nodes.operations.lifecycle import LifecycleNode
from perception_nodes.scene_qa.answering import NotAnswered, answer_of, notes_on
from perception_nodes.scene_qa.encoding import EncodedScene, SceneEncoder, encode_snapshot
from perception_nodes.scene_qa.question import AskedQuestion, GivenAnswer, Status
from perception_nodes.scene_qa.scene_map import SceneSnapshot
from perception_nodes.scene_qa.settings import DEFAULTS, SceneQaSettings


@dataclass(frozen=True)
class _Configured:
    model: SceneAnswerer
    answers: AnswerVocabulary
    model_id: str
    encoder: SceneEncoder


class SceneQaNode(LifecycleNode):
    """Answers questions from any number of threads, one at a time.

    Args:
        settings: Bounds.
        clock: Returns the stream's time in ns; a replay gives its own.

    Attributes:
        counts: Number of questions by outcome.
        scenes_encoded: Number of versions of the scene that were encoded.
    """

    def __init__(self, settings: SceneQaSettings = DEFAULTS, clock: Callable[[], int] = time.time_ns) -> None:
        super().__init__()
        self.settings = settings
        self.counts: Counter[Status] = Counter()
        self.scenes_encoded = 0
        self._clock = clock
        self._configured: _Configured | None = None
        self._scene: SceneSnapshot | None = None
        self._waiting = 0
        self._changes, self._turn = threading.Lock(), threading.Lock()

    def configure(self, model: SceneAnswerer, answers: AnswerVocabulary, *, model_id: str) -> None:
        """Takes a model in evaluation mode.

        Args:
            model: A model that sees scenes.
            answers: The answers of the model's classes.
            model_id: Name of the model, which every answer has.
        """
        self.lifecycle.check("configure")
        if model.scene is None:
            raise InputError(f"{model_id}: expected a model that sees scenes, got a blind one; train one that does")
        encoder = SceneEncoder(lambda snapshot: self._encode(model, snapshot))
        self._configured = _Configured(model, answers, model_id, encoder)
        self.lifecycle.change("configure")

    @override
    def shutdown(self) -> None:
        """Ends for good."""
        super().shutdown()
        self._scene = None

    def set_scene(self, scene: SceneSnapshot) -> None:
        """Takes a newer version of the scene, in any state; it is encoded when a question needs it."""
        self._scene = scene

    def encode(self) -> None:
        """Encodes the newest scene now, so that the next question does not wait for it."""
        configured, scene = self._configured, self._scene
        if configured is not None and scene is not None:
            configured.encoder.start(scene).result()

    def answer(self, question: AskedQuestion) -> GivenAnswer:
        """Answers a question; its contents never make it raise.

        Raises:
            LifecycleError: The node is not active.
        """
        self.lifecycle.require_active("answer")
        configured = self._configured
        assert configured is not None, "an active node has a model"
        begin_s = time.perf_counter()
        try:
            given = self._answer(configured, question)
        except NotAnswered as refused:
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
        notes = notes_on(configured.model, question, self.settings)
        with self._my_turn(until_s):
            scene = self._encoded_scene(configured, until_s)
            with torch.inference_mode():
                given = answer_of(configured.model, configured.answers, scene, question, notes, self.settings)
        if time.monotonic() > until_s:
            raise NotAnswered(Status.DEADLINE, "the deadline passed while the answer was computed")
        return given

    def _until(self, question: AskedQuestion) -> float:
        """Returns the deadline on the monotonic clock; infinite for none."""
        if question.deadline_ns is None:
            return math.inf
        left_s = (question.deadline_ns - self._clock()) / 1e9
        if left_s <= 0:
            raise NotAnswered(Status.DEADLINE, f"the deadline passed {-left_s:.3f} s before the question arrived")
        return time.monotonic() + left_s

    @contextmanager
    def _my_turn(self, until_s: float) -> Iterator[None]:
        with self._changes:
            if self._waiting >= self.settings.max_waiting:
                raise NotAnswered(Status.OVERLOADED, f"{self._waiting} questions are in work or wait")
            self._waiting += 1
        try:
            if not self._turn.acquire(timeout=_left(until_s)):
                raise NotAnswered(Status.DEADLINE, "the deadline passed while others were answered")
            try:
                yield
            finally:
                self._turn.release()
        finally:
            with self._changes:
                self._waiting -= 1

    def _encoded_scene(self, configured: _Configured, until_s: float) -> EncodedScene:
        """Returns the scene to answer from; encodes the newest if the one that is encoded is too old."""
        newest, known = self._scene, configured.encoder.newest
        if newest is None:
            raise NotAnswered(Status.STALE_SCENE, "there is no scene yet")
        if (age_s := self._age_s(newest)) > self.settings.max_age_s:
            reason = f"the scene is {age_s:.1f} s old; expected at most {self.settings.max_age_s:g} s"
            raise NotAnswered(Status.STALE_SCENE, reason)
        if known is not None and self._is_good_enough(known, newest):
            return known
        try:
            return configured.encoder.start(newest).result(None if math.isinf(until_s) else _left(until_s))
        except TimeoutError:
            raise NotAnswered(Status.DEADLINE, "the deadline passed while the scene was encoded") from None

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

    @override
    def _forget_model(self) -> None:
        if self._configured is not None:
            self._configured.encoder.close()
        self._configured = None


def _left(until_s: float) -> float:
    """Returns the seconds until a time of the monotonic clock; -1, which means no limit to `acquire`, for infinity."""
    return -1 if math.isinf(until_s) else max(0.0, until_s - time.monotonic())
