import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rerun as rr
from rerun.chunk import RrdReader

from perception.errors import InputError
from perception.geometry import SE2
from perception.traffic.scenario import PolylineKind
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.node import ForecastingNode
from perception_tools.forecasting.report.player import LEAST_PROBABILITY
from perception_tools.forecasting.streaming.drive import Drive, open_drive
from perception_tools.forecasting.streaming.playback import ReplayClock, play_lockstep
from perception_tools.forecasting.streaming.rerun_recording import TRAIL_FRAMES, write_rerun
from perception_tools.report.theme import COLOURS

MakeNode = Callable[[], tuple[ForecastingNode, ReplayClock]]
FACTS = {"model": "tiny", "difference to offline": "none"}


@pytest.fixture(scope="module")
def drive(sensor_log: Path) -> Drive:
    return open_drive(sensor_log)


@pytest.fixture(scope="module")
def origin(drive: Drive) -> np.ndarray:
    return np.array([drive.frames[0].city_SE2_ego.x_m, drive.frames[0].city_SE2_ego.y_m])


@pytest.fixture(scope="module")
def results(drive: Drive, make_replay_node: MakeNode) -> list[ForecastResult]:
    """Answers to all frames but the fourth, which is dropped; the sixth comes twice, too late the second time."""
    frames = list(drive.frames)
    played = frames[:3] + frames[4:8] + frames[5:6] + frames[8:]
    answers = play_lockstep(*make_replay_node(), played, lambda *_: None)
    assert [answer.valid for answer in answers] == [True] * 7 + [False] + [True] * 22
    return answers


