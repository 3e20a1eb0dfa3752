"""Frames played through the forecasting node, and the proof that the stream says what offline evaluation says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from perception.metrics.consistency import forecast_consistency
from perception.models.forecaster import Forecaster
from perception.traffic.resampling import NS_PER_STEP
from perception_datasets.argoverse.argoverse2_sensor import SensorLog
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.tick import Tick
from perception_tools.forecasting.scored import asked_agents

Record = Callable[[Tick, ForecastResult], None]


class ReplayClock:
    """The stream's time, which a replay sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Now, ns."""
        return self.now_ns


def play_lockstep(
    node: ForecastingNode, clock: ReplayClock, frames: Iterable[Tick], record: Record
) -> list[ForecastResult]:
    """Every frame, one after the other as fast as they are answered: the same in every run."""
    results = []
    for frame in frames:
        clock.now_ns = frame.stamp_ns
        results.append(node.step(frame))
        record(frame, results[-1])
    return results


def play_in_real_time(
    node: ForecastingNode,
    clock: ReplayClock,
    frames: Sequence[Tick],
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
        record(frames[due], results[-1])
        due += 1
    return results


@dataclass(frozen=True)
class OfflineDifference:
    """How far a stream's forecasts are from the offline ones, over all agents, modes and steps.

    Attributes:
        max_m: The largest distance.
        max_probability: The largest difference of a probability.
        windows: How many frames had a whole history, so that there is an offline window that ends there.
        forecasts: Number of agents' forecasts that were compared.
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
    model sees is the same. Objects that the node answered without the model are left out. None where no window could be
    compared.
    """
    far, unlike, windows, forecasts = 0.0, 0.0, 0, 0
    step_of = {int(stamp_ns): step for step, stamp_ns in enumerate(log.stamps_ns)}
    for result in results:
        start = step_of[result.stamp_ns] + 1 - history_steps
        if start < 0 or not result.valid:
            continue
        scenario = log.scenario(start, history_steps=history_steps, future_steps=0)
        agents = asked_agents(scenario)
        (offline,) = model.forecast([scenario], [agents])
        row_of = {result.objects.ids[row]: row for row in result.by_model.tolist()}
        names = [scenario.agents.ids[agent] for agent in agents]
        pairs = [(i, row_of[name]) for i, name in enumerate(names) if name in row_of]
        theirs, ours = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        apart = np.linalg.norm(offline.trajectories[theirs] - result.trajectories[ours], axis=-1)
        odds = np.abs(offline.probabilities[theirs] - result.probabilities[ours])
        far, unlike = max(far, float(apart.max(initial=0))), max(unlike, float(odds.max(initial=0)))
        windows, forecasts = windows + 1, forecasts + len(pairs)
    return OfflineDifference(far, unlike, windows, forecasts) if windows else None


def mean_consistency(results: Sequence[ForecastResult]) -> dict[str, float] | None:
    """Over the agents of all successive answers; None where no agent was forecast twice."""
    pairs = [_consistency(before, now) for before, now in pairwise(result for result in results if result.valid)]
    if not (measured := [pair for pair in pairs if len(pair)]):
        return None
    most_likely, best_matching = np.concatenate(measured).mean(axis=0).tolist()
    return {"most_likely": most_likely, "best_matching": best_matching}


def _consistency(before: ForecastResult, now: ForecastResult) -> Float[np.ndarray, "agents 2"]:
    """Consistency of the agents that the model forecast in both answers: most likely and best matching."""
    row_of = {before.objects.ids[row]: row for row in before.by_model.tolist()}
    rows = [(row_of[name], row) for row in now.by_model.tolist() if (name := now.objects.ids[row]) in row_of]
    apart = round((now.stamp_ns - before.stamp_ns) / NS_PER_STEP)
    if not rows or not 0 <= apart < now.trajectories.shape[2]:
        return np.zeros((0, 2))
    early, late = np.array(rows).T
    measured = forecast_consistency(
        before.trajectories[early], before.probabilities[early], now.trajectories[late], now.probabilities[late], apart
    )
    return np.column_stack([measured.most_likely, measured.best_matching])


def latency_summary(results: Sequence[ForecastResult]) -> dict[str, float]:
    """Percentiles of all answers' latency, milliseconds."""
    return percentiles(np.array([result.latency_ms for result in results]))


def percentiles(values: Float[np.ndarray, " values"]) -> dict[str, float]:
    """Median, 99th percentile, maximum."""
    return {"p50": float(np.median(values)), "p99": float(np.percentile(values, 99)), "max": float(values.max())}
