from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from perception.errors import InputError
from perception_nodes.recordings.recovery import recover

MESSAGES = 60


def write(path: Path, compression: CompressionType = CompressionType.ZSTD, *, chunked: bool = True) -> None:
    """Two topics in many small chunks, metadata and an attachment."""
    noise = os.urandom(4_000)
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=2_000, compression=compression, use_chunking=chunked)
        writer.start(profile="ros2", library="test")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
        channels = [writer.register_channel(topic, "cdr", schema, {"a": topic}) for topic in ("/one", "/two")]
        writer.add_metadata("about", {"car": "7"})
        writer.add_attachment(1, 2, "note.txt", "text/plain", b"hello")
        for number in range(MESSAGES):
            data = noise[: 20 * number]
            writer.add_message(
                channels[number % 2], log_time=number, publish_time=number + 1, data=data, sequence=number
            )
        writer.finish()


def read(path: Path) -> list[tuple[str, int, int, int, bytes]]:
    with path.open("rb") as file:
        return [
            (channel.topic, message.log_time, message.publish_time, message.sequence, message.data)
            for _, channel, message in make_reader(file, validate_crcs=True).iter_messages()
        ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mcap") / "whole.mcap"
    write(path)
    return path


def test_a_whole_file_is_copied_whole(whole: Path, tmp_path: Path) -> None:
    saved = recover(whole, tmp_path / "b.mcap")
    assert (saved.messages, saved.topics, saved.complete, saved.unread_bytes) == (MESSAGES, ("/one", "/two"), True, 0)
    assert read(tmp_path / "b.mcap") == read(whole)
    with (tmp_path / "b.mcap").open("rb") as file:
        reader = make_reader(file)
        assert reader.get_header().profile == "ros2"
        assert [metadata.metadata for metadata in reader.iter_metadata()] == [{"car": "7"}]
        assert [attachment.data for attachment in reader.iter_attachments()] == [b"hello"]
        summary = reader.get_summary()
    assert summary is not None
    assert {channel.metadata["a"] for channel in summary.channels.values()} == {"/one", "/two"}


def test_a_disk_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^/proc/self/mem: cannot be read \(Input/output error\); copy what"):
        recover(Path("/proc/self/mem"), tmp_path / "b.mcap")  # nothing is mapped at its start
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_gives_its_first_messages(whole: Path, tmp_path: Path, fraction: float) -> None:
    data = whole.read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: int(fraction * len(data))])
    try:
        saved = recover(tmp_path / "cut.mcap", tmp_path / "b.mcap")
    except InputError:
        assert fraction < 0.2  # not even the first chunk is there
        return
    messages = read(tmp_path / "b.mcap")
    assert messages == read(whole)[: saved.messages]
    assert not saved.complete
    if fraction > 0.5:
        assert saved.messages > 10


@pytest.mark.parametrize("compression", CompressionType)
@pytest.mark.parametrize("chunked", [True, False])
def test_other_writers_files_are_saved_too(tmp_path: Path, compression: CompressionType, chunked: bool) -> None:
    write(tmp_path / "a.mcap", compression, chunked=chunked)
    data = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "a.mcap").write_bytes(data[: len(data) // 2])
    saved = recover(tmp_path / "a.mcap", tmp_path / "b.mcap")
    assert 10 < saved.messages < MESSAGES
    assert len(read(tmp_path / "b.mcap")) == saved.messages


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(fraction=0.4840403863907119, bit=0)  # a length becomes larger than any memory
@given(fraction=st.floats(0.05, 0.6), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_no_more_than_what_it_is_in(whole: Path, tmp_path: Path, fraction: float, bit: int) -> None:
    data = bytearray(whole.read_bytes())
    data[int(fraction * len(data))] ^= 1 << bit
    (tmp_path / "flipped.mcap").write_bytes(data)
    try:
        recover(tmp_path / "flipped.mcap", tmp_path / "b.mcap")
    except InputError:
        return
    assert set(read(tmp_path / "b.mcap")) <= set(read(whole)), "saved something that nobody recorded"


def test_a_damaged_chunk_is_left_out_and_counted(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    with whole.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    index = summary.chunk_indexes[3]
    data[index.chunk_start_offset + index.chunk_length - 10] ^= 0xFF
    (tmp_path / "damaged.mcap").write_bytes(data)
    saved = recover(tmp_path / "damaged.mcap", tmp_path / "b.mcap")
    expected = [m for m in read(whole) if not index.message_start_time <= m[1] <= index.message_end_time]
    assert read(tmp_path / "b.mcap") == expected
    assert (saved.damaged_chunks, saved.nameless_messages, saved.complete) == (1, 0, True)


def test_topics_named_only_in_a_damaged_first_chunk_are_found_in_the_summary_or_counted(
    whole: Path, tmp_path: Path
) -> None:
    with whole.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    data = bytearray(whole.read_bytes())
    first, second = summary.chunk_indexes[:2]
    data[first.chunk_start_offset + first.chunk_length - 10] ^= 0xFF
    (tmp_path / "damaged.mcap").write_bytes(data)
    saved = recover(tmp_path / "damaged.mcap", tmp_path / "b.mcap")
    assert (saved.messages, saved.nameless_messages) == (MESSAGES - first_count(whole, first), 0)
    (tmp_path / "damaged.mcap").write_bytes(data[: second.chunk_start_offset + second.chunk_length])
    with pytest.raises(InputError, match="nothing to save"):
        recover(tmp_path / "damaged.mcap", tmp_path / "c.mcap")


def first_count(path: Path, index: object) -> int:
    return sum(1 for message in read(path) if message[1] <= index.message_end_time)  # type: ignore[attr-defined]


def test_the_broken_file_is_not_touched_and_never_the_target(whole: Path, tmp_path: Path) -> None:
    before = whole.read_bytes()
    with pytest.raises(InputError, match="name another"):
        recover(whole, whole)
    with pytest.raises(InputError, match="is no file"):
        recover(tmp_path / "missing.mcap", tmp_path / "b.mcap")
    assert whole.read_bytes() == before
    assert list(tmp_path.iterdir()) == []
