"""A forecasting record in one vocabulary for every data set: agents, map, what was observed, what came after.

Positions are metres in the *city frame* of the record (a fixed, east–north frame with an arbitrary origin, so float64),
headings are radians counter-clockwise from its x axis, velocities are m/s, and steps are `step_s` apart.
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


class AgentKind(IntEnum):
    """Argoverse 2's ten object types. Argoverse 1 knows no types: its AGENT and AV are vehicles, OTHERS unknown."""

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
"""Argoverse 2's five moving types: whom a node forecasts, and whom sensor logs score."""


class PolylineKind(IntEnum):
    """What a map polyline is."""

    VEHICLE_LANE = 0
    BIKE_LANE = 1
    BUS_LANE = 2
    CROSSWALK = 3


class Turn(IntEnum):
    """A lane segment's turn direction; Argoverse 2 states none."""

    NONE = 0
    LEFT = 1
    RIGHT = 2


@dataclass(frozen=True)
class AgentTracks:
    """Every agent's track on one clock.

    Attributes:
        ids: Track ids as the data set writes them.
        kinds: `AgentKind` values.
        position: City frame, metres; NaN-free: unobserved steps hold 0.
        heading: Radians in the city frame. Estimated from motion where the data set has none (Argoverse 1).
        velocity: City frame, m/s. Finite differences where the data set has none.
        valid: True where the track was observed (or labelled, in the future).
        scored: Agents that the benchmark scores: Argoverse 2's focal and scored tracks; in Argoverse 1 and in sensor
            logs, where nobody marks them, agents seen at the present step whose future is complete.
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
        has_traffic_control: Whether traffic control governs the lane segment; False where the data set does not say.
    """

    ids: Int[np.ndarray, " lanes"]
    points: Float[np.ndarray, "lanes points 2"]
    kinds: Int[np.ndarray, " lanes"]
    turns: Int[np.ndarray, " lanes"]
    is_intersection: Bool[np.ndarray, " lanes"]
    has_traffic_control: Bool[np.ndarray, " lanes"]

    def __len__(self) -> int:
        return len(self.ids)


class UnusableScenario(InputError):
    """A scenario that no forecaster can use."""


@dataclass(frozen=True)
class Scenario:
    """One forecasting record.

    Attributes:
        id: Unique within its data set.
        source: `argoverse1`, `argoverse2`, `argoverse2-sensor` or `synthetic` (ours, in Argoverse 2's format).
        city: The city whose frame the coordinates are in.
        agents: All tracks; history and future on one time axis.
        map: Polylines near the agents.
        history_steps: Observed steps; the present step is `history_steps - 1`, the rest of the axis the future.
            A record without labels (a test split) has no steps after the present.
        focal: Index of the agent that the benchmark asks about first (AGENT, focal track); of the ego in sensor logs.
        ego: Index of the recording vehicle, or None where it has no track.
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
        """How many labelled steps follow the present."""
        return self.agents.valid.shape[1] - self.history_steps

    @property
    def synthetic(self) -> bool:
        """Whether the record was made, not measured."""
        return self.source == "synthetic"

    def require_focal(self) -> None:
        """Checks that the focal agent is observed at the present step: otherwise the scene has no frame.

        Raises:
            UnusableScenario: It is not.
        """
        if not self.agents.valid[self.focal, self.present]:
            raise UnusableScenario(
                f"scenario {self.id}: expected a focal agent that is observed at the present step {self.present}, "
                f"{self.agents.ids[self.focal]} is not; leave the scenario out"
            )

    def city_SE2_agent(self, agent: int) -> SE2:
        """Takes points from an agent's frame, its pose at the present step, to the city frame."""
        x_m, y_m = self.agents.position[agent, self.present].tolist()
        return SE2(x_m, y_m, float(self.agents.heading[agent, self.present]))

    @cached_property
    def has_complete_future(self) -> Bool[np.ndarray, " agents"]:
        """Agents seen at the present step and at every step after it."""
        return np.logical_and(self.agents.valid[:, self.present :].all(axis=1), self.future_steps > 0)


@dataclass(frozen=True)
class Forecast:
    """K futures for each of some agents of a scenario.

    Attributes:
        agents: Which agents of the scenario these are.
        trajectories: City frame, metres; step 0 is the step after the present.
        probabilities: Of each mode; they sum to one over the modes.
    """

    agents: Int[np.ndarray, " forecast_agents"]
    trajectories: Float[np.ndarray, "forecast_agents modes steps 2"]
    probabilities: Float[np.ndarray, "forecast_agents modes"]
