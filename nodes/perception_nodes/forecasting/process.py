"""The forecasting node on zenoh: tracked objects, poses and a latched map in, forecasts and their status out.

zenoh's threads only put messages into inputs. A thread of this process reads, extrapolates and publishes, and another
one runs the model: what it has not answered by the deadline goes out without it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from prometheus_client import Gauge
from typing_extensions import override

from perception.traffic.map_index import MapIndex
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.causes import NO_OBJECTS, SILENT, WORDS
from perception_nodes.forecasting.deadline import DeadlineAnswers, KeptTick
from perception_nodes.forecasting.frames import MapFrame
from perception_nodes.forecasting.messages import READERS, SensedObjects, status_of
from perception_nodes.forecasting.model_runner import ForecastRunner
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.forecasting.self_score import SelfScore
from perception_nodes.forecasting.standby import PeerWatch
from perception_nodes.operations.account import TickAccount
from perception_nodes.operations.diagnostics import ExcessMonitor, InputMonitor, Level, Status
from perception_nodes.operations.inputs import Input
from perception_nodes.operations.reasons import CONTENT
from perception_nodes.operations.scheduling import run_first
from perception_nodes.operations.topic_process import STUCK_S, TopicProcess
from perception_nodes.ros.clock import StampLimits, StreamClock
from perception_nodes.ros.map_message import map_of
from perception_nodes.ros.messages import FORECAST_STATUS, POLYLINE_MAP, deserialize, serialize
from perception_nodes.ros.topics import Received, RosNode
from perception_nodes.ros.transforms import NoTransform

WAITING_TICKS = 32
"""Maximum number of ticks that wait. Each is answered by its own deadline, so more than one waits only in a flood, or
after the process was held up: with 8, ticks of a machine that was busy for a second were lost without a word."""
MOST_TICK_BYTES = 8 * 2**20
"""A larger message is cut to this size while it waits, and then refused; 4,096 objects take 5 MB."""
STATUS_EVERY_S = 0.2
"""While no objects come, a status says so this often; the rest until 0.25 s is for a busy machine."""
SILENCE_S = 0.15
"""Ticks that are so far apart are not missed yet."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Arrived:
    """A message, and when it came, on the monotonic clock and on that of the stamps."""

    cdr: bytes
    at_s: float
    now_ns: int


