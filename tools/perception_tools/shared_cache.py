"""What is made of records once, such as by a model's `prepare`, kept on disk for all processes of this host.

It is one SQLite file in write-ahead mode: readers never wait, writers take turns, a process that is killed at any
point leaves the file whole, and `max_page_count` bounds it. It is read through a memory map, so the kernel holds one
copy of its pages for all processes. It must lie on a local disk, since network file systems lack shared memory.

A record is found by two fingerprints: of what it was read from, and of what was made of it and how (`fingerprint_of`).
So nothing ever has to be declared stale. When the file is full, records of fingerprints that nobody used for an hour
give way, the oldest first; if there are none, further records are not kept.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import pickle
import sqlite3
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import perception
import perception_datasets
from perception.files import cache_folder
from perception_tools.record_bytes import from_bytes, to_bytes

FILE = "prepared.sqlite3"
LIMIT_GB = 4.0
"""Default bound: some 45,000 scenes of Argoverse 1."""
IDLE_S = 3600.0
"""Records of a fingerprint that was used this recently are not dropped in favour of others."""

_PAGE_BYTES = 1 << 14
_LOG_PAGES = 1 << 10
"""The log holds about this many pages, 16 MB, beside the file."""
_WAIT_S = 60.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS makers (maker BLOB PRIMARY KEY, used REAL)",
    "CREATE TABLE IF NOT EXISTS records (maker BLOB, source TEXT, value BLOB, PRIMARY KEY (maker, source))",
)

_logger = logging.getLogger(__name__)
_of_other_processes: list[sqlite3.Connection] = []
"""Connections that came here by a fork, which SQLite must neither use nor close in this process."""

T = TypeVar("T")


def open_cache(limit_gb: float) -> SharedCache | None:
    """Returns the cache of this user, with a bound in 10⁹ bytes; None for a bound of 0."""
    return SharedCache(cache_folder() / FILE, round(limit_gb * 1e9)) if limit_gb > 0 else None


def fingerprint_of(*makers: object) -> bytes | None:
    """Returns a digest of all that decides what is made of a record; None where that cannot be told.

    It changes with the state of the makers, with the source files of their classes, and with the source code of
    `perception` and `perception_datasets`, which read and prepare.

    Args:
        makers: Objects such as a model's input, or classes; anything that pickle can write.
    """
    hashed = hashlib.sha256(_code_digest())
    try:
        for maker in makers:
            kind = maker if isinstance(maker, type) else type(maker)
            hashed.update(hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).digest())
            hashed.update(hashlib.sha256(pickle.dumps(maker)).digest())
    except (pickle.PicklingError, AttributeError, TypeError, OSError):
        return None
    return hashed.digest()[:16]


@cache
def _code_digest() -> bytes:
    hashed = hashlib.sha256()
    for package in (perception, perception_datasets):
        folder = Path(next(iter(package.__path__)))
        for path in sorted(folder.rglob("*.py")):
            hashed.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return hashed.digest()


class SharedCache:
    """Records on disk that any number of processes read and write.

    A cache that cannot be used, such as on a full disk, says so once; records are then made anew each time.

    Args:
        file: The file; its folder is made where it does not exist.
        limit_bytes: Maximum size of the file, beside a log of 16 MB. A file that is larger already stays as it is.
    """

    def __init__(self, file: Path, limit_bytes: int) -> None:
        self.file, self.limit_bytes = file, limit_bytes
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._usable, self._full = True, False
        self._noted: dict[bytes, float] = {}

    def get(self, maker: bytes, source: str, make: Callable[[], T]) -> T:
        """Returns a record as it was kept, or makes it and keeps it. What `make` raises is raised and not kept.

        Args:
            maker: From `fingerprint_of`.
            source: Fingerprint of what the record is made from.
            make: Makes it.
        """
        for (value,) in self._ask("SELECT value FROM records WHERE maker = ? AND source = ?", maker, source):
            try:
                found = from_bytes(value)
            except (pickle.UnpicklingError, ValueError, TypeError, AttributeError, EOFError):
                break  # damaged
            self._note_use(maker)
            return found
        made = make()
        if self._usable and not self._full:
            self._keep(maker, source, made)
        return made

    def close(self) -> None:
        """Closes the file; it is opened again when it is needed."""
        if self._connection is not None:
            if self._process == os.getpid():
                self._connection.close()
            else:
                _of_other_processes.append(self._connection)
        self._connection = None

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: everything but the connection."""
        return {"file": self.file, "limit_bytes": self.limit_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def _keep(self, maker: bytes, source: str, made: Any) -> None:
        try:
            value = to_bytes(made)
        except (pickle.PicklingError, AttributeError, TypeError):  # of a kind that cannot be kept
            return
        self._note_use(maker)
        words = "INSERT OR REPLACE INTO records VALUES (?, ?, ?)"
        self._ask(words, maker, source, value)
        while self._full and self._drop_oldest(maker):
            self._full = False
            self._ask(words, maker, source, value)

    def _drop_oldest(self, maker: bytes) -> bool:
        """Drops the records of the fingerprint that was not used for the longest time; returns whether there is one."""
        before = time.time() - IDLE_S
        oldest = "SELECT maker FROM makers WHERE maker != ? AND used < ? ORDER BY used LIMIT 1"
        for (other,) in self._ask(oldest, maker, before):
            self._ask("DELETE FROM records WHERE maker = ?", other)
            self._ask("DELETE FROM makers WHERE maker = ?", other)
            return self._usable
        return False

    def _note_use(self, maker: bytes) -> None:
        """Notes when a fingerprint was used, now and then."""
        now = time.time()
        if now - self._noted.get(maker, 0.0) > IDLE_S / 6:
            self._noted[maker] = now
            self._ask("INSERT OR REPLACE INTO makers VALUES (?, ?)", maker, now)

    def _ask(self, words: str, *values: object) -> list[tuple]:
        """Runs a statement, a transaction of its own; returns nothing where the cache cannot be used or is full."""
        if not self._usable:
            return []
        try:
            return self._open().execute(words, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                self._full = True
            else:
                self._usable = False
                _logger.warning(
                    "%s: cannot be used (%s), so records are prepared anew each time; delete it, or set "
                    "PERCEPTION_CACHE to a folder on a local disk",
                    self.file,
                    error,
                )
            return []

    def _open(self) -> sqlite3.Connection:
        """Returns the connection of this process; one of the process that it was forked from is left alone."""
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        self.close()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        for setting in (
            f"page_size = {_PAGE_BYTES}",
            "journal_mode = WAL",
            "synchronous = NORMAL",  # in write-ahead mode, a power cut costs the newest records, never the file
            f"wal_autocheckpoint = {_LOG_PAGES}",
            f"max_page_count = {max(1, self.limit_bytes // _PAGE_BYTES)}",
            f"mmap_size = {self.limit_bytes}",
        ):
            connection.execute(f"PRAGMA {setting}")
        for table in _TABLES:
            connection.execute(table)
        self._connection, self._process = connection, os.getpid()
        return connection
