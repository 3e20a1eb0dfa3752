"""`perception bench node`: what the forecasting node costs on a vehicle computer, on a recorded log."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from perception.errors import InputError

if TYPE_CHECKING:
    from perception.kernels.precision import Precision
    from perception.models.forecaster import Forecaster
    from perception_tools.forecasting.bench.node_timing import FrameTimes
    from perception_tools.forecasting.recipes import ForecastRecipe
    from perception_tools.forecasting.streaming.drive import Drive

PRECISIONS: tuple[Precision, ...] = ("float32", "int8_dynamic")
HISTORY_STEPS, FUTURE_STEPS = 50, 60
"""Steps of an untrained model: Argoverse 2's."""
LARGE_AGENTS, LARGE_THREADS = 32, (1, 2)
PERIOD_MS = 100.0
FRAME_MS = 50.0
"""What a frame may take, p99, in whatever deployment."""
LIVE_MODES = ("processes", "mtls")
LEAK_MB_PER_MINUTE = 0.5
"""A slope below this is the allocator's noise: 30 MB an hour."""


def bench_node(
    json: Path | None = None,
    log: Path | None = None,
    checkpoint: Path | None = None,
    minutes: float = 30.0,
    live_seconds: float = 60.0,
    fault_minutes: float = 0.0,
    quick: bool = False,
    threads: int = 1,
    block: str = "smollm2",
    large_block: str = "random:llama-7b",
) -> None:
    """Times the forecasting node: latency by part and precision, memory, transport, CPU share.

    First embedded, in this process; then as a deployment of processes that are asked on topics in real time, without
    certificates and with them. Times are on the clock (wall) and of the processor (CPU, all threads of this process).
    Only the latter mean something on a machine that does other work, so the load is printed too.

    Args:
        json: File for all numbers.
        log: Folder of an Argoverse 2 sensor log, or a robot's recording. Without one, a synthetic road as full as the
            busiest frame of the recorded logs.
        checkpoint: A run's folder. Without one, the default recipe untrained: equal work, meaningless forecasts.
        minutes: Simulated, at 10 Hz, over which memory is watched.
        live_seconds: Real time at 10 Hz for each deployment; 0 leaves deployments out.
        fault_minutes: Real minutes of random faults, tick by tick, after one of each kind; 0 leaves faults out.
        quick: In half a minute on two free cores: less of the log, twelve simulated seconds, no deployments.
        threads: PyTorch's.
        block: URI of the block of an untrained model.
        large_block: URI of a block of LLaMA-7B's size, timed in int8 with 32 agents on one thread and on two.
    """
    from perception_nodes.operations.computing import compute_with
    from perception_tools.forecasting.bench.node_timing import synthetic_drive
    from perception_tools.forecasting.streaming.drive import open_drive

    if threads < 1 or minutes <= 0:
        raise InputError(f"--threads {threads} --minutes {minutes}: expected both above 0; give positive numbers")
    compute_with(threads)
    drive = synthetic_drive() if log is None else open_drive(log)
    model, history_steps = _model(checkpoint, block)
    frames = drive.frames[: history_steps + 30] if quick else drive.frames
    drive = replace(drive, frames=frames)
    weights = "untrained" if checkpoint is None else str(checkpoint)
    about = {"drive": drive.id, "frames": len(drive.frames), "weights": weights, **_machine(threads)}
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    report: dict = about | _embedded(model, drive, history_steps, 0.2 if quick else minutes)
    report["large_block"] = _large(large_block, drive, quick)
    if live_seconds > 0 and not quick:
        report["live"] = _live(checkpoint, block, drive, live_seconds)
    if fault_minutes > 0:
        report["faults"] = _faults(checkpoint, block, drive, fault_minutes)
    report["must"] = _judge(report)
    if json is not None:
        from perception_tools.json_files import write_json

        write_json(json, report)


def _model(checkpoint: Path | None, source: str) -> tuple[Forecaster, int]:
    """A forecaster with a language block, and how many steps it looks back."""
    from perception_tools.forecasting.model import load_model

    if checkpoint is None:
        return _untrained(source), HISTORY_STEPS
    trained = load_model(checkpoint)
    return trained.model, trained.training.history_steps


