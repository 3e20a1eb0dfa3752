"""A replay as one HTML file to play, pause and seek in: map, agents, fading futures, ego and latency.

It asks nothing of the network and works from the disk, so it can be attached to a report or to a ticket.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from perception.errors import InputError
from perception.geometry import wrap_angle
from perception.traffic.scenario import STEP_S, AgentKind, MapPolylines, PolylineKind
from perception_datasets.argoverse.argoverse2_sensor import EGO_SIZE_M
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.tick import EGO_ID, Reason, Tick
from perception_tools.forecasting.report.lane_map import BIKE_LANE_WIDTH_M, CROSSWALK_WIDTH_M, KERB_M, LANE_WIDTH_M
from perception_tools.forecasting.streaming.drive import Drive
from perception_tools.report.page import write_page

UNIT_M = 0.05
"""Positions are whole numbers of this, within 1.6 km of the ego's first place: finer than a pixel, and small."""
SHOWN_EVERY_S = 0.5
"""Points of a future this far apart are joined by straight lines."""
LEAST_PROBABILITY = 0.02
"""Less probable modes are not drawn."""
BUDGET_MS = 1000 * STEP_S


def write_player(path: Path, drive: Drive, results: Sequence[ForecastResult], facts: dict[str, str]) -> None:
    """Writes the player.

    Args:
        path: Path of the HTML file.
        drive: What was played.
        results: What the node said, at most once a frame.
        facts: Shown below the title, by name.
    """
    frames = [frame for frame in drive.frames if np.isfinite(frame.city_SE2_ego.x_m)]
    if not frames:
        raise InputError(f"{drive.id}: expected frames with an ego pose, found none; record the odometry with them")
    first = _first_seen(frames)
    track_of = {name: number for number, name in enumerate(first)}
    origin = np.array([frames[0].city_SE2_ego.x_m, frames[0].city_SE2_ego.y_m])
    content = {
        "unit": UNIT_M,
        "step_s": STEP_S,
        "budget_ms": BUDGET_MS,
        "sources": [_word(source) for source in Source],
        "reasons": [_word(reason) for reason in Reason],
        "tracks": _tracks(first),
        **_motion(frames, track_of, origin),
        **_answers(frames, track_of, results, origin),
    }
    write_page(
        path,
        "perception_tools.forecasting.report:player.html",
        title=f"Replay of {drive.id}",
        facts=facts,
        lanes=[(kind, Markup(lines)) for kind, lines in _lane_paths(drive.lanes.polylines, origin)],
        widths={
            "kerb": LANE_WIDTH_M + 2 * KERB_M,
            "road": LANE_WIDTH_M,
            "junction": LANE_WIDTH_M,
            "bikeway": BIKE_LANE_WIDTH_M,
            "stripe": CROSSWALK_WIDTH_M,
            "centreline": 0.12,
        },
        budget=f"{BUDGET_MS:g} ms",
        content=Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")),
    )


def _first_seen(frames: Sequence[Tick]) -> dict[str, tuple[int, list[float]]]:
    """Kind and size of every track as it was first seen, the ego before all others."""
    first: dict[str, tuple[int, list[float]]] = {EGO_ID: (AgentKind.VEHICLE, list(EGO_SIZE_M))}
    for frame in frames:
        for name, kind, size in zip(frame.ids, frame.kinds.tolist(), frame.size.tolist(), strict=True):
            first.setdefault(name, (kind, size))
    return first


def _tracks(first: dict[str, tuple[int, list[float]]]) -> list[dict]:
    return [
        {"id": name, "kind": _word(AgentKind(kind)), "size": [round(v, 2) for v in size[:2]]}
        for name, (kind, size) in first.items()
    ]


