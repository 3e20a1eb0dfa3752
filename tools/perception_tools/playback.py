"""Sensor logs played through the forecasting node, and the proof that the stream says what offline evaluation says."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from perception.geometry import SE2
from perception.metrics.consistency import forecast_consistency
from perception.models.forecaster import Forecaster
from perception.vectorize import vectorize
from perception_datasets.argoverse2_sensor import SensorLog
from perception_nodes.autoware import predicted_objects_of, status_of
from perception_nodes.cdr import read_predicted_objects, write_predicted_objects
from perception_nodes.forecasting import ForecastingNode, ForecastResult
from perception_nodes.frames import TrackedFrame
from perception_nodes.messages import FORECAST_STATUS, PREDICTED_OBJECTS, serialize, type_hash
from perception_nodes.recording import Recorder, read_recording
from perception_nodes.resampling import NS_PER_STEP
from perception_nodes.wire import Topic
from perception_tools.evaluation import asked_agents

Record = Callable[[ForecastResult], None]
OUTPUT = "/perception/object_recognition/objects"
"""Where Autoware's planners look for predicted objects."""
STATUS = "/perception/object_recognition/prediction/status"


class ReplayClock:
    """The stream's time, which a replay sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Now, ns."""
        return self.now_ns


def frames_of(log: SensorLog) -> Iterator[TrackedFrame]:
    """A log as the tracker's frames, in order."""
    for step in np.flatnonzero(log.valid[0]).tolist():
        seen = np.flatnonzero(log.valid[:, step])[1:]  # agent 0 is the ego
        x_m, y_m = log.position[0, step].tolist()
        yield TrackedFrame(
            stamp_ns=int(log.stamps_ns[step]),
            city_SE2_ego=SE2(x_m, y_m, float(log.heading[0, step])),
            ids=tuple(log.ids[agent] for agent in seen),
            kinds=log.kinds[seen],
            position=log.position[seen, step],
            heading=log.heading[seen, step],
            size=log.size[seen],
        )


def play_lockstep(
    node: ForecastingNode, clock: ReplayClock, frames: Iterable[TrackedFrame], record: Record
) -> list[ForecastResult]:
    """Every frame, one after the other as fast as they are answered: the same in every run."""
    results = []
    for frame in frames:
        clock.now_ns = frame.stamp_ns
        results.append(node.step(frame))
        record(results[-1])
    return results


