"""`perception replay LOG --checkpoint RUN`: the pictures of a recording through the video node."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import UInt8
from tyro.conf import Positional

from perception.errors import InputError
from perception_tools.classification.replay import (
    active,
    check_places,
    find_topic,
    largest_difference,
    play,
    print_summary,
    recording,
)
from perception_tools.extras import require

if TYPE_CHECKING:
    from perception_nodes.recordings.mcap_file import Recorded


def replay(
    log: Positional[Path],
    checkpoint: Path,
    node: Literal["video"] = "video",
    topic: str | None = None,
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32",
    lockstep: bool = False,
    out: Path | None = None,
    top: int = 5,
    every: int = 8,
    stride_s: float = 0.25,
    max_gap_s: float = 1.0,
    threads: int = 1,
) -> dict:
    """Plays the pictures of a recording through a video node and prints one line of JSON.

    The line holds pictures, answers, reasons why an answer that was due is missing, the SHA-256 of the answers (the
    same in every run), the largest difference of a probability to what the trained model says of the same clips
    offline, and the latency in ms. `perception mcap play` plays a recording to a node that runs, at its pace.

    Args:
        log: MCAP file, rosbag2 folder or database with sensor_msgs/Image or CompressedImage.
        checkpoint: A run's folder, or its model.safetensors.
        node: Kind of the node to play it through.
        topic: Topic of the pictures, where the recording has several.
        precision: Precision of the block's weights, in its deployment form; offline it stays as it was trained.
        lockstep: Every picture as soon as the one before was taken. It is always so.
        out: MCAP file to record the answers to, beside the pictures.
        top: Number of classes that are named.
        every: Number of pictures for each answer.
        stride_s: Time between two pictures of a clip, seconds.
        max_gap_s: After a longer gap between two pictures the clip begins anew.
        threads: Number of threads that torch computes with.
    """
    from perception.clips.clip import Clip
    from perception.clips.resizing import resized
    from perception_nodes.operations.computing import compute_with
    from perception_nodes.ros.classification import classification_of
    from perception_nodes.ros.image import READERS
    from perception_nodes.ros.messages import CLASSIFICATION, deserialize, topic_of
    from perception_nodes.video.node import VideoNode
    from perception_nodes.video.plan import ACTIONS
    from perception_tools.video.node import load_served

    del lockstep
    require("PIL")
    check_places(log, checkpoint, out, {"threads": threads, "top": top, "every": every})
    for option, seconds in (("stride-s", stride_s), ("max-gap-s", max_gap_s)):
        if not seconds > 0:
            raise InputError(f"--{option} {seconds}: expected more than 0; leave it out for the usual")
    pictures = find_topic(log, READERS, "pictures", topic)
    compute_with(threads)
    trained = load_served(checkpoint)
    offline, side = trained.recognizer, trained.recipe.shorter_side
    recognizer = VideoNode(top, stride_s=stride_s, max_gap_s=max_gap_s, every=every, shorter_side=side)
    seen = SeenPictures(offline.input.images, stride_s)

    def answer(message: Recorded) -> bytes | None:
        image = READERS[message.type](message.cdr)
        is_due = recognizer.see(image.header.stamp_ns, image.pixels)
        seen.add(image.header.stamp_ns, message)
        return classification_of(image.header, recognizer.classify()) if is_due else None

    def difference(_: Recorded, answer: bytes) -> float:
        (expected,) = offline.classify([Clip("offline", resized(seen.images(), side))])
        return largest_difference(deserialize(answer, CLASSIFICATION).results, expected, trained.classes)

    with (
        active(recognizer, trained, checkpoint, precision) as name,
        recording(out, [pictures], topic_of(ACTIONS, CLASSIFICATION)) as record,
    ):
        played = play(log, pictures.name, "pictures", answer, difference, record)
    return print_summary(node, log, pictures.name, name, precision, played)


class SeenPictures:
    """The messages that a clip may be made of, whole: what is compared with the node's own way to keep pictures.

    Args:
        images: Number of pictures of a clip.
        stride_s: Time between two of them, seconds.
    """

    def __init__(self, images: int, stride_s: float) -> None:
        self._before_s = np.arange(images - 1, -1, -1) * stride_s
        self._kept: deque[tuple[int, Recorded]] = deque()

    def add(self, stamp_ns: int, message: Recorded) -> None:
        """Takes a message that the node took."""
        if self._kept and stamp_ns <= self._kept[-1][0]:
            self._kept.clear()  # the log was played from its beginning again
        self._kept.append((stamp_ns, message))
        while len(self._kept) > 1 and (stamp_ns - self._kept[1][0]) / 1e9 > self._before_s[0] + 1:
            self._kept.popleft()

    def images(self) -> UInt8[np.ndarray, "images height width 3"]:
        """The pictures of the clip that ends with the newest one, decoded anew."""
        from perception_nodes.ros.image import READERS

        behind_s = np.array([(self._kept[-1][0] - stamp_ns) / 1e9 for stamp_ns, _ in self._kept])
        rows = [int(np.abs(behind_s - before_s).argmin()) for before_s in self._before_s]
        chosen = [self._kept[row][1] for row in rows]
        return np.stack([READERS[of.type](of.cdr).pixels for of in chosen])
