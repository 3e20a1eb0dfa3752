"""Recordings through a node around a classifier: what becomes of each message, beside what the model says offline."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.errors import InputError
from perception.files import writing
from perception_tools.output_places import keep_apart

if TYPE_CHECKING:
    from perception.kernels.precision import Precision
    from perception_nodes.operations.classifier_node import ClassifierNode
    from perception_nodes.recordings.mcap_file import Recorded
    from perception_nodes.recordings.recorded_topic import RecordedTopic
    from perception_nodes.ros.wire import Topic
    from perception_tools.model_files import TrainedWithClasses

Record = Callable[["Recorded", bytes], None]
"""Takes each message, and its answer, which is empty where there is none."""


@dataclass
class Played:
    """What became of a recording's messages.

    Attributes:
        noun: What they hold, in the plural.
        taken: Number of messages.
        answers: Number of answers.
        refusals: Number of messages without an answer that was due, by reason.
        latency_ms: Time from a message to its answer, reading included, of each answer.
        max_difference: Largest difference of a class's probability to that of the trained model, which is asked about
            the same.
        sha256: Digest of the answers.
    """

    noun: str
    taken: int = 0
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
            self.noun: self.taken,
            "answered": self.answers,
            "refused": dict(self.refusals),
            "sha256": self.sha256,
            "max_difference_to_offline": self.max_difference if self.answers else None,
            "latency_ms": {name: float(value) for name, value in latency.items()} if self.answers else None,
        }


def play(
    log: Path,
    topic: str,
    noun: str,
    answer: Callable[[Recorded], bytes | None],
    difference: Callable[[Recorded, bytes], float],
    record: Record,
    companions: Collection[str] = (),
) -> Played:
    """Plays messages through a node, one after the other, and asks the trained model about the same.

    Args:
        log: The recording.
        topic: Topic of the messages that are answered.
        noun: What they hold, in the plural.
        answer: Returns the answer to a message, or None if none is due; raises why there is none.
        difference: Returns the largest difference of an answer to what the trained model says.
        record: Takes each message and its answer.
        companions: Topics of messages that are taken too, and not answered.
    """
    from perception_nodes.operations.reasons import reason_of_message
    from perception_nodes.recordings.reader import read_recording

    played, sha = Played(noun), hashlib.sha256()
    for message in read_recording(log, [topic, *companions]):
        begin_s, found = time.perf_counter(), None
        played.taken += message.topic == topic
        try:
            found = answer(message)
        except Exception as error:  # one bad message does not end a replay
            played.refusals[reason_of_message(error)] += 1
        if found is not None:
            played.latency_ms.append((time.perf_counter() - begin_s) * 1e3)
            played.answers += 1
            sha.update(found)
            played.max_difference = max(played.max_difference, difference(message, found))
        record(message, found or b"")
    played.sha256 = sha.hexdigest()
    return played


def largest_difference(results: Any, probabilities: Any, classes: tuple[str, ...]) -> float:
    """Returns how far hypotheses (`vision_msgs/ObjectHypothesis`) are from a model's probabilities, at most."""
    label_of = {name: label for label, name in enumerate(classes)}
    return max(abs(result.score - float(probabilities[label_of[result.class_id]])) for result in results)


def find_topic(
    log: Path, kinds: Collection[str], noun: str, wanted: str | None, option: str = "topic"
) -> RecordedTopic:
    """Returns the topic of a recording that has one of some types.

    Args:
        log: The recording.
        kinds: The types.
        noun: What its messages hold, in the plural.
        wanted: Its name, where the user gave one.
        option: Name of that option.

    Raises:
        InputError: There is none, or several of which none is named.
    """
    from perception_nodes.recordings.reader import topics_in

    found = {name: topic for name, topic in sorted(topics_in(log).items()) if topic.type in kinds}
    if wanted is not None and wanted not in found:
        raise InputError(
            f"--{option} {wanted}: expected a topic of {noun} of {log}, it has {', '.join(found) or 'none'}; name one"
        )
    if len(found) != 1 and wanted is None:
        cure = f"name one of them with --{option}" if found else "give another recording"
        raise InputError(f"{log}: expected one topic of {noun}, found {', '.join(found) or 'none'}; {cure}")
    return found[wanted or next(iter(found))]


def check_places(log: Path, checkpoint: Path, out: Path | None, counts: Mapping[str, int]) -> None:
    """Checks what replays have in common: that counts are above 0, and that no input is written over."""
    from perception_tools.model_metadata import MODEL_FILE

    for name, number in counts.items():
        if number < 1:
            raise InputError(f"--{name} {number}: expected at least 1; leave it out for the usual")
    keep_apart([out] if out else [], [log, checkpoint / MODEL_FILE if checkpoint.is_dir() else checkpoint])


@contextmanager
def recording(out: Path | None, sources: Collection[RecordedTopic], target: Topic) -> Iterator[Record]:
    """Gives what records messages and answers to a file, if there is one."""
    from perception_nodes.recordings.recording import Recorder
    from perception_nodes.ros.messages import topic_of

    if out is None:
        yield lambda *_: None
        return
    topics = {topic.name: topic_of(topic.name, topic.type, topic.qos) for topic in sources}
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with Recorder(out, lossless=True) as recorder:

            def record(message: Recorded, answer: bytes) -> None:
                recorder.record(topics[message.topic], message.stamp_ns, message.cdr)
                if answer:
                    recorder.record(target, message.stamp_ns, answer)

            yield record


@contextmanager
def active(
    node: ClassifierNode[Any], trained: TrainedWithClasses[Any, Any, Any], checkpoint: Path, precision: Precision
) -> Iterator[str]:
    """Gives a node a trained model for as long as the context lasts.

    Args:
        node: A node without a model.
        trained: The model; its block is folded.
        checkpoint: The run's folder or model file.
        precision: Precision of the block's weights.

    Yields:
        The model's id.
    """
    from perception_tools.model_metadata import model_id

    name = model_id(trained.name, checkpoint, precision)
    node.configure(trained.model.folded(precision), trained.classes, model_id=name)
    node.activate()
    try:
        yield name
    finally:
        node.shutdown()


def print_summary(node: str, log: Path, topic: str, model: str, precision: str, played: Played) -> dict:
    """Prints the line of JSON, and returns it."""
    told = {"node": node, "pace": "lockstep", "log": log.name, "topic": topic, "model": model, "precision": precision}
    summary = told | played.summary()
    print(json.dumps(summary))
    return summary
