"""Tiny data sets, written by the tests themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

AV = "00000000-0000-0000-0000-000000000000"
MAP_NAME = "pruned_argoverse_PIT_10314_vector_map.xml"


def make_rows(seed: int = 0, steps: int = 50) -> list[str]:
    """A driving AGENT, the AV, one car that stands on the lane, one track that ends after six steps."""
    noise = np.random.default_rng(seed).normal(0, 0.05, (steps, 4, 2))
    rows = []
    for step in range(steps):
        tracks = [
            (AV, "AV", (0.5 * step - 20.0, 0.0)),
            ("agent", "AGENT", (1.0 * step, 0.0)),
            ("parked", "OTHERS", (30.0, 4.0)),
            ("short", "OTHERS", (0.8 * step, 8.0)),
        ]
        for column, (track, kind, (x, y)) in enumerate(tracks):
            if track != "short" or step < 6:
                dx, dy = noise[step, column] * (track != "agent")
                rows.append(f"{315968000.0 + 0.1 * step},{track},{kind},{x + dx},{y + dy},PIT")
    return rows


def write_csv(path: Path, rows: list[str], header: str = "TIMESTAMP,TRACK_ID,OBJECT_TYPE,X,Y,CITY_NAME") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_map(maps: Path) -> Path:
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
    path = maps / MAP_NAME
    path.write_text(f'<?xml version="1.0"?><ArgoverseVectorMap>{"".join(nodes + ways)}</ArgoverseVectorMap>')
    return path


@pytest.fixture
def argoverse1(tmp_path: Path) -> Path:
    """Five val scenes, two train scenes and the map of one city."""
    folder = tmp_path / "argoverse1"
    for split, count in (("train", 2), ("val", 5)):
        for number in range(1, count + 1):
            write_csv(folder / split / "data" / f"{number}.csv", make_rows(seed=number))
    write_map(folder / "map_files")
    return folder


@pytest.fixture
def write_scene(argoverse1: Path) -> Callable[..., Path]:
    """Writes one more val scene of given rows (and header)."""

    def write(name: str, rows: list[str], **kwargs: str) -> Path:
        return write_csv(argoverse1 / "val" / "data" / f"{name}.csv", rows, **kwargs)

    return write


@pytest.fixture
def scene_rows() -> list[str]:
    """The rows of one well-formed scene."""
    return make_rows()


@pytest.fixture(scope="session")
def made_argoverse2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic train and four val scenarios. Tests must not change them."""
    from perception_datasets.procedural.maker import make_split

    out = tmp_path_factory.mktemp("made")
    for split, count in (("train", 6), ("val", 4)):
        assert len(list(make_split(out, split, count=count, seed=5, processes=1))) == count
    return out


@pytest.fixture
def argoverse2(made_argoverse2: Path, tmp_path: Path) -> Path:
    """A copy of the four synthetic val scenarios, to be broken at will."""
    folder = tmp_path / "argoverse2"
    shutil.copytree(made_argoverse2 / "val", folder / "val")
    return folder
