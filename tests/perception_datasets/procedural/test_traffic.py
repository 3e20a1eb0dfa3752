"""Situations with a known outcome, on roads made by hand."""

from itertools import pairwise

import numpy as np

from perception_datasets.procedural.lane_graph import Crosswalk, LaneGraph, Priority, Rule
from perception_datasets.procedural.pedestrians import Pedestrians
from perception_datasets.procedural.routes import NearTable, make_route
from perception_datasets.procedural.traffic import STEP_S, Motion, Traffic, Vehicles


def line(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    count = round(float(np.hypot(end[0] - start[0], end[1] - start[1]))) + 1
    return np.linspace(start, end, count)


def crossing_roads(rule: Rule) -> LaneGraph:
    """Returns an eastbound and a northbound lane that cross at the origin; the northbound one has priority."""
    graph = LaneGraph(rules=[rule])
    for arm, ahead in enumerate([np.array([1.0, 0.0]), np.array([0.0, 1.0])]):
        ends = [-120.0, -10.0, 10.0, 120.0]
        before, middle, after = (
            graph.add(line(tuple(a * ahead), tuple(b * ahead)), speed_limit_mps=12.0) for a, b in pairwise(ends)
        )
        inside = graph.segments[middle]
        inside.junction, inside.arm, inside.is_intersection = 0, arm, True
        inside.priority = Priority.MAJOR if arm else Priority.MINOR
        graph.connect(before, middle)
        graph.connect(middle, after)
        graph.entries.append(before)
    return graph


def drive(
    graph: LaneGraph, starts: list[tuple[int, float]], steps: int, pedestrians: int = 0
) -> tuple[Motion, Traffic]:
    """Simulates vehicles with equal drivers that start on the given entries at the given distances, in metres."""
    rng = np.random.default_rng(0)
    table = NearTable(graph)
    routes = []
    for entry, _ in starts:
        way = [graph.entries[entry]]
        while graph.segments[way[-1]].successors:
            way.append(graph.segments[way[-1]].successors[0])
        routes.append(make_route(graph, table, tuple(way)))
    same = np.ones(len(starts))
    vehicles = Vehicles(
        routes, ["vehicle"] * len(starts), 4.7 * same, 1.9 * same, 0 * same, same, 1.4 * same, 1.6 * same
    )
    traffic = Traffic(graph, table, vehicles, Pedestrians(graph, pedestrians, rng), rng)
    traffic._waiting = []
    traffic.present[:] = True
    traffic.along[:] = [along for _, along in starts]
    traffic.speed[:] = 10.0
    traffic.right_of_way._next = [0] * len(starts)
    return traffic.run(steps, rng), traffic


def test_a_follower_keeps_its_distance_to_a_standing_leader() -> None:
    graph = crossing_roads(Rule.PRIORITY)
    graph.segments[graph.entries[0]].speed_limit_mps = 12.0
    motion, _ = drive(graph, [(0, 60.0), (0, 30.0)], steps=100)
    gap = motion.along_m[:, 0] - motion.along_m[:, 1]
    both = motion.present.all(axis=1)
    assert gap[both].min() > 4.7 + 1.0


def test_the_minor_road_waits_for_the_major_one() -> None:
    motion, _ = drive(crossing_roads(Rule.PRIORITY), [(0, 70.0), (1, 62.0)], steps=120)
    minor_in, major_in = (np.argmax(motion.along_m[:, row] > 110.0) for row in (0, 1))
    assert 0 < major_in < minor_in
    assert motion.speed_mps[:, 0].min() < 5.0
    assert motion.speed_mps[:major_in, 1].min() > 9.0


def test_nobody_passes_a_stop_sign_without_stopping() -> None:
    motion, _ = drive(crossing_roads(Rule.ALL_WAY_STOP), [(0, 60.0), (1, 62.0)], steps=150)
    for row in (0, 1):
        entered = np.argmax(motion.along_m[:, row] > 112.0)
        assert entered > 0
        assert motion.speed_mps[:entered, row].min() < 0.5


def test_only_one_arm_has_green_and_all_get_it() -> None:
    _, traffic = drive(crossing_roads(Rule.SIGNAL), [(0, 60.0)], steps=1)
    times = np.arange(0.0, 60.0, STEP_S)
    green = np.array([[traffic.right_of_way._green(0, arm, time) for arm in (0, 1)] for time in times])
    assert not green.all(axis=1).any()
    assert green.any(axis=0).all()
    assert (~green.any(axis=1)).any()


def test_vehicles_never_stand_in_each_others_way_under_any_rule() -> None:
    for rule in Rule:
        starts = [(0, 20.0 * i + 5.0) for i in range(4)] + [(1, 20.0 * i + 5.0) for i in range(4)]
        motion, traffic = drive(crossing_roads(rule), starts, steps=200)
        inside = (motion.along_m > 110.0) & (motion.along_m < 130.0) & motion.present
        assert not (inside[:, :4].any(axis=1) & inside[:, 4:].any(axis=1)).any()
        assert (motion.along_m[-1] > 130.0).any()
        assert traffic.acceleration.max() < 3.0


def test_a_car_waits_while_someone_is_on_the_crosswalk() -> None:
    graph = crossing_roads(Rule.PRIORITY)
    inside = graph.segments[graph.segments[graph.entries[0]].successors[0]]
    graph.crosswalks.append(Crosswalk(9000, np.array([[-7.0, -4.0], [-7.0, 4.0]]), 3.0, (inside.id,)))
    graph.kerbs.append(line((-100.0, -3.0), (-20.0, -3.0)))
    motion, traffic = drive(graph, [(0, 60.0)], steps=150, pedestrians=6)
    people = traffic.pedestrians
    crossers = [row for row, crosswalk in enumerate(people.crosswalk) if crosswalk == 0]
    assert crossers
    on_road = np.zeros(len(motion.walked_m), bool)
    for row in crossers:
        on_road |= (motion.walked_m[:, row] > 8.0) & (motion.walked_m[:, row] < 16.0)
    over_it = (motion.along_m[:, 0] > 111.0) & (motion.along_m[:, 0] < 117.0) & motion.present[:, 0]
    assert on_road.any()
    assert over_it.any()
    assert not (on_road & over_it).any()
