"""`perception replay LOG --checkpoint RUN`: the pictures of a recording through the camera node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

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
    node: Literal["image"] = "image",
    topic: str | None = None,
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32",
    lockstep: bool = False,
    out: Path | None = None,
    top: int = 5,
    threads: int = 1,
) -> dict:
    """Plays the pictures of a recording through a camera node and prints one line of JSON.

    The line holds pictures, answers, reasons of refusals, the SHA-256 of the answers (the same in every run), the
    largest difference of a probability to what the trained model says of the same pixels offline, and the latency in
    ms. `perception mcap play` plays a recording to a node that runs, at its pace.

    Args:
        log: MCAP file, rosbag2 folder or database with sensor_msgs/Image or CompressedImage.
        checkpoint: A run's folder, or its model.safetensors.
        node: Kind of the node to play it through.
        topic: Topic of the pictures, where the recording has several.
        precision: Precision of the block's weights, in its deployment form; offline it stays as it was trained.
        lockstep: Every picture as soon as the one before is answered. It is always so.
        out: MCAP file to record the answers to, beside the pictures.
        top: Number of classes that are named.
        threads: Number of threads that torch computes with.
    """
    from perception.images.image import Picture
    from perception_nodes.image.messages import answer_to
    from perception_nodes.image.node import ImageNode
    from perception_nodes.image.plan import CLASSES
    from perception_nodes.operations.computing import compute_with
    from perception_nodes.ros.image import READERS
    from perception_nodes.ros.messages import CLASSIFICATION, deserialize, topic_of
    from perception_tools.image.model import load_classifier

    del lockstep
    require("PIL")
    check_places(log, checkpoint, out, {"threads": threads, "top": top})
    pictures = find_topic(log, READERS, "pictures", topic)
    compute_with(threads)
    trained = load_classifier(checkpoint)
    classifier = ImageNode(top)

    def difference(message: Recorded, answer: bytes) -> float:
        (expected,) = trained.model.classify([Picture("offline", READERS[message.type](message.cdr).pixels)])
        return largest_difference(deserialize(answer, CLASSIFICATION).results, expected, trained.classes)

    with (
        active(classifier, trained, checkpoint, precision) as name,
        recording(out, [pictures], topic_of(CLASSES, CLASSIFICATION)) as record,
    ):
        played = play(
            log, pictures.name, "pictures", lambda of: answer_to(of.cdr, of.type, classifier), difference, record
        )
    return print_summary(node, log, pictures.name, name, precision, played)
