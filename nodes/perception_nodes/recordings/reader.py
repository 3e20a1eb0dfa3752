"""Reads recordings: MCAP files, rosbag2 folders and rosbag2 databases (.db3)."""

from __future__ import annotations

import heapq
import re
import sqlite3
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Protocol
from urllib.parse import quote

import yaml
from rosbags.rosbag2 import Reader
from zstandard import ZstdDecompressor

from perception.errors import InputError
from perception.files import reading
from perception_nodes.recordings.mcap_file import McapFile, Recorded
from perception_nodes.recordings.recorded_topic import RecordedTopic, quality_of
from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES

MAX_RATIO = 1000
"""Maximum size of a compressed file's content as a multiple of the file's own size."""
_CURE = (
    "expected a ROS 2 recording: NAME.mcap, NAME.db3 or a rosbag2 folder; where an .mcap was cut off, "
    "`perception mcap recover` saves what is in it"
)


class _OpenFile(Protocol):
    """A file of a recording."""

    @property
    def topics(self) -> Mapping[str, RecordedTopic]:
        """Its topics by their names."""
        ...

    def messages(self, topics: Collection[str]) -> Iterator[Recorded]:
        """Yields the messages of some topics in the order of their stamps."""
        ...


def read_recording(path: Path, topics: Collection[str] = ()) -> Iterator[Recorded]:
    """Yields the messages of an MCAP file, a rosbag2 folder or a rosbag2 database (.db3), in the order of their stamps.

    Messages of an MCAP file that are not CDR, such as protobuf or JSON, are skipped and counted in a warning.

    Args:
        path: Path of a finished recording.
        topics: Names of the wanted topics; empty for all.

    Raises:
        InputError: The recording is damaged, is of another kind, or lacks a topic.
    """
    with reading(path, _CURE), ExitStack() as open_:
        files = _open_folder(path, open_) if path.is_dir() else [_open(path, open_)]
        found = {topic for file in files for topic in file.topics}
        missing = set(topics) - found
        if missing:
            raise InputError(f"{path} has no topic {min(missing)}; its topics are {', '.join(sorted(found))}")
        wanted = set(topics) or found
        yield from heapq.merge(*(file.messages(wanted) for file in files), key=lambda message: message.stamp_ns)


def topics_in(path: Path) -> dict[str, RecordedTopic]:
    """Returns the topics of a recording by their names, those whose messages are CDR.

    Args:
        path: Path of a finished recording, as for `read_recording`.

    Raises:
        InputError: The recording is damaged, or is of another kind.
    """
    with reading(path, _CURE), ExitStack() as open_:
        files = _open_folder(path, open_) if path.is_dir() else [_open(path, open_)]
        return {name: topic for file in files for name, topic in file.topics.items()}


def _open(path: Path, open_: ExitStack) -> _OpenFile:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_CURE}")
    match path.suffix:
        case ".mcap":
            return McapFile(open_.enter_context(path.open("rb")), path)
        case ".db3":
            return _Database(path, open_)
        case other:
            raise InputError(f"{path}: the name ends in {other or 'nothing'!r}; {_CURE}")


def _open_folder(folder: Path, open_: ExitStack) -> list[_OpenFile]:
    """Opens the files that a rosbag2 folder names in its metadata.yaml."""
    described = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
    paths = [folder / PurePath(str(name)).name for name in described["relative_file_paths"]]
    paths.sort(key=_number_of_split)  # where stamps are equal, the order of the files counts
    match (described.get("compression_mode") or "none").lower():
        case "none":
            return [_open(path, open_) for path in paths]
        case "message":
            return [_CompressedMessages(_open(path, open_), path) for path in paths]
        case "file":
            scratch = Path(open_.enter_context(tempfile.TemporaryDirectory()))
            return [_open(_decompressed(path, scratch), open_) for path in paths]
        case other:
            raise InputError(f"{folder}: expected compression_mode none, message or file, got {other[:20]!r}")


def _number_of_split(path: Path) -> int:
    """Returns the number of a file of a bag that was split, such as 10 of NAME_10.mcap.zstd; 0 without one.

    rosbag2 does not fill the numbers with zeros, so `ros2 bag reindex` and other tools list 10 before 2.
    """
    number = re.search(r"_(\d{1,9})\.(?:mcap|db3)(?:\.zstd)?$", path.name)
    return int(number[1]) if number else 0


class _Database:
    """A rosbag2 database."""

    def __init__(self, path: Path, open_: ExitStack) -> None:
        _expect_plain_tables(path)
        self._reader = open_.enter_context(Reader(path))
        self.topics = {
            connection.topic: RecordedTopic(
                connection.topic,
                connection.msgtype,
                connection.digest if connection.digest.startswith("RIHS") else None,
                quality_of(getattr(connection.ext, "offered_qos_profiles", [])),
            )
            for connection in self._reader.connections
        }

    def messages(self, topics: Collection[str]) -> Iterator[Recorded]:
        wanted = [connection for connection in self._reader.connections if connection.topic in topics]
        for connection, stamp_ns, cdr in self._reader.messages(wanted):
            yield Recorded(connection.topic, connection.msgtype, stamp_ns, bytes(cdr))


class _CompressedMessages:
    """A file whose messages are compressed one by one."""

    def __init__(self, file: _OpenFile, path: Path) -> None:
        self._file, self._path = file, path
        self.topics = file.topics

    def messages(self, topics: Collection[str]) -> Iterator[Recorded]:
        for message in self._file.messages(topics):
            cdr = ZstdDecompressor().stream_reader(message.cdr).read(MAX_MESSAGE_BYTES + 1)
            if len(cdr) > MAX_MESSAGE_BYTES:
                raise InputError(
                    f"{self._path}: expected messages of at most {MAX_MESSAGE_BYTES} bytes, found a larger one of "
                    f"{message.topic}"
                )
            yield replace(message, cdr=cdr)


def _expect_plain_tables(path: Path) -> None:
    """Refuses a database with views, virtual tables or generated columns: they can give any amount of data."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as database:
        computed = [
            *database.execute("SELECT name FROM sqlite_master WHERE type = 'view' OR sql LIKE 'CREATE VIRTUAL%'"),
            *database.execute(
                "SELECT m.name FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND c.hidden"
            ),
        ]
    if computed:
        raise InputError(f"{path}: expected tables as rosbag2 writes them, found the computed one {computed[0][0]!r}")


def _decompressed(path: Path, scratch: Path) -> Path:
    """Decompresses a file into a folder; returns its path there."""
    target = scratch / path.stem
    limit = MAX_RATIO * path.stat().st_size
    with path.open("rb") as source, target.open("wb") as file:
        content = ZstdDecompressor().stream_reader(source, read_across_frames=True)
        while part := content.read(1 << 20):
            file.write(part)
            if file.tell() > limit:
                raise InputError(f"{path}: its content is more than {MAX_RATIO} times as large; expected a recording")
    return target
