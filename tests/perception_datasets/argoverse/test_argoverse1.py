import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from perception.traffic.scenario import AgentKind, Scenario
from perception_datasets.argoverse.argoverse1 import CURE, read_argoverse1
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import open_forecasting

WriteScene = Callable[..., Path]


def read(path: Path) -> Scenario:
    return read_argoverse1(path, path.parents[2] / "map_files")


def test_a_scene_holds_the_agent_the_av_and_the_others_at_common_steps(argoverse1: Path) -> None:
    scenario = read(argoverse1 / "val" / "data" / "1.csv")
    agents = scenario.agents
    assert (scenario.id, scenario.source, scenario.city) == ("1", "argoverse1", "PIT")
    assert agents.ids == ("agent", "00000000-0000-0000-0000-000000000000", "parked", "short")
    assert (scenario.focal, scenario.ego, scenario.present, scenario.future_steps) == (0, 1, 19, 30)
    assert agents.kinds.tolist() == [AgentKind.VEHICLE, AgentKind.VEHICLE, AgentKind.UNKNOWN, AgentKind.UNKNOWN]
    np.testing.assert_array_equal(agents.position[0, :, 0], np.arange(50))
    assert agents.scored.tolist() == [True, True, True, False]


def test_a_track_that_ends_before_the_present_is_kept_and_masked(argoverse1: Path) -> None:
    agents = read(argoverse1 / "val" / "data" / "1.csv").agents
    assert agents.valid[3].sum() == 6
    assert (agents.position[3, 6:] == 0).all()
    assert (agents.velocity[3, 6:] == 0).all()
    np.testing.assert_allclose(agents.velocity[3, :6, 0], 8.0, atol=1.5)


def test_heading_comes_from_motion_and_from_the_lane_where_a_car_stands(argoverse1: Path) -> None:
    agents = read(argoverse1 / "val" / "data" / "1.csv").agents
    assert np.abs(agents.heading[:3]).max() < 0.15  # all drive or stand eastwards
    np.testing.assert_allclose(agents.velocity[0], np.tile([10.0, 0.0], (50, 1)), atol=1e-9)
    assert np.linalg.norm(agents.velocity[2], axis=1).max() < 3.0


def test_the_map_keeps_near_lanes_bit_exact_with_their_attributes(argoverse1: Path) -> None:
    lanes = read(argoverse1 / "val" / "data" / "1.csv").map
    assert lanes.ids.tolist() == [11, 12, 14]  # lane 13 is 2 km away
    np.testing.assert_array_equal(lanes.points[0, :, 0], [7.3 * i for i in range(10)])
    assert lanes.turns.tolist() == [0, 2, 0]
    assert lanes.is_intersection.tolist() == [False, True, False]
    assert lanes.has_traffic_control.tolist() == [True, False, False]
    np.testing.assert_allclose(lanes.points[2, :, 0], 50.0 + np.linspace(0, 14.6, 10))


def test_rows_in_any_order_give_the_same_scene(write_scene: WriteScene, scene_rows: list[str]) -> None:
    straight = read(write_scene("7", scene_rows))
    shuffled = read(write_scene("8", [scene_rows[i] for i in np.random.default_rng(0).permutation(len(scene_rows))]))
    assert straight.agents.ids == shuffled.agents.ids
    for name in ("position", "heading", "velocity", "valid", "scored", "kinds"):
        np.testing.assert_array_equal(getattr(straight.agents, name), getattr(shuffled.agents, name))


def test_the_history_does_not_depend_on_the_future(write_scene: WriteScene, scene_rows: list[str]) -> None:
    rng = np.random.default_rng(1)

    def disturb(row: str) -> str:
        time, track, kind, x, y, city = row.split(",")
        if float(time) < 315968001.95:
            return row
        return f"{time},{track},{kind},{float(x) + rng.normal(0, 5)},{float(y) + rng.normal(0, 5)},{city}"

    clean = read(write_scene("7", scene_rows))
    other = read(write_scene("8", [disturb(row) for row in scene_rows]))
    assert not np.array_equal(clean.agents.position[:, 20:], other.agents.position[:, 20:])
    for name in ("position", "heading", "velocity"):
        np.testing.assert_array_equal(getattr(clean.agents, name)[:, :20], getattr(other.agents, name)[:, :20])
    np.testing.assert_array_equal(clean.map.ids, other.map.ids)


def test_a_test_split_scene_has_no_future_and_scores_the_agent(write_scene: WriteScene, scene_rows: list[str]) -> None:
    observed = [row for row in scene_rows if float(row.split(",")[0]) < 315968001.95]
    scenario = read(write_scene("7", observed))
    assert scenario.future_steps == 0
    assert scenario.agents.scored.tolist() == [True, False, False, False]


