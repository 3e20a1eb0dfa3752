from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.files import alone_in
from perception_datasets.errors import RecordError, reading
from perception_datasets.stores import part, store
from perception_datasets.stores.schema import Record, Schema
from perception_datasets.stores.writer import Prepared, verify_split, write_split

SCHEMA = Schema((("value", "<f8", 1),))
INFO = store.StoreInfo("number", "test", SCHEMA)


@dataclass(frozen=True)
class Texts:
    """Files with one number each."""

    folder: Path
    full_after: int | None = None

    def inputs(self, name: str) -> list[Path]:
        return [self.folder / name]

    def read(self, name: str) -> Record:
        if self.full_after is not None and int(name) > self.full_after:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        if name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / "read").open("a") as log:
            log.write(f"{name} ")
        with reading(self.folder / name, "repair it"):
            return {"value": np.full(3, float((self.folder / name).read_text()))}


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    (tmp_path / "raw").mkdir()
    for number in range(1, 6):
        (tmp_path / "raw" / str(number)).write_text(str(number))
    return Texts(tmp_path / "raw")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def write(texts: Texts, folder: Path, names: Iterable[str] = "12345", *, replace: bool = False) -> Prepared:
    """Writes parts of two records; returns the outcome of all."""
    whole = Prepared()
    for one in write_split(folder, INFO, "all", list(names), texts, part_records=2, processes=1, replace=replace):
        whole.add(one)
    return whole


def values(folder: Path) -> dict[str, float]:
    found = {}
    for path in store.part_folders(folder, "all"):
        index = part.read_index(path, SCHEMA)
        for row, name in enumerate(index.names):
            found[name] = float(part.read_record(path, index.digest, row, SCHEMA)["value"][0])
    assert len(store.read_split(folder, "all").parts) == len(store.part_folders(folder, "all"))
    return found


def read_by(texts: Texts) -> list[str]:
    """Names of the records that were read since the last call."""
    path = texts.folder / "read"
    names = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return names


def test_parts_hold_their_records_in_order_and_what_failed_is_named(texts: Texts, folder: Path) -> None:
    (texts.folder / "3").write_text("bad")
    steps = list(write_split(folder, INFO, "all", list("12345"), texts, part_records=2, processes=1))
    assert [step.records for step in steps] == [2, 2, 1]
    assert [list(step.failures.reasons) for step in steps] == [[], ["3"], []]
    assert values(folder) == {"1": 1.0, "2": 2.0, "4": 4.0, "5": 5.0}
    assert [len(part.read_index(p, SCHEMA).names) for p in store.part_folders(folder, "all")] == [2, 1, 1]


@pytest.mark.usefixtures("in_this_process")
def test_what_is_there_is_not_read_again(texts: Texts, folder: Path) -> None:
    write(texts, folder)
    assert read_by(texts) == list("12345")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("bytes")}
    assert write(texts, folder) == Prepared(records=5)
    assert read_by(texts) == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("bytes")} == before


@pytest.mark.usefixtures("in_this_process")
def test_a_record_whose_file_has_changed_is_read_again_and_no_other(texts: Texts, folder: Path) -> None:
    write(texts, folder)
    read_by(texts)
    (texts.folder / "3").write_text("7")
    assert write(texts, folder).renewed == 1
    assert read_by(texts) == ["3"]
    assert values(folder) == {"1": 1.0, "2": 2.0, "3": 7.0, "4": 4.0, "5": 5.0}


