"""A node that answers each message of one sensor: the newest first, in bounded memory, with a status for each.

A kind of node says how a message is answered; everything else is here. While the node computes, a newer message
replaces the one that waits. Whatever is in a message, the next one is answered.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from dataclasses import dataclass, replace

from prometheus_client import Gauge
from typing_extensions import override

from perception_nodes.operations.account import MODEL, NONE, AccountWords, TickAccount
from perception_nodes.operations.diagnostics import ExcessMonitor, InputMonitor, Status
from perception_nodes.operations.inputs import Input
from perception_nodes.operations.reasons import (
    OTHER,
    WORD_BY_BEGINNING,
    MissingInput,
    reason_of_message,
    word_of,
)
from perception_nodes.operations.sensor_plan import SensorPlan
from perception_nodes.operations.topic_process import STUCK_S, WAIT_S, TopicProcess
from perception_nodes.ros.clock import StampLimits, StreamClock
from perception_nodes.ros.message_header import NO_HEADER, MessageHeader, read_header
from perception_nodes.ros.messages import ANSWER_STATUS, header, make, serialize
from perception_nodes.ros.topics import Received, RosNode

SILENT = "no messages"
_LONGEST_REASON = 500


@dataclass(frozen=True)
class SensorMessage:
    """A message of the sensor.

    Attributes:
        cdr: Its bytes.
        at_s: When it came, on the monotonic clock.
        now_ns: When it came, on the clock of the stamps.
        header: Its header, once that was read.
    """

    cdr: bytes
    at_s: float
    now_ns: int
    header: MessageHeader = NO_HEADER


class SensorProcess(TopicProcess):
    """Runs such a node between topics until it is closed.

    A kind extends it, and calls `_start` when it can answer.

    Args:
        ros: Its ROS node on zenoh.
        plan: Its topics and limits.
        name: What it does, such as `image`, for diagnostics and the log.
        model_id: Name of the model, which every status has.
        waiting: Number of messages that may wait; the newest replaces the oldest. A kind that needs every message gives
            more than one: then they are taken at once, and the plan's rate bounds the answers alone.
    """

    def __init__(self, ros: RosNode, plan: SensorPlan, name: str, model_id: str, waiting: int = 1) -> None:
        super().__init__(ros)
        self._plan, self._name, self._model_id = plan, ros.name, model_id
        self._inbox: Input[SensorMessage] = Input("latest", waiting)
        self._takes_all = waiting > 1
        self._clock = StreamClock(simulated=plan.use_sim_time)
        self._limits = StampLimits(plan.max_ahead_s, plan.max_age_s)
        self._time = ExcessMonitor(f"{name}: processing time, ms", plan.tolerance_ms)
        self._rate = InputMonitor(f"{name}: {plan.sensor.name}", 0.0, 0.0, plan.max_silence_s)
        words = AccountWords(
            name=name,
            causes=tuple(dict.fromkeys((*WORD_BY_BEGINNING.values(), OTHER))),
            cause_of=lambda reason: "silent" if reason.startswith(SILENT) else word_of(reason),
            waiting=f"{SILENT} yet",
            window_s=plan.messages_per_answer * plan.max_silence_s + 1.0 / plan.max_rate_hz,
        )
        self._account = TickAccount(self.registry, self.failures, words)
        self._ending = threading.Event()
        self._due_s = 0.0
        self._status_s = self._heard_s = time.monotonic()
        self._refused = self._dropped_before = 0
        replaced = Gauge("perception_frames_dropped", "Messages that a newer one replaced", registry=self.registry)
        replaced.set_function(lambda: float(self._inbox.dropped))
        self._answers, self._statuses = map(ros.publisher, plan.outputs)

    @abstractmethod
    def _answer(self, message: SensorMessage) -> bytes | bytearray | None:
        """Returns the CDR of the answer to a message; what it raises is the reason why there is none.

        None says that the message was taken and is not to be answered, which has no status.
        """

    @override
    def ready(self) -> str:
        """For /readyz: why the last message was not answered, or none comes; empty if all is well."""
        silence = self._rate.status(time.monotonic()).message
        if silence == "NotReceived":
            return f"{SILENT} yet"
        return self._account.reason or (silence if silence == "Timeout" else "")

    @override
    def close(self) -> None:
        """Answers the message that has come, and ends."""
        self._closing = True
        self._ending.set()
        self._inbox.close()
        self._thread.join(STUCK_S)

    @override
    def statuses(self) -> list[Status]:
        """Answers, processing time, and whether the sensor says anything."""
        return [self._account.status(), self._time.status(), self._rate.status(time.monotonic())]

    def _start(self, ros: RosNode) -> None:
        """Begins to answer."""
        self._thread.start()
        if self._plan.use_sim_time:
            *_, clock = self._plan.inputs
            ros.subscribe(clock, lambda received: self._clock.take(received.cdr))
        ros.subscribe(self._plan.sensor, self._take)

    def _take(self, received: Received) -> None:
        self._heard_s = time.monotonic()
        self._rate.observe(self._heard_s)
        self._inbox.put(SensorMessage(received.cdr, self._heard_s, self._clock.now_ns()))

    @override
    def _round(self) -> None:
        early_s = 0.0 if self._takes_all else self._early_s()
        message = None
        if early_s > 0:
            self._ending.wait(min(early_s, WAIT_S))
        if early_s <= WAIT_S:
            message = self._inbox.get(WAIT_S)
        if message is not None:
            self._reply(message)
        elif not self._closing and time.monotonic() - max(self._status_s, self._heard_s) >= WAIT_S:
            self._say_silence()

    def _early_s(self) -> float:
        """Returns the seconds until the next answer may be given; below 0 it may."""
        return self._due_s - time.monotonic()

    def _reply(self, message: SensorMessage) -> None:
        """Answers a message, or says why not."""
        begin_s, answer, reason = time.monotonic(), b"", ""
        try:
            message = replace(message, header=read_header(message.cdr))
            reason = self._limits.refusal(message.header.stamp_ns, message.now_ns)
            answer = b"" if reason else self._answer(message)
        except Exception as error:  # whatever it is, the next message may be better
            reason = reason_of_message(error)
            if not isinstance(error, MissingInput):
                self.failures.add(self._plan.sensor.name, error)
        if answer is None:
            return
        self._due_s = begin_s + 1.0 / self._plan.max_rate_hz
        latency_ms = (time.monotonic() - message.at_s) * 1e3
        self._time.observe(latency_ms)
        self._account.observe(NONE if reason else MODEL, reason, None if reason else latency_ms)
        if not reason:
            self._answers.put(answer)
        self._send_status(message.header, reason, message.at_s)
        self._refused += bool(reason)

    def _say_silence(self) -> None:
        """Says that no messages come, so that nobody takes silence for a node that has ended."""
        silent_s = time.monotonic() - self._heard_s
        reason = f"{SILENT} for {silent_s:.1f} s"
        if silent_s > self._plan.max_silence_s:
            self._account.silent(reason)
        now_ns = self._clock.now_ns()
        self._send_status(MessageHeader(max(now_ns, 0), ""), reason, time.monotonic())

    def _send_status(self, sensed: MessageHeader, reason: str, at_s: float) -> None:
        now_s = self._status_s = time.monotonic()
        dropped = self._inbox.dropped
        missed = dropped - self._dropped_before + self._refused
        if not reason:
            self._dropped_before, self._refused = dropped, 0
        status = make(
            ANSWER_STATUS,
            header=header(sensed.stamp_ns, sensed.frame_id),
            node=self._name,
            model_id=self._model_id,
            valid=not reason,
            source=NONE if reason else MODEL,
            reason=reason[:_LONGEST_REASON],
            latency_ms=(now_s - at_s) * 1e3,
            age_ms=(self._clock.now_ns() - sensed.stamp_ns) / 1e6 if sensed.stamp_ns else 0.0,
            dropped_since_last=missed,
        )
        self._statuses.put(serialize(status, ANSWER_STATUS))