class ForecastingProcess(TopicProcess):
    """Runs a configured node between topics; activates it, and shuts it down when closed.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and limits.
        clock: The clock of the stamps; the node's own.
        load: Gives the node its model, in a thread of its own; None if it has it.
    """

    def __init__(
        self,
        node: ForecastingNode,
        ros: RosNode,
        plan: ForecastPlan,
        *,
        clock: StreamClock | None = None,
        load: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(ros)
        self._node, self._plan, self._name = node, plan, ros.name
        self._ticks: Input[_Arrived] = Input("latest", size=WAITING_TICKS)
        self._clock = clock or StreamClock(simulated=plan.use_sim_time)
        self._limits = StampLimits(plan.max_ahead_s, plan.max_age_s)
        self._frames = MapFrame()
        self._runner = ForecastRunner(node.ask, load)
        self._answers = DeadlineAnswers(node, self._runner, plan.deadline_ms)
        self._watch = PeerWatch(ros.name, plan.standby_of, plan.silence_s)
        self._kept: deque[KeptTick] = deque(maxlen=WAITING_TICKS)
        self._read, self._complaint, self._map_complaint = READERS[plan.objects_type], "", ""
        self._time = ExcessMonitor("forecast: processing time, ms", plan.tolerance_ms)
        self._rate = InputMonitor(f"forecast: {plan.objects}", warn_rate_hz=8.0, error_rate_hz=5.0, timeout_s=1.0)
        self._account = TickAccount(self.registry, self.failures, WORDS)
        self._score = SelfScore(registry=self.registry)
        self._tick_s = self._status_s = time.monotonic()
        self._make_gauges()
        self._forecasts, self._status = map(ros.publisher, plan.outputs)
        node.activate()
        if plan.map_file is not None:
            read = partial(_read_map_file, plan.map_file)
            self._runner.do(lambda: self._use_map(read))
        self._thread.start()
        self._subscribe(ros)
        self._runner.start()  # last, since it takes the processor from the first answer

    @override
    def live(self) -> str:
        """For /livez: why there is no progress, with ticks or with the model; empty while there is."""
        return super().live() or self._runner.stuck()

    @override
    def ready(self) -> str:
        """For /readyz: why the model does not answer, or the last tick was not answered; empty if all is well."""
        if self._runner.missing or self._passive:
            return self._runner.missing
        silence = self._rate.status(time.monotonic()).message
        if silence == "NotReceived":
            return "no objects yet"
        return self._account.reason or (silence if silence == "Timeout" else "")

    @override
    def close(self) -> None:
        """Answers the tick that has come, and ends."""
        self._closing = True
        self._ticks.close()
        self._thread.join(STUCK_S)
        self._runner.close()
        self._node.shutdown()

    @override
    def statuses(self) -> list[Status]:
        """Answers, processing time, input rate, and what of the last objects and of the last map cannot be used."""
        contents = [
            Status(Level.WARN if complaint else Level.OK, f"forecast: {topic}, contents", complaint or "OK")
            for topic, complaint in ((self._plan.objects, self._complaint), (self._plan.map, self._map_complaint))
        ]
        other = self._plan.standby_of or "a standby"
        passive = Status(Level.OK, "forecast: answers", f"follows {other}, which answers")
        answers = passive if self._passive else self._account.status()
        scores = [] if self._passive else self._score.statuses()
        return [answers, self._time.status(), self._rate.status(time.monotonic()), *contents, *scores]

    @property
    def _passive(self) -> bool:
        """Whether another node answers."""
        return self._watch.left_s(has_model=not self._runner.missing) > 0

    def _make_gauges(self) -> None:
        dropped = Gauge("perception_frames_dropped", "Ticks that a newer one replaced", registry=self.registry)
        dropped.set_function(lambda: float(self._ticks.dropped))
        late = Gauge("perception_model_answers_late", "Answers that came after the deadline", registry=self.registry)
        late.set_function(lambda: float(self._runner.late))

    def _subscribe(self, ros: RosNode) -> None:
        plan = self._plan
        takers: dict[str, Callable[[bytes], None]] = {
            plan.objects: self._take_objects,
            plan.ego: self._frames.take_odometry,
            plan.map: lambda cdr: self._runner.do(lambda: self._take_map(cdr)),
            "/tf": self._frames.take_tf,
            "/tf_static": self._frames.take_tf_static,
            "/clock": self._clock.take,
            plan.status: self._watch.take,
        }
        for topic in reversed(plan.inputs):  # the objects last, which need the others

            def take(received: Received, name: str = topic.name) -> None:
                takers[name](received.cdr)

            ros.subscribe(topic, take)

    def _take_objects(self, cdr: bytes) -> None:
        self._ticks.put(_Arrived(cdr[:MOST_TICK_BYTES], time.monotonic(), self._clock.now_ns()))

    @override
    def _run(self) -> None:
        refusal = run_first()
        if refusal:
            _log.info("%s: answers may be late on a busy machine: %s", self._name, refusal)
        super()._run()

    @override
    def _round(self) -> None:
        arrived = self._ticks.get(self._wait_s())
        if arrived is not None:
            self._tick_s = arrived.at_s
            self._rate.observe(arrived.at_s)
            self._answer(arrived)
        elif self._kept and not self._passive:
            self._take_over()
        elif not self._closing and time.monotonic() - max(self._status_s, self._tick_s) >= SILENCE_S:
            self._say_silence()

    def _wait_s(self) -> float:
        """Returns how long to wait for objects until something else is due."""
        left_s = self._watch.left_s(has_model=not self._runner.missing)
        due_s = left_s if left_s > 0 else self._status_s + STATUS_EVERY_S - time.monotonic()
        return min(STATUS_EVERY_S, max(0.001, due_s))

    def _answer(self, arrived: _Arrived) -> None:
        """Answers a tick, or says why it is not; whatever is in it, the next one may be better."""
        stamp_ns = 0
        try:
            sensed = self._read(arrived.cdr)
            stamp_ns = sensed.stamp_ns
            self._complain(sensed.complaint)
            refusal = self._limits.refusal(stamp_ns, arrived.now_ns)  # what waited here is not old for it
            if not refusal and sensed.complaint and not len(sensed.unposed):
                refusal = f"{CONTENT}: {sensed.complaint}"
            if refusal:
                self._refuse(stamp_ns, refusal, arrived.at_s)
            else:
                self._forecast(sensed, arrived.at_s)
        except NoTransform as error:
            self._refuse(stamp_ns, str(error), arrived.at_s)
        except Exception as error:
            self.failures.add(self._plan.objects, error)
            self._refuse(stamp_ns, f"{CONTENT}: {type(error).__name__}: {str(error)[:400]}", arrived.at_s)

    def _forecast(self, sensed: SensedObjects, at_s: float) -> None:
        placed = self._frames.place(sensed)
        pending = self._node.receive(placed.tick)
        if pending.usable and (why_not := self._runner.missing or placed.no_pose):
            pending = replace(pending, reason=why_not, question=None)
        kept = KeptTick(pending, placed.frame_id, at_s)
        if self._passive:
            if pending.usable:
                self._kept.append(kept)
            self._node.finish(pending)  # it counts the ticks
            return
        self._take_over()
        self._reply(kept, self._deadline_s(kept))

    def _take_over(self) -> None:
        """Answers the last ticks in place of the other node, which has fallen silent; with the model if still due."""
        missed = [kept for kept in self._kept if not self._watch.has_answered(kept.pending.stamp_ns)]
        self._kept.clear()
        for kept in missed:
            until_s = self._deadline_s(kept)
            if until_s <= time.monotonic():
                kept = replace(kept, pending=replace(kept.pending, question=None, reason=SILENT))
            self._reply(kept, until_s)

    def _deadline_s(self, kept: KeptTick) -> float:
        """By when a tick is answered, on the monotonic clock, whichever node does it."""
        return kept.at_s + self._plan.deadline_ms / 1e3

    def _reply(self, kept: KeptTick, until_s: float) -> None:
        """Answers a tick by a time at the latest, then sends its status, which knows when that was."""
        answer = self._answers.answer(kept, until_s)
        result, latency_ms = answer.result, (time.monotonic() - kept.at_s) * 1e3
        self._time.observe(latency_ms)
        self._account.observe(result.source, result.reason, latency_ms if result.valid else None)
        if result.valid:
            self._forecasts.put(answer.cdr)
        self._send_status(result, kept.frame_id, kept.at_s)
        try:
            self._score.observe(result)  # after both, since nobody waits for it
        except Exception as error:  # the tick is answered: what its score fails at must not refuse it
            self.failures.add("forecast: self-score", error)

    def _refuse(self, stamp_ns: int, reason: str, at_s: float) -> None:
        """Says why a tick has no answer."""
        if self._passive:
            return
        self._account.observe("none", reason)
        self._send_status(self._node.no_answer(stamp_ns, reason), self._frames.name, at_s)

    def _say_silence(self) -> None:
        """Says that no objects come, so that nobody takes silence for a node that has ended."""
        now_s = time.monotonic()
        reason = f"{NO_OBJECTS} for {now_s - self._tick_s:.1f} s"
        if self._runner.missing:  # a standby that has a model goes on
            reason = f"{reason}; {self._runner.missing}"
        self._status_s = now_s
        if self._passive:
            return
        self._account.silent(reason)
        self._send_status(self._node.no_answer(self._clock.now_ns(), reason), self._frames.name, now_s)

    def _send_status(self, result: ForecastResult, frame_id: str, at_s: float) -> None:
        now_s = self._status_s = time.monotonic()
        age_ms = (self._clock.now_ns() - result.stamp_ns) / 1e6 if result.stamp_ns else 0.0
        timed = replace(result, latency_ms=(now_s - at_s) * 1e3, age_ms=age_ms)
        self._status.put(serialize(status_of(timed, frame_id=frame_id, node=self._name), FORECAST_STATUS))

    def _complain(self, complaint: str) -> None:
        """Reports content that cannot be used: in the log once, in the diagnostics while it lasts."""
        if complaint and not self._complaint:
            _log.warning("%s: %s", self._plan.objects, complaint)
        self._complaint = complaint

    def _take_map(self, cdr: bytes) -> None:
        """Runs in the model's thread, since the encoder computes on the map."""

        def read() -> tuple[MapIndex, str]:
            message = deserialize(cdr, POLYLINE_MAP)
            found = map_of(message)
            self._frames.take_map_frame(message.header.frame_id)
            return found

        self._use_map(read)

    def _use_map(self, read: Callable[[], tuple[MapIndex, str]]) -> None:
        """Gives the node a map; whatever is wrong with it, the former one stays."""
        try:
            self._node.set_map(*read())
            self._map_complaint = ""
            _log.info("took a map")
        except Exception as error:  # it is latched: if it ended the process, the next one would end like this
            self._map_complaint = f"the former map stays in use: {str(error)[:500]}"
            self.failures.add(self._plan.map, error)


def _read_map_file(file: Path) -> tuple[MapIndex, str]:
    """Reads a map; imports what reads recordings only then, since that takes half a second and a first answer less."""
    from perception_nodes.recordings.map_file import read_map_file

    return read_map_file(file)