def _untrained(source: str) -> Forecaster:
    from perception_tools.forecasting.model import build_forecaster

    return build_forecaster(_recipe(source), FUTURE_STEPS).eval()


def _recipe(source: str) -> ForecastRecipe:
    from perception_tools.forecasting.recipes import ForecastRecipe
    from perception_tools.training.recipes import BlockRecipe

    return ForecastRecipe(block=BlockRecipe(source=source))


def _machine(threads: int) -> dict:
    import os

    from perception_tools.machine import processor

    load = os.getloadavg()[0]
    return {"processor": processor(), "cores": os.cpu_count(), "threads": threads, "load": load}


def _embedded(model: Forecaster, drive: Drive, history_steps: int, minutes: float) -> dict:
    """Everything about the node with its own block in its own process."""
    from perception_tools.forecasting.bench.node_timing import active_node, endure, time_frames, transport_ms

    latency = {}
    for precision in PRECISIONS:
        served = model.folded(precision)
        times = time_frames(active_node(served, drive, history_steps), served, drive.frames)
        latency[precision] = times.summary()
        _print_latency(f"block in {precision}", times)

    served = model.folded(PRECISIONS[0])
    node = active_node(served, drive, history_steps)
    busiest = max(drive.frames, key=len)
    transport = transport_ms(busiest, node.step(busiest))
    frame_ms = min(latency[precision]["cpu_ms"]["p50"] for precision in PRECISIONS)
    transport["percent_of_frame"] = 100 * (transport["decode"] + transport["encode"]) / frame_ms
    transport["percent_of_period"] = 100 * (transport["decode"] + transport["encode"]) / PERIOD_MS
    print(
        f"transport of {len(busiest)} objects: decode {transport['decode']:.2f} ms, encode {transport['encode']:.2f} ms"
        f" (CPU), {transport['percent_of_frame']:.1f} % of a frame, {transport['percent_of_period']:.1f} % of 100 ms"
    )
    node = active_node(served, drive, history_steps)
    endurance = endure(node, drive.frames, minutes)
    share = endurance.cpu_ms_mean / PERIOD_MS
    print(
        f"memory over {minutes:g} simulated minutes: {endurance.rss_mb[0]:.0f} to {endurance.rss_mb[-1]:.0f} MB, "
        f"slope {endurance.slope_mb_per_minute:+.3f} MB a minute\n"
        f"CPU at 10 Hz: {100 * share:.0f} % of one core",
        flush=True,
    )
    return {"latency": latency, "transport": transport, "memory": asdict(endurance), "cpu_share_at_10_hz": share}


def _large(source: str, drive: Drive, quick: bool) -> dict[str, dict]:
    """A block of LLaMA-7B's size in int8, asked for the 32 agents nearest to the ego; by number of threads."""
    import torch

    from perception_tools.forecasting.bench.node_timing import active_node, time_frames

    model, history_steps = _model(None, source)
    served = model.folded("int8_dynamic")
    del model  # 0.8 GB
    warm = min(history_steps, len(drive.frames) // 2)
    frames = drive.frames[: warm + 10] if quick else drive.frames
    latency = {}
    for threads in LARGE_THREADS:
        torch.set_num_threads(threads)
        node = active_node(served, drive, history_steps, max_forecasts=LARGE_AGENTS)
        for frame in frames[:warm]:
            node.step(frame)
        times = time_frames(node, served, frames[warm:])
        _print_latency(f"{source} in int8_dynamic, threads: {threads}", times)
        latency[f"{threads} threads"] = times.summary()
    return latency


def _live(checkpoint: Path | None, source: str, drive: Drive, seconds: float) -> dict[str, dict]:
    """The same drive through deployments of processes."""
    import tempfile

    from perception_tools.forecasting.bench.live import run_live

    found = {}
    with tempfile.TemporaryDirectory(prefix="perception-bench-") as name:
        folder = Path(name)
        checkpoint = checkpoint or _save_untrained(folder, source)
        for mode in LIVE_MODES:
            own = folder / mode
            own.mkdir()
            times = run_live(checkpoint, drive, own, seconds=seconds, secure=mode == "mtls").summary()
            found[mode] = times
            p50, p99, most = times["wall_ms"].values()
            shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in times["cpu_share"].items())
            print(
                f"{mode}, {seconds:g} s at 10 Hz: wall p50 {p50:.1f}  p99 {p99:.1f}  max {most:.1f} ms from frame sent "
                f"to forecasts received, {times['lost']} of {times['frames']} lost; of a core: {shares}",
                flush=True,
            )
    return found


