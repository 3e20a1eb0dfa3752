"""Reads MCAP files, also damaged and malicious ones, in bounded memory.

mcap's own readers and those of rosbags decompress a chunk to whatever size it has. Here its size is checked first, and
the records around it are read by mcap's stream reader.
"""

from __future__ import annotations

import heapq
import io
import logging
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lz4.frame import LZ4FrameDecompressor
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader
from zstandard import ZstdDecompressor, ZstdError

from perception.errors import InputError
from perception_nodes.recordings.recorded_topic import RecordedTopic, quality_in
from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES

INVALID = (McapError, ValueError, RuntimeError, OverflowError, MemoryError, struct.error, ZstdError)
"""What mcap and its decompressors raise for invalid bytes; too large a length runs out of memory."""
MAX_CHUNK_BYTES = 2 * MAX_MESSAGE_BYTES
"""Maximum size of a chunk's content; writers close a chunk after a megabyte or a few, or after one larger message."""
MAX_WAITING_BYTES = 2**30
"""Maximum size of all messages in chunks whose times overlap, since they are sorted together."""
_MESSAGE_OBJECT_BYTES = 400
_RECORD_HEAD = struct.Struct("<BQ")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """One message of a recording."""

    topic: str
    type: str
    stamp_ns: int
    cdr: bytes


def records_of(file: BinaryIO, size: int) -> Iterator[McapRecord]:
    """Yields the records of a file of `size` bytes from its beginning; those in a chunk remain in it."""
    return StreamReader(file, emit_chunks=True, record_size_limit=size).records


def records_in(chunk: Chunk) -> Iterator[McapRecord]:
    """Yields the records in a chunk.

    Raises:
        ValueError: Its content is larger than `MAX_CHUNK_BYTES` or than it says, or does not match its checksum.
    """
    content = _content(chunk)
    if chunk.uncompressed_crc and zlib.crc32(content) != chunk.uncompressed_crc:
        raise ValueError("a chunk does not match its checksum")
    at = 0
    while at < len(content):
        opcode, length = _RECORD_HEAD.unpack_from(content, at)
        start, at = at + _RECORD_HEAD.size, at + _RECORD_HEAD.size + length
        if at > len(content):
            raise ValueError(f"a record of {length} bytes ends after its chunk")
        body = ReadDataStream(io.BytesIO(content[start:at]))
        match opcode:
            case Opcode.SCHEMA:
                yield Schema.read(body)
            case Opcode.CHANNEL:
                yield Channel.read(body)
            case Opcode.MESSAGE:
                yield Message.read(body, length)


def _content(chunk: Chunk) -> bytes:
    size = chunk.uncompressed_size
    if size > MAX_CHUNK_BYTES:
        raise ValueError(f"a chunk of {size} bytes; expected at most {MAX_CHUNK_BYTES}")
    match chunk.compression:
        case "":
            content = chunk.data
        case "zstd":
            content = ZstdDecompressor().stream_reader(chunk.data).read(size + 1)
        case "lz4":
            content = LZ4FrameDecompressor().decompress(chunk.data, max_length=size + 1)
        case other:
            raise ValueError(f"a chunk is compressed by {other[:20]!r}; expected zstd, lz4 or nothing")
    if len(content) != size:
        raise ValueError(f"a chunk says that it has {size} bytes, but has {'more' if len(content) > size else 'fewer'}")
    return content


class McapFile:
    """A complete MCAP file, opened for reading.

    Attributes:
        topics: The topics whose messages are CDR, as in ROS 2, by their names.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._size = path.stat().st_size
        self._channels: dict[int, RecordedTopic] = {}
        self._foreign: dict[int, str] = {}
        self._pieces: list[tuple[int, int]] = []
        self._index()
        self.topics = {topic.name: topic for topic in self._channels.values()}
        if self._foreign and not self._channels:
            found = ", ".join(sorted(self._foreign.values())[:10])
            raise InputError(f"{path}: expected messages of ROS 2 (CDR with a schema), found only {found}")

    def messages(self, topics: Collection[str]) -> Iterator[Recorded]:
        """Yields the messages of some topics in the order of their stamps; those of other formats are counted."""
        skipped: Counter[str] = Counter()
        for message in self._sorted():
            if message.channel_id in self._foreign:
                skipped[self._foreign[message.channel_id]] += 1
                continue
            topic = self._channels[message.channel_id]
            if topic.name in topics:
                yield Recorded(topic.name, topic.type, message.log_time, message.data)
        if skipped:
            found = ", ".join(f"{count} of {what}" for what, count in sorted(skipped.items()))
            _log.warning("%s: skipped messages that are not ROS 2's CDR: %s", self._path, found)

    def _index(self) -> None:
        """Notes where chunks, and messages outside of chunks, are, and which channels there are."""
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        chunks = []
        at = 0
        for record in records_of(self._file, self._size):
            match record:
                case Chunk():
                    self._pieces.append((record.message_start_time, at))
                    chunks.append(at)
                case Message():
                    self._pieces.append((record.log_time, at))
                case Schema():
                    schemas[record.id] = record
                case Channel():
                    channels[record.id] = record
            at = self._file.tell()
        if not channels:  # a file without a summary names them in its chunks only
            for record in (inner for start in chunks for inner in self._records_at(start)):
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
        self._pieces.sort()
        for number, channel in channels.items():
            schema = schemas.get(channel.schema_id)
            if channel.message_encoding == "cdr" and schema is not None:
                offered = channel.metadata.get("offered_qos_profiles", "")
                type_hash = channel.metadata.get("topic_type_hash") or None
                self._channels[number] = RecordedTopic(channel.topic, schema.name, type_hash, quality_in(offered))
            else:
                encoding = channel.message_encoding[:20] or "no encoding"
                self._foreign[number] = f"{channel.topic[:100]} ({encoding}{'' if schema else ' without a schema'})"

    def _sorted(self) -> Iterator[Message]:
        pieces = iter(self._pieces)
        following = next(pieces, None)
        waiting: list[tuple[int, int, int, Message]] = []
        waiting_bytes = 0
        while waiting or following:
            while following and (not waiting or following[0] <= waiting[0][0]):
                for number, record in enumerate(self._records_at(following[1])):
                    if isinstance(record, Message):
                        heapq.heappush(waiting, (record.log_time, following[1], number, record))
                        waiting_bytes += len(record.data) + _MESSAGE_OBJECT_BYTES
                        if waiting_bytes > MAX_WAITING_BYTES:
                            raise InputError(
                                f"{self._path}: expected messages in about the order of their stamps, found more than "
                                f"{MAX_WAITING_BYTES} bytes of them to sort; `mcap sort` writes them in order"
                            )
                following = next(pieces, None)
            if waiting:
                message = heapq.heappop(waiting)[-1]
                waiting_bytes -= len(message.data) + _MESSAGE_OBJECT_BYTES
                yield message

    def _records_at(self, at: int) -> Iterator[McapRecord]:
        """Yields the record at an offset, or those in the chunk there."""
        self._file.seek(at)
        record = next(StreamReader(self._file, skip_magic=True, emit_chunks=True, record_size_limit=self._size).records)
        return records_in(record) if isinstance(record, Chunk) else iter([record])
