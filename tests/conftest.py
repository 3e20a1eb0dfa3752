"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.traffic.scenario import MapPolylines, Scenario

CHECKOUT = Path(__file__).resolve().parent.parent
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads wait for each other where all cores run tests


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