def _faults(checkpoint: Path | None, source: str, drive: Drive, minutes: float) -> dict:
    """What faults of a deployment's processes cost."""
    import tempfile

    from perception_tools.forecasting.bench.outages import run_faults

    with tempfile.TemporaryDirectory(prefix="perception-bench-") as name:
        folder = Path(name)
        return run_faults(checkpoint or _save_untrained(folder, source), drive, folder, minutes)


def _save_untrained(folder: Path, source: str) -> Path:
    """Writes an untrained model's file."""
    from perception_tools.forecasting.model import Training, save_model
    from perception_tools.model_metadata import MODEL_FILE

    checkpoint = folder / MODEL_FILE
    training = Training("forecast/untrained", "none", 0, HISTORY_STEPS, FUTURE_STEPS, 0)
    save_model(checkpoint, _untrained(source), _recipe(source), training)
    return checkpoint


def _print_latency(title: str, times: FrameTimes) -> None:
    summary = times.summary()
    print(f"{title}: {summary['agents']['p50']:.0f} agents a frame, at most {summary['agents']['max']}")
    for name in ("wall_ms", "cpu_ms"):
        p50, p99, most = summary[name].values()
        print(f"  {name[:-3]:<5} p50 {p50:6.1f}  p99 {p99:6.1f}  max {most:6.1f} ms")
    for part, milliseconds in summary["parts_cpu_ms_p50"].items():
        print(f"    {part:<24} {milliseconds:6.2f} ms CPU, p50")
    print(end="", flush=True)


def _judge(report: dict) -> dict[str, dict]:
    """The numbers that are promised, each with what was found."""
    best = min(report["latency"].values(), key=lambda summary: summary["cpu_ms"]["p99"])
    alone, together = report["large_block"].values()
    found = {
        "embedded p99, CPU ms": (best["cpu_ms"]["p99"], FRAME_MS),
        "embedded p99, wall ms": (best["wall_ms"]["p99"], FRAME_MS),
        "LLaMA-7B's size, 32 agents, one thread, p99, CPU ms": (alone["cpu_ms"]["p99"], 80.0),
        "LLaMA-7B's size, 32 agents, two threads, p99, wall ms": (together["wall_ms"]["p99"], 80.0),
        "transport, percent of the 100 ms": (report["transport"]["percent_of_period"], 5.0),
        "memory slope, MB a minute": (report["memory"]["slope_mb_per_minute"], LEAK_MB_PER_MINUTE),
    }
    for mode, times in report.get("live", {}).items():
        found[f"{mode}, frames lost"] = (times["lost"], 0)
        found[f"{mode}, p99, wall ms"] = (times["wall_ms"]["p99"], FRAME_MS)
    if "faults" in report:
        random = report["faults"]["with a standby"]["random"]
        found["random faults, ticks without output"] = (random["without_output"], 0)
        if random["overrun_ms"]["p99"] is not None:
            found["deadline's overrun, p99, ms"] = (random["overrun_ms"]["p99"], 5.0)
            ours = random["overrun_ms_beyond_idle_wakeup"]["p99"]
            found["deadline's overrun beyond an idle thread's delay, p99, ms"] = (ours, 5.0)
    judged = {name: {"found": value, "at_most": most, "met": value <= most} for name, (value, most) in found.items()}
    for name, verdict in judged.items():
        print(
            f"{'met' if verdict['met'] else 'MISSED':<7} {name}: {verdict['found']:.2f}, at most {verdict['at_most']}"
        )
    return judged