def _motion(frames: Sequence[Tick], track_of: dict[str, int], origin: Float[np.ndarray, " 2"]) -> dict:
    """Who is where: for each frame a count of agents, and flat lists of track number, x, y and heading."""
    rows = []
    for frame in frames:
        ego = frame.city_SE2_ego
        tracks = [0, *(track_of[name] for name in frame.ids)]
        position = np.concatenate([[[ego.x_m, ego.y_m]], frame.position])
        milliradians = np.rint(1e3 * wrap_angle(np.append(ego.heading_rad, frame.heading)))
        rows.append(np.column_stack([tracks, _whole(position - origin), milliradians]))
    return {
        "seconds": [round((frame.stamp_ns - frames[0].stamp_ns) / 1e9, 3) for frame in frames],
        "agents_of": [len(agents) for agents in rows],
        "agents": _packed(np.concatenate(rows)),
    }


def _answers(
    frames: Sequence[Tick],
    track_of: dict[str, int],
    results: Sequence[ForecastResult],
    origin: Float[np.ndarray, " 2"],
) -> dict:
    """What the node said: for each frame how it went, and flat lists of every mode.

    A mode has a row of track, percent, `Source` and `Reason`, and its points.
    """
    result_of = {result.stamp_ns: result for result in results}
    every = round(SHOWN_EVERY_S / STEP_S)
    answers, modes, points = [], [], []
    for frame in frames:
        result = result_of.get(frame.stamp_ns)
        answers.append(_answer(result))
        if result is None or len(result.objects) == 0:
            continue
        object_row, mode = np.nonzero(result.probabilities >= LEAST_PROBABILITY)
        tracks = np.array([track_of[name] for name in result.objects.ids])[object_row]
        percent = np.rint(100 * result.probabilities[object_row, mode])
        modes.append(np.column_stack([tracks, percent, result.sources[object_row], result.reasons[object_row]]))
        points.append(_whole(result.trajectories[object_row, mode, every - 1 :: every] - origin))
        answers[-1]["modes"] = len(tracks)
    return {
        "answers": answers,
        "modes": _packed(np.concatenate(modes) if modes else np.zeros((0, 4))),
        "points": _packed(np.concatenate(points) if points else np.zeros((0, 0, 2))),
        "points_per_mode": points[0].shape[1] if points else 0,
        "shown_every_s": SHOWN_EVERY_S,
    }


def _answer(result: ForecastResult | None) -> dict:
    if result is None:
        reason = "dropped: the node was busy"
        return {"source": "none", "reason": reason, "latency_ms": None, "by_model": 0, "objects": 0, "modes": 0}
    return {
        "source": result.source,
        "reason": result.reason,
        "latency_ms": round(result.latency_ms, 1),
        "by_model": len(result.by_model),
        "objects": len(result.objects),
        "modes": 0,
    }


def _word(value: AgentKind | Source | Reason) -> str:
    return value.name.lower().replace("_", " ")


def _lane_paths(lanes: MapPolylines, origin: Float[np.ndarray, " 2"]) -> list[tuple[str, str]]:
    """The map from below to above as (class, SVG path data), y pointing north."""
    crosswalk, bikeway = lanes.kinds == PolylineKind.CROSSWALK, lanes.kinds == PolylineKind.BIKE_LANE
    road = ~crosswalk & ~bikeway
    layers = {
        "kerb": ~crosswalk,
        "road": road,
        "junction": road & lanes.is_intersection,
        "bikeway": bikeway,
        "stripe": crosswalk,
        "centreline": road,
    }
    return [(name, "".join(_path(line) for line in lanes.points[chosen] - origin)) for name, chosen in layers.items()]


def _path(line: Float[np.ndarray, "points 2"]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line.tolist())


def _whole(metres: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    return np.rint(metres / UNIT_M)


def _packed(numbers: Float[np.ndarray, "*n"]) -> str:
    """Little-endian int16 in base64; what does not fit is clipped, and what is no number lies at 0."""
    return base64.b64encode(np.clip(np.nan_to_num(numbers), -32768, 32767).astype("<i2").tobytes()).decode()
