"""`perception replay LOG`: a recorded log through a node, as if the robot drove now."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from perception.errors import InputError
from perception.files import writing
from perception_tools.extras import require
from perception_tools.output_places import keep_apart

if TYPE_CHECKING:
    from perception.kernels.precision import Precision
    from perception_nodes.exported.runtimes import Backend
    from perception_nodes.forecasting.answer import ForecastResult
    from perception_tools.forecasting.model import TrainedForecaster
    from perception_tools.forecasting.streaming.baseline import Baseline
    from perception_tools.forecasting.streaming.baseline_comparison import Bounds, Comparison
    from perception_tools.forecasting.streaming.drive import Drive

ReplayBackend = Literal["torch", "onnxruntime", "openvino"]


@dataclass(frozen=True)
class Played:
    """A drive that was played through a node.

    Attributes:
        drive: What was played.
        trained: The model.
        precision: Precision of the block's weights in the node.
        model_id: As it stands in every result.
        results: Answers of the node, in order.
        sha256: Digest of the decoded answers: the same in every lockstep run.
    """

    drive: Drive
    trained: TrainedForecaster
    precision: Precision
    model_id: str
    results: Sequence[ForecastResult]
    sha256: str

    def summary(self) -> dict:
        """Counts, latency, and the difference to offline forecasts: what the line of JSON says."""
        return _summary(self)

    def baseline(self) -> Baseline:
        """What later replays of the log can be held against."""
        from perception_tools.forecasting.streaming.baseline import Baseline

        return Baseline.of(self.drive.id, self.model_id, self.results)


def replay(
    log: Positional[Path],
    checkpoint: Path,
    node: Literal["forecast"] = "forecast",
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32",
    backend: ReplayBackend = "torch",
    lockstep: bool = False,
    real_time: bool = False,
    out: Path | None = None,
    player: Path | None = None,
    rerun: Path | None = None,
    compare: Path | None = None,
    differences: Path | None = None,
    write_baseline: Path | None = None,
    max_position_m: float = 0.05,
    max_probability: float = 0.01,
    max_refusals: int = 0,
    max_latency_ratio: float | None = None,
    threads: int = 1,
) -> dict:
    """Plays an Argoverse 2 sensor log, or a robot's own recording, through a node and prints one line of JSON.

    The line holds frames, forecasts, the SHA-256 of the decoded outputs (the same in every lockstep run), the largest
    difference in metres to the offline forecasts for the windows that end at each frame, the latency in ms, and how the
    forecasts compare with what then happened in the log. With --compare it also holds the differences to an earlier
    replay of the log, and the command fails where they are larger than allowed.

    Args:
        log: Folder of an Argoverse 2 sensor log; or an MCAP file or rosbag2 folder with TrackedObjects (or a
            Detection3DArray with ids), Odometry and a PolylineMap, such as --out writes (then there is nothing offline
            to compare to).
        checkpoint: A run's folder, or its model.safetensors.
        node: Kind of the node to play it through.
        precision: Precision of the block's weights, in its deployment form; offline it stays as it was trained.
            `int8_dynamic` scales activations to 8 bits too.
        backend: What computes the model in the node. All but torch export the run first, into its folder, once.
        lockstep: Every frame as soon as the one before is answered. The default.
        real_time: At the pace of the recording; frames that come while the node is busy are dropped and counted.
        out: MCAP file to record PredictedObjects to, beside the inputs.
        player: HTML file to write, which shows the replay in any browser.
        rerun: Recording to write for the Rerun viewer (NAME.rrd), which shows it in space; needs the extra [rerun].
        compare: Baseline of an earlier replay of the same log and model to compare to.
        differences: Page or picture of the differences to write (NAME.html or NAME.png).
        write_baseline: File to write this replay's baseline to.
        max_position_m: Maximum difference of an object's expected positions after 1 and 3 s, in metres.
        max_probability: Maximum difference of an object's largest probability.
        max_refusals: Maximum number of forecasts that the model gave in the baseline and does not give now.
        max_latency_ratio: Maximum ratio of the median latency to the baseline's; it is only reported by default.
        threads: Number of threads that torch computes with.
    """
    from perception_nodes.operations.computing import compute_with
    from perception_tools.forecasting.streaming.baseline_comparison import compare_baselines
    from perception_tools.model_metadata import MODEL_FILE

    if lockstep and real_time:
        raise InputError("--lockstep --real-time: expected one pace, got both; leave one out")
    if threads < 1:
        raise InputError(f"--threads {threads}: expected at least 1; give the number of cores the node may use")
    if rerun is not None:
        _check_rerun(rerun)
    bounds = _bounds(max_position_m, max_probability, max_refusals, max_latency_ratio)
    then = _read_compared(compare, differences, real_time=real_time)
    written = [path for path in (out, player, rerun, differences, write_baseline) if path is not None]
    read = [log, checkpoint / MODEL_FILE if checkpoint.is_dir() else checkpoint, *([compare] if compare else [])]
    keep_apart(written, read)
    compute_with(threads)
    played = play(log, checkpoint, precision=precision, backend=backend, threads=threads, real_time=real_time, out=out)
    summary = {"node": node, "pace": "real time" if real_time else "lockstep", **played.summary()}
    comparison = None if then is None else compare_baselines(then, played.baseline())
    if comparison is not None:
        summary["comparison"] = comparison.summary()
    print(json.dumps(summary))
    if write_baseline is not None:
        played.baseline().write(write_baseline)
    if player is not None:
        _write_player(played, summary, player)
    if rerun is not None:
        _write_rerun(played, summary, rerun)
    if comparison is not None:
        _judge(comparison, bounds, differences)
    return summary


def _bounds(position_m: float, probability: float, refusals: int, latency_ratio: float | None) -> Bounds:
    from perception_tools.forecasting.streaming.baseline_comparison import Bounds

    return Bounds(position_m, probability, refusals, latency_ratio)


def _read_compared(compare: Path | None, differences: Path | None, *, real_time: bool) -> Baseline | None:
    """Before anything is played, the baseline to compare to, if any."""
    from perception_tools.forecasting.streaming.baseline import read_baseline

    if compare is None:
        if differences is not None:
            raise InputError(f"--differences {differences}: expected a baseline too, got none; add --compare BASELINE")
        return None
    if real_time:
        raise InputError("--compare --real-time: expected lockstep, where all runs say the same; leave one out")
    if differences is not None:
        from perception_tools.forecasting.report.baseline_page import check_picture

        check_picture(differences)
    return read_baseline(compare)


def _judge(comparison: Comparison, bounds: Bounds, differences: Path | None) -> None:
    """Draws the differences, and fails where they are beyond the bounds."""
    complaints = comparison.complaints(bounds)
    if differences is not None:
        from perception_tools.forecasting.report.baseline_page import write_differences

        write_differences(differences, comparison, bounds, complaints)
        print(differences.resolve().as_uri(), file=sys.stderr)
    if complaints:
        cure = "see --differences" if differences is None else f"see {differences}"
        raise InputError(
            f"the replay of {comparison.now.log} is not as its baseline: {'; '.join(complaints)}; {cure}, and write a "
            "new baseline if this is meant"
        )


def _check_rerun(path: Path) -> None:
    """Before anything is played, whether there will be a recording that opens."""
    require("rerun")
    if path.suffix != ".rrd":
        raise InputError(f"--rerun {path}: expected a name that ends in .rrd, by which Rerun knows its files; give one")


def play(
    log: Path,
    run: Path | TrainedForecaster,
    *,
    precision: Precision = "float32",
    backend: ReplayBackend = "torch",
    threads: int = 1,
    real_time: bool = False,
    out: Path | None = None,
) -> Played:
    """Plays a log through the forecasting node.

    Args:
        log: As for `replay`.
        run: A run's folder or model file, or a model that is loaded already.
        precision: Precision of the block's weights.
        backend: What computes the model in the node.
        threads: Number of threads of a backend other than torch.
        real_time: Whether frames come at the pace of the recording, not as soon as the one before is answered.
        out: MCAP file to record to.
    """
    from perception_tools.forecasting.streaming.drive import open_drive

    return play_drive(
        open_drive(log), run, precision=precision, backend=backend, threads=threads, real_time=real_time, out=out
    )


def play_drive(
    drive: Drive,
    run: Path | TrainedForecaster,
    *,
    precision: Precision = "float32",
    backend: ReplayBackend = "torch",
    threads: int = 1,
    real_time: bool = False,
    out: Path | None = None,
) -> Played:
    """Plays a log that is open through the forecasting node; arguments as for `play`."""
    from perception_nodes.forecasting.node import ForecastingNode
    from perception_tools.forecasting.model import load_model
    from perception_tools.forecasting.streaming.drive_recording import digest, digest_of_recording, recording
    from perception_tools.forecasting.streaming.playback import ReplayClock, play_in_real_time, play_lockstep
    from perception_tools.model_metadata import model_id

    clock = ReplayClock()
    trained = load_model(run) if isinstance(run, Path) else run
    name = model_id(trained.name, run, precision) if isinstance(run, Path) else f"{trained.name}@memory:{precision}"
    node = ForecastingNode(clock=clock)
    if backend == "torch":
        model: Any = trained.model.folded(precision)
    else:
        model, name = _exported(run, trained, precision, backend, threads), f"{name}/{backend}"
    node.configure(model, history_steps=trained.training.history_steps, model_id=name)
    node.set_map(drive.lanes, drive.city)
    node.activate()
    playback = play_in_real_time if real_time else play_lockstep
    with (
        nullcontext() if out is None else writing(out),
        nullcontext(lambda *_: None) if out is None else recording(out, drive) as record,
    ):
        results = playback(node, clock, drive.frames, record)
    node.shutdown()
    sha256 = digest(results) if out is None else digest_of_recording(out)
    return Played(drive, trained, precision, name, results, sha256)


def _exported(
    run: Path | TrainedForecaster, trained: TrainedForecaster, precision: Precision, backend: Backend, threads: int
) -> Any:
    from perception_tools.export.serving import serve_exported

    if not isinstance(run, Path):
        raise InputError(f"backend {backend}: expected a run's folder or model file to export, got a model; save it")
    return serve_exported(run, backend, precision=precision, threads=threads, trained=trained)


def _summary(played: Played) -> dict:
    from perception_tools.forecasting.streaming.playback import (
        difference_to_offline,
        latency_summary,
        mean_consistency,
        score_of,
    )

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
        "answered_by_fallback": sum(result.source == "fallback" for result in answered),
        "forecasts": sum(len(result.by_model) for result in answered),
        "most_forecasts_in_a_frame": max((len(result.by_model) for result in answered), default=0),
        "extrapolations": sum(len(result.objects) - len(result.by_model) for result in answered),
        "sha256": played.sha256,
        "max_difference_to_offline": None if offline is None else offline.max_m,
        "max_probability_difference_to_offline": None if offline is None else offline.max_probability,
        "windows_compared": 0 if offline is None else offline.windows,
        "extrapolations_not_compared": 0 if offline is None else offline.by_fallback,
        "consistency_m": mean_consistency(played.results),
        "latency_ms": latency_summary(played.results),
        "self_score": score_of(played.results).summary(),
    }


def _write_player(played: Played, summary: dict, path: Path) -> None:
    """And says on stderr where it is: stdout is for the one line."""
    from perception_tools.forecasting.report.player import write_player

    write_player(path, played.drive, played.results, _facts(summary))
    print(path.resolve().as_uri(), file=sys.stderr)


def _write_rerun(played: Played, summary: dict, path: Path) -> None:
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