@pytest.fixture(scope="module")
def recording(drive: Drive, results: list[ForecastResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rerun") / "new" / "drive.rrd"
    write_rerun(path, drive, results, FACTS)
    assert [file.name for file in path.parent.iterdir()] == ["drive.rrd"]
    return path


def logged(recording: Path, entity: str, component: str) -> dict[int, list]:
    """What Rerun reads back of an entity, by stamp in nanoseconds."""
    found: dict[int, list] = {}
    for chunk in RrdReader(recording).stream():
        if chunk.entity_path == entity and not chunk.is_static:
            assert chunk.timeline_names == ["stamp"]
            rows = chunk.to_record_batch()
            if component in rows.schema.names:  # entries without it are in chunks of their own
                found.update(zip(rows["stamp"].cast(pa.int64()).to_pylist(), rows[component].to_pylist(), strict=True))
    return dict(sorted(found.items()))


def static(recording: Path, entity: str) -> dict:
    (chunk,) = [c for c in RrdReader(recording).stream() if c.entity_path == entity and c.is_static]
    return chunk.to_record_batch().to_pylist()[0]


def rgba(name: str) -> int:
    return int(COLOURS[name][1].removeprefix("#") + "ff", 16)


def test_everyone_is_where_the_log_has_them_at_its_stamps(recording: Path, drive: Drive, origin: np.ndarray) -> None:
    stamps = [frame.stamp_ns for frame in drive.frames]
    centers = logged(recording, "/tracks", "Boxes3D:centers")
    places = logged(recording, "/ego", "Transform3D:translation")
    assert list(centers) == list(places) == stamps
    for frame in drive.frames:
        boxes, ((x, y, z),) = np.array(centers[frame.stamp_ns]), places[frame.stamp_ns]
        np.testing.assert_allclose(boxes[:, :2] + origin, frame.position, atol=1e-4)
        np.testing.assert_allclose(boxes[:, 2], frame.size[:, 2] / 2)
        np.testing.assert_allclose([x + origin[0], y + origin[1], z], [frame.city_SE2_ego.x_m, 80.0, 0], atol=1e-4)


def test_boxes_are_labelled_and_coloured_by_class_as_in_the_report(recording: Path, drive: Drive) -> None:
    first = drive.frames[0].stamp_ns
    assert logged(recording, "/tracks", "Boxes3D:labels")[first] == [
        "vehicle 11111111",
        "bus 22222222",
        "pedestrian 33333333",
        "construction 44444444",
    ]
    names = ["agent", "line5", "line3", "stripe"]
    assert logged(recording, "/tracks", "Boxes3D:colors")[first] == [rgba(name) for name in names]
    assert static(recording, "/ego")["Boxes3D:colors"] == [rgba("focal")]


def test_a_box_points_where_its_object_does(tmp_path: Path, drive: Drive) -> None:
    turned = replace(drive.frames[0], heading=np.array([0.5, -2.0, np.pi, 9.0]))
    write_rerun(tmp_path / "a.rrd", replace(drive, frames=[turned]), [], FACTS)
    (boxes,) = logged(tmp_path / "a.rrd", "/tracks", "Boxes3D:quaternions").values()
    x, y, z, w = np.array(boxes).T
    assert (x == 0).all()
    assert (y == 0).all()
    np.testing.assert_allclose(np.exp(2j * np.arctan2(z, w)), np.exp(1j * turned.heading), atol=1e-6)


def test_trails_are_where_the_present_objects_were(recording: Path, drive: Drive, origin: np.ndarray) -> None:
    trails = logged(recording, "/trails", "LineStrips3D:strips")
    assert trails[drive.frames[0].stamp_ns] == []
    last = trails[drive.frames[-1].stamp_ns]
    assert [len(trail) for trail in last] == [21, 16, 21, 21]  # the bus was hidden for five
    before = [frame.position[0] - origin for frame in drive.frames[-TRAIL_FRAMES - 1 :]]
    np.testing.assert_allclose(np.array(last[0])[:, :2], before, atol=1e-4)
    assert len(trails[drive.frames[12].stamp_ns]) == 3  # while it is hidden it has no trail


def shown(results: Sequence[ForecastResult]) -> dict[int, ForecastResult]:
    return {result.stamp_ns: result for result in results if result.valid}


def likely(result: ForecastResult) -> np.ndarray:
    return (result.probabilities >= LEAST_PROBABILITY) & (result.sources == Source.MODEL)[:, None]


def test_what_is_not_the_models_is_drawn_apart_and_what_stands_is_not_drawn(
    tmp_path: Path, drive: Drive, results: list[ForecastResult], origin: np.ndarray
) -> None:
    result = results[-1]
    sources = np.array([Source.MODEL, Source.CONSTANT_TURN, Source.CONSTANT_VELOCITY, Source.AT_REST])
    mixed = replace(result, sources=sources, reason="the model is not loaded yet")
    write_rerun(tmp_path / "a.rrd", drive, [mixed], FACTS)
    (*_, lines) = logged(tmp_path / "a.rrd", "/extrapolations", "LineStrips3D:strips").values()
    assert len(lines) == 2
    expected = result.trajectories[1, 0, 4::5] - origin
    np.testing.assert_allclose(np.array(lines[0])[1:, :2], expected, atol=1e-3)
    colour = logged(tmp_path / "a.rrd", "/extrapolations", "LineStrips3D:colors")[result.stamp_ns]
    assert colour == [rgba("stripe")]
    futures = logged(tmp_path / "a.rrd", "/futures", "LineStrips3D:strips")[result.stamp_ns]
    assert len(futures) == likely(mixed).sum() * result.trajectories.shape[2] // 5
    assert logged(tmp_path / "a.rrd", "/agents/extrapolated", "Scalars:scalars")[result.stamp_ns] == [3]
    assert logged(tmp_path / "a.rrd", "/unanswered", "TextLog:text")[result.stamp_ns] == [mixed.reason]


def test_futures_are_what_the_node_said_every_half_second(
    recording: Path, results: list[ForecastResult], origin: np.ndarray
) -> None:
    strips = logged(recording, "/futures", "LineStrips3D:strips")
    for stamp, result in shown(results).items():
        agents, modes = np.nonzero(likely(result))
        expected = result.trajectories[agents, modes][:, 4::5] - origin
        pieces = np.array(strips[stamp]).reshape(*expected.shape[:2], 2, 3)
        np.testing.assert_allclose(pieces[:, :, 1, :2], expected, atol=1e-3)
        np.testing.assert_allclose(pieces[:, 0, 0, :2], result.objects.position[agents] - origin, atol=1e-3)
        np.testing.assert_array_equal(pieces[:, 1:, 0, :2], pieces[:, :-1, 1, :2])


def test_a_future_is_the_stronger_the_likelier_it_is_and_fades_towards_its_end(
    recording: Path, results: list[ForecastResult]
) -> None:
    result = results[-1]
    kept = likely(result)
    packed = np.array(logged(recording, "/futures", "LineStrips3D:colors")[result.stamp_ns], dtype=">u4")
    rgb = packed.view(np.uint8).reshape(kept.sum(), -1, 4)[..., :3].astype(float)
    ground, full = (np.array(list(bytes.fromhex(COLOURS[name][1][1:])), dtype=float) for name in ("ground", "mode"))
    strength = ((rgb - ground) / (full - ground)).mean(axis=-1)
    np.testing.assert_allclose(strength[:, 0], np.sqrt(result.probabilities[kept]), atol=0.01)
    assert (np.diff(strength, axis=1) < 0).all()
    radii = np.array(logged(recording, "/futures", "LineStrips3D:radii")[result.stamp_ns]).reshape(strength.shape)
    assert (np.diff(radii, axis=1) < 0).all()


def test_the_strip_shows_latency_and_how_many_agents(
    recording: Path, drive: Drive, results: list[ForecastResult]
) -> None:
    latency = logged(recording, "/latency/latency_ms", "Scalars:scalars")
    assert latency == {stamp: [result.latency_ms] for stamp, result in shown(results).items()}
    tracked = logged(recording, "/agents/tracked", "Scalars:scalars")
    assert tracked == {frame.stamp_ns: [len(frame)] for frame in drive.frames}
    forecast = logged(recording, "/agents/forecast", "Scalars:scalars")
    counts = {stamp: [len(result.by_model)] for stamp, result in shown(results).items()}
    assert forecast == {drive.frames[3].stamp_ns: [0]} | counts
    assert set(map(tuple, logged(recording, "/latency/budget_ms", "Scalars:scalars").values())) == {(100.0,)}


def test_a_frame_without_an_answer_says_why_and_shows_no_old_futures(recording: Path, drive: Drive) -> None:
    dropped = drive.frames[3].stamp_ns
    assert logged(recording, "/unanswered", "TextLog:text") == {dropped: ["dropped: the node was busy"]}
    assert logged(recording, "/futures", "LineStrips3D:strips")[dropped] == []


def test_a_node_that_answers_nothing_is_shown_with_its_reason(
    tmp_path: Path, drive: Drive, results: list[ForecastResult]
) -> None:
    nobody = results[0].objects.take(np.zeros(0, dtype=np.int64))
    none = {"objects": nobody, "trajectories": np.zeros((0, 6, 30, 2)), "probabilities": np.zeros((0, 6))}
    none |= dict.fromkeys(("mode_counts", "sources", "reasons"), np.zeros(0, dtype=np.int64))
    waiting = replace(results[0], valid=False, reason="no map yet", **none)
    write_rerun(tmp_path / "a.rrd", replace(drive, frames=drive.frames[:1]), [waiting], FACTS)
    assert list(logged(tmp_path / "a.rrd", "/unanswered", "TextLog:text").values()) == [["no map yet"]]
    assert list(logged(tmp_path / "a.rrd", "/futures", "LineStrips3D:strips").values()) == [[]]


def test_the_map_is_there_at_all_times_each_kind_in_its_colour(
    tmp_path: Path, drive: Drive, recording: Path, origin: np.ndarray
) -> None:
    (line,) = static(recording, "/map/lanes")["LineStrips3D:strips"]
    np.testing.assert_allclose(np.array(line)[:, :2] + origin, drive.lanes.polylines.points[0], atol=1e-3)
    assert len(static(recording, "/map/junctions")["LineStrips3D:strips"]) == 1
    lanes = replace(drive.lanes.polylines, kinds=np.array([PolylineKind.CROSSWALK, PolylineKind.BIKE_LANE]))
    write_rerun(tmp_path / "a.rrd", replace(drive, lanes=type(drive.lanes)(lanes)), [], FACTS)
    entities = {name: static(tmp_path / "a.rrd", f"/map/{name}") for name in ("crosswalks", "bikeways", "lanes")}
    assert [len(entity["LineStrips3D:strips"]) for entity in entities.values()] == [1, 1, 0]
    assert entities["crosswalks"]["LineStrips3D:colors"] == [rgba("stripe")]


def test_the_layout_and_the_facts_are_in_the_file(recording: Path) -> None:
    reader = RrdReader(recording)
    (layout,), (store,) = reader.blueprints(), reader.recordings()
    assert layout.application_id == store.application_id == "perception replay"
    views = [c.to_record_batch().to_pylist()[0] for c in reader.stream(store=layout) if c.entity_path.count("/") == 2]
    classes = [view["ViewBlueprint:class_identifier"] for view in views if "ViewBlueprint:class_identifier" in view]
    assert sorted(classes) == [["3D"], ["TextLog"], ["TimeSeries"], ["TimeSeries"]]
    facts = static(recording, f"/{rr.RECORDING_PROPERTIES_PATH.strip('/')}/replay")
    assert (facts["model"], facts["difference_to_offline"]) == (["tiny"], ["none"])


def test_what_a_robot_recorded_without_a_place_is_left_out(tmp_path: Path, drive: Drive) -> None:
    frames = list(drive.frames[:3])
    frames[0] = replace(frames[0], position=frames[0].position * [[1], [np.nan], [1], [1]])
    frames[1] = replace(frames[1], city_SE2_ego=SE2(np.nan, np.nan, np.nan))
    write_rerun(tmp_path / "a.rrd", replace(drive, frames=frames), [], FACTS)
    boxes = logged(tmp_path / "a.rrd", "/tracks", "Boxes3D:centers")
    assert {stamp: len(centers) for stamp, centers in boxes.items()} == {frames[0].stamp_ns: 3, frames[2].stamp_ns: 4}


def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing(
    tmp_path: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> None:
        path.touch()
        assert content
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    complaint = r"a\.rrd: cannot be written \(No space left on device\); free some space"
    with pytest.raises(InputError, match=complaint):
        write_rerun(tmp_path / "a.rrd", replace(drive, frames=drive.frames[:2]), [], FACTS)
    assert list(tmp_path.iterdir()) == []


def test_without_any_ego_pose_there_is_nothing_to_look_at(tmp_path: Path, drive: Drive) -> None:
    nowhere = [replace(frame, city_SE2_ego=SE2(np.nan, np.nan, np.nan)) for frame in drive.frames]
    with pytest.raises(InputError, match="log0: expected frames with an ego pose, found none"):
        write_rerun(tmp_path / "a.rrd", replace(drive, frames=nowhere), [], FACTS)
    assert list(tmp_path.iterdir()) == []
