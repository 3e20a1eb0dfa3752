"""A replay as a Rerun recording (https://rerun.io): map, agents, fading futures, ego and latency, to scrub and orbit.

`rerun FILE.rrd` opens it, laid out by the blueprint that is in the file. Needs the extra `[rerun]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from jaxtyping import Float, Int, UInt8

from perception.errors import InputError
from perception.files import whole_file
from perception.traffic.scenario import STEP_S, AgentKind, MapPolylines, PolylineKind
from perception_datasets.argoverse.argoverse2_sensor import EGO_SIZE_M
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.tick import Tick, UnusableTick
from perception_tools.forecasting.report.player import BUDGET_MS, LEAST_PROBABILITY, SHOWN_EVERY_S
from perception_tools.forecasting.streaming.drive import Drive
from perception_tools.report.theme import COLOURS

TIMELINE = "stamp"
"""The log's own stamps."""
TRAIL_FRAMES = 20
SMALLEST_M = 0.7
"""Smaller things are drawn as large as this, or nobody would find them."""
REAR_AXLE_TO_MIDDLE = 0.3
"""The ego's position is its rear axle; its box's middle is so much of its length before it."""

COLOUR_OF_KIND = {
    AgentKind.VEHICLE: "agent",
    AgentKind.BUS: "line5",
    AgentKind.PEDESTRIAN: "line3",
    AgentKind.CYCLIST: "line4",
    AgentKind.MOTORCYCLIST: "line4",
}
"""Names in the report's table; what does not move by itself is drawn like stripes on the road."""


def write_rerun(path: Path, drive: Drive, results: Sequence[ForecastResult], facts: dict[str, str]) -> None:
    """Writes the recording, and puts it in place once it is whole.

    Args:
        path: Path of the .rrd file; its folder is made where it does not exist.
        drive: What was played.
        results: What the node said, at most once a frame.
        facts: Shown with the recording's properties, by name.
    """
    frames = list(_usable(drive.frames))
    if not frames:
        raise InputError(f"{drive.id}: expected frames with an ego pose, found none; record the odometry with them")
    content = _recorded(drive, frames, results, facts)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def _recorded(drive: Drive, frames: Sequence[Tick], results: Sequence[ForecastResult], facts: dict[str, str]) -> bytes:
    """Returns the content of the file. Rerun's own thread hangs where it writes to a full disk itself."""
    recording = rr.RecordingStream("perception replay")
    stream = recording.binary_stream()
    recording.send_blueprint(_blueprint(), make_active=False)
    recording.set_log_time_enabled(False)  # when this was written is of no interest
    recording.set_log_tick_enabled(False)
    recording.send_recording_name(f"Replay of {drive.id}")
    named = {name.replace(" ", "_"): fact for name, fact in facts.items()}
    recording.send_property("replay", rr.AnyValues(drop_untyped_nones=True, **named))
    # Rerun computes in float32, of which a city frame's kilometres leave too few digits.
    origin = np.array([frames[0].city_SE2_ego.x_m, frames[0].city_SE2_ego.y_m])
    _log_what_stays(recording, drive.lanes.polylines, origin)
    _log_motion(recording, frames, origin)
    _log_answers(recording, frames, results, origin)
    return stream.read() or b""


def _usable(frames: Iterable[Tick]) -> Iterator[Tick]:
    """Frames with a time and a place, without objects that have none: a robot's recording may hold anything."""
    for frame in frames:
        try:
            placed = frame.placed()
        except UnusableTick:
            continue
        if placed.has_ego:
            yield placed.take(placed.screened(max_objects=len(placed)).rows)


