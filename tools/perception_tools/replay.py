"""`perception replay LOG`: a recorded log through a node, as if the robot drove now."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from perception.errors import InputError

if TYPE_CHECKING:
    from perception_datasets.argoverse2_sensor import SensorLog
    from perception_nodes.forecasting import ForecastResult
    from perception_tools.model_file import TrainedForecaster


@dataclass(frozen=True)
class _Played:
    """A log, the model that forecast it, and what came out."""

    log: SensorLog
    trained: TrainedForecaster
    model_id: str
    results: Sequence[ForecastResult]


def replay(
    log: Positional[Path],
    checkpoint: Path,
    node: Literal["forecast"] = "forecast",
    lockstep: bool = False,
    real_time: bool = False,
    out: Path | None = None,
    player: Path | None = None,
    threads: int = 1,
) -> None:
    """Plays an Argoverse 2 sensor log through a node and prints one line of JSON.

    The line holds frames, forecasts, the SHA-256 of the decoded outputs (the same in every lockstep run), the largest
    difference in metres to the offline forecasts for the windows that end at each frame, and the latency in ms.

    Args:
        log: Folder of a log: annotations.feather, city_SE3_egovehicle.feather and map/.
        checkpoint: A run's folder, or its model.safetensors.
        node: What to play it through.
        lockstep: Every frame as soon as the one before is answered. The default.
        real_time: At the pace of the recording; frames that come while the node is busy are dropped and counted.
        out: MCAP file to record PredictedObjects to.
        player: HTML file to write, which shows the replay in any browser.
        threads: That torch computes with.
    """
    import torch

    if lockstep and real_time:
        raise InputError("--lockstep --real-time: expected one pace, got both; leave one out")
    if threads < 1:
        raise InputError(f"--threads {threads}: expected at least 1; give the number of cores the node may use")
    torch.set_num_threads(threads)
    played = _play(log, checkpoint, real_time, out)
    summary = {"node": node, "pace": "real time" if real_time else "lockstep", **_summary(played, out)}
    print(json.dumps(summary))
    if player is not None:
        _show(played, summary, player)


def _play(folder: Path, checkpoint: Path, real_time: bool, out: Path | None) -> _Played:
    from perception_datasets.argoverse2_sensor import read_log
    from perception_nodes.forecasting import ForecastingNode
    from perception_tools.model_file import load_model
    from perception_tools.playback import ReplayClock, frames_of, play_in_real_time, play_lockstep, recording

    log, trained = read_log(folder), load_model(checkpoint)
    clock = ReplayClock()
    node = ForecastingNode(clock=clock)
    model_id = f"{trained.training.name}@{_fingerprint(checkpoint)}"
    node.configure(trained.model, history_steps=trained.training.history_steps, model_id=model_id)
    node.set_map(log.map, log.city)
    node.activate()
    play = play_in_real_time if real_time else play_lockstep
    with nullcontext(lambda _: None) if out is None else recording(out) as record:
        results = play(node, clock, list(frames_of(log)), record)
    node.shutdown()
    return _Played(log, trained, model_id, results)


def _summary(played: _Played, out: Path | None) -> dict:
    """What the line of JSON says."""
    from perception_tools.playback import (
        difference_to_offline,
        digest,
        digest_of_recording,
        latency_summary,
        mean_consistency,
    )

    model, training = played.trained.model, played.trained.training
    answered = [result for result in played.results if result.valid]
    offline = difference_to_offline(played.log, played.results, model, training.history_steps)
    return {
        "log": played.log.id,
        "model": played.model_id,
        "frame": model.frame,
        "frames": len(played.results),
        "answered": len(answered),
        "dropped": sum(result.dropped_since_last for result in answered),
        "forecasts": sum(len(result.objects) for result in answered),
        "most_forecasts_in_a_frame": max((len(result.objects) for result in answered), default=0),
        "sha256": digest(played.results) if out is None else digest_of_recording(out),
        "max_difference_to_offline": None if offline is None else offline.max_m,
        "max_probability_difference_to_offline": None if offline is None else offline.max_probability,
        "windows_compared": 0 if offline is None else offline.windows,
        "consistency_m": mean_consistency(played.results),
        "latency_ms": latency_summary(played.results),
    }


def _show(played: _Played, summary: dict, path: Path) -> None:
    """Writes the player, and says on stderr where it is: stdout is for the one line."""
    from perception_tools.report.player import write_player

    latency = summary["latency_ms"]
    facts = {
        "model": played.model_id,
        "frame": summary["frame"],
        "pace": summary["pace"],
        "answered": f"{summary['answered']} of {summary['frames']} frames",
        "latency": f"p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f}, max {latency['max']:.1f} ms",
        "difference to offline": _difference_in_words(summary["max_difference_to_offline"]),
    }
    write_player(path, played.log, played.results, facts)
    print(path.resolve().as_uri(), file=sys.stderr)


def _difference_in_words(metres: float | None) -> str:
    if metres is None:
        return "not measured: the log is shorter than the model's history"
    return f"{metres:.1e} m at most" if metres else "none"


def _fingerprint(checkpoint: Path) -> str:
    """The first digits of the model file's hash."""
    import hashlib

    from perception_tools.model_file import MODEL_FILE

    file = checkpoint / MODEL_FILE if checkpoint.is_dir() else checkpoint
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
