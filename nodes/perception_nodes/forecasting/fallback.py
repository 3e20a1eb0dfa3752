"""Futures of objects without the model: at rest, straight, or in a constant turn, by what history and tracker say."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.baselines.constant_turn import constant_turn
from perception.traffic.motion import (
    REGRESSION_STEPS,
    TURN_STEPS,
    at_rest,
    regressed_turn_rate,
    regressed_velocity,
)
from perception.traffic.scenario import ROAD_USERS, AgentKind, AgentTracks
from perception_nodes.forecasting.answer import Source
from perception_nodes.forecasting.tick import Tick

SLOWEST_M_S = 0.3
"""Below this speed an object counts as standing: trackers' velocities tremble by about as much."""
LEAST_MOVE_M = 0.1
"""An object that was seen too few times to be at rest counts as moving if it is so far from where it was first seen."""
SLOWEST_TURN_RAD_S = 0.05
"""Below this rate a path counts as straight."""
SLOWEST_TURNING_M_S = 1.0
FASTEST_TURN_RAD_S, LARGEST_LATERAL_M_S2 = 0.7, 4.0
"""Turn rates are limited to this, and to this centripetal acceleration."""
TURN_SHARE = 0.7
"""Share of the present turn rate at which a path goes on, since turns end: on vehicles of sensor logs the final error
after 3 s is 3.67 m, with the whole rate 3.82 m, on a straight line 3.86 m."""
DISAGREEMENT_M_S, DISAGREEMENT = 2.0, 0.25
"""History and tracker disagree if their velocities differ by more than this, and by more than this share of it."""
SAME_OBJECT_M, SAME_OBJECT_S = 2.0, 0.3
"""After the clock was set, an object is the one of its id before if it is at most so far from it, and as far as it gets
in this time."""
_TURNING = (AgentKind.VEHICLE, AgentKind.BUS, AgentKind.MOTORCYCLIST, AgentKind.CYCLIST)
_MOVING = (*ROAD_USERS, AgentKind.UNKNOWN)


@dataclass(frozen=True)
class PresentMotion:
    """How objects move.

    Attributes:
        kinds: `AgentKind` values, as far as tracker and history know them.
        velocity: Velocity in the city frame, m/s; 0 where nothing is known.
        turn_rate: Counter-clockwise turn rate, rad/s; 0 where nothing is known.
        at_rest: Whether the object stands: its tracker says so, or its history shows that it has not moved.
    """

    kinds: Int[np.ndarray, " objects"]
    velocity: Float[np.ndarray, "objects 2"]
    turn_rate: Float[np.ndarray, " objects"]
    at_rest: Bool[np.ndarray, " objects"]


@dataclass(frozen=True)
class Extrapolation:
    """One future of each object.

    Attributes:
        trajectories: Positions in the city frame, metres; step 0 is one step after the present.
        sources: `Source` of each.
    """

    trajectories: Float[np.ndarray, "objects steps 2"]
    sources: Int[np.ndarray, " objects"]


def reported_motion(tick: Tick) -> PresentMotion:
    """Returns the motion that the tracker reports."""
    known = (tick.kinds >= 0) & (tick.kinds < len(AgentKind))
    kinds = np.where(known, tick.kinds, AgentKind.UNKNOWN)
    if tick.motion is None:
        count = len(tick)
        return PresentMotion(kinds, np.zeros((count, 2)), np.zeros(count), np.zeros(count, dtype=bool))
    velocity, turn_rate = (
        np.nan_to_num(v, posinf=0.0, neginf=0.0) for v in (tick.motion.velocity, tick.motion.turn_rate)
    )
    return PresentMotion(kinds, velocity, turn_rate, tick.motion.stationary.copy())