def _log_what_stays(recording: rr.RecordingStream, lanes: MapPolylines, origin: Float[np.ndarray, " 2"]) -> None:
    """The map, the ego's shape and the looks of the charts."""
    recording.log("/", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    crosswalk, bikeway = lanes.kinds == PolylineKind.CROSSWALK, lanes.kinds == PolylineKind.BIKE_LANE
    road = ~crosswalk & ~bikeway
    layers = {
        "lanes": (road & ~lanes.is_intersection, "centreline"),
        "junctions": (road & lanes.is_intersection, "kerb"),
        "bikeways": (bikeway, "line3"),
        "crosswalks": (crosswalk, "stripe"),
    }
    for name, (chosen, colour) in layers.items():
        lines = rr.LineStrips3D(_raised(lanes.points[chosen] - origin, 0.0), radii=0.12, colors=_rgb(colour))
        recording.log(f"map/{name}", lines, static=True)
    length_m, _, height_m = EGO_SIZE_M
    middle = (REAR_AXLE_TO_MIDDLE * length_m, 0, height_m / 2)
    ego = rr.Boxes3D(centers=[middle], sizes=[EGO_SIZE_M], colors=_rgb("focal"), fill_mode="solid")
    recording.log("ego", ego, static=True)
    for name, colour in {
        "latency/latency_ms": "mode",
        "latency/budget_ms": "truth",
        "agents/tracked": "agent",
        "agents/forecast": "mode",
        "agents/extrapolated": "stripe",
    }.items():
        recording.log(name, rr.SeriesLines(colors=_rgb(colour), names=name.split("/")[1]), static=True)


def _log_motion(recording: rr.RecordingStream, frames: Sequence[Tick], origin: Float[np.ndarray, " 2"]) -> None:
    """Who is where, and was in the seconds before."""
    for row, frame in enumerate(frames):
        _set_time(recording, frame)
        ego = frame.city_SE2_ego
        place = [ego.x_m - origin[0], ego.y_m - origin[1], 0]
        turn = rr.RotationAxisAngle(axis=[0, 0, 1], radians=ego.heading_rad)
        recording.log("ego", rr.Transform3D(translation=place, rotation=turn))
        recording.log("tracks", _boxes(frame, origin))
        trails = [_raised(trail - origin, 0.1) for trail in _trails(frames[max(0, row - TRAIL_FRAMES) : row + 1])]
        recording.log("trails", rr.LineStrips3D(trails, radii=0.15, colors=_faded("agent", np.array([0.55]))))
        recording.log("agents/tracked", rr.Scalars(len(frame)))


def _boxes(frame: Tick, origin: Float[np.ndarray, " 2"]) -> rr.Boxes3D:
    """All objects, standing on the ground."""
    size = np.maximum(frame.size, SMALLEST_M)
    kinds = [AgentKind(kind) for kind in frame.kinds.tolist()]
    half_turn, zero = frame.heading / 2, np.zeros(len(frame))
    return rr.Boxes3D(
        centers=np.column_stack([frame.position - origin, size[:, 2] / 2]),
        sizes=size,
        quaternions=np.column_stack([zero, zero, np.sin(half_turn), np.cos(half_turn)]),
        colors=[_rgb(COLOUR_OF_KIND.get(kind, "stripe")) for kind in kinds],
        labels=[f"{kind.name.lower()} {name[:8]}" for kind, name in zip(kinds, frame.ids, strict=True)],
        show_labels=False,  # of a hundred agents they would hide the rest; a pointer shows them
        fill_mode="solid",
    )


def _trails(frames: Sequence[Tick]) -> list[Float[np.ndarray, "points 2"]]:
    """Where the last frame's objects were in these frames."""
    points: dict[str, list[np.ndarray]] = {name: [] for name in frames[-1].ids}
    for frame in frames:
        for name, position in zip(frame.ids, frame.position, strict=True):
            if name in points:
                points[name].append(position)
    return [np.stack(trail) for trail in points.values() if len(trail) > 1]


def _log_answers(
    recording: rr.RecordingStream,
    frames: Sequence[Tick],
    results: Sequence[ForecastResult],
    origin: Float[np.ndarray, " 2"],
) -> None:
    """What the node said, how fast, and why not where it said nothing."""
    # Of a frame that came twice, the valid answer is the one to show.
    result_of = {result.stamp_ns: result for result in sorted(results, key=lambda result: result.valid)}
    for frame in frames:
        _set_time(recording, frame)
        result = result_of.get(frame.stamp_ns)
        recording.log("latency/budget_ms", rr.Scalars(BUDGET_MS))
        by_model, objects = (0, 0) if result is None else (len(result.by_model), len(result.objects))
        recording.log("agents/forecast", rr.Scalars(by_model))
        recording.log("agents/extrapolated", rr.Scalars(objects - by_model))
        recording.log("futures", rr.LineStrips3D([]) if result is None else _futures(result, origin))
        recording.log("extrapolations", rr.LineStrips3D([]) if result is None else _extrapolations(result, origin))
        if result is not None:
            recording.log("latency/latency_ms", rr.Scalars(result.latency_ms))
        if result is None or result.reason:
            reason = "dropped: the node was busy" if result is None else result.reason
            recording.log("unanswered", rr.TextLog(reason, level=rr.TextLogLevel.WARN))


def _futures(result: ForecastResult, origin: Float[np.ndarray, " 2"]) -> rr.LineStrips3D:
    """The model's modes as pieces of half a second, the stronger the likelier it is and the sooner it comes.

    What is weak lies below what is strong.
    """
    shown = (result.probabilities >= LEAST_PROBABILITY) & (result.sources == Source.MODEL)[:, None]
    row, mode = np.nonzero(shown)
    if not len(row):
        return rr.LineStrips3D([])
    knots = _knots(result, row, mode)
    pieces = np.stack([knots[:, :-1], knots[:, 1:]], axis=2) - origin
    age = np.arange(pieces.shape[1]) / pieces.shape[1]
    strength = np.sqrt(result.probabilities[row, mode])[:, None] * (1 - 0.75 * age)  # as in the player
    height = np.broadcast_to(0.2 + 0.3 * strength[..., None, None], (*pieces.shape[:-1], 1))
    return rr.LineStrips3D(
        np.concatenate([pieces, height], axis=-1).reshape(-1, 2, 3),
        radii=(0.12 + 0.28 * strength).ravel(),
        colors=_faded("mode", strength.ravel()),
    )


def _extrapolations(result: ForecastResult, origin: Float[np.ndarray, " 2"]) -> rr.LineStrips3D:
    """What is not the model's: thin and grey, since Rerun draws no dashes; what stands has no line."""
    row = np.flatnonzero(~np.isin(result.sources, [Source.MODEL, Source.AT_REST]))
    if not len(row):
        return rr.LineStrips3D([])
    lines = _raised(_knots(result, row, np.zeros_like(row)) - origin, 0.2)
    return rr.LineStrips3D(lines, radii=0.1, colors=_rgb("stripe"))


def _knots(
    result: ForecastResult, row: Int[np.ndarray, " modes"], mode: Int[np.ndarray, " modes"]
) -> Float[np.ndarray, "modes knots 2"]:
    """Where objects are now and every half second of a mode."""
    every = round(SHOWN_EVERY_S / STEP_S)
    future = result.trajectories[row, mode, every - 1 :: every]
    return np.concatenate([result.objects.position[row][:, None], future], axis=1)


def _blueprint() -> rrb.Blueprint:
    """The scene above, from behind the ego; latency, counts and unanswered frames in a strip below it."""
    scene = rrb.Spatial3DView(
        name="replay",
        origin="ego",  # the eye rides along: its place is in the ego's frame
        contents=["/ego/**", "/map/**", "/tracks/**", "/trails/**", "/futures/**", "/extrapolations/**"],
        background=_rgb("ground"),
        line_grid=False,
        eye_controls=rrb.EyeControls3D(position=(-32, 0, 34), look_target=(12, 0, 0), eye_up=(0, 0, 1)),
    )
    strip = rrb.Horizontal(
        rrb.TimeSeriesView(name="latency, ms", origin="latency"),
        rrb.TimeSeriesView(name="agents", origin="agents"),
        rrb.TextLogView(name="unanswered frames", origin="unanswered"),
        column_shares=[2, 2, 1],
    )
    return rrb.Blueprint(
        rrb.Vertical(scene, strip, row_shares=[4, 1]),
        rrb.TimePanel(timeline=TIMELINE, state="collapsed", play_state="playing", loop_mode="all"),
        collapse_panels=True,
    )


def _set_time(recording: rr.RecordingStream, frame: Tick) -> None:
    recording.set_time(TIMELINE, timestamp=np.datetime64(frame.stamp_ns, "ns"))


def _raised(points: Float[np.ndarray, "*n 2"], height_m: float) -> Float[np.ndarray, "*n 3"]:
    """The same points in space, so much above the ground."""
    return np.concatenate([points, np.full((*points.shape[:-1], 1), height_m)], axis=-1)


def _faded(name: str, strength: Float[np.ndarray, " lines"]) -> UInt8[np.ndarray, "lines 3"]:
    """A colour at so much strength over the ground.

    It is mixed here since Rerun draws lines opaque whatever their alpha (https://github.com/rerun-io/rerun/issues/1611).
    """
    ground, full = np.array(_rgb("ground")), np.array(_rgb(name))
    return np.rint(ground + strength[:, None] * (full - ground)).astype(np.uint8)


def _rgb(name: str) -> tuple[int, int, int]:
    """A colour of the report as in its dark mode, which is what Rerun looks like."""
    red, green, blue = bytes.fromhex(COLOURS[name][1].removeprefix("#"))
    return red, green, blue
