"""The scene question node on zenoh: posed point clouds and questions in, answers out, on a topic and as a service.

zenoh's threads only hand messages over. One thread of our own maps the clouds; as many as questions may wait answer.
The scene is what the map holds when a question's turn comes, encoded once for all questions about that version.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from prometheus_client import Counter, Gauge, Histogram
from typing_extensions import override

from perception.errors import InputError
from perception.geometry import SE3
from perception.scenes.sample import MEAN_COLOR
from perception_nodes.operations.diagnostics import ExcessMonitor, InputMonitor
from perception_nodes.operations.diagnostics import Status as Health
from perception_nodes.operations.inputs import Input
from perception_nodes.operations.topic_process import WAIT_S, TopicProcess
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import (
    ODOMETRY,
    SCENE_ANSWER,
    SCENE_QUESTION,
    deserialize,
    serialize,
    stamp_ns_of,
)
from perception_nodes.ros.odometry import sensor_pose_of
from perception_nodes.ros.point_cloud import SensedCloud, read_point_cloud
from perception_nodes.ros.poses import PoseHistory
from perception_nodes.ros.topics import Received, RosNode
from perception_nodes.scene_qa.messages import asked_question_of, scene_answer_of
from perception_nodes.scene_qa.node import SceneQaNode
from perception_nodes.scene_qa.plan import SceneQaPlan
from perception_nodes.scene_qa.question import GivenAnswer, Status
from perception_nodes.scene_qa.scene_map import PosedCloud, SceneMap, SceneMapSettings, SceneSnapshot

MAX_QUESTION_BYTES = 64 * 2**10
"""Of a message; the node's limits on texts are far below."""
_STANDING = SE3(np.eye(3), np.zeros(3))
_DRAIN_S = 3.5

_log = logging.getLogger(__name__)

Reply = Callable[[bytes], None]