HEADER = "TIMESTAMP,TRACK_ID,OBJECT_TYPE,X,Y,CITY_NAME"
FAULTS = {
    "a missing column": (lambda rows: rows, "TIMESTAMP,TRACK_ID,OBJECT_TYPE,X,LATITUDE,CITY_NAME", "missing: Y"),
    "a NaN": (
        lambda rows: [*rows[:-1], rows[-1].replace("49.0", "NaN")],
        HEADER,
        "column X, row 100: expected a finite number, found nan",
    ),
    "an infinity": (
        lambda rows: [*rows[:-1], rows[-1].replace("49.0", "inf")],
        HEADER,
        "column X, row 100: expected a finite number, found inf",
    ),
    "a value that cannot be": (
        lambda rows: [*rows[:-1], rows[-1].replace("49.0", "1e300")],
        HEADER,
        "column X, row 100: expected a number from -1e+07 to 1e+07, found 1e+300",
    ),
    "an empty cell": (
        lambda rows: [*rows[:-1], rows[-1].replace("49.0", "")],
        HEADER,
        "column X, row 100: expected a value, found none",
    ),
    "a column twice": (lambda rows: rows, "TIMESTAMP,TRACK_ID,OBJECT_TYPE,X,X,CITY_NAME", "missing: Y"),
    "another column twice": (
        lambda rows: [f"{row},0" for row in rows],
        HEADER + ",X",
        "expected each column once; more than one is called X",
    ),
    "two cities": (
        lambda rows: [*rows[:-1], rows[-1].replace("PIT", "MIA")],
        HEADER,
        "column CITY_NAME: expected one value in all rows, found MIA, PIT",
    ),
    "a field without an end": (
        lambda rows: ['"' + "x" * 3_000_000, *rows],
        HEADER,
        "cannot be parsed",
    ),
    "a header without an end": (lambda _: [], "TIMESTAMP," * 500_000, "a first line with the names of the columns"),
    "text for a number": (lambda rows: [*rows[:-1], rows[-1].replace("49.0", "x")], HEADER, "cannot be parsed"),
    "duplicated rows": (lambda rows: [*rows, rows[30]], HEADER, "has 2 rows for step"),
    "no AGENT": (lambda rows: [r for r in rows if "AGENT" not in r], HEADER, "one track of OBJECT_TYPE AGENT, found 0"),
    "two AGENTs": (lambda rows: [r.replace("OTHERS", "AGENT") for r in rows], HEADER, "OBJECT_TYPE AGENT, found 3"),
    "a truncated end": (lambda rows: rows[: len(rows) // 2], HEADER, "expected 50 time stamps (20 in a test split)"),
    "a row cut short": (lambda rows: [*rows[:-1], rows[-1][:-8]], HEADER, "Expected 6 columns"),
    "a header alone": (lambda _: [], HEADER, "expected rows, found none"),
    "an unknown city": (lambda rows: [r.replace("PIT", "NYC") for r in rows], HEADER, "found 'NYC'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_file_is_named_with_reason_and_cure(
    fault: str, write_scene: WriteScene, scene_rows: list[str]
) -> None:
    spoil, header, reason = FAULTS[fault]
    rows = [row for row in scene_rows if "short" not in row and "parked" not in row]
    if fault == "two AGENTs":
        rows = scene_rows
    path = write_scene("9", spoil(rows), header=header)
    with pytest.raises(RecordError, match=re.escape(reason)) as raised:
        read(path)
    assert str(path) in str(raised.value)
    cure = "keep one row for each track and time stamp" if fault == "duplicated rows" else CURE
    assert str(raised.value).endswith(f"; {cure}")


def test_an_empty_or_absent_file_is_named(argoverse1: Path) -> None:
    data = argoverse1 / "val" / "data"
    (data / "1.csv").write_text("")
    for name in ("1", "nothing"):
        with pytest.raises(RecordError, match=f"{name}.csv"):
            read(data / f"{name}.csv")


@pytest.mark.parametrize("split", ["train", "val", "sample"])
def test_native_scenes_hold_every_row_of_their_file(real_data: Path, argoverse1: Path, split: str) -> None:
    for path in sorted((real_data / "argoverse1" / "csv" / split).glob("*.csv"))[:5]:
        rows = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=None, encoding=None)
        if rows["f5"][0] != "PIT":
            continue
        agents = read_argoverse1(path, argoverse1 / "map_files").agents
        times = np.unique(rows["f0"])
        assert agents.valid.sum() == len(rows)
        for row in rows[::37]:
            where = agents.ids.index(row["f1"]), np.searchsorted(times, row["f0"])
            assert agents.valid[where]
            assert agents.position[where].tolist() == [row["f3"], row["f4"]]


def test_unpacked_scenes_hold_the_positions_of_their_table(real_data: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("unpack_argoverse1", real_data / "unpack_argoverse1.py")
    assert spec is not None
    assert spec.loader is not None
    unpack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack)
    assert unpack.write_split("val", tmp_path, 8) == 8
    for city in ("PIT", "MIA"):
        unpack.write_map(city, tmp_path)
    table = pq.read_table(real_data / "argoverse1" / "scenes" / "val_tracks.parquet")
    val, failures = open_forecasting(tmp_path, "val"), Failures()
    scenarios = list(val.read_all(failures.add))
    assert (len(scenarios), len(failures)) == (8, 0)
    for scenario in scenarios:
        rows = table.filter(pc.field("seq_id") == int(scenario.id))
        assert scenario.agents.valid.sum() == rows.num_rows
        agent = rows.filter(pc.field("track") == 0).sort_by("step")
        np.testing.assert_array_equal(scenario.agents.position[0, :, 0], agent["x_mm"].to_numpy() / 1000)
        np.testing.assert_array_equal(scenario.agents.position[0, :, 1], agent["y_mm"].to_numpy() / 1000)
        assert scenario.agents.scored[0]
        assert len(scenario.map) > 5
