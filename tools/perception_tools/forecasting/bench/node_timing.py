"""Where the time of a node's frames goes, part by part, and whether its memory stays what it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import Float

from perception.geometry import SE2
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex
from perception.traffic.resampling import NS_PER_STEP
from perception.traffic.scenario import AgentKind, MapPolylines
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.messages import predicted_objects_of, tick_of, tracked_objects_of
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.cdr import read_tracked_objects, write_predicted_objects, write_tracked_objects
from perception_tools.forecasting.streaming.drive import Drive
from perception_tools.forecasting.streaming.playback import percentiles

PARTS = ("tracks, vectors, views", "agents' sub-graph", "rest of the encoder", "block", "decoder", "to the city frame")
"""Parts of a frame, in their order."""
SYNTHETIC_AGENTS = 88
"""Road users of every synthetic frame: the busiest frame of the recorded logs has 87."""


@dataclass(frozen=True)
class FrameTimes:
    """What frames took, a row a frame.

    Attributes:
        agents: Number of agents that the model forecast in each frame.
        wall_ms: Time of each frame, from the call to the answer.
        cpu_ms: Processor time of all threads of the process meanwhile.
        parts_ms: CPU time of each of `PARTS`.
    """

    agents: Float[np.ndarray, " frames"]
    wall_ms: Float[np.ndarray, " frames"]
    cpu_ms: Float[np.ndarray, " frames"]
    parts_ms: Float[np.ndarray, "frames parts"]

    def summary(self) -> dict:
        """Percentiles, as JSON."""
        return {
            "frames": len(self.agents),
            "agents": {"p50": float(np.median(self.agents)), "max": int(self.agents.max())},
            "wall_ms": percentiles(self.wall_ms),
            "cpu_ms": percentiles(self.cpu_ms),
            "parts_cpu_ms_p50": dict(zip(PARTS, np.median(self.parts_ms, axis=0).tolist(), strict=True)),
        }


class _Watch:
    """Notes the CPU time at the border of two parts, by PyTorch's own hooks."""

    def __init__(self, model: Forecaster) -> None:
        self.marks: list[float] = []
        borders = [model.encoder, model.encoder.agent_subgraph, model.block, model.head]
        self._hooks = [module.register_forward_pre_hook(self._note) for module in borders]
        self._hooks += [module.register_forward_hook(self._note) for module in borders]

    def _note(self, *_: object) -> None:
        self.marks.append(time.process_time())

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def parts_ms(self, begin_s: float, end_s: float) -> list[float]:
        """Times of the parts of a frame, in the order of `PARTS`; all 0 where the network was not asked.

        Args:
            begin_s: When the frame began.
            end_s: When it ended.
        """
        if not self.marks:
            return [0.0] * len(PARTS)
        encoder, subgraph, subgraph_end, encoder_end, block, block_end, head, head_end = self.marks
        spans = [encoder - begin_s, subgraph_end - subgraph, encoder_end - encoder - (subgraph_end - subgraph),
                 block_end - block, head_end - head, end_s - head_end]  # fmt: skip
        return [1e3 * span for span in spans]


def active_node(model: Forecaster, drive: Drive, history_steps: int, max_forecasts: int = 128) -> ForecastingNode:
    """A node with the drive's map that waits for its frames, and asks its model about everybody from the first one on.

    That is the most work that a frame can be.
    """
    node = ForecastingNode(ForecastingSettings(max_forecasts=max_forecasts, min_history_steps=1))
    node.configure(model, history_steps=history_steps, model_id="bench")
    node.set_map(drive.lanes, drive.city)
    node.activate()
    return node


def time_frames(node: ForecastingNode, model: Forecaster, frames: Iterable[Tick]) -> FrameTimes:
    """Plays frames through an active node around this model, one as soon as the other is answered."""
    watch, rows = _Watch(model), []
    try:
        for frame in frames:
            watch.marks.clear()
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            result = node.step(frame)
            end_s = time.process_time()
            wall_ms = 1e3 * (time.perf_counter() - wall_s)
            rows.append([len(result.by_model), wall_ms, 1e3 * (end_s - cpu_s), *watch.parts_ms(cpu_s, end_s)])
    finally:
        watch.close()
    table = np.array(rows)
    return FrameTimes(table[:, 0], table[:, 1], table[:, 2], table[:, 3:])


