import numpy as np
import pytest

from perception_datasets.procedural.lane_graph import Crosswalk, LaneGraph, Priority, Rule
from perception_datasets.procedural.right_of_way import RightOfWay, VehicleStates
from perception_datasets.procedural.routes import NearTable, make_route

EAST, NORTH = 0, 1


class Crossing:
    """A lane eastwards (minor) and one northwards (major) that cross; vehicle 0 drives east, vehicle 1 north."""

    def __init__(self, rule: Rule, *, crosswalk: bool = False) -> None:
        graph = LaneGraph(rules=[rule])
        routes = []
        for arm, ahead in enumerate([np.array([1.0, 0.0]), np.array([0.0, 1.0])]):
            ways = [graph.add(np.arange(a, b + 1.0)[:, None] * ahead) for a, b in ((-60, -10), (-10, 10), (10, 60))]
            graph.connect(ways[0], ways[1])
            graph.connect(ways[1], ways[2])
            inside = graph.segments[ways[1]]
            inside.junction, inside.arm, inside.is_intersection = 0, arm, True
            inside.priority = Priority.MAJOR if arm == NORTH else Priority.MINOR
            routes.append(ways)
        if crosswalk:
            axis = np.array([[-8.0, -3.0], [-8.0, 3.0]])
            graph.crosswalks.append(Crosswalk(9000, axis, 3.0, (routes[EAST][1],)))
        table = NearTable(graph)
        made = [make_route(graph, table, tuple(ways)) for ways in routes]
        self.right_of_way = RightOfWay(graph, table, made, np.array([4.0, 4.0]), np.random.default_rng(0))
        self.blocked_crosswalks: set[int] = set()
        self.standing_at: np.ndarray | None = None

    def gaps(self, along: tuple[float, float], speed: tuple[float, float], time_s: float = 0.0) -> np.ndarray:
        """Returns each vehicle's distance to the line where it must stop, or infinity. The crossing starts at 50 m."""
        here = np.stack([np.array([along[0] - 60.0, 0.0]), np.array([0.0, along[1] - 60.0])])
        if self.standing_at is not None:
            here[NORTH] = self.standing_at
        states = VehicleStates(np.array(along), np.array(speed), here, np.array([True, True]))
        return self.right_of_way.step(time_s, states, self.blocked_crosswalks)


def test_distant_vehicles_need_not_stop() -> None:
    assert np.isinf(Crossing(Rule.PRIORITY).gaps((5.0, 5.0), (5.0, 5.0))).all()


def test_the_minor_road_yields_only_to_a_vehicle_that_arrives_soon() -> None:
    both = Crossing(Rule.PRIORITY).gaps((40.0, 35.0), (5.0, 10.0))
    assert both[EAST] == pytest.approx(9.0)  # 8 m from its front to the line, plus the margin of 1 m
    assert np.isinf(both[NORTH])
    assert np.isinf(Crossing(Rule.PRIORITY).gaps((40.0, 1.0), (5.0, 1.0))[EAST])


def test_a_claim_keeps_others_out_until_the_tail_has_left() -> None:
    crossing = Crossing(Rule.PRIORITY)
    assert np.isinf(crossing.gaps((46.0, 1.0), (5.0, 1.0))[EAST])
    assert np.isfinite(crossing.gaps((60.0, 46.0), (5.0, 5.0))[NORTH])  # even for the major road
    assert np.isfinite(crossing.gaps((71.0, 46.0), (5.0, 0.0))[NORTH])
    assert np.isinf(crossing.gaps((73.0, 46.0), (5.0, 0.0))[NORTH])


def test_a_vehicle_must_stop_at_a_stop_sign() -> None:
    crossing = Crossing(Rule.ALL_WAY_STOP)
    assert np.isfinite(crossing.gaps((46.0, 5.0), (3.0, 1.0))[EAST])
    assert np.isinf(crossing.gaps((47.0, 5.0), (0.1, 1.0))[EAST])


def test_a_red_light_stops_and_a_green_one_does_not() -> None:
    free = [
        np.isinf(Crossing(Rule.SIGNAL).gaps((46.0, 46.0), (1.0, 1.0), time_s=time))
        for time in np.arange(0.0, 60.0, 0.5)
    ]
    assert not np.all(free, axis=1).any()
    assert np.any(free, axis=0).all()
    assert (~np.any(free, axis=1)).any()  # all red in between


def test_a_vehicle_does_not_enter_if_another_blocks_its_exit() -> None:
    crossing = Crossing(Rule.PRIORITY)
    crossing.standing_at = np.array([15.0, 0.0])  # 5 m east of the crossing's end
    assert np.isfinite(crossing.gaps((46.0, 1.0), (5.0, 0.0))[EAST])
    crossing.standing_at = np.array([40.0, 0.0])
    assert np.isinf(crossing.gaps((46.0, 1.0), (5.0, 0.0))[EAST])


def test_a_vehicle_does_not_enter_a_blocked_crosswalk() -> None:
    crossing = Crossing(Rule.PRIORITY, crosswalk=True)
    crossing.blocked_crosswalks = {0}
    assert np.isfinite(crossing.gaps((46.0, 1.0), (5.0, 1.0))[EAST])
    assert crossing.right_of_way.claimed_crosswalks() == set()
    crossing.blocked_crosswalks = set()
    assert np.isinf(crossing.gaps((46.0, 1.0), (5.0, 1.0))[EAST])
    assert crossing.right_of_way.claimed_crosswalks() == {0}
