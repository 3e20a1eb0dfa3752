"""`perception replay LOG --checkpoint RUN`: the pictures of a recording through the camera node."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tyro.conf import Positional

from perception.errors import InputError
from perception.files import writing
from perception_tools.extras import require
from perception_tools.output_places import keep_apart

if TYPE_CHECKING:
    from collections.abc import Callable

    from perception.models.image_classifier import ImageClassifier
    from perception_nodes.image.node import ImageNode
    from perception_nodes.recordings.mcap_file import Recorded
    from perception_nodes.recordings.recorded_topic import RecordedTopic

    Record = Callable[[Recorded, bytes], None]


@dataclass
class Played:
    """What became of a recording's pictures.

    Attributes:
        answers: Number of answers.
        refusals: Number of pictures without an answer, by reason.
        latency_ms: Time from a message to its answer, reading included, of each answer.
        max_difference: Largest difference of a class's probability to that of the trained model, which is asked about
            the same pixels.
        sha256: Digest of the answers.
    """

    answers: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    latency_ms: list[float] = field(default_factory=list)
    max_difference: float = 0.0
    sha256: str = ""

    def summary(self) -> dict:
        """What the line of JSON says of it."""
        times = np.array(self.latency_ms or [np.nan])
        latency = {"p50": np.median(times), "p99": np.percentile(times, 99), "max": times.max()}
        return {
            "pictures": self.answers + self.refusals.total(),
            "answered": self.answers,
            "refused": dict(self.refusals),
            "sha256": self.sha256,
            "max_difference_to_offline": self.max_difference if self.answers else None,
            "latency_ms": {name: float(value) for name, value in latency.items()} if self.answers else None,
        }


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
    from perception_nodes.image.node import ImageNode
    from perception_nodes.operations.computing import compute_with
    from perception_tools.image.model import load_classifier
    from perception_tools.model_metadata import MODEL_FILE, model_id

    del lockstep
    require("PIL")
    for name, number in (("threads", threads), ("top", top)):
        if number < 1:
            raise InputError(f"--{name} {number}: expected at least 1; leave it out for the usual")
    keep_apart([out] if out else [], [log, checkpoint / MODEL_FILE if checkpoint.is_dir() else checkpoint])
    pictures = picture_topic(log, topic)
    compute_with(threads)
    trained = load_classifier(checkpoint)
    classifier = ImageNode(top)
    name = model_id(trained.name, checkpoint, precision)
    classifier.configure(trained.model.folded(precision), trained.classes, model_id=name)
    classifier.activate()
    with nullcontext() if out is None else writing(out), _recording(out, pictures) as record:
        played = play(log, pictures.name, classifier, trained.model, trained.classes, record)
    classifier.shutdown()
    told = {"node": node, "pace": "lockstep", "log": log.name, "topic": pictures.name, "model": name}
    summary = {**told, "precision": precision, **played.summary()}
    print(json.dumps(summary))
    return summary


def picture_topic(log: Path, wanted: str | None = None) -> RecordedTopic:
    """Returns the topic of a recording's pictures.

    Raises:
        InputError: There is none, or several of which none is named.
    """
    from perception_nodes.recordings.reader import topics_in
    from perception_nodes.ros.image import READERS

    found = {name: topic for name, topic in sorted(topics_in(log).items()) if topic.type in READERS}
    if wanted is not None and wanted not in found:
        raise InputError(
            f"--topic {wanted}: expected a topic of pictures of {log}, it has {', '.join(found) or 'none'}; name one"
        )
    if len(found) != 1 and wanted is None:
        cure = "name one of them with --topic" if found else "give another recording"
        raise InputError(f"{log}: expected one topic of pictures, found {', '.join(found) or 'none'}; {cure}")
    return found[wanted or next(iter(found))]


def play(
    log: Path, topic: str, node: ImageNode, offline: ImageClassifier, classes: tuple[str, ...], record: Record
) -> Played:
    """Plays pictures through a node, one after the other, and asks the trained model about the same.

    Args:
        log: The recording.
        topic: Topic of its pictures.
        node: An active node.
        offline: The model as it was trained.
        classes: Names of its classes.
        record: Takes each picture's message, and its answer, which is empty where there is none.
    """
    from perception.images.image import Picture
    from perception_nodes.image.messages import answer_to
    from perception_nodes.operations.reasons import reason_of_message
    from perception_nodes.recordings.reader import read_recording
    from perception_nodes.ros.image import READERS
    from perception_nodes.ros.messages import CLASSIFICATION, deserialize

    played, sha = Played(), hashlib.sha256()
    label_of = {name: label for label, name in enumerate(classes)}
    for message in read_recording(log, [topic]):
        begin_s, answer = time.perf_counter(), b""
        try:
            answer = answer_to(message.cdr, message.type, node)
        except Exception as error:  # one bad picture does not end a replay
            played.refusals[reason_of_message(error)] += 1
        else:
            played.latency_ms.append((time.perf_counter() - begin_s) * 1e3)
            played.answers += 1
            sha.update(answer)
            (expected,) = offline.classify([Picture("offline", READERS[message.type](message.cdr).pixels)])
            for result in deserialize(answer, CLASSIFICATION).results:
                apart = abs(result.score - float(expected[label_of[result.class_id]]))
                played.max_difference = max(played.max_difference, apart)
        record(message, answer)
    played.sha256 = sha.hexdigest()
    return played


@contextmanager
def _recording(out: Path | None, pictures: RecordedTopic) -> Iterator[Record]:
    """Gives what records pictures and answers to a file, if there is one."""
    from perception_nodes.image.plan import CLASSES
    from perception_nodes.recordings.recording import Recorder
    from perception_nodes.ros.messages import CLASSIFICATION, topic_of

    if out is None:
        yield lambda *_: None
        return
    source, target = topic_of(pictures.name, pictures.type, pictures.qos), topic_of(CLASSES, CLASSIFICATION)
    out.parent.mkdir(parents=True, exist_ok=True)
    with Recorder(out, lossless=True) as recorder:

        def record(message: Recorded, answer: bytes) -> None:
            recorder.record(source, message.stamp_ns, message.cdr)
            if answer:
                recorder.record(target, message.stamp_ns, answer)

        yield record
