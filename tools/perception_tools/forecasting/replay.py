"""`perception replay LOG`: a recorded log through a node, as if the robot drove now."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from perception.errors import InputError

if TYPE_CHECKING:
    from perception.kernels.precision import Precision
    from perception_nodes.forecasting.node import ForecastResult
    from perception_tools.forecasting.model import TrainedForecaster
    from perception_tools.forecasting.streaming.drive import Drive


@dataclass(frozen=True)
class _Played:
    """A drive, the model that forecast it in a precision, and what came out."""

    drive: Drive
    trained: TrainedForecaster
    precision: Precision
    model_id: str
    results: Sequence[ForecastResult]


def replay(
    log: Positional[Path],
    checkpoint: Path,
    node: Literal["forecast"] = "forecast",
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32",
    lockstep: bool = False,
    real_time: bool = False,
    out: Path | None = None,
    player: Path | None = None,
    rerun: Path | None = None,
    threads: int = 1,
) -> dict:
    """Plays an Argoverse 2 sensor log, or a robot's own recording, through a node and prints one line of JSON.

    The line holds frames, forecasts, the SHA-256 of the decoded outputs (the same in every lockstep run), the largest
    difference in metres to the offline forecasts for the windows that end at each frame, and the latency in ms.

    Args:
        log: Folder of an Argoverse 2 sensor log; or an MCAP file or rosbag2 folder with TrackedObjects (or a
            Detection3DArray with ids), Odometry and a PolylineMap, such as --out writes (then there is nothing offline
            to compare to).
        checkpoint: A run's folder, or its model.safetensors.
        node: What to play it through.
        precision: Of the block's weights, in its deployment form; offline it stays as it was trained. `int8_dynamic`
            scales activations to 8 bits too.
        lockstep: Every frame as soon as the one before is answered. The default.
        real_time: At the pace of the recording; frames that come while the node is busy are dropped and counted.
        out: MCAP file to record PredictedObjects to, beside the inputs.
        player: HTML file to write, which shows the replay in any browser.
        rerun: Recording to write for the Rerun viewer (NAME.rrd), which shows it in space; needs the extra [rerun].
        threads: That torch computes with.
    """
    from perception_nodes.operations.computing import compute_with

    if lockstep and real_time:
        raise InputError("--lockstep --real-time: expected one pace, got both; leave one out")
    if threads < 1:
        raise InputError(f"--threads {threads}: expected at least 1; give the number of cores the node may use")
    if rerun is not None:
        _check_rerun(rerun)
    compute_with(threads)
    played = _play(log, checkpoint, precision, real_time, out)
    summary = {"node": node, "pace": "real time" if real_time else "lockstep", **_summary(played, out)}
    print(json.dumps(summary))
    if player is not None:
        _write_player(played, summary, player)
    if rerun is not None:
        _write_rerun(played, summary, rerun)
    return summary


def _check_rerun(path: Path) -> None:
    """Before anything is played, whether there will be a recording that opens."""
    if find_spec("rerun") is None:
        raise InputError("--rerun: expected rerun-sdk to be installed; pip install 'frozen-perception[rerun]'")
    if path.suffix != ".rrd":
        raise InputError(f"--rerun {path}: expected a name that ends in .rrd, by which Rerun knows its files; give one")


def _play(log: Path, checkpoint: Path, precision: Precision, real_time: bool, out: Path | None) -> _Played:
    from perception_nodes.forecasting.node import ForecastingNode
    from perception_tools.forecasting.model import load_model
    from perception_tools.forecasting.streaming.drive import open_drive
    from perception_tools.forecasting.streaming.drive_recording import recording
    from perception_tools.forecasting.streaming.playback import ReplayClock, play_in_real_time, play_lockstep
    from perception_tools.model_files import model_id

    drive, trained = open_drive(log), load_model(checkpoint)
    clock = ReplayClock()
    node = ForecastingNode(clock=clock)
    name = model_id(trained.name, checkpoint, precision)
    model = trained.model.folded(precision)
    node.configure(model, history_steps=trained.training.history_steps, model_id=name)
    node.set_map(drive.lanes, drive.city)
    node.activate()
    play = play_in_real_time if real_time else play_lockstep
    with nullcontext(lambda *_: None) if out is None else recording(out, drive) as record:
        results = play(node, clock, drive.frames, record)
    node.shutdown()
    return _Played(drive, trained, precision, name, results)


def _summary(played: _Played, out: Path | None) -> dict:
    """What the line of JSON says."""
    from perception_tools.forecasting.streaming.drive_recording import digest, digest_of_recording
    from perception_tools.forecasting.streaming.playback import difference_to_offline, latency_summary, mean_consistency

    trained, model, training = played.trained, played.trained.model, played.trained.training
    answered = [result for result in played.results if result.valid]
    log, offline = played.drive.log, None
    if log is not None:
        offline = difference_to_offline(log, played.results, model, training.history_steps)
    return {
        "log": played.drive.id,
        "model": played.model_id,
        "precision": played.precision,
        "view": trained.recipe.view,
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


def _write_player(played: _Played, summary: dict, path: Path) -> None:
    """And says on stderr where it is: stdout is for the one line."""
    from perception_tools.forecasting.report.player import write_player

    write_player(path, played.drive, played.results, _facts(summary))
    print(path.resolve().as_uri(), file=sys.stderr)


def _write_rerun(played: _Played, summary: dict, path: Path) -> None:
    """And says on stderr how to look at it."""
    from perception_tools.forecasting.streaming.rerun_recording import write_rerun

    write_rerun(path, played.drive, played.results, _facts(summary))
    print(f"rerun {path}", file=sys.stderr)


def _facts(summary: dict) -> dict[str, str]:
    """How the replay went, in words, by name."""
    latency = summary["latency_ms"]
    return {
        "model": summary["model"],
        "view": summary["view"],
        "pace": summary["pace"],
        "answered": f"{summary['answered']} of {summary['frames']} frames",
        "latency": f"p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f}, max {latency['max']:.1f} ms",
        "difference to offline": _difference_in_words(summary["max_difference_to_offline"]),
    }


def _difference_in_words(metres: float | None) -> str:
    if metres is None:
        return "not measured"
    return f"{metres:.1e} m at most" if metres else "none"
