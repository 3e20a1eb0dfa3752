"""What a deployment's faults cost a planner: processes are killed or held up while every tick is accounted for.

The bench is the robot's tracker and its planner: it sends ticks in real time, and notes for each which forecasts and
statuses came, from whom, and when.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perception_nodes.forecasting.causes import LATE
from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.ros.cdr import read_predicted_objects, write_tracked_objects
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import (
    FORECAST_STATUS,
    ODOMETRY,
    POLYLINE_MAP,
    PREDICTED_OBJECTS,
    deserialize,
    serialize,
    stamp_ns_of,
    topic_of,
)
from perception_nodes.ros.topics import RosNode, open_session
from perception_nodes.ros.wire import LATCHED, RmwZenoh
from perception_tools.forecasting.bench.live import NODE, PERIOD_S, SPARE, TRACKER
from perception_tools.forecasting.bench.node_timing import endless
from perception_tools.forecasting.bench.tick_fates import TickFate
from perception_tools.forecasting.streaming.drive import Drive


class Planner:
    """Sends a drive's ticks every 100 ms from a thread of its own, and keeps the account.

    Args:
        ros: Its ROS node.
        plan: The node's topics.
        drive: What is sent, again and again.
    """

    def __init__(self, ros: RosNode, plan: ForecastPlan, drive: Drive) -> None:
        self.fates: dict[int, TickFate] = {}
        self.heard_s: list[tuple[float, str, str]] = []
        self._ego = ros.publisher(topic_of(plan.ego, ODOMETRY))
        self._objects = ros.publisher(topic_of(plan.objects, plan.objects_type))
        self._map = ros.publisher(topic_of(plan.map, POLYLINE_MAP, LATCHED))
        self._map.put(serialize(map_message(drive.lanes, drive.city), POLYLINE_MAP))
        ros.subscribe(topic_of(plan.forecasts, PREDICTED_OBJECTS), lambda received: self._take_forecast(received.cdr))
        ros.subscribe(topic_of(plan.status, FORECAST_STATUS), lambda received: self._take_status(received.cdr))
        self._drive, self._stopped = drive, threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sends no more."""
        self._stopped.set()
        self._thread.join()

    def wait_for(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Waits until something holds, or for some time in vain; returns whether it does."""
        end = time.monotonic() + seconds
        while not holds() and time.monotonic() < end:
            time.sleep(0.01)
        return holds()

    def _send(self) -> None:
        late_ns = time.time_ns() - self._drive.frames[0].stamp_ns
        due_s = time.monotonic()
        for frame in endless(self._drive.frames):
            if self._stopped.wait(max(0.0, due_s - time.monotonic())):
                return
            due_s += PERIOD_S
            tick = replace(frame, stamp_ns=frame.stamp_ns + late_ns)
            pose = serialize(odometry_of(tick), ODOMETRY)
            objects = write_tracked_objects(tracked_objects_of(tick, np.zeros((len(tick), 2))))
            self.fates[tick.stamp_ns] = TickFate(time.monotonic())
            self._ego.put(pose)
            self._objects.put(objects)

    def _take_forecast(self, cdr: bytes) -> None:
        now_s, fate = time.monotonic(), self.fates.get(read_predicted_objects(cdr).stamp_ns)
        if fate is not None:
            fate.answered_s.append(now_s)

    def _take_status(self, cdr: bytes) -> None:
        state: Any = deserialize(cdr, FORECAST_STATUS)
        self.heard_s.append((time.monotonic(), state.node, state.source))
        fate = self.fates.get(stamp_ns_of(state.header))
        if fate is not None and not state.valid:
            fate.refusals.append(f"{state.node}: {state.reason}")
        if fate is not None and state.valid:
            fate.sources.append((state.source, state.node))
            if state.reason.startswith(LATE):
                fate.late_ms = state.latency_ms


@contextmanager
def planner(place: str, plan: ForecastPlan, drive: Drive) -> Iterator[Planner]:
    """A planner of a deployment whose router is at a place."""
    with open_session([place]) as session, RosNode(session, RmwZenoh(node=TRACKER)) as ros:
        one = Planner(ros, plan, drive)
        try:
            yield one
        finally:
            one.close()


class Faults:
    """Kills and holds up the processes of a supervisor.

    Args:
        supervisor: Its process id.
        log: File of what its processes print.
        seed: Seed of the order of random faults.

    Attributes:
        struck: When each fault happened, on the monotonic clock, and its kind.
    """

    KINDS = (
        "block worker killed",
        "all block workers killed",
        "block workers held up for 1 s",
        "node killed",
        "standby killed",
    )

    def __init__(self, supervisor: int, log: Path, seed: int = 0) -> None:
        self._supervisor, self._log, self._random = supervisor, log, random.Random(seed)
        self._starts = {NODE: 1, SPARE: 1}
        self.struck: list[tuple[float, str]] = []

    def strike(self, kind: str) -> float:
        """Does one of `KINDS`; returns when, on the monotonic clock."""
        blocks = self.pids("serve", "block")
        if kind == "block worker killed":
            _signal(blocks[:1], signal.SIGKILL)
        elif kind == "all block workers killed":
            _signal(blocks, signal.SIGKILL)
        elif kind == "block workers held up for 1 s":
            _signal(blocks, signal.SIGSTOP)
            threading.Timer(1.0, _signal, (blocks, signal.SIGCONT)).start()
        else:
            node = NODE if kind == "node killed" else SPARE
            self._starts[node] += 1
            _signal(self.pids("--name", node), signal.SIGKILL)
        self.struck.append((time.monotonic(), kind))
        return self.struck[-1][0]

    def redundant(self) -> bool:
        """Whether both nodes are ready again: a second fault before that is more than a standby can bear."""
        said = self._log.read_text()
        return all(said.count(f'{{"node": "{node}"') >= count for node, count in self._starts.items())

    def any(self) -> str:
        """Returns the kind of the next random fault."""
        return self._random.choice(self.KINDS)

    def fraction(self) -> float:
        """Returns a random number from 0 to 1."""
        return self._random.random()

    def pids(self, *words: str) -> list[int]:
        """Returns the processes that have some words one after another in their command."""
        children = Path(f"/proc/{self._supervisor}/task/{self._supervisor}/children").read_text().split()
        return sorted(int(pid) for pid in children if "\0".join(words) + "\0" in _command(pid))


def _command(pid: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