@pytest.mark.usefixtures("in_this_process")
def test_a_record_that_failed_is_read_again_once_it_is_repaired(texts: Texts, folder: Path) -> None:
    (texts.folder / "3").write_text("bad")
    write(texts, folder)
    (texts.folder / "3").write_text("3")
    read_by(texts)
    assert write(texts, folder) == Prepared(records=5)
    assert read_by(texts) == ["3"]
    assert values(folder) == {"1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0}


@pytest.mark.usefixtures("in_this_process")
def test_verifying_names_damaged_records_and_parts_and_changes_nothing(texts: Texts, folder: Path) -> None:
    outcome = write(texts, folder)
    assert (outcome.read, write(texts, folder).read) == (5, 0)
    assert 0 < outcome.stored_bytes == sum(f.stat().st_size for f in folder.glob("all/part-*/**/*") if f.is_file())

    def damaged() -> list[str]:
        return [name for one in verify_split(folder, "all", SCHEMA) for name in one.failures.reasons]

    assert damaged() == []
    first, second, third = store.part_folders(folder, "all")
    shard = first / part.ARRAY / "c" / "0"
    shard.write_bytes(bytes(shard.stat().st_size))
    assert damaged() == ["1", "2"]
    (second / "zarr.json").write_text("{}")
    shutil.rmtree(third)
    files = sorted(folder.rglob("*"))
    assert damaged() == ["1", "2", "part-00001", "part-00002"]
    assert sorted(folder.rglob("*")) == files
    with pytest.raises(InputError, match="expected a complete split 'none'"):
        list(verify_split(folder, "none", SCHEMA))


def test_a_damaged_record_is_repaired_and_its_neighbour_kept(texts: Texts, folder: Path) -> None:
    write(texts, folder)
    read_by(texts)
    shard = store.part_path(folder, "all", 1) / "bytes" / "c" / "0"
    content = bytearray(shard.read_bytes())
    content[20] ^= 1
    shard.write_bytes(content)
    assert write(texts, folder).renewed == 1
    assert read_by(texts) == ["3"]
    assert values(folder) == {"1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0}


@pytest.mark.usefixtures("in_this_process")
def test_records_that_the_data_lack_are_dropped_only_on_request(texts: Texts, folder: Path) -> None:
    write(texts, folder)
    refusal = r"all: expected all of its records in the data, found none of 4 \(2, 3, 4, …\); give --replace to drop"
    with pytest.raises(InputError, match=refusal):
        write(texts, folder, "1")
    assert len(values(folder)) == 5
    write(texts, folder, "1", replace=True)
    assert values(folder) == {"1": 1.0}
    assert sorted(p.name for p in (folder / "all").iterdir()) == ["part-00000", "zarr.json"]


@pytest.mark.usefixtures("in_this_process")
def test_nothing_but_parts_is_deleted(texts: Texts, folder: Path) -> None:
    write(texts, folder)
    for name in ("data", ".git", "part-x"):
        (folder / "all" / name).mkdir()
    (folder / "all" / ".part-00001.ab12").mkdir()  # as a killed writer leaves it
    write(texts, folder, "1", replace=True)
    found = sorted(p.name for p in (folder / "all").iterdir())
    assert found == [".git", "data", "part-00000", "part-x", "zarr.json"]
    (folder / "all" / "part-00001").mkdir()
    (folder / "all" / "part-00001" / "mine").touch()
    with pytest.raises(InputError, match="found mine in it; move it away"):
        write(texts, folder, "1", replace=True)


@pytest.mark.parametrize("split", ["..", "../data", "", ".x"])
def test_a_split_does_not_leave_its_store(texts: Texts, folder: Path, split: str) -> None:
    with pytest.raises(InputError, match="split: expected a name"):
        list(write_split(folder, INFO, split, ["1"], texts, processes=1))
    assert not folder.exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_record_with_a_name_that_is_none_fails_alone(texts: Texts, folder: Path) -> None:
    (texts.folder / "a b").write_text("9")
    failures = write(texts, folder, ["1", "a b"]).failures
    assert "'a b': expected a name of letters, digits, _, - and .; rename its files" in failures.reasons["a b"]
    assert values(folder) == {"1": 1.0}


@pytest.mark.usefixtures("in_this_process")
def test_a_split_without_records_is_complete(texts: Texts, folder: Path) -> None:
    assert write(texts, folder, []) == Prepared()
    assert store.read_split(folder, "all") == store.SplitInfo(())


def test_a_full_disk_is_one_sentence_and_what_is_complete_is_continued(texts: Texts, folder: Path) -> None:
    with pytest.raises(InputError, match=r"part-00001: cannot be written \(File too large.*; free some space"):
        write(Texts(texts.folder, full_after=2), folder)
    assert [path.name for path in store.part_folders(folder, "all")] == ["part-00000"]
    assert store.unfinished_folders(folder, "all") == []
    read_by(texts)
    write(texts, folder)
    assert read_by(texts) == ["3", "4", "5"]
    assert len(values(folder)) == 5


def test_a_process_that_is_killed_is_one_sentence(texts: Texts, folder: Path) -> None:
    with pytest.raises(InputError, match=r"ended by force, perhaps because memory ran out; run the command again"):
        write(texts, folder, ["killed"])


def test_other_numbers_of_processes_are_refused(texts: Texts, folder: Path) -> None:
    with pytest.raises(InputError, match="processes: expected at least 1, got 0"):
        list(write_split(folder, INFO, "all", ["1"], texts, processes=0))


@pytest.mark.usefixtures("in_this_process")
def test_a_second_writer_is_refused(texts: Texts, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perception.files.LOCK_WAIT_S", 0.2)
    first = write_split(folder, INFO, "all", list("12345"), texts, part_records=1, processes=1)
    next(first)
    with pytest.raises(InputError, match=r"expected no other writer, found perception prepare \(process \d+\) at work"):
        write(texts, folder)
    first.close()
    write(texts, folder)
    assert len(values(folder)) == 5


def test_a_folder_of_other_files_gets_no_lock(texts: Texts) -> None:
    before = sorted(texts.folder.iterdir())
    with pytest.raises(InputError, match="expected a store or an empty folder, found other files"):
        write(texts, texts.folder)
    assert sorted(texts.folder.iterdir()) == before


SLOW = """
import sys, time
from pathlib import Path
from tests_of_the_writer import INFO, Texts, write_split

class Slow(Texts):
    def read(self, name):
        record = super().read(name)
        (self.folder / "reading").touch()
        time.sleep(0.2)
        return record

if __name__ == "__main__":
    raw = Slow(Path(sys.argv[1]))
    for _ in write_split(Path(sys.argv[2]), INFO, "all", list("12345"), raw, part_records=1, processes=2):
        print("part", flush=True)
"""


@pytest.fixture
def start_slow(texts: Texts, folder: Path, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts a slow writer in a process of its own; returns once it is reading."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "tests_of_the_writer.py").write_text(Path(__file__).read_text())
    path = os.pathsep.join([str(tmp_path), *sys.path])

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, str(tmp_path / "slow.py"), str(texts.folder), str(folder)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        while not (texts.folder / "reading").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process

    return start


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_one_that_started_them_and_the_next_run_continues(
    texts: Texts, folder: Path, start_slow: Callable[[], subprocess.Popen[str]], ending: signal.Signals
) -> None:
    process = start_slow()
    process.send_signal(ending)
    process.communicate()
    with alone_in(folder, "the test"):  # the processes hold the store as long as they live
        before = sorted(folder.rglob("*"))
        read_by(texts)
    write_again = list(write_split(folder, INFO, "all", list("12345"), texts, part_records=1, processes=1))
    assert sum(one.records for one in write_again) == 5
    assert len(before) <= len(list(folder.rglob("*")))
    assert values(folder) == {str(number): float(number) for number in range(1, 6)}


@pytest.mark.slow
def test_a_stopped_run_ends_its_processes_without_a_traceback(
    folder: Path, start_slow: Callable[[], subprocess.Popen[str]]
) -> None:
    process = start_slow()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.count("Traceback") == 1, errors  # the script's own
    assert errors.strip().endswith("KeyboardInterrupt")
    with alone_in(folder, "the test"):
        assert store.unfinished_folders(folder, "all") == []


def test_bad_records_are_record_errors(texts: Texts) -> None:
    with pytest.raises(RecordError):
        texts.read("missing")
