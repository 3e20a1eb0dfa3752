"""The scene question node on zenoh: posed point clouds and questions in, answers out, on a topic and as a service.

zenoh's threads only hand messages over. One thread maps the clouds, and as many threads as questions may wait answer.
A question is about the map at the time of its turn; each version of the scene is encoded once for all its questions.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from typing_extensions import override

from perception.errors import InputError
from perception_nodes.operations.diagnostics import ExcessMonitor
from perception_nodes.operations.diagnostics import Status as Health
from perception_nodes.operations.topic_process import WAIT_S, TopicProcess
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import (
    SCENE_ANSWER,
    SCENE_QUESTION,
    deserialize,
    serialize,
)
from perception_nodes.ros.topics import Received, RosNode
from perception_nodes.scene_qa.mapping import CloudMapper
from perception_nodes.scene_qa.messages import asked_question_of, scene_answer_of
from perception_nodes.scene_qa.node import SceneQaNode
from perception_nodes.scene_qa.plan import SceneQaPlan
from perception_nodes.scene_qa.question import GivenAnswer, Status
from perception_nodes.scene_qa.scene_map import SceneSnapshot

STUCK_QUESTION_S = 60.0
"""A question that takes longer, its waiting for others and for the scene's encoding included, is stuck."""
_DRAIN_S = 3.5
"""Seconds to answer pending questions at the end."""

Reply = Callable[[bytes], None]