def play_in_real_time(
    node: ForecastingNode,
    clock: ReplayClock,
    frames: Sequence[TrackedFrame],
    record: Record,
    sleep: Callable[[float], None] = time.sleep,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> list[ForecastResult]:
    """Frames at the pace of their stamps; of those that came while the node was busy only the newest is answered."""
    begin_s, first_ns = monotonic_s(), frames[0].stamp_ns
    results, due = [], 0
    while due < len(frames):
        sleep(max(0.0, (frames[due].stamp_ns - first_ns) / 1e9 - (monotonic_s() - begin_s)))
        clock.now_ns = first_ns + round((monotonic_s() - begin_s) * 1e9)
        while due + 1 < len(frames) and frames[due + 1].stamp_ns <= clock.now_ns:
            due += 1
        results.append(node.step(frames[due]))
        record(results[-1])
        due += 1
    return results


@dataclass(frozen=True)
class OfflineDifference:
    """How far a stream's forecasts are from the offline ones, over all agents, modes and steps.

    Attributes:
        max_m: The largest distance.
        max_probability: The largest difference of a probability.
        windows: How many frames had a whole history, so that there is an offline window that ends there.
        forecasts: Of agents, compared.
    """

    max_m: float
    max_probability: float
    windows: int
    forecasts: int


def difference_to_offline(
    log: SensorLog, results: Sequence[ForecastResult], model: Forecaster, history_steps: int
) -> OfflineDifference | None:
    """Compares to what `perception evaluate` asks the model, for the windows that end at each frame.

    The windows have no future here, so that there is one up to the log's end and all road users are asked; what the
    model sees is the same. None where no window could be compared.
    """
    far, unlike, windows, forecasts = 0.0, 0.0, 0, 0
    step_of = {int(stamp_ns): step for step, stamp_ns in enumerate(log.stamps_ns)}
    for result in results:
        start = step_of[result.stamp_ns] + 1 - history_steps
        if start < 0 or not result.valid:
            continue
        scenario = log.scenario(start, history_steps=history_steps, future_steps=0)
        agents = asked_agents(scenario)
        (offline,) = model.forecast([vectorize(scenario)], [agents])
        row_of = {name: row for row, name in enumerate(result.objects.ids)}
        pairs = [(i, row_of[scenario.agents.ids[agent]]) for i, agent in enumerate(agents) if agent != scenario.ego]
        theirs, ours = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        apart = np.linalg.norm(offline.trajectories[theirs] - result.trajectories[ours], axis=-1)
        odds = np.abs(offline.probabilities[theirs] - result.probabilities[ours])
        far, unlike = max(far, float(apart.max(initial=0))), max(unlike, float(odds.max(initial=0)))
        windows, forecasts = windows + 1, forecasts + len(pairs)
    return OfflineDifference(far, unlike, windows, forecasts) if windows else None


@contextmanager
def recording(path: Path) -> Iterator[Record]:
    """Gives what writes to an MCAP file: the valid answers as `PredictedObjects`, and how each frame was answered."""
    topic = Topic(OUTPUT, PREDICTED_OBJECTS, type_hash(PREDICTED_OBJECTS))
    status = Topic(STATUS, FORECAST_STATUS, type_hash(FORECAST_STATUS))
    path.parent.mkdir(parents=True, exist_ok=True)
    with Recorder(path, lossless=True) as recorder:

        def record(result: ForecastResult) -> None:
            if result.valid:
                recorder.record(topic, result.stamp_ns, _encode(result))
            recorder.record(status, result.stamp_ns, serialize(status_of(result), FORECAST_STATUS))

        yield record


def digest_of_recording(path: Path) -> str:
    """As `digest`, of a recording's answers."""
    return _digest(message.cdr for message in read_recording(path, [OUTPUT]))


def digest(results: Iterable[ForecastResult]) -> str:
    """SHA-256 of all that the valid answers say, as whoever decodes the messages finds it."""
    return _digest(_encode(result) for result in results if result.valid)


def _encode(result: ForecastResult) -> bytes:
    return bytes(write_predicted_objects(predicted_objects_of(result)))


def _digest(messages: Iterable[bytes]) -> str:
    sha = hashlib.sha256()
    for cdr in messages:
        message = read_predicted_objects(cdr)
        for field in fields(message):
            value = getattr(message, field.name)
            sha.update(field.name.encode())
            sha.update(np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return sha.hexdigest()


def mean_consistency(results: Sequence[ForecastResult]) -> dict[str, float] | None:
    """Over the agents of all successive answers; None where no agent was forecast twice."""
    pairs = [_consistency(before, now) for before, now in pairwise(result for result in results if result.valid)]
    if not (measured := [pair for pair in pairs if len(pair)]):
        return None
    most_likely, best_matching = np.concatenate(measured).mean(axis=0).tolist()
    return {"most_likely": most_likely, "best_matching": best_matching}


def _consistency(before: ForecastResult, now: ForecastResult) -> Float[np.ndarray, "agents 2"]:
    """Of the agents in both answers: most likely and best matching."""
    row_of = {name: row for row, name in enumerate(before.objects.ids)}
    rows = [(row_of[name], row) for row, name in enumerate(now.objects.ids) if name in row_of]
    apart = round((now.stamp_ns - before.stamp_ns) / NS_PER_STEP)
    if not rows or not 0 <= apart < now.trajectories.shape[2]:
        return np.zeros((0, 2))
    early, late = np.array(rows).T
    measured = forecast_consistency(
        before.trajectories[early], before.probabilities[early], now.trajectories[late], now.probabilities[late], apart
    )
    return np.column_stack([measured.most_likely, measured.best_matching])


def latency_summary(results: Sequence[ForecastResult]) -> dict[str, float]:
    """Median, 99th percentile and maximum of all answers' latency, milliseconds."""
    latency = np.array([result.latency_ms for result in results])
    return {"p50": float(np.median(latency)), "p99": float(np.percentile(latency, 99)), "max": float(latency.max())}