def present_motion(tick: Tick, rows: Int[np.ndarray, " tracked"], tracks: AgentTracks) -> PresentMotion:
    """Returns the motion of a tick's objects by tracker and history together.

    The more steps an object was seen for, the more its history counts; once that is half a second, the two count the
    same, and the history alone where they disagree. A velocity of exactly 0 is that of a tracker without one.

    Args:
        tick: The objects.
        rows: Rows of the objects that have a history.
        tracks: Their past, after the ego; the last step is the tick.
    """
    motion = reported_motion(tick)
    of_tracks = {field.name: getattr(motion, field.name)[rows] for field in fields(motion)}
    joint = _joint_motion(PresentMotion(**of_tracks), tracks)
    found = {field.name: getattr(motion, field.name).copy() for field in fields(motion)}
    for name, values in found.items():
        values[rows] = getattr(joint, name)
    return PresentMotion(**found)


def _joint_motion(reported: PresentMotion, tracks: AgentTracks) -> PresentMotion:
    """Returns the motion of objects by what their tracker reports and by their past, which is after the ego's."""
    position, heading, valid = tracks.position[1:], tracks.heading[1:], tracks.valid[1:]
    seen_velocity, age_s, seen = regressed_velocity(position, valid)
    told, whole = reported.velocity, seen > REGRESSION_STEPS // 2 + 1
    rate, rate_lasts = _joint_turn_rate(reported, seen_velocity, heading, valid)
    velocity = _blended(_turned(seen_velocity, rate * age_s), told, seen, whole)
    far = _moved(position, valid) > LEAST_MOVE_M
    resting = at_rest(position, valid) | (reported.at_rest & ~(whole & far))
    still = resting | (~far & (whole | (told == 0).all(axis=1)))
    return PresentMotion(
        kinds=np.where(tracks.kinds[1:] != AgentKind.UNKNOWN, tracks.kinds[1:], reported.kinds),
        velocity=np.where(still[:, None], 0.0, velocity),
        turn_rate=np.where(rate_lasts, rate, 0.0),
        at_rest=resting,
    )


