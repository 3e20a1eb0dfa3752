"""Records are made once for all processes, whatever happens to any of them, and within a bound."""

from __future__ import annotations

import linecache
import logging
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.clouds.cloud import CloudInput
from perception.encoders.vectornet.input import VectorizedInput
from perception_tools import shared_cache
from perception_tools.shared_cache import SharedCache, fingerprint_of, open_cache
from perception_tools.training.loaders import make_loader

MAKER, OTHER = b"maker", b"other"
LIMIT = 4_000_000


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SharedCache]:
    cache = SharedCache(tmp_path / "new" / "cache.sqlite3", LIMIT)
    yield cache
    cache.close()


def never() -> Any:
    raise AssertionError("it is kept already")


def a_record(number: int) -> np.ndarray:
    return np.full(10_000, number, np.float64)


def test_a_record_is_made_once(cache: SharedCache) -> None:
    assert (cache.get(MAKER, "1", lambda: a_record(1)) == 1).all()
    assert (cache.get(MAKER, "1", never) == 1).all()
    other_process = SharedCache(cache.file, LIMIT)
    found = other_process.get(MAKER, "1", never)
    assert (found == 1).all()
    assert found.flags.writeable
    other_process.close()


def test_another_source_or_maker_has_a_record_of_its_own(cache: SharedCache) -> None:
    for number, key in enumerate([(MAKER, "1"), (MAKER, "2"), (OTHER, "1")]):
        assert cache.get(*key, lambda number=number: number) == number


