"""A whole deployment in real time: router, block worker and node as processes, asked on topics at 10 Hz.

The bench is the robot's tracker: it sends what a drive's tracker saw, and takes the time until the forecasts arrive.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.frozen.folded import can_fold
from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.operations.deployment import Deployment, read_deployment
from perception_nodes.ros.cdr import read_predicted_objects, write_tracked_objects
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import ODOMETRY, POLYLINE_MAP, PREDICTED_OBJECTS, serialize, topic_of
from perception_nodes.ros.topics import NoRouter, RosNode, open_secure_session, open_session
from perception_nodes.ros.wire import LATCHED, RmwZenoh
from perception_tools.folding import write_pipelines
from perception_tools.forecasting.bench.node_timing import endless
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.forecasting.streaming.drive import Drive
from perception_tools.forecasting.streaming.playback import percentiles

PERIOD_S = 0.1
READY_S = 120
ANSWER_S = 5.0
"""A forecast that has not come so long after its frame is lost."""
LOG = "processes.log"
NODE, SPARE, TRACKER = "forecast", "spare", "tracker"


@dataclass
class LiveTimes:
    """What a deployment did.

    Attributes:
        sent: Frames.
        latency_ms: From a frame's sending to its forecasts' arrival, by stamp.
        cpu_share: Share of one core, by process.
    """

    sent: int = 0
    latency_ms: dict[int, float] = field(default_factory=dict)
    cpu_share: dict[str, float] = field(default_factory=dict)

    def summary(self) -> dict:
        """For JSON."""
        wall = percentiles(np.array(list(self.latency_ms.values()) or [np.nan]))
        return {
            "frames": self.sent,
            "lost": self.sent - len(self.latency_ms),
            "wall_ms": wall,
            "cpu_share": self.cpu_share,
        }


def run_live(checkpoint: Path, drive: Drive, folder: Path, *, seconds: float, secure: bool) -> LiveTimes:
    """Starts a deployment, drives through it in real time, and stops it.

    Args:
        checkpoint: A run's folder; its block, if it has one, is served by a process of its own in int8_dynamic.
        drive: Repeated as often as needed.
        folder: For the deployment's files.
        seconds: Seconds of the drive that are timed, after the node's history is whole.
        secure: With certificates, over mTLS.

    Raises:
        InputError: The deployment does not become ready.
    """
    trained = load_model(checkpoint)
    deployment = write_deployment(trained, checkpoint, folder, secure=secure)
    plan = read_deployment(deployment)
    with deployment_up(deployment) as process, _tracker(plan, drive) as tracker:
        tracker.drive_until_answered(process)
        tracker.drive(trained.training.history_steps)
        tracker.times = LiveTimes()
        before = _cpu_seconds(process.pid)
        tracker.drive(round(seconds / PERIOD_S))
        spent = _cpu_seconds(process.pid)
        end = time.monotonic() + ANSWER_S
        while len(tracker.times.latency_ms) < tracker.times.sent and time.monotonic() < end:
            time.sleep(0.01)
    tracker.times.cpu_share = {name: (spent[name] - before.get(name, 0)) / seconds for name in spent}
    return tracker.times


def write_deployment(
    trained: TrainedForecaster,
    checkpoint: Path,
    folder: Path,
    *,
    secure: bool = False,
    workers: int = 1,
    spare: bool = False,
) -> Path:
    """Writes a deployment of a model, and the folded block that it serves.

    Args:
        trained: The model.
        checkpoint: Its run's folder or file.
        folder: Folder of the deployment's files.
        secure: With certificates.
        workers: Number of the block's processes.
        spare: With a standby, `SPARE`.
    """
    node = f"checkpoint: {checkpoint.resolve()}"
    lines = [f"router: {{listen: {'tls' if secure else 'tcp'}/127.0.0.1:{free_port()}}}"]
    if can_fold(trained.model.block):
        name = trained.name
        write_pipelines(trained.model.block, name, folder / "folded", ["int8_dynamic"])
        lines.append(f"service: {{folder: folded/int8_dynamic, workers: {workers}}}")
        node += f", block: {name.replace('/', '-')}"
    nodes = [f"{NODE}: {{kind: forecast, {node}}}"]
    nodes += [f"{SPARE}: {{kind: forecast, {node}, standby_of: {NODE}}}"] if spare else []
    lines.append(f"nodes: {{{', '.join(nodes)}}}")
    if secure:
        plan = ForecastPlan(checkpoint)
        sends = f"publishes: [{plan.objects}, {plan.ego}, {plan.map}], subscribes: [{plan.forecasts}, {plan.status}]"
        lines.append(f"security: {{certificates: certificates, others: {{{TRACKER}: {{{sends}}}}}}}")
    path = folder / "deployment.yaml"
    path.write_text("\n".join(lines) + "\n")
    if secure:
        from perception_tools.commands.certificates import certificates

        certificates(path)
    return path


@contextmanager
def deployment_up(deployment: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`perception up`; what its processes say goes to a file beside the deployment's."""
    with (deployment.parent / LOG).open("wb") as log:
        command = [sys.executable, "-m", "perception_tools.main", "up", str(deployment)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def _tracker(plan: Deployment, drive: Drive) -> Iterator[_Tracker]:
    identity = plan.identity_of(TRACKER)
    place = plan.router.place
    end = time.monotonic() + READY_S
    while True:  # the router has only just been started
        try:
            session = open_session([place]) if identity is None else open_secure_session(place, identity)
            break
        except NoRouter:
            if time.monotonic() > end:
                raise
    node = plan.nodes[NODE]
    assert isinstance(node, ForecastPlan)
    with session, RosNode(session, RmwZenoh(node=TRACKER)) as ros:
        yield _Tracker(ros, node, drive)


class _Tracker:
    """Sends frames and takes the forecasts."""

    def __init__(self, ros: RosNode, plan: ForecastPlan, drive: Drive) -> None:
        self.times = LiveTimes()
        self._sent_s: dict[int, float] = {}
        self._ego = ros.publisher(topic_of(plan.ego, ODOMETRY))
        self._objects = ros.publisher(topic_of(plan.objects, plan.objects_type))
        map_ = ros.publisher(topic_of(plan.map, POLYLINE_MAP, LATCHED))
        map_.put(serialize(map_message(drive.lanes, drive.city), POLYLINE_MAP))
        ros.subscribe(topic_of(plan.forecasts, PREDICTED_OBJECTS), lambda received: self._take(received.cdr))
        late_ns = time.time_ns() - drive.frames[0].stamp_ns
        self._frames = (replace(frame, stamp_ns=frame.stamp_ns + late_ns) for frame in endless(drive.frames))

    def drive(self, count: int) -> None:
        """Sends so many frames, one every 100 ms."""
        due = time.monotonic()
        for frame in islice(self._frames, count):
            time.sleep(max(0.0, due - time.monotonic()))
            due += PERIOD_S
            pose = serialize(odometry_of(frame), ODOMETRY)
            objects = write_tracked_objects(tracked_objects_of(frame, np.zeros((len(frame), 2))))
            self._sent_s[frame.stamp_ns] = time.monotonic()
            self.times.sent += 1
            self._ego.put(pose)
            self._objects.put(objects)

    def drive_until_answered(self, process: subprocess.Popen[bytes]) -> None:
        """Sends frames until the first forecasts come."""
        end = time.monotonic() + READY_S
        while not self.times.latency_ms:
            if time.monotonic() > end or process.poll() is not None:
                raise InputError(
                    f"perception up: expected forecasts within {READY_S} s, got none of {self.times.sent} frames; "
                    "processes.log beside the deployment's file says why"
                )
            self.drive(1)
            time.sleep(PERIOD_S)

    def _take(self, cdr: bytes) -> None:
        now_s = time.monotonic()
        stamp_ns = read_predicted_objects(cdr).stamp_ns
        if stamp_ns in self._sent_s:
            self.times.latency_ms[stamp_ns] = 1e3 * (now_s - self._sent_s.pop(stamp_ns))


def free_port() -> int:
    """Returns a port of loopback that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _cpu_seconds(pid: int) -> dict[str, float]:
    """Processor time of a supervisor's processes, by what they do; Linux."""
    spent = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        start = words.index("perception_tools.main") + 1
        ticks = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        spent[" ".join(words[start : start + 2])] = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    return spent
