"""Runs a cluster of Ray on loopback. Needs `pip install ".[ray]"`, which CI does not do, since it is 500 MB."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.cluster_pool import ClusterPool, cluster_pool
from perception_datasets.stores import part, store
from perception_datasets.stores.schema import Record, Schema
from perception_datasets.stores.writer import Prepared, write_split

ray = pytest.importorskip("ray", reason='needs Ray: pip install "frozen-perception[ray]"')

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own sockets and files, when it is shut down
]
SCHEMA = Schema((("value", "<f8", 1),))


@dataclass(frozen=True)
class Numbers:
    """Records with one number each; the first process that reads `lost` is killed there."""

    folder: Path
    lost: str

    def inputs(self, name: str) -> list[Path]:
        return [self.folder / name]

    def read(self, name: str) -> Record:
        killed = self.folder / "killed"
        if name == self.lost and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"value": np.full(3, float(name))}


@pytest.fixture(autouse=True)
def _on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    here = Path(__file__).parents[2]  # where Ray's processes find the modules of this test too
    paths = [
        str(here),
        *map(str, (here / part for part in ("datasets", "nodes", "tools"))),
        os.environ.get("PYTHONPATH", ""),
    ]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture
def pool() -> Iterator[ClusterPool]:
    with cluster_pool("local") as pool:
        yield pool


def test_a_store_is_whole_though_a_process_of_the_cluster_is_killed(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    names = [str(number) for number in range(1, 13)]
    for name in names:
        (raw / name).write_text(name)
    whole = Prepared()
    info = store.StoreInfo("number", "test", SCHEMA)
    for one in write_split(
        tmp_path / "store", info, "all", names, Numbers(raw, lost="7"), part_records=2, cluster="local"
    ):
        whole.add(one)
    assert (raw / "killed").exists()
    assert (whole.records, len(whole.failures)) == (12, 0)
    found = {}
    for path in store.part_folders(tmp_path / "store", "all"):
        index = part.read_index(path, SCHEMA)
        for row, name in enumerate(index.names):
            found[name] = part.read_record(path, index.digest, row, SCHEMA)["value"].tolist()
    assert found == {name: [float(name)] * 3 for name in names}
    assert len(store.read_split(tmp_path / "store", "all").parts) == 6


def test_outcomes_come_in_order_and_errors_as_they_were_raised(pool: ClusterPool) -> None:
    assert list(pool.map(pow, range(20), [2] * 20)) == [number**2 for number in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(pool.map(divmod, [1, 1], [1, 0]))


def test_a_task_that_is_lost_each_time_is_told_with_the_cure(pool: ClusterPool) -> None:
    with pytest.raises(InputError, match=r"lost 4 of them .*run the command again, it continues"):
        list(pool.map(os._exit, [1]))


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"expected a cluster at 127\.0\.0\.1:1"):
        with cluster_pool("127.0.0.1:1"):
            pass
