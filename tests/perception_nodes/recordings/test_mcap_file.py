from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.records import Channel, Chunk, Message, Schema
from mcap.writer import CompressionType, IndexType, Writer

from perception.errors import InputError
from perception_nodes.recordings import mcap_file
from perception_nodes.recordings.mcap_file import MAX_CHUNK_BYTES, McapFile, Recorded, records_in

TEXT = "std_msgs/msg/String"


def write(path: Path, stamps: Iterable[int], **options: object) -> None:
    """Writes messages of 1000 bytes on /one in chunks of some 4000 bytes; its first stamp is in each of its bytes."""
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=4_000, **options)  # pyright: ignore[reportArgumentType]
        writer.start(profile="ros2", library="test")
        schema = writer.register_schema(TEXT, "ros2msg", b"string data\n")
        channel = writer.register_channel("/one", "cdr", schema)
        for stamp in stamps:
            writer.add_message(channel, stamp, bytes([stamp]) * 1_000, stamp)
        writer.finish()


def read(path: Path, topics: Iterable[str] = ("/one",)) -> list[Recorded]:
    with path.open("rb") as file:
        return list(McapFile(file, path).messages(set(topics)))


def chunk_of(content: bytes, compression: str = "", size: int | None = None, crc: int = 0) -> Chunk:
    packed = {"": bytes, "zstd": zstandard.compress, "lz4": lz4.frame.compress}[compression](content)
    return Chunk(compression, packed, 0, 0, crc, len(content) if size is None else size)


@pytest.mark.parametrize("compression", CompressionType)
@pytest.mark.parametrize("chunked", [True, False])
def test_messages_come_in_the_order_of_their_stamps_however_they_lie_in_the_file(
    tmp_path: Path, compression: CompressionType, chunked: bool
) -> None:
    write(tmp_path / "a.mcap", [5, 0, 3, 20, 21, 1, 2, 9, 9, 30, 4], compression=compression, use_chunking=chunked)
    messages = read(tmp_path / "a.mcap")
    assert [message.stamp_ns for message in messages] == [0, 1, 2, 3, 4, 5, 9, 9, 20, 21, 30]
    assert [message.cdr[999] for message in messages] == [message.stamp_ns for message in messages]
    assert {(message.topic, message.type) for message in messages} == {("/one", TEXT)}
    assert read(tmp_path / "a.mcap", ["/two"]) == []


def test_a_file_without_a_summary_is_read_too(tmp_path: Path) -> None:
    nothing = {"index_types": IndexType.NONE, "repeat_channels": False, "repeat_schemas": False}
    write(tmp_path / "a.mcap", range(20), use_statistics=False, use_summary_offsets=False, **nothing)
    assert [message.stamp_ns for message in read(tmp_path / "a.mcap")] == list(range(20))


def test_channels_of_other_formats_are_skipped_and_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / "a.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library="test")
        kinds = {"/proto": ("protobuf", "protobuf"), "/json": ("json", "jsonschema"), "/one": ("cdr", "ros2msg")}
        for topic, (encoding, form) in kinds.items():
            channel = writer.register_channel(topic, encoding, writer.register_schema(TEXT, form, b"string data\n"))
            for stamp in range(3):
                writer.add_message(channel, stamp, b"{}", stamp)
        bare = writer.register_channel("/bare", "cdr", 0)
        writer.add_message(bare, 0, b"{}", 0)
        writer.finish()
    with caplog.at_level(logging.WARNING):
        messages = read(tmp_path / "a.mcap", ["/one", "/json"])
    assert [message.topic for message in messages] == ["/one"] * 3
    (said,) = caplog.messages
    assert "1 of /bare (cdr without a schema), 3 of /json (json), 3 of /proto (protobuf)" in said


def test_a_file_without_any_message_of_ros_2_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library="test")
        writer.register_channel("/json", "json", writer.register_schema("A", "jsonschema", b"{}"))
        writer.finish()
    with pytest.raises(InputError, match=r"a\.mcap: expected messages of ROS 2 .* found only /json \(json\)"):
        read(tmp_path / "a.mcap")


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_chunk_is_not_decompressed_beyond_the_size_that_it_says(compression: str) -> None:
    bomb = chunk_of(bytes(50_000_000), compression, size=1_000)
    assert len(bomb.data) < 300_000
    with pytest.raises(ValueError, match=r"^a chunk says that it has 1000 bytes, but has more$"):
        list(records_in(bomb))


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_a_chunk_that_says_that_it_is_huge_is_refused(compression: str) -> None:
    with pytest.raises(ValueError, match=rf"a chunk of {3 * 2**30} bytes; expected at most {MAX_CHUNK_BYTES}"):
        list(records_in(chunk_of(bytes(100), compression, size=3 * 2**30)))


def test_a_chunk_holds_whole_records_that_match_its_checksum() -> None:
    builder = RecordBuilder()
    Schema(id=1, name=TEXT, encoding="ros2msg", data=b"").write(builder)
    Channel(id=1, topic="/one", message_encoding="cdr", metadata={}, schema_id=1).write(builder)
    Message(channel_id=1, log_time=5, data=b"abc", publish_time=5, sequence=0).write(builder)
    content = builder.end()
    assert [type(record) for record in records_in(chunk_of(content))] == [Schema, Channel, Message]
    with pytest.raises(ValueError, match="a record of 25 bytes ends after its chunk"):
        list(records_in(chunk_of(content[:-1])))
    with pytest.raises(ValueError, match="does not match its checksum"):
        list(records_in(chunk_of(content, crc=1)))
    with pytest.raises(ValueError, match="says that it has 200 bytes, but has fewer"):
        list(records_in(chunk_of(content, "zstd", size=200)))
    with pytest.raises(ValueError, match="compressed by 'xz'; expected zstd, lz4 or nothing"):
        list(records_in(Chunk("xz", content, 0, 0, 0, len(content))))


def test_messages_that_would_all_have_to_be_sorted_at_once_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcap_file, "MAX_WAITING_BYTES", 20_000)
    write(tmp_path / "sorted.mcap", range(100))
    assert len(read(tmp_path / "sorted.mcap")) == 100
    write(tmp_path / "mixed.mcap", [stamp for step in range(4) for stamp in range(step, 100, 4)])
    assert len(read(tmp_path / "sorted.mcap")) == 100
    with pytest.raises(InputError, match=r"mixed\.mcap: expected messages in about the order .*`mcap sort`"):
        read(tmp_path / "mixed.mcap")