class SceneQaProcess(TopicProcess):
    """Runs a configured node between topics; activates it, and shuts it down when closed.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and bounds.
        scan: The scene to answer about, encoded before the first question. Without it the scene is mapped from clouds.

    Attributes:
        mapper: Maps the clouds.
    """

    def __init__(self, node: SceneQaNode, ros: RosNode, plan: SceneQaPlan, scan: SceneSnapshot | None = None) -> None:
        super().__init__(ros)
        self.mapper = CloudMapper(plan, self.registry, self.failures)
        self._node, self._plan, self._scan = node, plan, scan
        self._changed = threading.Condition()
        self._setting = threading.Lock()
        self._unanswered = 0
        self._begun_s: dict[int, float] = {}
        self._answered_version = 0
        self._time = ExcessMonitor("scene question: time of an answer, ms", plan.tolerance_ms)
        self._make_metrics()
        questions, *sensed = plan.inputs
        (self._answers,), (service,) = map(ros.publisher, plan.outputs), plan.services
        if scan is not None:
            node.set_scene(scan)
            node.encode()
        node.activate()
        self._workers = ThreadPoolExecutor(node.settings.max_waiting, "scene-questions")
        self._thread.start()
        if scan is None:
            clouds, ego = sensed
            ros.subscribe(ego, lambda received: self.mapper.take_pose(received.cdr))
            ros.subscribe(clouds, lambda received: self.mapper.take_cloud(received.cdr))
        ros.subscribe(questions, self._take_question)
        ros.serve(service, self._take)

    @override
    def live(self) -> str:
        """For /livez: why there is no progress, with clouds or with questions; empty while there is."""
        lasts_s = time.monotonic() - min(self._begun_s.copy().values(), default=math.inf)
        stuck = f"a question takes {lasts_s:.1f} s; expected at most {STUCK_QUESTION_S:g} s"
        return super().live() or (stuck if lasts_s > STUCK_QUESTION_S else "")

    @override
    def ready(self) -> str:
        """For /readyz: whether there is a scene to answer about."""
        return "" if self._scan is not None else self.mapper.ready()

    @override
    def close(self) -> None:
        """Answers the pending questions, refuses later ones, and ends; a second call does nothing."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.wait_for(lambda: not self._unanswered, _DRAIN_S)
        self._workers.shutdown(wait=False, cancel_futures=True)
        self.mapper.close()
        self._thread.join(WAIT_S + 0.5)
        self._node.shutdown()

    @override
    def statuses(self) -> list[Health]:
        """Time of an answer, and the rate of the clouds."""
        return [self._time.status(), *([] if self._scan else [self.mapper.status()])]

    def _make_metrics(self) -> None:
        registry, name = self.registry, "perception_scene_qa"
        buckets = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
        self._questions = Counter(f"{name}_questions", "Questions by outcome", ["status"], registry=registry)
        self._latency = Histogram(
            f"{name}_latency_seconds",
            "Time of answers, by whether one about that version was given before",
            ["scene"],
            registry=registry,
            buckets=buckets,
        )
        for gauge, text, value in (
            ("scenes_encoded", "Versions of the scene that were encoded", lambda: self._node.scenes_encoded),
            ("questions_unanswered", "Questions in work or waiting", lambda: self._unanswered),
        ):
            Gauge(f"{name}_{gauge}", text, registry=registry).set_function(value)

    @override
    def _round(self) -> None:
        self.mapper.map_next(WAIT_S)

    def _take_question(self, received: Received) -> None:
        self._take(received.cdr, self._answers.put)

    def _take(self, cdr: bytes, reply: Reply) -> None:
        """Hands a question to a worker, or refuses it if too many wait."""
        with self._changed:
            refusal = self._refusal()
            self._unanswered += not refusal
        if refusal:
            self._send(GivenAnswer(_id_in(cdr), Status.OVERLOADED, refusal), reply)
        else:
            self._workers.submit(self._work, cdr, time.time_ns(), reply)

    def _refusal(self) -> str:
        """Returns why a question is refused; empty if it is not."""
        if self._closing:
            return "the node is stopping"
        if self._unanswered >= self._node.settings.max_waiting:
            return f"{self._unanswered} questions are in work or wait"
        return ""

    def _work(self, cdr: bytes, arrived_ns: int, reply: Reply) -> None:
        self._begun_s[threading.get_ident()] = time.monotonic()
        try:
            try:
                given = self._answer(cdr, arrived_ns)
            except Exception as error:
                self.failures.add(self._plan.questions, error)
                given = GivenAnswer(_id_in(cdr), Status.ERROR, "the node failed at this question; look at its log")
            self._send(given, reply)
        except Exception as error:
            self.failures.add(self._plan.answers, error)
        finally:
            del self._begun_s[threading.get_ident()]
            with self._changed:
                self._unanswered -= 1
                self._changed.notify_all()

    def _answer(self, cdr: bytes, arrived_ns: int) -> GivenAnswer:
        try:
            question = asked_question_of(_read_question(cdr), arrived_ns)
        except MalformedMessage as error:
            return GivenAnswer(_id_in(cdr), Status.ERROR, str(error))
        with self._setting:  # so that no older version is set after a newer one
            scene = self._scan or self.mapper.map.snapshot()
            if scene is not None:
                self._node.set_scene(scene)
        try:
            return self._node.answer(question)
        except InputError as error:  # not active any more
            return GivenAnswer(question.id, Status.ERROR, str(error))

    def _send(self, given: GivenAnswer, reply: Reply) -> None:
        self._questions.labels(given.status.name.lower()).inc()  # before the reply, so that it is counted then
        if given.scene_version:
            known = given.scene_version == self._answered_version
            self._answered_version = given.scene_version
            self._latency.labels("known" if known else "new").observe(given.latency_ms / 1e3)
            self._time.observe(given.latency_ms)
        reply(serialize(scene_answer_of(given, time.time_ns(), self._plan.frame), SCENE_ANSWER))


def _read_question(cdr: bytes) -> Any:
    """Returns the message; a request of `AskScene`, which has no other field, has the same bytes."""
    return deserialize(cdr, SCENE_QUESTION)


def _id_in(cdr: bytes) -> str:
    """Returns the id of a question that is not answered; empty if it cannot be read."""
    try:
        return str(_read_question(cdr).question_id)
    except MalformedMessage:
        return ""
