"""Saves the content of an MCAP file that was cut off or damaged, by mcap's own stream reader.

Everything up to the first invalid record is saved. A chunk that does not match its checksum is left out, and saving
continues after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Attachment, Channel, Chunk, Header, McapRecord, Message, Metadata, Schema
from mcap.writer import Writer

from perception.errors import InputError
from perception.files import whole_file
from perception_nodes.recordings.mcap_file import INVALID, records_in, records_of


@dataclass(frozen=True)
class Recovered:
    """What was saved, and what was not.

    Attributes:
        messages: Number of messages in the new file.
        topics: Topics of these messages.
        complete: Whether the old file had its end.
        unread_bytes: Number of bytes after the last valid record of the old file.
        damaged_chunks: Number of chunks that were left out.
        nameless_messages: Number of messages that were left out because their topic is named in a damaged chunk only.
    """

    messages: int
    topics: tuple[str, ...]
    complete: bool
    unread_bytes: int
    damaged_chunks: int
    nameless_messages: int


def recover(source: Path, target: Path) -> Recovered:
    """Writes a complete file with everything that can be read of another, which is not changed."""
    if not source.is_file():
        raise InputError(f"{source} is no file; expected an MCAP recording, such as NAME.mcap.partial")
    if target.exists() and target.samefile(source):
        raise InputError(f"{target} is the file to recover; name another one to write to")
    records = _Records(source)
    header = next((record for record in records if isinstance(record, Header)), Header(profile="", library=""))
    with whole_file(target) as temporary, temporary.open("wb") as file:
        copy = _Copy(Writer(file, chunk_size=256 * 1024), records)
        copy.writer.start(header.profile, header.library)
        for record in records:
            copy.add(record)
        copy.writer.finish()
        if copy.messages == 0:
            raise InputError(f"{source} holds no message that can be read; there is nothing to save")
    topics = tuple(sorted({copy.channels[channel].topic for channel in copy.channel_ids}))
    lost = records.unread_bytes, records.damaged_chunks, copy.nameless
    return Recovered(copy.messages, topics, records.complete, *lost)


class _Records:
    """The valid records of a file, with those in its chunks; can be iterated again.

    Attributes:
        complete: As in `Recovered`, of the last iteration, as are the others.
        unread_bytes: See `Recovered`.
        damaged_chunks: See `Recovered`.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self.complete = False
        self.unread_bytes = self.damaged_chunks = 0

    def __iter__(self) -> Iterator[McapRecord]:
        self.complete = False
        self.unread_bytes = size = self._source.stat().st_size
        self.damaged_chunks = 0
        with self._source.open("rb") as file:
            try:
                for record in records_of(file, size):
                    self.unread_bytes = size - file.tell()
                    yield from self._opened(record) if isinstance(record, Chunk) else [record]
                self.complete = True
                self.unread_bytes = size - file.tell()
            except INVALID:
                return
            except OSError as error:
                raise InputError(
                    f"{self._source}: cannot be read ({error.strerror}); copy what can be read to another disk first"
                ) from error

    def _opened(self, chunk: Chunk) -> Iterator[McapRecord]:
        try:
            yield from records_in(chunk)
        except INVALID:
            self.damaged_chunks += 1


class _Copy:
    """Copies records one by one; channels get new numbers, in the order of their first messages."""

    def __init__(self, writer: Writer, records: _Records) -> None:
        self.writer = writer
        # the summary at the end of a complete file repeats what a damaged chunk had, so look everywhere first
        described = [record for record in records if isinstance(record, Channel | Schema)]
        self.channels = {record.id: record for record in described if isinstance(record, Channel)}
        self._schemas = {record.id: record for record in described if isinstance(record, Schema)}
        self.channel_ids: dict[int, int] = {}
        self.messages = self.nameless = 0

    def add(self, record: McapRecord) -> None:
        """Copies messages, metadata and attachments; the writer makes all other records."""
        match record:
            case Message(channel_id=channel) if channel not in self.channels:
                self.nameless += 1
            case Message():
                if record.channel_id not in self.channel_ids:
                    self.channel_ids[record.channel_id] = self._register(self.channels[record.channel_id])
                channel = self.channel_ids[record.channel_id]
                self.writer.add_message(channel, record.log_time, record.data, record.publish_time, record.sequence)
                self.messages += 1
            case Metadata():
                self.writer.add_metadata(record.name, record.metadata)
            case Attachment():
                times = record.create_time, record.log_time
                self.writer.add_attachment(*times, record.name, record.media_type, record.data)

    def _register(self, channel: Channel) -> int:
        schema = self._schemas.get(channel.schema_id)
        number = self.writer.register_schema(schema.name, schema.encoding, schema.data) if schema else 0
        return self.writer.register_channel(channel.topic, channel.message_encoding, number, channel.metadata)
