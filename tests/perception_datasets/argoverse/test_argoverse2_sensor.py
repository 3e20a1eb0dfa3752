import json
import shutil
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from perception.encoders.vectornet.vectorize import vectorize
from perception.traffic.scenario import AgentKind
from perception_datasets.argoverse import argoverse2_sensor
from perception_datasets.argoverse.argoverse2_sensor import read_log
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import open_forecasting

SWEEPS = 112


@pytest.fixture
def sensor_logs(tmp_path: Path) -> Path:
    """One log of 112 sweeps: the ego drives north at 5 m/s; a car that faces west keeps 10 m ahead of it."""
    log = tmp_path / "logs" / "val" / "log0"
    (log / "map").mkdir(parents=True)
    time = 1_000_000_000 + 100_300_000 * np.arange(SWEEPS)  # a little slower than 10 Hz, as the recorded ones
    zero, one = np.zeros(SWEEPS), np.ones(SWEEPS)
    half = np.pi / 4
    pose = {"timestamp_ns": time, "qw": np.cos(half) * one, "qx": zero, "qy": zero, "qz": np.sin(half) * one}
    feather.write_feather(
        pa.table({**pose, "tx_m": zero + 100, "ty_m": 0.5 * np.arange(SWEEPS), "tz_m": zero}),
        log / "city_SE3_egovehicle.feather",
    )
    box = {
        "timestamp_ns": np.concatenate([time, time[:60]]),
        "track_uuid": ["car"] * SWEEPS + ["cone"] * 60,
        "category": ["REGULAR_VEHICLE"] * SWEEPS + ["CONSTRUCTION_CONE"] * 60,
    }
    rows = SWEEPS + 60
    pose = {"qw": np.cos(half) * np.ones(rows), "qz": np.sin(half) * np.ones(rows), "tx_m": 10.0 * np.ones(rows)}
    rest = {name: np.zeros(rows) for name in ("qx", "qy", "ty_m", "tz_m", "width_m", "height_m")}
    rest["length_m"] = 4.5 * np.ones(rows)
    feather.write_feather(pa.table({**box, **pose, **rest}), log / "annotations.feather")
    archive = {"lane_segments": {}, "pedestrian_crossings": {}, "drivable_areas": {}}
    (log / "map" / "log_map_archive_log0____PIT_city_1.json").write_text(json.dumps(archive))
    return tmp_path / "logs"


def test_each_step_with_eleven_seconds_after_it_starts_a_scenario(sensor_logs: Path) -> None:
    logs = open_forecasting(sensor_logs, "val")
    assert (logs.source, list(logs.ids)) == ("argoverse2-sensor", ["log0_000", "log0_001", "log0_002"])
    assert [scenario.id for scenario in logs] == list(logs.ids)
    assert logs[0].agents.valid.shape[1] == 110


def test_boxes_are_transformed_to_the_city_frame(sensor_logs: Path) -> None:
    scenario = open_forecasting(sensor_logs, "val")[2]
    agents = scenario.agents
    assert agents.ids == ("AV", "car", "cone")
    assert agents.kinds.tolist() == [AgentKind.VEHICLE, AgentKind.VEHICLE, AgentKind.CONSTRUCTION]
    assert (scenario.focal, scenario.ego, scenario.city) == (0, 0, "PIT")
    y = 0.5 * np.arange(2, 112)
    np.testing.assert_allclose(agents.position[0], np.stack([np.full(110, 100.0), y], axis=1))
    np.testing.assert_allclose(agents.position[1], np.stack([np.full(110, 100.0), y + 10], axis=1))
    np.testing.assert_allclose(agents.heading[0], np.pi / 2)
    np.testing.assert_allclose(np.abs(agents.heading[1]), np.pi)
    np.testing.assert_allclose(agents.velocity[:2], np.broadcast_to([0.0, 5.0], (2, 110, 2)), atol=1e-9)
    assert agents.scored.tolist() == [True, True, False]
    assert agents.valid.sum(axis=1).tolist() == [110, 110, 58]


def test_a_log_has_the_times_of_its_sweeps_and_the_sizes_of_its_boxes(sensor_logs: Path) -> None:
    log = read_log(sensor_logs / "val" / "log0")
    assert log.stamps_ns.tolist() == (1_000_000_000 + 100_300_000 * np.arange(SWEEPS)).tolist()
    assert log.size.tolist() == [list(argoverse2_sensor.EGO_SIZE_M), [4.5, 0.0, 0.0], [4.5, 0.0, 0.0]]


