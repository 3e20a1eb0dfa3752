"""The forecasting node on zenoh: tracked objects, odometry and a latched map in, forecasts and their status out.

zenoh's thread only puts messages into inputs; a thread of this process reads, forecasts and publishes.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch
from prometheus_client import Counter, Gauge, Histogram
from typing_extensions import override

from perception.errors import InputError
from perception.geometry import SE2
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.messages import READERS, predicted_objects_of, status_of
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.forecasting.tick import Tick
from perception_nodes.operations.diagnostics import ExcessMonitor, InputMonitor, Level, Status
from perception_nodes.operations.inputs import Input
from perception_nodes.operations.topic_process import STUCK_S, WAIT_S, TopicProcess
from perception_nodes.ros.cdr import write_predicted_objects
from perception_nodes.ros.map_message import map_of
from perception_nodes.ros.messages import (
    FORECAST_STATUS,
    ODOMETRY,
    POLYLINE_MAP,
    deserialize,
    serialize,
    stamp_ns_of,
)
from perception_nodes.ros.odometry import ego_pose_of
from perception_nodes.ros.poses import PoseHistory
from perception_nodes.ros.topics import Received, RosNode

_log = logging.getLogger(__name__)


class _Refused(InputError):
    """A tick is not answered; the message says why."""


@dataclass(frozen=True)
class _EgoPose:
    """The ego's pose, and the name of the frame that it is in."""

    city_SE2_ego: SE2
    frame_id: str


class ForecastingProcess(TopicProcess):
    """Runs a configured node between topics; activates it, and shuts it down when closed.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and tolerances.
    """

    def __init__(self, node: ForecastingNode, ros: RosNode, plan: ForecastPlan) -> None:
        super().__init__(ros)
        self._node = node
        self._ticks: Input[bytes] = Input("latest")
        self._maps: Input[bytes] = Input("latest")
        self._read, self._complaint, self._map_complaint = READERS[plan.objects_type], "", ""
        self._poses: PoseHistory[_EgoPose] = PoseHistory()
        self._reason = "no objects yet"
        self._time = ExcessMonitor("forecast: processing time, ms", plan.tolerance_ms)
        self._objects, self._map = plan.objects, plan.map
        self._rate = InputMonitor(f"forecast: {plan.objects}", warn_rate_hz=8.0, error_rate_hz=5.0, timeout_s=1.0)
        self._make_metrics()
        objects, ego, lanes = plan.inputs
        self._forecasts, self._status = map(ros.publisher, plan.outputs)
        node.activate()
        self._thread.start()
        ros.subscribe(lanes, lambda received: self._maps.put(received.cdr))
        ros.subscribe(ego, self._take_pose)
        ros.subscribe(objects, lambda received: self._ticks.put(received.cdr))

    @override
    def ready(self) -> str:
        """For /readyz: whether the last tick was answered, and how long ago it came."""
        silence = self._rate.status(time.monotonic())
        return self._reason or ("" if silence.message not in ("NotReceived", "Timeout") else silence.message)

    @override
    def close(self) -> None:
        """Answers the tick that is being computed, and ends."""
        self._closing = True
        self._ticks.close()
        self._maps.close()
        self._thread.join(STUCK_S)
        self._node.shutdown()

    @override
    def statuses(self) -> list[Status]:
        """Processing time, input rate, and what of the last objects and of the last map could not be used."""
        contents = [
            Status(Level.WARN if complaint else Level.OK, f"forecast: {topic}, contents", complaint or "OK")
            for topic, complaint in ((self._objects, self._complaint), (self._map, self._map_complaint))
        ]
        return [self._time.status(), self._rate.status(time.monotonic()), *contents]

    def _make_metrics(self) -> None:
        registry = self.registry
        buckets = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.2, 0.5)
        self._latency = Histogram("perception_latency_seconds", "Time of answers", registry=registry, buckets=buckets)
        self._answered = Counter("perception_frames_answered", "Valid answers", registry=registry)
        self._refused = Counter("perception_frames_refused", "Ticks without a valid answer", registry=registry)
        dropped = Gauge("perception_frames_dropped", "Ticks that a newer one replaced", registry=registry)
        dropped.set_function(lambda: float(self._ticks.dropped))

    def _take_pose(self, received: Received) -> None:
        odometry = deserialize(received.cdr, ODOMETRY)
        pose = _EgoPose(ego_pose_of(odometry), odometry.header.frame_id)
        self._poses.put(stamp_ns_of(odometry.header), pose)

    @override
    @torch.inference_mode()
    def _round(self) -> None:
        self._take_map()
        cdr = self._ticks.get(WAIT_S)
        if cdr is None:
            return
        self._rate.observe(time.monotonic())
        self._take_map()
        try:
            self._answer(cdr)
        except Exception as error:  # the next tick may be better; the log and /readyz say what was wrong with this one
            self._refused.inc()
            self._reason = f"{type(error).__name__}: {str(error)[:500]}"
            self.failures.add(self._objects, error)

    def _answer(self, cdr: bytes) -> None:
        objects = self._read(cdr)
        self._complain(objects.complaint)
        pose = self._poses.near(objects.stamp_ns)
        if pose is None:
            self._refuse("no ego pose within 0.1 s of the objects' stamp")
        elif objects.frame_id != pose.frame_id:
            theirs, egos = objects.frame_id[:80], pose.frame_id[:80]
            self._refuse(f"objects in frame {theirs!r}, ego pose in {egos!r}; send both in one")
        elif objects.complaint and not len(objects.unposed):
            self._refuse(objects.complaint)
        else:
            self._forecast(objects.at(pose.city_SE2_ego))

    def _forecast(self, tick: Tick) -> None:
        result = self._node.step(tick)
        self._time.observe(result.latency_ms)
        self._latency.observe(result.latency_ms / 1e3)
        self._status.put(serialize(status_of(result), FORECAST_STATUS))
        if not result.valid:
            self._refuse(result.reason)
            return
        self._publish(result)

    def _publish(self, result: ForecastResult) -> None:
        self._answered.inc()  # before publishing, so that whoever gets the forecast finds it counted
        self._reason = ""
        self._forecasts.put(write_predicted_objects(predicted_objects_of(result)))

    def _refuse(self, reason: str) -> None:
        self._refused.inc()
        if reason != self._reason:  # once, not at 10 Hz
            self.failures.add("no forecast", _Refused(reason))
        self._reason = reason

    def _complain(self, complaint: str) -> None:
        """Reports content that cannot be used: in the log once, in the diagnostics while it lasts."""
        if complaint and not self._complaint:
            _log.warning("%s: %s", self._objects, complaint)
        self._complaint = complaint

    def _take_map(self) -> None:
        cdr = self._maps.get(0)
        if cdr is None:
            return
        try:
            self._node.set_map(*map_of(deserialize(cdr, POLYLINE_MAP)))
            self._map_complaint = ""
            _log.info("took a map")
        except Exception as error:  # it is latched: if it ended the process, the next one would end like this
            self._map_complaint = f"the former map stays in use: {str(error)[:500]}"
            self.failures.add(self._map, error)
