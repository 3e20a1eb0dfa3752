from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from perception.errors import InputError
from perception_nodes.recordings import reader
from perception_nodes.recordings.reader import read_recording, topics_in
from perception_nodes.recordings.recorded_topic import RecordedTopic
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import make, serialize, type_hash, typestore
from perception_nodes.ros.wire import LATCHED, SENSOR_DATA, Topic

TEXT = "std_msgs/msg/String"


def say(text: str) -> bytes:
    return serialize(make(TEXT, data=text), TEXT)


def write_bag(
    folder: Path,
    storage: StoragePlugin = StoragePlugin.SQLITE3,
    compression: CompressionMode = CompressionMode.NONE,
    size: int = 0,
) -> list[bytes]:
    """Writes three messages; returns them."""
    texts = [say(str(number) + "x" * size) for number in range(3)]
    writer = Writer(folder, version=9, storage_plugin=storage)
    if compression is not CompressionMode.NONE:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/chat", TEXT, typestore=typestore())
        for number, text in enumerate(texts):
            writer.write(connection, number, text)
    return texts


@pytest.mark.parametrize("storage", StoragePlugin)
@pytest.mark.parametrize("compression", [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE])
def test_a_rosbag2_folder_of_either_storage_is_read_however_it_is_compressed(
    tmp_path: Path, storage: StoragePlugin, compression: CompressionMode
) -> None:
    texts = write_bag(tmp_path / "bag", storage, compression)
    messages = list(read_recording(tmp_path / "bag"))
    assert [(m.topic, m.type, m.stamp_ns, m.cdr) for m in messages] == [
        ("/chat", TEXT, number, text) for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize("compression", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_a_bag_that_unpacks_to_far_more_than_it_is_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: CompressionMode
) -> None:
    monkeypatch.setattr(reader, "MAX_MESSAGE_BYTES", 10_000)
    monkeypatch.setattr(reader, "MAX_RATIO", 20)
    write_bag(tmp_path / "bag", compression=compression, size=1_000_000)
    with pytest.raises(InputError, match=r"bag.*(more than 20 times as large|at most 10000 bytes, found a larger one)"):
        list(read_recording(tmp_path / "bag"))


def test_the_files_of_a_folder_are_read_in_the_order_of_their_stamps(tmp_path: Path) -> None:
    first, second = write_bag(tmp_path / "a"), write_bag(tmp_path / "b")
    metadata = tmp_path / "a" / "metadata.yaml"
    (tmp_path / "b" / "b.db3").rename(tmp_path / "a" / "b.db3")
    metadata.write_text(metadata.read_text().replace("relative_file_paths:", "relative_file_paths:\n  - b.db3"))
    stamps = [(message.stamp_ns, message.cdr) for message in read_recording(tmp_path / "a")]
    assert sorted(stamps) == stamps
    assert [cdr for _, cdr in stamps] == [text for pair in zip(second, first, strict=True) for text in pair]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE messages RENAME TO kept; CREATE VIEW messages AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, 1 AS topic_id, i AS timestamp, x'00' AS data FROM n",
        "ALTER TABLE messages ADD COLUMN more BLOB GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL",
    ],
)
def test_a_database_that_computes_its_messages_is_refused(tmp_path: Path, change: str) -> None:
    write_bag(tmp_path / "bag")
    database = sqlite3.connect(tmp_path / "bag" / "bag.db3")
    database.executescript(change)
    database.close()
    with pytest.raises(InputError, match=r"bag\.db3: expected tables as rosbag2 writes them, found the computed one"):
        list(read_recording(tmp_path / "bag" / "bag.db3"))


def test_a_folder_does_not_lead_to_files_elsewhere(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag")
    (tmp_path / "bag" / "bag.db3").rename(tmp_path / "bag.db3")
    metadata = tmp_path / "bag" / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("- bag.db3", "- ../bag.db3"))
    with pytest.raises(InputError, match=r"bag/bag\.db3: no such file; expected a ROS 2"):
        list(read_recording(tmp_path / "bag"))


def test_a_topic_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag")
    with pytest.raises(InputError, match=r"no topic /odd.*its topics are /chat"):
        list(read_recording(tmp_path / "bag", ["/odd"]))


@pytest.mark.parametrize("name", ["missing.mcap", "empty.mcap", "text.mcap", "odd.txt", "folder"])
def test_what_is_no_recording_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.mcap").touch()
    (tmp_path / "text.mcap").write_text("hello, this is text and no recording at all, however long")
    (tmp_path / "odd.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=name):
        list(read_recording(tmp_path / name))


@pytest.mark.parametrize("order", [sorted, reversed, list], ids=["sorted", "reversed", "right"])
def test_splits_are_read_in_the_order_of_their_numbers_without_zeros(tmp_path: Path, order) -> None:
    """Twelve files whose messages all have one stamp: only the numbers say which came first."""
    folder = tmp_path / "bag"
    folder.mkdir()
    names = [f"bag_{number}.mcap" for number in range(12)]
    for number, name in enumerate(names):
        with Recorder(folder / name, lossless=True) as recorder:
            recorder.record(Topic("/chat", TEXT, type_hash(TEXT)), 1, say(str(number)))
    listed = "\n".join(f"    - {name}" for name in order(names))
    (folder / "metadata.yaml").write_text(f"rosbag2_bagfile_information:\n  relative_file_paths:\n{listed}\n")
    assert [message.cdr for message in read_recording(folder)] == [say(str(number)) for number in range(12)]


def test_the_topics_of_a_recording_have_types_hashes_and_quality_of_service(tmp_path: Path) -> None:
    expected = {}
    with Recorder(tmp_path / "a.mcap", lossless=True) as recorder:
        for name, qos in (("/map", LATCHED), ("/points", SENSOR_DATA)):
            recorder.record(Topic(name, TEXT, type_hash(TEXT), qos), 1, say("x"))
            expected[name] = RecordedTopic(name, TEXT, type_hash(TEXT), qos)
    assert topics_in(tmp_path / "a.mcap") == expected


@pytest.mark.parametrize("storage", StoragePlugin)
def test_the_topics_of_a_bag_are_told_too(tmp_path: Path, storage: StoragePlugin) -> None:
    write_bag(tmp_path / "bag", storage)
    (topic,) = topics_in(tmp_path / "bag").values()
    assert (topic.name, topic.type) == ("/chat", TEXT)
    assert topic.type_hash == (type_hash(TEXT) if storage is StoragePlugin.SQLITE3 else None)  # rosbags' MCAP has none