def test_windows_with_and_without_a_future_give_a_network_the_same_input(sensor_logs: Path) -> None:
    log = read_log(sensor_logs / "val" / "log0")
    labelled, unlabelled = log.scenario(1), log.scenario(1, future_steps=0)
    assert (unlabelled.history_steps, unlabelled.future_steps) == (50, 0)
    assert unlabelled.agents.scored.tolist() == [True, True, False]
    seen, known = vectorize(labelled), vectorize(unlabelled)
    for name in ("agent_vectors", "agent_vectors_valid", "agent_poses", "lane_vectors", "lane_poses"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(known, name))


def test_a_missing_sweep_leaves_a_gap(sensor_logs: Path) -> None:
    path = sensor_logs / "val" / "log0" / "annotations.feather"
    table = feather.read_table(path)
    lost = table["timestamp_ns"].to_numpy() == 1_000_000_000 + 100_300_000 * 70
    feather.write_feather(table.filter(pa.array(~lost)), path)
    scenario = open_forecasting(sensor_logs, "val")[0]
    assert np.flatnonzero(~scenario.agents.valid[1]).tolist() == [70]
    assert not scenario.agents.scored[:2].any()


BOXES, POSES = "annotations.feather", "city_SE3_egovehicle.feather"


def change(path: Path, row: int = 0, **values: float) -> None:
    """Overwrites cells of a row."""
    table = feather.read_table(path)
    for name, value in values.items():
        cells = table[name].to_pylist()
        cells[row] = value
        table = table.set_column(table.column_names.index(name), name, pa.array(cells, table.schema.field(name).type))
    feather.write_feather(table, path)


def truncate(log: Path) -> None:
    path = log / "annotations.feather"
    path.write_bytes(path.read_bytes()[:1000])


def drop_poses(log: Path) -> None:
    path = log / "city_SE3_egovehicle.feather"
    feather.write_feather(feather.read_table(path).slice(0, 100), path)


def shorten(log: Path) -> None:
    path = log / "annotations.feather"
    table = feather.read_table(path)
    early = table["timestamp_ns"].to_numpy() < 8_000_000_000
    feather.write_feather(table.filter(pa.array(early)), path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncate, "annotations.feather: it cannot be parsed"),
        (drop_poses, "expected a pose for each annotated sweep, found none for 12, the first at 11030000000 ns"),
        (shorten, r"expected 110 steps \(11 s\) from step 0 on, found 70"),
        (lambda log: (log / "annotations.feather").unlink(), "no such file"),
        (lambda log: next((log / "map").iterdir()).unlink(), r"expected one log_map_archive_\*.json, found none"),
        (
            lambda log: (log / "map" / "log_map_archive_other.json").touch(),
            r"expected one log_map_archive_\*.json, found log_map_archive_log0.*, log_map_archive_other.json",
        ),
        (lambda log: change(log / POSES, qw=0.0, qz=0.0), "timestamp_ns 1000000000: expected a unit quaternion in qw"),
        (lambda log: change(log / POSES, tx_m=1e300), r"column tx_m, row 1: expected a number from -1e\+07 to 1e\+07"),
        (
            lambda log: change(log / POSES, row=1, timestamp_ns=1_000_000_000),
            "one pose for each time, found 112 for 111",
        ),
        (lambda log: change(log / BOXES, length_m=-1.0), "column length_m, row 1: expected a number from 0 to 1000"),
        (lambda log: change(log / BOXES, timestamp_ns=-1), "column timestamp_ns, row 1: expected a number from 0 to"),
        (
            lambda log: change(log / BOXES, row=5, timestamp_ns=1_000_000_005),
            "found two within 0.05 s after 1000000000",
        ),
        (lambda log: change(log / BOXES, timestamp_ns=2**61), "expected at most 36000 steps of 0.1 s, found 230584"),
    ],
)
def test_a_broken_log_is_named_with_the_reason(spoil, reason: str, sensor_logs: Path) -> None:
    spoil(sensor_logs / "val" / "log0")
    logs, failures = open_forecasting(sensor_logs, "val"), Failures()
    assert list(logs.read_all(failures.add)) == []
    assert list(failures.reasons) == list(logs.ids) != []
    with pytest.raises(RecordError, match=f"{reason}.*; (extract the log again|leave the log out)"):
        logs[0]