class SceneQaProcess(TopicProcess):
    """Runs a configured node between topics; activates it, and shuts it down when closed.

    Args:
        node: Configured.
        ros: Its place on zenoh.
        plan: Its topics and bounds.
        scan: The scene to answer about, encoded before the first question; without one it is mapped from clouds.

    Attributes:
        map: Of the clouds.
    """

    def __init__(self, node: SceneQaNode, ros: RosNode, plan: SceneQaPlan, scan: SceneSnapshot | None = None) -> None:
        super().__init__(ros)
        self.map = SceneMap(SceneMapSettings(voxel_m=plan.voxel_m))
        self._node, self._plan, self._scan = node, plan, scan
        self._clouds: Input[bytes] = Input("latest", size=4)
        self._poses: PoseHistory[tuple[str, SE3]] = PoseHistory()
        self._changed = threading.Condition()
        self._setting = threading.Lock()
        self._unanswered = 0
        self._reason, self._newest_ns, self._answered_version = "", 0, 0
        self._time = ExcessMonitor("scene question: time of an answer, ms", plan.tolerance_ms)
        self._rate = InputMonitor(f"scene question: {plan.clouds}", warn_rate_hz=1, error_rate_hz=0.2, timeout_s=5)
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
            ros.subscribe(ego, self._take_pose)
            ros.subscribe(clouds, lambda received: self._clouds.put(received.cdr))
        ros.subscribe(questions, self._take_question)
        ros.serve(service, self._take)

    @override
    def ready(self) -> str:
        """For /readyz: whether there is a scene to answer about."""
        if self._scan is not None:
            return ""
        if not len(self.map):
            return f"no scene yet: {self._reason or f'nothing came on {self._plan.clouds}'}"
        age_s = (time.time_ns() - self._newest_ns) / 1e9
        return f"the scene is {age_s:.1f} s old" if age_s > self._plan.max_age_s else ""

    @override
    def close(self) -> None:
        """Answers the questions that are here, turns later ones away, and ends; a second time does nothing."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.wait_for(lambda: not self._unanswered, _DRAIN_S)
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._clouds.close()
        self._thread.join(WAIT_S + 0.5)
        self._node.shutdown()

    @override
    def statuses(self) -> list[Health]:
        """What goes into the diagnostics."""
        rate = [] if self._scan else [self._rate.status(time.monotonic())]
        return [self._time.status(), *rate]

    def _make_metrics(self) -> None:
        registry, name = self.registry, "perception_scene_qa"
        buckets = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
        self._asked = Counter(f"{name}_questions", "By how they went", ["status"], registry=registry)
        self._latency = Histogram(
            f"{name}_latency_seconds",
            "Of answers, by whether one about that version was given before",
            ["scene"],
            registry=registry,
            buckets=buckets,
        )
        self._arrived = Counter(f"{name}_clouds", "By what became of them", ["arrival"], registry=registry)
        for gauge, text, value in (
            ("scenes_encoded", "Versions of the scene that were encoded", lambda: self._node.scenes_encoded),
            ("map_voxels", "In the map", lambda: len(self.map)),
            ("clouds_dropped", "Clouds that newer ones overtook", lambda: self._clouds.dropped),
            ("questions_unanswered", "In work or waiting", lambda: self._unanswered),
        ):
            Gauge(f"{name}_{gauge}", text, registry=registry).set_function(value)

    def _take_pose(self, received: Received) -> None:
        odometry = deserialize(received.cdr, ODOMETRY)
        self._poses.put(stamp_ns_of(odometry.header), (odometry.child_frame_id, sensor_pose_of(odometry)))

    @override
    def _round(self) -> None:
        cdr = self._clouds.get(WAIT_S)
        if cdr is None:
            return
        self._rate.observe(time.monotonic())
        try:
            reason = self._add(read_point_cloud(cdr))
        except Exception as error:  # the next cloud may be better; the log and /readyz say what this one had
            self._arrived.labels("malformed").inc()
            reason = f"{type(error).__name__}: {error}"
            if not isinstance(error, MalformedMessage):
                _log.exception("a cloud was lost")
        if reason and reason != self._reason:  # once, not at 10 Hz
            _log.warning("a cloud was left out: %s", reason)
        self._reason = reason

    def _add(self, cloud: SensedCloud) -> str:
        """Adds a cloud to the map, or says why not."""
        pose = self._pose_of(cloud)
        if pose is None:
            self._arrived.labels("no_pose").inc()
            return (
                f"its frame is {cloud.frame_id!r}; expected {self._plan.frame!r}, or the child frame of an "
                f"odometry on {self._plan.ego} within 0.1 s"
            )
        colors = cloud.colors
        if colors is None:
            colors = np.tile(
                np.rint(MEAN_COLOR).astype(np.uint8), (len(cloud.points), 1)
            )  # says nothing to the network
        arrival = self.map.add(PosedCloud(cloud.stamp_ns, pose, cloud.points, colors))
        self._arrived.labels(arrival.name.lower()).inc()
        if arrival.is_added:
            self._newest_ns = max(self._newest_ns, cloud.stamp_ns)
        return "" if arrival.is_added else arrival.value

    def _pose_of(self, cloud: SensedCloud) -> SE3 | None:
        """From the cloud's frame to the map's."""
        if cloud.frame_id == self._plan.frame:
            return _STANDING
        near = self._poses.near(cloud.stamp_ns, lambda pose: pose[0] == cloud.frame_id)
        return None if near is None else near[1]

    def _take_question(self, received: Received) -> None:
        self._take(received.cdr, self._answers.put)

    def _take(self, cdr: bytes, reply: Reply) -> None:
        """Hands a question to a worker, or turns it away where too many wait."""
        with self._changed:
            refusal = self._why_not()
            self._unanswered += not refusal
        if refusal:
            self._send(GivenAnswer(_id_in(cdr), Status.OVERLOADED, refusal), reply)
        else:
            self._workers.submit(self._work, cdr, time.time_ns(), reply)

    def _why_not(self) -> str:
        if self._closing:
            return "the node is stopping"
        if self._unanswered >= self._node.settings.max_waiting:
            return f"{self._unanswered} questions are in work or wait"
        return ""

    def _work(self, cdr: bytes, arrived_ns: int, reply: Reply) -> None:
        try:
            self._send(self._answer(cdr, arrived_ns), reply)
        except Exception:
            _log.exception("an answer was lost")
        finally:
            with self._changed:
                self._unanswered -= 1
                self._changed.notify_all()

    def _answer(self, cdr: bytes, arrived_ns: int) -> GivenAnswer:
        try:
            question = asked_question_of(_read_question(cdr), arrived_ns)
        except MalformedMessage as error:
            return GivenAnswer(_id_in(cdr), Status.ERROR, str(error))
        with self._setting:  # so that no older version is set after a newer one
            scene = self._scan or self.map.snapshot()
            if scene is not None:
                self._node.set_scene(scene)
        try:
            return self._node.answer(question)
        except InputError as error:  # not active any more
            return GivenAnswer(question.id, Status.ERROR, str(error))

    def _send(self, given: GivenAnswer, reply: Reply) -> None:
        self._asked.labels(given.status.name.lower()).inc()  # first, so that who has the answer finds it counted
        if given.scene_version:
            known = given.scene_version == self._answered_version
            self._answered_version = given.scene_version
            self._latency.labels("known" if known else "new").observe(given.latency_ms / 1e3)
            self._time.observe(given.latency_ms)
        reply(serialize(scene_answer_of(given, time.time_ns(), self._plan.frame), SCENE_ANSWER))


def _read_question(cdr: bytes) -> Any:
    """The message; a request of `AskScene` has the same bytes, since there is nothing else in it."""
    if len(cdr) > MAX_QUESTION_BYTES:
        raise MalformedMessage(f"a question of {len(cdr)} bytes; expected at most {MAX_QUESTION_BYTES}")
    return deserialize(cdr, SCENE_QUESTION)


def _id_in(cdr: bytes) -> str:
    """Of a question that is not answered; empty where it cannot be read."""
    try:
        return str(_read_question(cdr).question_id)
    except MalformedMessage:
        return ""
