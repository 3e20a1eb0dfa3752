from __future__ import annotations

import os
from pathlib import Path

import pytest

from perception_datasets.stores.sources import fingerprint

TIME_NS = 10**18


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(20_000))
        os.utime(tmp_path / name, ns=(TIME_NS, TIME_NS))
    (tmp_path / "inside").mkdir()
    return tmp_path


def test_the_same_files_have_the_same_fingerprint(folder: Path) -> None:
    first = fingerprint([folder])
    assert fingerprint([folder]) == first
    assert len(first) == 32
    (folder / "a").read_bytes()
    (folder / "inside" / "other").touch()  # not directly in the folder
    assert fingerprint([folder]) == first


@pytest.mark.parametrize("place", [0, 19_999])
def test_other_content_of_the_same_size_and_time_changes_it(folder: Path, place: int) -> None:
    first = fingerprint([folder / "a"])
    content = bytearray(20_000)
    content[place] = 1
    (folder / "a").write_bytes(content)
    os.utime(folder / "a", ns=(TIME_NS, TIME_NS))
    assert fingerprint([folder / "a"]) != first


def test_the_middle_of_a_file_is_not_read(folder: Path) -> None:
    first = fingerprint([folder / "a"])
    content = bytearray(20_000)
    content[10_000] = 1
    (folder / "a").write_bytes(content)
    os.utime(folder / "a", ns=(TIME_NS, TIME_NS))
    assert fingerprint([folder / "a"]) == first


def test_an_edit_in_the_middle_changes_it_by_its_time(folder: Path) -> None:
    first = fingerprint([folder / "a"])
    with (folder / "a").open("r+b") as file:
        file.seek(10_000)
        file.write(b"x")
    assert fingerprint([folder / "a"]) != first


def test_names_sizes_and_missing_files_change_it(folder: Path) -> None:
    found = {fingerprint([folder]), fingerprint([folder / "a"]), fingerprint([folder / "b"]), fingerprint([])}
    (folder / "b").write_bytes(bytes(20_001))
    os.utime(folder / "b", ns=(TIME_NS, TIME_NS))
    found.add(fingerprint([folder / "b"]))
    (folder / "b").unlink()
    found |= {fingerprint([folder / "b"]), fingerprint([folder])}
    assert len(found) == 7
