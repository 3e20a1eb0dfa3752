"""Fixtures for all tests."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    import zenoh

    from perception.models.scene_answerer import SceneAnswerer
    from perception.scenes.scene import Scene
    from perception.traffic.scenario import MapPolylines, Scenario
    from perception_nodes.forecasting.tick import Tick

CHECKOUT = Path(__file__).resolve().parent.parent
START_NS = 1_700_000_000_000_000_000

settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure of the example
settings.load_profile("no deadline")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would children
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads wait for each other where all cores run tests


@pytest.fixture(autouse=True)
def _sampled_alike() -> None:
    """Lets every run draw the same: weights, and, by `random`, the one item of a container that beartype checks."""
    seed = int(os.environ.get("TEST_SEED", "0"))
    random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Fails a test after which SIGINT or SIGTERM does something else in this process, where other tests follow."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])
    assert after == before, "this test leaves another handler of SIGINT or SIGTERM; put the former back"


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    """Waits until something is so; a busy machine may take its time, and a minute is a failure."""

    def wait(is_so: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, "did not come about"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data ($PERCEPTION_DATA or ../shared/data); the test is skipped where there is none."""
    folder = Path(os.environ.get("PERCEPTION_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set PERCEPTION_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def make_scenario() -> Callable[..., Scenario]:
    """Makes a small scenario: parallel tracks at constant speeds along a straight road, unless positions are given."""
    from perception.traffic.scenario import AgentKind, AgentTracks, Scenario

    def make(
        scenario_id: str = "s1",
        *,
        position: np.ndarray | None = None,
        history_steps: int = 5,
        steps: int = 15,
        agents: int = 2,
        kinds: np.ndarray | None = None,
    ) -> Scenario:
        if position is None:
            along = np.arange(steps)[None, :] * np.linspace(1.0, 0.5, agents)[:, None]
            position = np.stack([along, np.broadcast_to(4.0 * np.arange(agents)[:, None], along.shape)], axis=-1)
        count, length = position.shape[:2]
        velocity = np.gradient(position, 0.1, axis=1)
        tracks = AgentTracks(
            ids=tuple(f"track{i}" for i in range(count)),
            kinds=np.full(count, AgentKind.VEHICLE, dtype=np.int64) if kinds is None else kinds,
            position=position,
            heading=np.arctan2(velocity[..., 1], velocity[..., 0]),
            velocity=velocity,
            valid=np.ones((count, length), dtype=bool),
            scored=np.ones(count, dtype=bool),
        )
        return Scenario(scenario_id, "synthetic", "PIT", tracks, _straight_road(), history_steps, focal=0, ego=None)

    return make


def _straight_road() -> MapPolylines:
    """Two lanes side by side, the second in an intersection, and a crosswalk over both."""
    from perception.traffic.scenario import MapPolylines

    along = np.linspace(-30.0, 60.0, 10)
    lanes = [np.stack([along, np.full(10, y)], axis=-1) for y in (0.0, 4.0)]
    crosswalk = np.stack([np.full(10, 20.0), np.linspace(-3.0, 7.0, 10)], axis=-1)
    return MapPolylines(
        ids=np.arange(3),
        points=np.stack([*lanes, crosswalk]),
        kinds=np.array([0, 0, 3]),
        turns=np.zeros(3, dtype=np.int64),
        is_intersection=np.array([False, True, False]),
        has_traffic_control=np.zeros(3, dtype=bool),
    )


@pytest.fixture(scope="session")
def write_argoverse1() -> Callable[..., Path]:
    """Writes a folder in Argoverse 1's layout: so many scenes of each split, and the map of one city."""

    def write(folder: Path, **scenes_of_split: int) -> Path:
        for split, count in scenes_of_split.items():
            for number in range(1, count + 1):
                _write_csv(folder / split / "data" / f"{number}.csv", _make_rows(seed=number))
        _write_map(folder / "map_files")
        return folder

    return write


@pytest.fixture
def argoverse1(write_argoverse1: Callable[..., Path], tmp_path: Path) -> Path:
    """Five val scenes, two train scenes and the map of one city."""
    return write_argoverse1(tmp_path / "argoverse1", train=2, val=5)


@pytest.fixture(scope="session")
def made_argoverse2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic train and four val scenarios in Argoverse 2's format. Tests must not change them."""
    from perception_datasets.folders import SYNTHETIC_MARKER
    from perception_datasets.procedural.maker import make_scenario, scenario_id
    from perception_datasets.procedural.writer import write_scenario

    out = tmp_path_factory.mktemp("made")
    for split, count in (("train", 6), ("val", 4)):
        for number in range(count):
            write_scenario(out / split / scenario_id(5, split, number), *make_scenario(5, split, number))
    (out / SYNTHETIC_MARKER).write_text("{}")
    return out


@pytest.fixture(scope="session")
def made_rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten synthetic rooms with their questions: eight of the train split, one of val, one of test. Do not change."""
    from perception_datasets.rooms.maker import make_rooms

    out = tmp_path_factory.mktemp("rooms")
    for _ in make_rooms(out, count=10, seed=3, processes=1):
        pass
    return out


@pytest.fixture(scope="session")
def rooms_store(made_rooms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the ten rooms and their questions. Do not change."""
    from perception_tools.scene_qa.prepare import prepare_scannet, prepare_sqa3d

    store = tmp_path_factory.mktemp("rooms_store")
    prepare_scannet(made_rooms, store, processes=1)
    prepare_sqa3d((made_rooms,), store)
    return store


@pytest.fixture(scope="session")
def sensor_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Argoverse 2 sensor log of 3 s: the ego and two cars drive east, a pedestrian crosses, a cone stands.

    The second car is not seen for half a second. Tests must not change it.
    """
    import json

    import pyarrow as pa
    import pyarrow.feather as feather

    folder = tmp_path_factory.mktemp("logs") / "log0"
    (folder / "map").mkdir(parents=True)
    seconds = np.arange(30) / 10
    stamps = 1_000_000_000 + 100_100_000 * np.arange(30)
    flat = {"qw": np.ones(30), **{name: np.zeros(30) for name in ("qx", "qy", "qz", "tz_m")}}
    ego = {"timestamp_ns": stamps, **flat, "tx_m": 500 + 10 * seconds, "ty_m": np.full(30, 80.0)}
    feather.write_feather(pa.table(ego), folder / "city_SE3_egovehicle.feather")
    boxes = []
    for track, category, x, y in [
        ("11111111-0000-0000-0000-000000000001", "REGULAR_VEHICLE", 12 + 2 * seconds, 0 * seconds),
        ("22222222-0000-0000-0000-000000000002", "BUS", -15 - seconds**2, 4 + 0 * seconds),
        ("33333333-0000-0000-0000-000000000003", "PEDESTRIAN", 20 - 10 * seconds, 8 - 1.4 * seconds),
        ("44444444-0000-0000-0000-000000000004", "CONSTRUCTION_CONE", 9 - 10 * seconds, -4 + 0 * seconds),
    ]:
        columns = {"timestamp_ns": stamps, **flat, "tx_m": x, "ty_m": y}
        sizes = {"length_m": np.full(30, 4.5), "width_m": np.full(30, 1.9), "height_m": np.full(30, 1.6)}
        table = pa.table({"track_uuid": [track] * 30, "category": [category] * 30, **columns, **sizes})
        seen = ~((category == "BUS") & (seconds > 0.95) & (seconds < 1.45))
        boxes.append(table.filter(pa.array(np.broadcast_to(seen, 30))))
    feather.write_feather(pa.concat_tables(boxes), folder / "annotations.feather")
    lanes = {}
    for lane, y in ((7, 80.0), (8, 84.0)):
        boundaries = {
            f"{side}_lane_boundary": [{"x": x, "y": edge, "z": 0.0} for x in (450.0, 600.0)]
            for side, edge in (("left", y + 2), ("right", y - 2))
        }
        lanes[str(lane)] = {"id": lane, "lane_type": "VEHICLE", "is_intersection": lane == 8, **boundaries}
    archive = {"lane_segments": lanes, "pedestrian_crossings": {}, "drivable_areas": {}}
    (folder / "map" / "log_map_archive_log0____PIT_city_1.json").write_text(json.dumps(archive))
    return folder


@pytest.fixture(scope="session")
def make_tick() -> Callable[..., Tick]:
    """Makes the tick of a step: the ego drives east at 10 m/s, cars beside it at other speeds, a cone stands."""
    from perception.geometry import SE2
    from perception.traffic.scenario import AgentKind
    from perception_nodes.forecasting.tick import Tick

    def make(step: float, *, cars: int = 3, stamp_ns: int | None = None) -> Tick:
        time_s = 0.1 * step
        position = [(5.0 + (8 + i) * time_s, 4.0 * (i + 1)) for i in range(cars)] + [(30.0, -3.0)]
        return Tick(
            stamp_ns=START_NS + round(time_s * 1e9) if stamp_ns is None else stamp_ns,
            city_SE2_ego=SE2(10.0 * time_s, 0.0, 0.0),
            ids=(*(f"car{i}" for i in range(cars)), "cone"),
            kinds=np.array([AgentKind.VEHICLE] * cars + [AgentKind.CONSTRUCTION]),
            position=np.array(position),
            heading=np.linspace(-0.1, 0.1, cars + 1),
            size=np.tile([4.5, 1.9, 1.6], (cars + 1, 1)),
        )

    return make


@pytest.fixture(scope="session")
def scene_answerer() -> SceneAnswerer:
    """A tiny model with five classes of answers, to which about half of the proposals in `scan` are objects."""
    import torch
    from torch import nn

    from perception.encoders.pointnet2 import Level
    from perception.encoders.text import LstmText
    from perception.encoders.votenet import VoteNet
    from perception.frozen.adapter import build_adapter
    from perception.models.scene_answerer import SceneAnswerer, SceneInput
    from perception.texts.vocabulary import Vocabulary

    torch.manual_seed(0)
    levels = (Level(32, 0.5, 8, (6, 8)), Level(16, 0.8, 8, (8, 10)), Level(8, 1.2, 4, (10, 12)))
    seen = VoteNet(4, torch.ones(3, 3), levels=levels, seed_dim=12, proposals=6, dim=8, neighbours=4)
    words = Vocabulary.of_texts(
        ["I stand . I face the bed . what is left of me ? is it red ? how many chairs are here ?"]
    )
    block = build_adapter(16, source="random:32x48x4?seed=0", init="default")
    text = LstmText(words, dim=12, word_dim=6)
    model = SceneAnswerer(seen, text, block, 5, dim=16, heads=2, pooled_dim=10, input=SceneInput(points=150)).eval()
    out = seen.propose[-1]
    assert isinstance(out, nn.Linear)
    with torch.no_grad():
        out.bias[:2] = 0
        for parameter in model.answer_head.parameters():
            parameter.mul_(4)  # so that answers differ from question to question
    return model


@pytest.fixture(scope="session")
def scan() -> Scene:
    """Three hundred points of a small room."""
    from perception.scenes.scene import Scene

    rng = np.random.default_rng(0)
    points = rng.uniform(0, 2, (300, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (300, 3), np.uint8)
    nothing = np.zeros(300, np.int64)
    return Scene("scan", points, colors, nothing, nothing, np.zeros((0, 6), np.float32), nothing[:0], nothing[:0])


@pytest.fixture(scope="session")
def write_argoverse1_csv() -> Callable[..., Path]:
    """Writes one scene of given rows (and header)."""
    return _write_csv


@pytest.fixture(scope="session")
def make_argoverse1_rows() -> Callable[..., list[str]]:
    """The rows of one well-formed scene."""
    return _make_rows


_AV = "00000000-0000-0000-0000-000000000000"
_MAP_NAME = "pruned_argoverse_PIT_10314_vector_map.xml"


def _make_rows(seed: int = 0, steps: int = 50) -> list[str]:
    """A driving AGENT, the AV, one car that stands on the lane, one track that ends after six steps."""
    noise = np.random.default_rng(seed).normal(0, 0.05, (steps, 4, 2))
    rows = []
    for step in range(steps):
        tracks = [
            (_AV, "AV", (0.5 * step - 20.0, 0.0)),
            ("agent", "AGENT", (1.0 * step, 0.0)),
            ("parked", "OTHERS", (30.0, 4.0)),
            ("short", "OTHERS", (0.8 * step, 8.0)),
        ]
        for column, (track, kind, (x, y)) in enumerate(tracks):
            if track != "short" or step < 6:
                dx, dy = noise[step, column] * (track != "agent")
                rows.append(f"{315968000.0 + 0.1 * step},{track},{kind},{x + dx},{y + dy},PIT")
    return rows


def _write_csv(path: Path, rows: list[str], header: str = "TIMESTAMP,TRACK_ID,OBJECT_TYPE,X,Y,CITY_NAME") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def _write_map(maps: Path) -> Path:
    """Two lanes eastwards (y = 0 and y = 4; the second turns right in an intersection), one 2 km away, all straight."""
    lanes = {11: (0.0, 0.0, 10), 12: (0.0, 4.0, 10), 13: (2000.0, 0.0, 10), 14: (50.0, -4.0, 3)}
    nodes, ways = [], []
    for lane, (x, y, count) in lanes.items():
        refs = []
        for point in range(count):
            refs.append(f'<nd ref="{len(nodes)}"/>')
            nodes.append(f'<node id="{len(nodes)}" x="{x + 7.3 * point}" y="{y}"/>')
        tags = {
            "has_traffic_control": lane == 11,
            "turn_direction": "RIGHT" if lane == 12 else "NONE",
            "is_intersection": lane == 12,
        }
        written = "".join(f'<tag k="{k}" v="{v}"/>' for k, v in tags.items())
        ways.append(f'<way lane_id="{lane}">{written}{"".join(refs)}</way>')
    maps.mkdir(parents=True, exist_ok=True)
    path = maps / _MAP_NAME
    path.write_text(f'<?xml version="1.0"?><ArgoverseVectorMap>{"".join(nodes + ways)}</ArgoverseVectorMap>')
    return path


@pytest.fixture(scope="session")
def image_message() -> Callable[..., bytes]:
    """Makes the CDR of a sensor_msgs/Image from rows of bytes; each row may be padded."""
    from perception_nodes.ros.messages import IMAGE, header, make, serialize

    def message(
        rows: np.ndarray,
        encoding: str,
        *,
        padding: int = 0,
        stamp_ns: int = START_NS,
        frame_id: str = "camera",
        **other,
    ) -> bytes:
        """Rows have shape (rows, row bytes), or (height, width, channels)."""
        flat = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
        width = rows.shape[1]
        padded = np.concatenate([flat, np.full((len(flat), padding), 77, np.uint8)], axis=1)
        fields = {
            "header": header(stamp_ns, frame_id),
            "height": len(rows),
            "width": width,
            "encoding": encoding,
            "is_bigendian": 0,
            "step": padded.shape[1],
            "data": padded.reshape(-1),
        }
        return serialize(make(IMAGE, **{**fields, **other}), IMAGE)

    return message


@pytest.fixture(scope="session")
def compressed_image_message() -> Callable[..., bytes]:
    """Makes the CDR of a sensor_msgs/CompressedImage."""
    from perception_nodes.ros.messages import COMPRESSED_IMAGE, header, make, serialize

    def message(data: bytes, format: str, *, stamp_ns: int = START_NS, frame_id: str = "camera") -> bytes:
        fields = {"header": header(stamp_ns, frame_id), "format": format, "data": np.frombuffer(data, np.uint8)}
        return serialize(make(COMPRESSED_IMAGE, **fields), COMPRESSED_IMAGE)

    return message


@pytest.fixture(scope="session")
def cloud_message() -> Callable[..., bytes]:
    """Makes the CDR of a sensor_msgs/PointCloud2 of float32 positions."""
    from perception_nodes.ros.messages import POINT_CLOUD, header, make, serialize

    def message(points: np.ndarray, *, stamp_ns: int = START_NS, frame_id: str = "lidar", **other) -> bytes:
        named = enumerate("xyz")
        fields = {
            "header": header(stamp_ns, frame_id),
            "height": 1,
            "width": len(points),
            "fields": [make("sensor_msgs/msg/PointField", name=n, offset=4 * i, datatype=7, count=1) for i, n in named],
            "is_bigendian": False,
            "point_step": 12,
            "row_step": 12 * len(points),
            "data": np.ascontiguousarray(points, np.float32).view(np.uint8).reshape(-1),
            "is_dense": True,
        }
        return serialize(make(POINT_CLOUD, **{**fields, **other}), POINT_CLOUD)

    return message


@pytest.fixture(scope="session")
def boxes_message() -> Callable[..., bytes]:
    """Makes the CDR of a vision_msgs/Detection3DArray from rows of centre, quaternion and size, each called a thing."""
    from perception_nodes.ros.messages import DETECTIONS, header, make, serialize

    def named(kind: str, names: str, values: np.ndarray):
        return make(f"geometry_msgs/msg/{kind}", **{n: float(v) for n, v in zip(names, values, strict=True)})

    def message(rows: np.ndarray, *, stamp_ns: int = START_NS, frame_id: str = "lidar") -> bytes:
        found = []
        for number, row in enumerate(np.asarray(rows, np.float64)):
            place, turn = named("Point", "xyz", row[:3]), named("Quaternion", "xyzw", row[3:7])
            pose = make("geometry_msgs/msg/Pose", position=place, orientation=turn)
            said = make("vision_msgs/msg/ObjectHypothesis", class_id="thing", score=0.25)
            covariant = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.arange(36.0))
            box = make("vision_msgs/msg/BoundingBox3D", center=pose, size=named("Vector3", "xyz", row[7:]))
            result = make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=said, pose=covariant)
            own = {"header": header(stamp_ns, frame_id), "results": [result], "bbox": box, "id": f"track{number}"}
            found.append(make("vision_msgs/msg/Detection3D", **own))
        return serialize(make(DETECTIONS, header=header(stamp_ns, frame_id), detections=found), DETECTIONS)

    return message


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds a port that nothing listens at, and that no other test is given, nor a client's end of a connection."""
    first = 20_000 + 500 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 24)
    ports = iter(random.SystemRandom().sample(range(first, first + 500), 500))

    def find() -> int:
        for port in ports:
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return port
        raise AssertionError(f"no port is left from {first} to {first + 500}")

    return find


@pytest.fixture(scope="session")
def free_place(free_port: Callable[[], int]) -> Callable[[str], str]:
    """Finds a place where a router can listen, for a protocol."""
    return lambda protocol: f"{protocol}/127.0.0.1:{free_port()}"


@pytest.fixture
def place(free_place: Callable[[str], str]) -> str:
    """Where a router can listen."""
    return free_place("tcp")


@pytest.fixture
def router(place: str) -> Iterator[str]:
    """Where a deployment's router listens."""
    from perception_nodes.operations.router import open_router

    with open_router(place):
        yield place


@pytest.fixture
def session(router: str) -> Iterator[zenoh.Session]:
    """That of a node."""
    from perception_nodes.ros.topics import open_session

    with open_session([router]) as session:
        yield session


@pytest.fixture
def scene_node(session: zenoh.Session, scene_answerer: SceneAnswerer, scan: Scene) -> Iterator[None]:
    """A node that answers questions about the scan at the router."""
    from perception.texts.answers import AnswerVocabulary
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh
    from perception_nodes.scene_qa.node import SceneQaNode
    from perception_nodes.scene_qa.plan import SceneQaPlan
    from perception_nodes.scene_qa.process import SceneQaProcess
    from perception_nodes.scene_qa.scene_map import SceneSnapshot

    node, plan = SceneQaNode(), SceneQaPlan(checkpoint=Path("unused"))
    node.configure(scene_answerer, AnswerVocabulary(("bed", "yes", "chair", "no")), model_id="tiny")
    snapshot = SceneSnapshot.of_scene(scan, time.time_ns())
    with RosNode(session, RmwZenoh()) as ros, SceneQaProcess(node, ros, plan, snapshot):
        yield
