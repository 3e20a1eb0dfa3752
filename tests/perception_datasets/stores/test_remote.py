"""Stores at a URL: in memory, and on an S3 server where one can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import fsspec
import numpy as np
import pytest

from perception.errors import InputError
from perception.traffic.scenario import Scenario
from perception_datasets.forecasting import open_forecasting
from perception_datasets.stores.forecasting import prepare
from perception_datasets.stores.group import load_attributes, write_group
from perception_datasets.stores.remote import download, local_copy, upload

S3 = pytest.param(
    "s3",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(
            not (find_spec("s3fs") and find_spec("moto") and find_spec("flask")),
            reason="needs an S3 server: pip install s3fs 'moto[server]'",
        ),
    ],
)
pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(params=["memory", S3])
def url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> Iterator[str]:
    """A place for a store; the local copies are the test's own."""
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    if request.param == "memory":
        yield f"memory://{uuid.uuid4()}/store"
        return
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        assert any("Running on" in line for line in server.stderr)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # those of an earlier server
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket/some/store"
    finally:
        server.kill()
        server.wait()
        if server.stderr:
            server.stderr.close()


@pytest.fixture
def written(argoverse1: Path, url: str, tmp_path: Path) -> Path:
    """A local store of the five val scenes, written to the URL."""
    list(prepare(open_forecasting(argoverse1, "val"), tmp_path / "store"))
    upload(tmp_path / "store", url, ["val"])
    return tmp_path / "store"


def positions(scenarios: list[Scenario]) -> list[np.ndarray]:
    return [scenario.agents.position for scenario in scenarios]


def test_scenarios_at_a_url_are_those_of_the_folder(written: Path, url: str) -> None:
    there = open_forecasting(Path(url), "val")
    here = open_forecasting(written, "val")
    assert list(there.ids) == list(here.ids)
    for left, right in zip(positions(list(there)), positions(list(here)), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.usefixtures("written")
def test_a_second_look_copies_no_part(url: str) -> None:
    folder = download(url, "val")
    shards = {path: path.stat().st_mtime_ns for path in folder.rglob("0")}
    assert len(shards) == 2, "a part, and the lanes"
    assert download(url, "val") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("0")} == shards


@pytest.mark.usefixtures("written")
def test_a_copy_that_was_broken_off_or_damaged_is_completed(url: str) -> None:
    folder = download(url, "val")
    (folder / "val" / "zarr.json").unlink()
    (folder / "val" / "part-00000" / "zarr.json").write_text("{")
    assert len(list(open_forecasting(Path(url), "val"))) == 5


@pytest.mark.usefixtures("written")
def test_lanes_that_the_copy_lacks_are_copied_again(url: str) -> None:
    folder = download(url, "val")
    shutil.rmtree(folder / "val" / "rows-00000")
    assert len(list(open_forecasting(Path(url), "val"))) == 5


def test_a_store_of_the_former_layout_is_refused_before_it_is_copied(written: Path, url: str) -> None:
    attributes = load_attributes(written, "")
    assert attributes is not None
    files, root = fsspec.url_to_fs(url)
    write_group(written, {**attributes, "version": 2})
    files.put_file(str(written / "zarr.json"), f"{root}/zarr.json")
    with pytest.raises(InputError, match="expected store version 4, found 2; delete the store and run"):
        open_forecasting(Path(url), "val")
    assert not (local_copy(url) / "val").exists()


def test_a_store_that_changed_is_copied_anew(written: Path, url: str, argoverse1: Path) -> None:
    download(url, "val")
    path = argoverse1 / "val" / "data" / "3.csv"
    path.write_text(path.read_text().replace("AGENT", "OTHERS", 1).replace("OTHERS", "AGENT", 1) + "\n")
    list(prepare(open_forecasting(argoverse1, "val"), written))
    upload(written, url, ["val"])
    assert len(list(open_forecasting(Path(url), "val"))) == 5


def test_a_split_without_its_own_file_is_not_whole(written: Path, url: str) -> None:
    files, root = fsspec.url_to_fs(url)
    files.rm_file(f"{root}/val/zarr.json")
    files.invalidate_cache()
    with pytest.raises(InputError, match="expected a complete split 'val', found none"):
        open_forecasting(Path(url), "val")
    upload(written, url, ["val"])
    assert len(open_forecasting(Path(url), "val")) == 5


def test_a_store_that_is_not_there_is_one_sentence(url: str) -> None:
    with pytest.raises(InputError, match=f"{url}: expected a store, found none; check the URL"):
        open_forecasting(Path(url), "val")


def test_a_kind_of_url_that_nobody_knows_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"nobody://a/b: cannot be used .*; check the URL and your credentials"):
        open_forecasting(Path("nobody://a/b"), "val")


def test_copies_of_different_urls_lie_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path))
    assert local_copy("s3://a/b") == local_copy("s3://a/b/")
    assert local_copy("s3://a/b") != local_copy("s3://a/c")
    assert os.fspath(local_copy("s3://a/b")).startswith(str(tmp_path))
