"""A forecasting record, the same for every data set: agents, map, history and future.

Positions are metres in the *city frame* of the record, a fixed east–north frame with an arbitrary origin (so float64).
Headings are radians counter-clockwise from its x axis, velocities are m/s, and steps are `STEP_S` apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError
from perception.geometry import SE2

STEP_S = 0.1
"""Both Argoverse data sets are sampled at 10 Hz."""

COORDINATE_LIMIT_M = 1e7
"""Larger coordinates are damage: city frames begin within some kilometres, and UTM's northings end at 10,000 km."""


class AgentKind(IntEnum):
    """Argoverse 2's ten object types. Argoverse 1 has no types: its AGENT and AV are vehicles, OTHERS unknown."""

    VEHICLE = 0
    PEDESTRIAN = 1
    MOTORCYCLIST = 2
    CYCLIST = 3
    BUS = 4
    STATIC = 5
    BACKGROUND = 6
    CONSTRUCTION = 7
    RIDERLESS_BICYCLE = 8
    UNKNOWN = 9


ROAD_USERS = (AgentKind.VEHICLE, AgentKind.PEDESTRIAN, AgentKind.MOTORCYCLIST, AgentKind.CYCLIST, AgentKind.BUS)
"""Argoverse 2's five moving types: nodes forecast these, and these are scored in sensor logs."""


class PolylineKind(IntEnum):
    """Type of a map polyline."""

    VEHICLE_LANE = 0
    BIKE_LANE = 1
    BUS_LANE = 2
    CROSSWALK = 3


class Turn(IntEnum):
    """Turn direction of a lane segment; always NONE in Argoverse 2, which does not state it."""

    NONE = 0
    LEFT = 1
    RIGHT = 2


@dataclass(frozen=True)
class AgentTracks:
    """The tracks of all agents on a common time axis.

    Attributes:
        ids: Track ids as the data set writes them.
        kinds: `AgentKind` values.
        position: City frame, metres. Unobserved steps hold 0, never NaN.
        heading: City frame, radians. Estimated from motion if the data set has none (Argoverse 1).
        velocity: City frame, m/s. Finite differences if the data set has none.
        valid: True where the track was observed (or labelled, in the future).
        scored: Agents that the benchmark scores: Argoverse 2's focal and scored tracks. Argoverse 1 and sensor logs do
            not mark any; there, the agents observed at the present step whose future is complete.
    """

    ids: tuple[str, ...]
    kinds: Int[np.ndarray, " agents"]
    position: Float[np.ndarray, "agents steps 2"]
    heading: Float[np.ndarray, "agents steps"]
    velocity: Float[np.ndarray, "agents steps 2"]
    valid: Bool[np.ndarray, "agents steps"]
    scored: Bool[np.ndarray, " agents"]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class MapPolylines:
    """Centrelines and crosswalk axes near the agents, each resampled to the same number of points.

    Attributes:
        ids: The map's own lane-segment or crosswalk ids.
        points: City frame, metres, in driving direction.
        kinds: `PolylineKind` values.
        turns: `Turn` values.
        is_intersection: Whether the lane segment lies in an intersection.
        has_traffic_control: Whether traffic control governs the lane segment; False if the data set does not say.
    """

    ids: Int[np.ndarray, " lanes"]
    points: Float[np.ndarray, "lanes points 2"]
    kinds: Int[np.ndarray, " lanes"]
    turns: Int[np.ndarray, " lanes"]
    is_intersection: Bool[np.ndarray, " lanes"]
    has_traffic_control: Bool[np.ndarray, " lanes"]

    def __len__(self) -> int:
        return len(self.ids)


_OF_A_LANE = ("ids", "kinds", "turns", "is_intersection", "has_traffic_control")
_LEAVE_OUT = "leave the scenario out"


class UnusableScenario(InputError):
    """A scenario that no forecaster can use."""


