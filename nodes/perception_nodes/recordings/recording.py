"""Records topics to MCAP files that survive the writer's death, and that rosbag2, Foxglove and Rerun open too.

A recording is written as NAME.partial and gets its name when it is closed. One that was cut off, by kill -9 or a full
disk, keeps the .partial; `perception mcap recover` saves all but its last half second. A replay that fails leaves none.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from mcap.writer import Writer

from perception.errors import InputError
from perception.files import writing
from perception_nodes.ros.cdr_payload import Buffer
from perception_nodes.ros.messages import definition
from perception_nodes.ros.wire import Qos, Topic

CHUNK_BYTES = 256 * 1024
FLUSH_S = 0.5
"""Seconds after which an incomplete chunk is written: a killed process loses at most this much."""

MAX_WAITING_BYTES = 64 * 2**20
CLOSE_S = 4.0
"""Seconds for closing a file, since a node has five to stop."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecorderState:
    """The state of a recording.

    Attributes:
        written: Number of messages handed to the file.
        dropped: Number of messages that are lost, because too many waited for the disk or recording had ended.
        error: Why recording failed; None while it has not. It does not resume.
    """

    written: int
    dropped: int
    error: str | None


class Recorder:
    """Writes messages to a file from a thread of its own, so that a slow or full disk never stops the node.

    The file's index stays in memory until the end, about 100 MB a day: start a new file every few hours.
    """

    def __init__(self, path: Path, *, lossless: bool = False) -> None:
        """Opens the file.

        Args:
            path: Path of the finished recording, NAME.mcap. An older file of this name is replaced at the end.
            lossless: For replay: waits for the disk instead of dropping a message, and if recording fails, raises and
                leaves no file.
        """
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self._lossless = lossless
        self._file = _create(self.partial)
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES)
        self._channels: dict[Topic, int] = {}
        self._schemas: dict[str, int] = {}
        self._waiting: deque[tuple[Topic, int, Buffer]] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._written = self._dropped = 0
        self._error: str | None = None
        self._cause: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"record {path.name}", daemon=True)
        self._thread.start()

    @property
    def state(self) -> RecorderState:
        """The state, for diagnostics and metrics."""
        with self._changed:
            return RecorderState(self._written, self._dropped, self._error)

    def record(self, topic: Topic, stamp_ns: int, cdr: Buffer) -> None:
        """Records a message, which must not be changed afterwards; its type must be known to `ros.messages`."""
        definition(topic.type)  # raises for an unknown type here, instead of in the thread
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._waiting_bytes <= MAX_WAITING_BYTES or self._error)
                self._raise_error()
            if self._closing or self._error or self._waiting_bytes > MAX_WAITING_BYTES:
                self._dropped += 1
                return
            self._waiting.append((topic, stamp_ns, cdr))
            self._waiting_bytes += len(cdr)
            self._changed.notify_all()

    def close(self) -> None:
        """Writes the waiting messages and the index, and renames the file; after a failure the .partial stays."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(None if self._lossless else CLOSE_S)
        if self._thread.is_alive():
            self._fail(TimeoutError(f"the disk took more than {CLOSE_S:g} s to close the file"))
        if self._lossless:
            if self._error:
                self.partial.unlink(missing_ok=True)
            self._raise_error()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        """Runs in the thread, which alone writes to the file."""
        flushed = time.monotonic()
        try:
            self._writer.start(profile="ros2", library="frozen-perception")
            for message in self._messages():
                if message:
                    self._write(*message)
                if time.monotonic() - flushed >= FLUSH_S:
                    self._writer.flush()
                    flushed = time.monotonic()
            self._writer.finish()
            self._file.close()
            self.partial.replace(self.path)
        except Exception as error:  # the node must go on
            self._fail(error)
            with suppress(OSError):
                self._file.close()

    def _messages(self) -> Iterator[tuple[Topic, int, Buffer] | None]:
        """Yields messages as they come, and None if none comes for a while, until the recording is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing, timeout=FLUSH_S)
                if self._closing and not self._waiting:
                    return
                message = self._waiting.popleft() if self._waiting else None
                self._waiting_bytes -= len(message[2]) if message else 0
                self._changed.notify_all()
            yield message

    def _write(self, topic: Topic, stamp_ns: int, cdr: Buffer) -> None:
        if topic not in self._channels:
            self._channels[topic] = self._register(topic)
        self._writer.add_message(self._channels[topic], log_time=stamp_ns, publish_time=stamp_ns, data=bytes(cdr))
        with self._changed:
            self._written += 1

    def _register(self, topic: Topic) -> int:
        """Registers a topic as rosbag2 does; returns its channel."""
        if topic.type not in self._schemas:
            text = definition(topic.type).encode()
            self._schemas[topic.type] = self._writer.register_schema(topic.type, "ros2msg", text)
        metadata = {"offered_qos_profiles": _offered(topic.qos), "topic_type_hash": topic.type_hash}
        return self._writer.register_channel(topic.name, "cdr", self._schemas[topic.type], metadata)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error, self._cause = self._error or f"{self.partial}: {error}", self._cause or error
            self._dropped += len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()
        _log.error("recording has stopped: %s", self._error)

    def _raise_error(self) -> None:
        if isinstance(self._cause, OSError):
            with writing(self.path):
                raise self._cause
        if self._error:
            raise InputError(f"recording has stopped: {self._error}") from self._cause


def _create(path: Path) -> BinaryIO:
    """Opens a new file; refuses to overwrite an unfinished recording of that name."""
    try:
        return path.open("xb")
    except FileExistsError as error:
        raise InputError(
            f"{path} is an unfinished recording; `perception mcap recover {path} NAME.mcap` saves what is in it. "
            "Then delete it, or record under another name"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another place") from error


def _offered(qos: Qos) -> str:
    """Returns the quality of service in rosbag2's YAML (as JSON), so that a replayed map is latched again."""
    forever = {"sec": 9223372036, "nsec": 854775807}
    profile = {
        "history": 2 if qos.depth is None else 1,
        "depth": qos.depth or 0,
        "reliability": 1 if qos.reliable else 2,
        "durability": 1 if qos.latched else 2,
        "deadline": forever,
        "lifespan": forever,
        "liveliness": 1,
        "liveliness_lease_duration": forever,
        "avoid_ros_namespace_conventions": False,
    }
    return json.dumps([profile])