def endless(frames: Sequence[Tick]) -> Iterator[Tick]:
    """The frames again and again: stamps go on, and everybody is somebody else in every round."""
    length_ns = frames[-1].stamp_ns - frames[0].stamp_ns + NS_PER_STEP
    for turn in count():
        for frame in frames:
            ids = tuple(f"{name}/{turn}" for name in frame.ids)
            yield replace(frame, stamp_ns=frame.stamp_ns + turn * length_ns, ids=ids)


@dataclass(frozen=True)
class Endurance:
    """A node's memory over a long time.

    Attributes:
        frames: That were answered.
        cpu_ms_mean: Mean processor time of a frame.
        rss_mb: Resident memory at the start of every simulated ten seconds.
        slope_mb_per_minute: Least squares over the last four fifths; before them caches and pools fill.
    """

    frames: int
    cpu_ms_mean: float
    rss_mb: list[float]
    slope_mb_per_minute: float


def endure(node: ForecastingNode, frames: Sequence[Tick], minutes: float) -> Endurance:
    """Simulated minutes of a stream at 10 Hz, as fast as they are answered."""
    total, rss_mb, stream = max(20, round(minutes * 600)), [], endless(frames)
    every = min(100, total // 10)
    begin_s = time.process_time()
    for step in range(total):
        if step % every == 0:
            rss_mb.append(resident_mb())
        node.step(next(stream))
    cpu_ms = 1e3 * (time.process_time() - begin_s) / total
    settled = np.array(rss_mb[len(rss_mb) // 5 :])
    slope = float(np.polyfit(np.arange(len(settled)) * every / 600, settled, 1)[0])
    return Endurance(total, cpu_ms, rss_mb, slope)


def resident_mb() -> float:
    """Memory of this process that is in RAM; Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def transport_ms(frame: Tick, result: ForecastResult, repeat: int = 50) -> dict[str, float]:
    """CPU time of what stands around a frame: its message to arrays, and its answer to a message; medians."""
    sent = bytes(write_tracked_objects(tracked_objects_of(frame, np.zeros((len(frame), 2)))))
    times = []
    for _ in range(repeat):
        begin_s = time.process_time()
        tick_of(read_tracked_objects(sent), frame.city_SE2_ego)
        read_s = time.process_time()
        answer = write_predicted_objects(predicted_objects_of(result))
        times.append((1e3 * (read_s - begin_s), 1e3 * (time.process_time() - read_s)))
    decode_ms, encode_ms = np.median(times, axis=0).tolist()
    return {"decode": decode_ms, "encode": encode_ms, "bytes_in": len(sent), "bytes_out": len(answer)}


def synthetic_drive(frames: int = 100) -> Drive:
    """A straight road of eight lanes, as full as the busiest recorded frame; for where there is no log."""
    rng = np.random.default_rng(0)
    along, lanes = np.arange(-200.0, 400.0, 20.0), np.arange(8)
    start = np.array([(x, 4.0 * lane) for lane in lanes for x in along])
    points = start[:, None] + np.stack([np.linspace(0, 20, 10), np.zeros(10)], axis=1)
    none = np.zeros(len(points), dtype=np.int64)
    road = MapPolylines(np.arange(len(points)), points, none, none, none > 0, none > 0)
    lane = rng.integers(0, 8, SYNTHETIC_AGENTS)
    x0, speed = rng.uniform(-60, 90, SYNTHETIC_AGENTS), rng.uniform(0, 15, SYNTHETIC_AGENTS)
    ids = tuple(f"{row:08d}-0000-0000-0000-000000000000" for row in range(SYNTHETIC_AGENTS))
    kinds = np.full(SYNTHETIC_AGENTS, AgentKind.VEHICLE, dtype=np.int64)
    size = np.tile([4.5, 1.9, 1.6], (SYNTHETIC_AGENTS, 1))
    made = [
        Tick(
            stamp_ns=10**9 + step * NS_PER_STEP,
            city_SE2_ego=SE2(0.8 * step, 0.0, 0.0),
            ids=ids,
            kinds=kinds,
            position=np.stack([x0 + 0.1 * step * speed, 4.0 * lane], axis=1),
            heading=np.zeros(SYNTHETIC_AGENTS),
            size=size,
        )
        for step in range(frames)
    ]
    return Drive("synthetic", "", MapIndex(road), made, None)