@dataclass(frozen=True)
class Scenario:
    """One forecasting record.

    Attributes:
        id: Unique within its data set.
        source: `argoverse1`, `argoverse2`, `argoverse2-sensor`, `nuscenes` or `synthetic` (ours, in Argoverse 2's
            format).
        city: City in whose frame the coordinates are.
        agents: All tracks, history and future.
        map: Polylines near the agents.
        history_steps: Number of observed steps. The present step is `history_steps - 1`; later steps are the future. A
            record without labels (a test split) has none.
        focal: Index of the benchmark's main agent (AGENT, focal track); the ego in sensor logs.
        ego: Index of the recording vehicle; None if it has no track.
    """

    id: str
    source: str
    city: str
    agents: AgentTracks
    map: MapPolylines
    history_steps: int
    focal: int
    ego: int | None

    @property
    def present(self) -> int:
        """Index of the last observed step."""
        return self.history_steps - 1

    @property
    def future_steps(self) -> int:
        """Number of labelled steps after the present."""
        return self.agents.valid.shape[1] - self.history_steps

    @property
    def shape(self) -> tuple[int, int]:
        """Number of observed and of labelled steps."""
        return self.history_steps, self.future_steps

    @property
    def synthetic(self) -> bool:
        """Whether the record was generated rather than recorded."""
        return self.source == "synthetic"

    def require_shape(self, shape: tuple[int, int], purpose: str) -> None:
        """Checks the number of observed and of labelled steps, which all records of one model share.

        Args:
            shape: Expected numbers.
            purpose: What expects them, for the message.

        Raises:
            UnusableScenario: The scenario has others.
        """
        if self.shape != shape:
            raise UnusableScenario(
                f"scenario {self.id}: expected {shape[0]} observed and {shape[1]} future steps {purpose}, got "
                f"{self.shape[0]} and {self.shape[1]}; {_LEAVE_OUT}"
            )

    def require_plausible(self) -> None:
        """Checks that arrays fit together and values are possible, whatever the record was read from.

        Raises:
            UnusableScenario: They do not.
        """
        agents, lanes = self.agents, self.map
        count, steps = len(agents), agents.valid.shape[-1]
        expected = f"scenario {self.id}: expected "
        for name, values, shape in (
            ("kinds", agents.kinds, (count,)),
            ("position", agents.position, (count, steps, 2)),
            ("heading", agents.heading, (count, steps)),
            ("velocity", agents.velocity, (count, steps, 2)),
            ("valid", agents.valid, (count, steps)),
            ("scored", agents.scored, (count,)),
            ("map.points", lanes.points, (len(lanes), *lanes.points.shape[1:2], 2)),
            *((f"map.{name}", getattr(lanes, name), (len(lanes),)) for name in _OF_A_LANE),
        ):
            if values.shape != shape:
                raise UnusableScenario(f"{expected}{name} of shape {shape}, found {values.shape}; {_LEAVE_OUT}")
            if values.dtype.kind == "f" and not (np.abs(values) <= COORDINATE_LIMIT_M).all():
                worst = values.flat[int((~(np.abs(values) <= COORDINATE_LIMIT_M)).argmax())]
                raise UnusableScenario(f"{expected}{name} below {COORDINATE_LIMIT_M:g}, found {worst}; {_LEAVE_OUT}")
        for name, value, low, high in (
            ("history_steps", self.history_steps, 1, steps),
            ("focal", self.focal, 0, count - 1),
            ("ego", self.ego or 0, 0, count - 1),
            ("kinds", agents.kinds, 0, max(AgentKind)),
            ("map.kinds", lanes.kinds, 0, max(PolylineKind)),
            ("map.turns", lanes.turns, 0, max(Turn)),
        ):
            outside = np.extract((np.asarray(value) < low) | (np.asarray(value) > high), value)
            if outside.size:
                raise UnusableScenario(f"{expected}{name} from {low} to {high}, found {outside[0]}; {_LEAVE_OUT}")

    def require_focal(self) -> None:
        """Checks that the focal agent is observed at the present step, since it defines the frame of the scene.

        Raises:
            UnusableScenario: The focal agent is not observed at the present step.
        """
        if not self.agents.valid[self.focal, self.present]:
            raise UnusableScenario(
                f"scenario {self.id}: expected a focal agent that is observed at the present step {self.present}, "
                f"{self.agents.ids[self.focal]} is not; {_LEAVE_OUT}"
            )

    def city_SE2_agent(self, agent: int) -> SE2:
        """Returns the transform from an agent's frame (its pose at the present step) to the city frame."""
        x_m, y_m = self.agents.position[agent, self.present].tolist()
        return SE2(x_m, y_m, float(self.agents.heading[agent, self.present]))

    @cached_property
    def has_complete_future(self) -> Bool[np.ndarray, " agents"]:
        """Mask of the agents observed at the present step and at every step after it."""
        return np.logical_and(self.agents.valid[:, self.present :].all(axis=1), self.future_steps > 0)


@dataclass(frozen=True)
class Forecast:
    """K futures for each of the forecast agents of a scenario.

    Attributes:
        agents: Indices of the agents in the scenario.
        trajectories: City frame, metres; step 0 is the step after the present.
        probabilities: Probability of each mode; they sum to one over the modes.
    """

    agents: Int[np.ndarray, " forecast_agents"]
    trajectories: Float[np.ndarray, "forecast_agents modes steps 2"]
    probabilities: Float[np.ndarray, "forecast_agents modes"]
