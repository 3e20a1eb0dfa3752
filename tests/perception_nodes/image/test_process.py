"""The camera node between topics; what all nodes of one sensor do is tested with `operations/sensor_process.py`."""

from __future__ import annotations

import io
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zenoh
from PIL import Image

from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import fold
from perception.images.image import Picture
from perception.models.image_classifier import ImageClassifier
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.over_zenoh import ZenohBlocks, ZenohBlockWorker
from perception_nodes.image.node import ImageNode
from perception_nodes.image.plan import ImagePlan
from perception_nodes.image.process import ImageProcess
from perception_nodes.operations.lifecycle import State
from perception_nodes.recordings.player import MEET_S, Player, playable
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import (
    ANSWER_STATUS,
    CLASSIFICATION,
    CLOCK,
    COMPRESSED_IMAGE,
    deserialize,
    header,
    make,
    serialize,
    stamp_ns_of,
)
from perception_nodes.ros.topics import Publisher, RosNode
from perception_nodes.ros.wire import RmwZenoh

CLASSES = ("tench", "goldfish", "shark")
PATIENCE_S = 60
PLAN = ImagePlan(Path("unused"), max_age_s=PATIENCE_S, max_silence_s=PATIENCE_S)
"""A busy machine keeps its limits."""


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def configured(model: ImageClassifier) -> ImageNode:
    node = ImageNode()
    node.configure(model, CLASSES, model_id="tiny")
    return node


@dataclass
class Camera:
    """Sends pictures, and hears what they are."""

    ros: RosNode
    images: Publisher
    answers: queue.Queue[bytes]
    statuses: queue.Queue[bytes]

    def status(self) -> Any:
        """The next status that is not of silence."""
        while True:
            status = deserialize(self.statuses.get(timeout=PATIENCE_S), ANSWER_STATUS)
            if not status.reason.startswith("no messages"):
                return status

    def show(self, cdr: bytes) -> dict[str, float]:
        """Sends a picture; returns the classes that it is answered with."""
        self.images.put(cdr)
        status = self.status()
        assert status.valid, status.reason
        answer = deserialize(self.answers.get(timeout=PATIENCE_S), CLASSIFICATION)
        assert answer.header == status.header
        return {result.class_id: result.score for result in answer.results}


Start = Callable[..., tuple[ImageProcess, Camera]]


@pytest.fixture
def start(sessions: tuple[zenoh.Session, zenoh.Session]) -> Iterator[Start]:
    """Starts a node, and a camera that it has met."""
    with ExitStack() as open_:

        def start(node: ImageNode, plan: ImagePlan = PLAN) -> tuple[ImageProcess, Camera]:
            ros = open_.enter_context(RosNode(sessions[1], RmwZenoh(node="camera")))
            answers, statuses = queue.Queue[bytes](), queue.Queue[bytes]()
            for topic, heard in zip(plan.outputs, (answers, statuses), strict=True):
                ros.subscribe(topic, lambda received, heard=heard: heard.put(received.cdr))
            images = ros.publisher(plan.sensor)
            process = open_.enter_context(
                ImageProcess(node, open_.enter_context(RosNode(sessions[0], RmwZenoh(node="image"))), plan)
            )
            statuses.get(timeout=PATIENCE_S)
            return process, Camera(ros, images, answers, statuses)

        yield start


def offline(model: ImageClassifier, pixels: np.ndarray) -> dict[str, float]:
    (probabilities,) = model.classify([Picture("offline", pixels)])
    return dict(zip(CLASSES, probabilities.tolist(), strict=True))


def test_pictures_are_answered_as_offline(
    start: Start, image_classifier: ImageClassifier, image_message: Callable[..., bytes]
) -> None:
    process, camera = start(configured(image_classifier.folded()))
    for seed in range(3):
        cdr = image_message(picture(seed), "rgb8", stamp_ns=time.time_ns())
        assert camera.show(cdr) == pytest.approx(offline(image_classifier, picture(seed)), abs=1e-6)
    assert (process.ready(), process.live()) == ("", "")