def _joint_turn_rate(
    reported: PresentMotion,
    seen_velocity: Float[np.ndarray, "objects 2"],
    heading: Float[np.ndarray, "objects steps"],
    valid: Bool[np.ndarray, "objects steps"],
) -> tuple[Float[np.ndarray, " objects"], Bool[np.ndarray, " objects"]]:
    """Returns the tracker's turn rate or, without one, that of the headings; and whether to extrapolate by it.

    Headings that are not along the motion say nothing. Those of few steps only turn the velocity to the present.

    Args:
        reported: What the tracker reports.
        seen_velocity: Velocity by the history.
        heading: Past headings, the last step at present.
        valid: Where they are known.
    """
    along = np.abs(np.sin(heading[:, -1] - np.arctan2(seen_velocity[:, 1], seen_velocity[:, 0]))) < 0.5
    turned_rate, turned_steps = regressed_turn_rate(heading, valid)
    is_told = reported.turn_rate != 0
    rate = np.where(is_told, reported.turn_rate, np.where(along & (turned_steps > 2), turned_rate, 0.0))
    speeds = (np.linalg.norm(velocity, axis=1) for velocity in (seen_velocity, reported.velocity))
    return _limited(rate, np.maximum(*speeds)), is_told | (turned_steps > TURN_STEPS // 2)


def _blended(
    seen_velocity: Float[np.ndarray, "objects 2"],
    told: Float[np.ndarray, "objects 2"],
    seen: Int[np.ndarray, " objects"],
    whole: Bool[np.ndarray, " objects"],
) -> Float[np.ndarray, "objects 2"]:
    """Returns the velocity by history and tracker together.

    Args:
        seen_velocity: What the history says.
        told: What the tracker says; 0 where it says nothing.
        seen: Number of steps that the history is of.
        whole: Whether these are enough for it to count alone where the two disagree.
    """
    apart = np.linalg.norm(seen_velocity - told, axis=1)
    agree = apart <= np.maximum(DISAGREEMENT_M_S, DISAGREEMENT * np.linalg.norm(told, axis=1))
    share = np.where(agree, np.minimum((seen - 1) / (2 * REGRESSION_STEPS), 0.5), np.where(whole, 1.0, 0.0))
    share = np.where((told == 0).all(axis=1), 1.0, share)[:, None]
    return share * seen_velocity + (1 - share) * told


def carried_on(
    motion: PresentMotion, rows: Int[np.ndarray, " tracked"], tracks: AgentTracks, before: AgentTracks
) -> PresentMotion:
    """Returns the motion of objects after the clock was set: those of unknown motion go on as they did before.

    Args:
        motion: Motion by what came since.
        rows: Rows of the objects that have a history.
        tracks: What came since, after the ego.
        before: The tracks until then.
    """
    row_of = {name: row for row, name in enumerate(before.ids)}
    then = np.array([row_of.get(name, -1) for name in tracks.ids[1:]], dtype=np.int64)
    velocity, _, _ = regressed_velocity(before.position, before.valid)
    rate, _ = regressed_turn_rate(before.heading, before.valid)
    moved = np.linalg.norm(tracks.position[1:, -1] - before.position[then, -1], axis=1)
    same = (then >= 0) & (moved <= SAME_OBJECT_M + SAME_OBJECT_S * np.linalg.norm(velocity[then], axis=1))
    unknown = (tracks.valid[1:].sum(axis=1) < 2) & (motion.velocity[rows] == 0).all(axis=1) & ~motion.at_rest[rows]
    chosen = np.flatnonzero(same & unknown)
    result = replace(motion, velocity=motion.velocity.copy(), turn_rate=motion.turn_rate.copy())
    result.velocity[rows[chosen]], result.turn_rate[rows[chosen]] = velocity[then[chosen]], rate[then[chosen]]
    return result


def extrapolate(tick: Tick, motion: PresentMotion, steps: int) -> Extrapolation:
    """Returns where objects get if they go on as they do. Those of kinds that do not move stay.

    Args:
        tick: The objects; their positions are finite.
        motion: How they move.
        steps: Number of steps.
    """
    speed = np.linalg.norm(motion.velocity, axis=1)
    moving = (speed >= SLOWEST_M_S) & ~motion.at_rest & np.isin(motion.kinds, _MOVING)
    rate = _limited(motion.turn_rate, speed)
    turning = moving & (np.abs(rate) >= SLOWEST_TURN_RAD_S) & np.isin(motion.kinds, _TURNING)
    turning &= speed >= SLOWEST_TURNING_M_S
    velocity, rate = np.where(moving[:, None], motion.velocity, 0.0), np.where(turning, TURN_SHARE * rate, 0.0)
    sources = np.select([turning, moving], [Source.CONSTANT_TURN, Source.CONSTANT_VELOCITY], Source.AT_REST)
    return Extrapolation(constant_turn(tick.position, velocity, rate, steps), sources.astype(np.int64))


def _limited(
    turn_rate: Float[np.ndarray, " objects"], speed: Float[np.ndarray, " objects"]
) -> Float[np.ndarray, " objects"]:
    largest = np.minimum(FASTEST_TURN_RAD_S, LARGEST_LATERAL_M_S2 / np.maximum(speed, 1.0))
    return np.clip(turn_rate, -largest, largest)


def _turned(
    velocity: Float[np.ndarray, "objects 2"], angle: Float[np.ndarray, " objects"]
) -> Float[np.ndarray, "objects 2"]:
    cos, sin = np.cos(angle), np.sin(angle)
    east, north = velocity[:, 0], velocity[:, 1]
    return np.stack([cos * east - sin * north, sin * east + cos * north], axis=1)


def _moved(
    position: Float[np.ndarray, "objects steps 2"], valid: Bool[np.ndarray, "objects steps"]
) -> Float[np.ndarray, " objects"]:
    """Returns how far objects are from where they were first seen in the last steps."""
    position, valid = position[:, -REGRESSION_STEPS - 1 :], valid[:, -REGRESSION_STEPS - 1 :]
    first = np.take_along_axis(position, valid.argmax(axis=1)[:, None, None], axis=1)[:, 0]
    return np.linalg.norm(position[:, -1] - first, axis=1)