def test_a_broken_file_of_a_log_is_read_once_for_all_its_windows(
    sensor_logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(sensor_logs / "val" / "log0" / POSES, tx_m=1e300)
    read, parsed = argoverse2_sensor.read_feather, []
    monkeypatch.setattr(
        argoverse2_sensor, "read_feather", lambda path, *rest: parsed.append(path.name) or read(path, *rest)
    )
    logs, failures = open_forecasting(sensor_logs, "val"), Failures()
    parsed.clear()
    assert list(logs.read_all(failures.add)) == []
    assert len(failures) == 3
    assert parsed == [BOXES, POSES]


def test_the_egos_box_makes_no_second_track(sensor_logs: Path) -> None:
    path = sensor_logs / "val" / "log0" / BOXES
    expected, table = read_log(path.parent), feather.read_table(path)
    ego = table.slice(0, 1).set_column(1, "track_uuid", [["ego"]]).set_column(2, "category", [["EGO_VEHICLE"]])
    feather.write_feather(pa.concat_tables([table, ego.select(table.column_names)]), path)
    found = read_log(path.parent)
    assert found.ids == expected.ids
    np.testing.assert_array_equal(found.kinds, expected.kinds)
    np.testing.assert_array_equal(found.size, expected.size)
    np.testing.assert_array_equal(found.position, expected.position)


def heading_in(log: Path) -> float:
    return float(read_log(log).heading[0, 0])


def test_a_forked_worker_reads_a_log_after_its_parent_has_read_one(sensor_logs: Path) -> None:
    """As DataLoader workers do; a reader that leaves threads behind would hang here."""
    first = sensor_logs / "val" / "log0"
    second = Path(shutil.copytree(first, first.with_name("log1")))
    expected = heading_in(first)
    with get_context("fork").Pool(1) as pool:
        assert pool.apply_async(heading_in, (second,)).get(timeout=120) == expected


def test_every_category_of_av2_has_a_kind_or_is_deliberately_unknown() -> None:
    motion = pytest.importorskip("av2.datasets.motion_forecasting.data_schema")
    sensor = pytest.importorskip("av2.datasets.sensor.constants")
    unknown = {"ANIMAL", "DOG", "MOTORCYCLE", "WHEELED_DEVICE", "TRAFFIC_LIGHT_TRAILER"} - {"TRAFFIC_LIGHT_TRAILER"}
    named = set(argoverse2_sensor._KIND_OF_CATEGORY)
    assert {category.value for category in sensor.AnnotationCategories} - named == unknown
    assert named <= {category.value for category in sensor.AnnotationCategories}
    assert {kind.name.lower() for kind in AgentKind} == {kind.value for kind in motion.ObjectType}


def test_recorded_boxes_lie_where_av2s_own_transforms_put_them(real_data: Path) -> None:
    cuboid_of, io = pytest.importorskip("av2.structures.cuboid"), pytest.importorskip("av2.utils.io")
    for folder in sorted((real_data / "argoverse2" / "sensor_logs").iterdir()):
        log = read_log(folder)
        cuboids = cuboid_of.CuboidList.from_feather(argoverse2_sensor._annotations(folder))
        poses = io.read_city_SE3_ego(folder)
        steps = {time: step for time, step in zip(*_clock(folder), strict=True)}
        checked = 0
        for cuboid, uuid in list(zip(cuboids.cuboids, _uuids(folder), strict=True))[::101]:
            if cuboid.category == "EGO_VEHICLE":
                continue
            assert cuboid.timestamp_ns is not None
            where = log.ids.index(uuid), steps[cuboid.timestamp_ns]
            in_city = poses[cuboid.timestamp_ns].compose(cuboid.dst_SE3_object)
            assert log.valid[where]
            np.testing.assert_allclose(log.position[where], in_city.translation[:2], atol=1e-6)
            yaw = np.arctan2(in_city.rotation[1, 0], in_city.rotation[0, 0])
            np.testing.assert_allclose(log.heading[where], yaw, atol=1e-9)
            checked += 1
        assert checked > 50


def _clock(folder: Path) -> tuple[list[int], list[int]]:
    table = feather.read_table(argoverse2_sensor._annotations(folder), columns=["timestamp_ns"])
    return np.unique(table["timestamp_ns"].to_numpy()).tolist(), argoverse2_sensor.read_steps(folder).tolist()


def _uuids(folder: Path) -> list[str]:
    return feather.read_table(argoverse2_sensor._annotations(folder))["track_uuid"].to_pylist()


def test_recorded_logs_of_15_6_s_give_47_start_steps(real_data: Path) -> None:
    logs = open_forecasting(real_data / "argoverse2" / "sensor_logs", "val")
    assert len(logs) == 48 + 47 + 47  # the first has one sweep more
    failures = Failures()
    scenarios = list(logs.read_all(failures.add))
    assert len(scenarios) == len(logs)
    for scenario in scenarios[::20]:
        agents = scenario.agents
        assert agents.valid[0].all()
        speed = np.linalg.norm(agents.velocity[0], axis=1)
        assert speed.max() < 25.0
        moving = speed > 2.0
        direction = np.arctan2(agents.velocity[0, :, 1], agents.velocity[0, :, 0])
        assert np.cos(direction - agents.heading[0])[moving].min(initial=1.0) > 0.9
        assert agents.scored.sum() > 5
        assert len(scenario.map) > 20
