"""Tiny data sets, written by the tests themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def argoverse1(write_argoverse1: Callable[..., Path], tmp_path: Path) -> Path:
    """Five val scenes, two train scenes and the map of one city."""
    return write_argoverse1(tmp_path / "argoverse1", train=2, val=5)


@pytest.fixture
def write_scene(argoverse1: Path, write_argoverse1_csv: Callable[..., Path]) -> Callable[..., Path]:
    """Writes one more val scene of given rows (and header)."""

    def write(name: str, rows: list[str], **kwargs: str) -> Path:
        return write_argoverse1_csv(argoverse1 / "val" / "data" / f"{name}.csv", rows, **kwargs)

    return write


@pytest.fixture
def scene_rows(make_argoverse1_rows: Callable[..., list[str]]) -> list[str]:
    """The rows of one well-formed scene."""
    return make_argoverse1_rows()


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