def test_what_making_raises_is_raised_and_not_kept(cache: SharedCache) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.get(MAKER, "1", lambda: 1 // 0)
    assert cache.get(MAKER, "1", lambda: 5) == 5


def test_a_kind_that_cannot_be_kept_is_made_each_time(cache: SharedCache) -> None:
    for number in (1, 2):
        assert cache.get(MAKER, "1", lambda number=number: lambda: number)() == number


def test_a_damaged_record_is_made_anew(cache: SharedCache) -> None:
    cache.get(MAKER, "1", lambda: a_record(1))
    with sqlite3.connect(cache.file) as connection:
        connection.execute("UPDATE records SET value = ?", (b"nonsense",))
    connection.close()
    assert (cache.get(MAKER, "1", lambda: a_record(2)) == 2).all()
    assert (cache.get(MAKER, "1", never) == 2).all()


def test_the_file_stays_within_its_bound_and_what_does_not_fit_is_made_each_time(cache: SharedCache) -> None:
    for number in range(100):  # 8 MB
        assert (cache.get(MAKER, str(number), lambda number=number: a_record(number)) == number).all()
    assert (cache.get(MAKER, "0", never) == 0).all()
    assert cache.get(MAKER, "99", lambda: 5) == 5
    cache.close()
    assert LIMIT / 2 < cache.file.stat().st_size <= LIMIT


def test_in_a_full_file_what_nobody_used_for_an_hour_gives_way(
    cache: SharedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        cache.get(OTHER, str(number), lambda: a_record(1))
    cache.close()
    new = SharedCache(cache.file, LIMIT)
    new.get(MAKER, "1", lambda: a_record(2))
    assert new.get(MAKER, "1", lambda: 5) == 5, "the others are in use"
    new.close()
    later = shared_cache.time.time() + shared_cache.IDLE_S + 1
    monkeypatch.setattr("perception_tools.shared_cache.time.time", lambda: later)
    new = SharedCache(cache.file, LIMIT)
    for number in range(30):
        new.get(MAKER, str(number), lambda number=number: a_record(number))
    assert [int(new.get(MAKER, str(number), never)[0]) for number in range(30)] == list(range(30))
    assert new.get(OTHER, "0", lambda: 5) == 5
    new.close()
    assert cache.file.stat().st_size <= LIMIT


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_none_is_said_once_and_everything_is_made(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "cache.sqlite3"
    file.write_bytes(content)
    cache = SharedCache(file, LIMIT)
    with caplog.at_level(logging.WARNING):
        assert [cache.get(MAKER, "1", lambda number=number: number) for number in range(3)] == [0, 1, 2]
    assert len(caplog.records) == 1
    assert "delete it, or set PERCEPTION_CACHE" in caplog.text
    cache.close()


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = SharedCache(tmp_path / "file" / "cache.sqlite3", LIMIT)
    with caplog.at_level(logging.WARNING):
        assert [cache.get(MAKER, "1", lambda number=number: number) for number in range(3)] == [0, 1, 2]
    assert len(caplog.records) == 1


WRITER = """
import sys
from pathlib import Path
import numpy as np
from perception_tools.shared_cache import SharedCache
cache = SharedCache(Path(sys.argv[1]), 1 << 30)
number = 0
while True:
    cache.get(b"maker", f"{sys.argv[2]}{number}", lambda: np.full(10_000, float(number)))
    cache.get(b"maker", f"both{number}", lambda: np.full(10_000, float(number)))
    number += 1
    if number in (1, 20):
        print(number, flush=True)
"""


def test_of_two_writers_one_is_killed_and_nothing_that_was_kept_is_lost_or_wrong(cache: SharedCache) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(cache.file), name], stdout=subprocess.PIPE)
        for name in ("a", "b")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"1\n"
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        assert writers[1].stdout is not None
        assert writers[1].stdout.readline() == b"20\n", "the other goes on"
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            if writer.stdout:
                writer.stdout.close()
    for name in ("b", "both"):
        for number in range(20):
            assert (cache.get(MAKER, f"{name}{number}", never) == number).all()
    assert (cache.get(MAKER, "a0", never) == 0).all()


class Squares:
    """Records that a data loader's workers make."""

    def __init__(self, cache: SharedCache) -> None:
        self.cache = cache

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.cache.get(MAKER, str(index), lambda: (index**2, os.getpid()))


def first_of(items: Sequence[Any]) -> Sequence[Any]:
    return items


@pytest.mark.parametrize("opened", [False, True])
def test_workers_of_a_data_loader_read_what_others_made(cache: SharedCache, opened: bool) -> None:
    if opened:  # before the workers are forked
        cache.get(MAKER, "0", lambda: (0, 0))
    made = [item for batch in make_loader(Squares(cache), collate=first_of, batch=2, workers=2) for item in batch]
    assert [square for square, _ in made] == [index**2 for index in range(12)]
    assert len({process for _, process in made} - {0}) == 2, "both workers made records"
    again = [item for batch in make_loader(Squares(cache), collate=first_of, batch=2, workers=2) for item in batch]
    assert again == made
    assert [Squares(cache)[index] for index in range(12)] == made


def test_another_process_gets_the_cache_without_its_connection(cache: SharedCache) -> None:
    cache.get(MAKER, "1", lambda: 1)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get(MAKER, "1", never) == 1
    copy.close()


def test_any_tasks_preparation_has_a_fingerprint_and_can_be_kept(cache: SharedCache) -> None:
    inputs = [VectorizedInput(), VectorizedInput("agent"), CloudInput(16), CloudInput(8)]
    fingerprints = [fingerprint_of(input) for input in inputs]
    assert None not in fingerprints
    assert len(set(fingerprints)) == 4
    assert fingerprints == [fingerprint_of(input) for input in [VectorizedInput(), *inputs[1:]]]
    points = torch.rand(16, 3)
    cache.get(fingerprints[2] or b"", "cloud", lambda: points)
    assert torch.equal(cache.get(fingerprints[2] or b"", "cloud", never), points)


def test_code_that_changes_changes_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for body in ("return 1", "return 2"):
        (tmp_path / "own_input.py").write_text(f"class OwnInput:\n    def prepare(self, scene):\n        {body}\n")
        sys.modules.pop("own_input", None)
        linecache.clearcache()
        module = __import__("own_input")
        found.append(fingerprint_of(module.OwnInput()))
    sys.modules.pop("own_input", None)
    assert None not in found
    assert found[0] != found[1]


def test_what_cannot_be_told_has_no_fingerprint() -> None:
    class Local:
        pass

    assert fingerprint_of(Local()) is None


def test_the_users_cache_is_bounded_in_gigabytes_and_can_be_left_out(own_cache: Path) -> None:
    opened = open_cache(0.5)
    assert opened is not None
    assert (opened.file, opened.limit_bytes) == (own_cache / "prepared.sqlite3", 500_000_000)
    assert open_cache(0) is None