def test_pictures_that_cannot_be_used_never_end_it(
    start: Start, image_classifier: ImageClassifier, compressed_image_message: Callable[..., bytes]
) -> None:
    process, camera = start(configured(image_classifier), replace(PLAN, images_type=COMPRESSED_IMAGE))
    good = encoded(picture(0), "JPEG")
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    for data, reason in (
        (b"", "found 0 bytes"),
        (good[:-100], "truncated"),
        (bomb.getvalue(), "expected at most 33,554,432 pixels"),
        (encoded(np.zeros((1, 60_000, 3), np.uint8), "PNG"), "at most 32768 pixels long after resizing"),
    ):
        camera.images.put(compressed_image_message(data, "jpeg", stamp_ns=time.time_ns()))
        status = camera.status()
        assert status.reason.startswith("message: ")
        assert reason in status.reason
    shown = camera.show(compressed_image_message(good, "jpeg", stamp_ns=time.time_ns()))
    with Image.open(io.BytesIO(good)) as decoded:
        assert shown == pytest.approx(offline(image_classifier, np.asarray(decoded)), abs=1e-6)
    assert process.registry.get_sample_value("perception_ticks_without_model_total", {"reason": "content"}) == 4
    assert process.failures.counts[PLAN.images] == 4


@contextmanager
def served(model: ImageClassifier, session: zenoh.Session) -> Iterator[None]:
    """A worker with the model's block."""
    assert isinstance(model.block, FrozenBlockAdapter)
    with BlockHost({"image": fold(model.block)}) as host, ZenohBlockWorker(session, host):
        yield


def test_the_shared_block_gives_the_same_answers_and_is_missed_while_it_is_gone(
    start: Start,
    image_classifier: ImageClassifier,
    image_message: Callable[..., bytes],
    sessions: tuple[zenoh.Session, zenoh.Session],
) -> None:
    with ExitStack() as open_:
        blocks = ZenohBlocks(sessions[0], patient=False)
        open_.callback(blocks.close)
        model = deepcopy(image_classifier)
        node = configured(model)
        model.block = RemoteBlock(blocks, "image", timeout_s=PATIENCE_S)
        process, camera = start(node)

        def show() -> Any:
            camera.images.put(image_message(picture(1), "rgb8", stamp_ns=time.time_ns()))
            return camera.status()

        def show_until_answered() -> None:
            end = time.monotonic() + PATIENCE_S
            while not show().valid:
                assert time.monotonic() < end, process.ready()

        with served(image_classifier, sessions[1]):
            show_until_answered()  # the service is found
            answer = deserialize(camera.answers.get(timeout=PATIENCE_S), CLASSIFICATION)
            shown = {result.class_id: result.score for result in answer.results}
            assert shown == pytest.approx(offline(image_classifier, picture(1)), abs=1e-6)
        assert show().reason.startswith("block service: NoWorker: ")
        assert process.ready().startswith("block service: NoWorker: ")
        with served(image_classifier, sessions[1]):
            show_until_answered()


def test_a_log_that_is_played_is_answered_as_offline(
    start: Start, image_classifier: ImageClassifier, image_message: Callable[..., bytes], tmp_path: Path
) -> None:
    """As by `perception mcap play`, with the log's own time."""
    plan = replace(PLAN, use_sim_time=True)
    stamps = [1_600_000_000_000_000_000 + 10**8 * number for number in range(4)]
    with Recorder(tmp_path / "drive.mcap", lossless=True) as recorder:
        for seed, stamp_ns in enumerate(stamps):
            recorder.record(plan.sensor, stamp_ns, image_message(picture(seed), "rgb8", stamp_ns=stamp_ns))
    process, camera = start(configured(image_classifier), plan)
    clock, end = camera.ros.publisher(plan.inputs[1]), time.monotonic() + PATIENCE_S
    while not process._clock.now_ns():  # a picture may overtake the first time
        clock.put(serialize(make(CLOCK, clock=header(stamps[0], "").stamp), CLOCK))
        assert time.monotonic() < end, "no time came"
    answered: dict[int, dict[str, float]] = {}

    def wait(seconds: float) -> bool:
        """Instead of the pace of the log: until the node has answered the picture before."""
        if seconds != MEET_S:
            status = camera.status()
            assert status.valid, status.reason
            answer = deserialize(camera.answers.get(timeout=PATIENCE_S), CLASSIFICATION)
            answered[stamp_ns_of(answer.header)] = {r.class_id: r.score for r in answer.results}
        return False

    Player(camera.ros, [playable(tmp_path / "drive.mcap")], rate=1e-6, wait=wait, clock=True).play()
    wait(0)
    assert sorted(answered) == stamps
    for seed, stamp_ns in enumerate(stamps):
        assert answered[stamp_ns] == pytest.approx(offline(image_classifier, picture(seed)), abs=1e-6)


def test_it_leaves_its_model_when_it_ends(start: Start, image_classifier: ImageClassifier) -> None:
    node = configured(image_classifier)
    process, _ = start(node)
    process.close()
    assert node.lifecycle.state is State.FINALISED
