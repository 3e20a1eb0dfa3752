"""Tiny data sets, written by the tests themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


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


@pytest.fixture
def argoverse2(made_argoverse2: Path, tmp_path: Path) -> Path:
    """A copy of the four synthetic val scenarios, which tests may break."""
    folder = tmp_path / "argoverse2"
    shutil.copytree(made_argoverse2 / "val", folder / "val")
    return folder
