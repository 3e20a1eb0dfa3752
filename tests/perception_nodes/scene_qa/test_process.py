from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zenoh
from prometheus_client import CollectorRegistry, generate_latest

from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import fold
from perception.geometry import SE3
from perception.models.scene_answerer import SceneAnswerer
from perception.scenes.sample import FIXED_SAMPLE_SEED, collate_scenes, sample_scene
from perception.scenes.scene import Scene
from perception.texts.answers import AnswerVocabulary
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.over_zenoh import ZenohBlocks, ZenohBlockWorker
from perception_nodes.operations.diagnostics import DIAGNOSTICS, Level
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import (
    MAX_BYTES,
    SCENE_QUESTION,
    deserialize,
    header,
    make,
    serialize,
)
from perception_nodes.ros.topics import RosNode
from perception_nodes.ros.wire import Attachment, RmwZenoh
from perception_nodes.scene_qa.mapping import CloudMapper
from perception_nodes.scene_qa.node import SceneQaNode
from perception_nodes.scene_qa.plan import SceneQaPlan
from perception_nodes.scene_qa.process import SceneQaProcess
from perception_nodes.scene_qa.question import AskedQuestion, Status
from perception_nodes.scene_qa.scene_map import SceneSnapshot
from perception_nodes.scene_qa.settings import SceneQaSettings

ANSWERS = AnswerVocabulary(("bed", "yes", "chair", "no"))
POINTS = 150
QUESTIONS = ["What is left of me?", "Is it red?", "How many chairs are here?", "Is the bed left?"]
SITUATION = "I face the bed."
PLAN = SceneQaPlan(checkpoint=Path("unused"))
PATIENCE_S = 60


def configured(model: SceneAnswerer, **settings) -> SceneQaNode:
    node = SceneQaNode(SceneQaSettings(**settings))
    node.configure(model, ANSWERS, model_id="tiny")
    return node


def question(text: str = QUESTIONS[0], number: str = "q", **changes: Any) -> bytes:
    fields = {
        "header": header(0, "map"),
        "question_id": number,
        "question": text,
        "situation": SITUATION,
        "language": "",
        "answer_mode": 0,
        "deadline": make("builtin_interfaces/msg/Duration", sec=0, nanosec=0),
        "viewpoint": [],
    }
    return serialize(make(SCENE_QUESTION, **{**fields, **changes}), SCENE_QUESTION)


Start = Callable[..., tuple[SceneQaProcess, Any]]


@pytest.fixture
def start(sessions: tuple[zenoh.Session, zenoh.Session], make_asker: Callable[..., Any]) -> Iterator[Start]:
    """Starts a node as a process, with an asker."""
    with ExitStack() as open_:

        def start(
            node: SceneQaNode, scan: SceneSnapshot | None = None, plan: SceneQaPlan = PLAN
        ) -> tuple[SceneQaProcess, Any]:
            asker_ros = open_.enter_context(RosNode(sessions[1], RmwZenoh(node="asker")))
            asker = make_asker(sessions[1], asker_ros, plan)
            ros = open_.enter_context(RosNode(sessions[0], RmwZenoh()))
            return open_.enter_context(SceneQaProcess(node, ros, plan, scan)), asker

        yield start


@pytest.fixture
def snapshot(scan: Scene) -> SceneSnapshot:
    return SceneSnapshot.of_scene(scan, time.time_ns())


def metric(process: SceneQaProcess, name: str) -> float:
    lines = generate_latest(process.registry).decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"perception_scene_qa_{name} ")), 0.0)


def test_a_scans_questions_are_answered_as_offline_on_a_topic_and_as_a_service(
    start: Start, scene_answerer: SceneAnswerer, scan: Scene, snapshot: SceneSnapshot
) -> None:
    batch = collate_scenes([sample_scene(scan, np.random.default_rng(FIXED_SAMPLE_SEED), count=POINTS)])
    texts = scene_answerer.text.batch([SITUATION] * 4), scene_answerer.text.batch(QUESTIONS)
    with torch.inference_mode():
        expected, _ = scene_answerer(batch.points, batch.features, *texts)
    process, asker = start(configured(scene_answerer), snapshot)
    assert (process.ready(), process.live()) == ("", "")
    for row, text in enumerate(QUESTIONS):
        scores = expected.probabilities[row]
        ranked = {ANSWERS.answer_of(i): float(scores[i]) for i in scores[:-1].argsort(descending=True).tolist()}
        for answer in (asker.ask(question(text, text)), asker.ask_on_topic(question(text, text))):
            given = {answer.answer: answer.confidence} if answer.status == Status.OK else {}
            given |= dict(zip(answer.alternatives, answer.alternative_confidences.tolist(), strict=True))
            assert list(given) == list(ranked)
            np.testing.assert_allclose(list(given.values()), list(ranked.values()), atol=1e-6)
            assert (answer.question_id, answer.model_id, answer.scene_version) == (text, "tiny", 1)
            assert answer.scene_stamp.sec == snapshot.stamp_ns // 10**9


def test_the_first_question_pays_for_the_scene_and_all_others_for_their_words(
    start: Start,
    scene_answerer: SceneAnswerer,
    scan: Scene,
    cloud: Callable[..., bytes],
    eventually: Callable[..., None],
) -> None:
    process, asker = start(configured(scene_answerer))
    eventually(lambda: asker.clouds.put(cloud(scan.points, scan.colors)) or len(process.mapper.map))
    eventually(lambda: metric(process, 'clouds_total{arrival="added"}') >= 1)
    for _ in range(6):
        assert asker.ask(question()).scene_version > 0
    assert metric(process, "scenes_encoded") == 1
    assert metric(process, 'latency_seconds_count{scene="new"}') == 1
    assert metric(process, 'latency_seconds_count{scene="known"}') == 5


def test_clouds_and_poses_on_their_topics_reach_the_map_that_is_asked_about(
    start: Start,
    scene_answerer: SceneAnswerer,
    scan: Scene,
    cloud: Callable[..., bytes],
    odometry: Callable[[SE3, str, int], bytes],
    eventually: Callable[..., None],
) -> None:
    process, asker = start(configured(scene_answerer))
    assert process.ready() == f"no scene yet: nothing came on {PLAN.clouds}"
    turned = SE3(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([1.0, 2.0, 3.0]))
    stamp_ns = time.time_ns()
    pose, sensed = odometry(turned, "lidar", stamp_ns), cloud(scan.points, scan.colors, "lidar", stamp_ns)
    eventually(lambda: asker.ego.put(pose) or asker.clouds.put(sensed) or len(process.mapper.map))
    alone = CloudMapper(PLAN, CollectorRegistry(), process.failures)
    alone.take_pose(pose)
    alone.take_cloud(sensed)
    alone.map_next(0)
    scene, node = alone.map.snapshot(), configured(scene_answerer)
    assert scene is not None
    node.set_scene(scene)
    node.activate()
    expected = node.answer(AskedQuestion("q", QUESTIONS[0], SITUATION))
    answer = asker.ask(question())
    assert (answer.answer, answer.confidence) == (expected.answer, pytest.approx(expected.confidence, abs=1e-5))
    assert process.ready() == ""


def test_a_question_that_nobody_foresaw_is_answered_with_an_error_and_the_next_with_an_answer(
    start: Start, scene_answerer: SceneAnswerer, snapshot: SceneSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, asker = start(configured(scene_answerer), snapshot)

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("perception_nodes.scene_qa.process.asked_question_of", fail)
        answer = asker.ask(question())
    assert (answer.status, answer.question_id) == (Status.ERROR, "q")
    assert answer.reason == "the node failed at this question; look at its log"
    assert asker.ask(question()).status == Status.OK
    assert process.failures.counts[PLAN.questions] == 1


def test_a_question_that_takes_too_long_is_no_progress(
    start: Start,
    scene_answerer: SceneAnswerer,
    snapshot: SceneSnapshot,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
) -> None:
    process, asker = start(configured(scene_answerer), snapshot)
    assert asker.ask(question()).status == Status.OK
    assert process.live() == ""
    entered, go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        entered.set()
        assert go_on.wait(PATIENCE_S)
        raise MalformedMessage("in vain")

    monkeypatch.setattr("perception_nodes.scene_qa.process.asked_question_of", wait)
    monkeypatch.setattr("perception_nodes.scene_qa.process.STUCK_QUESTION_S", 0.0)
    asker.questions.put(question())
    assert entered.wait(PATIENCE_S)
    eventually(process.live)
    assert process.live().startswith("a question takes ")
    assert not process.works()
    go_on.set()
    eventually(process.works)


MOST_BYTES = MAX_BYTES[SCENE_QUESTION]
PASSED = make("builtin_interfaces/msg/Duration", sec=-1, nanosec=0)
UNANSWERABLE: dict[str, tuple[bytes, Status, str, str]] = {
    "empty": (question(""), Status.ERROR, "the question is empty", "q"),
    "long": (question("what " * 300), Status.ERROR, "the question has 1500 characters; expected at most 1000", "q"),
    "unknown": (question("zebra zebu"), Status.NO_ANSWER, "no word of the question is known: zebra, zebu", "q"),
    "foreign": (question(language="de"), Status.NO_ANSWER, "the question is in 'de'; this model reads 'en'", "q"),
    "mode": (question(answer_mode=77), Status.ERROR, "answer_mode 77; expected one of 0 (ANY)", "q"),
    "huge": (question("x" * MOST_BYTES), Status.ERROR, f"expected at most {MOST_BYTES}", ""),
    "rubbish": (b"\x00\x01\x00\x00rubbish", Status.ERROR, "no scene_qa_msgs/msg/SceneQuestion", ""),
    "nothing": (b"", Status.ERROR, "no scene_qa_msgs/msg/SceneQuestion", ""),
    "late": (question(deadline=PASSED), Status.DEADLINE, "before the question arrived", "q"),
}


def test_what_cannot_be_answered_gets_an_answer_that_says_so_either_way(
    start: Start, scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    process, asker = start(configured(scene_answerer), snapshot)
    for name, (cdr, status, reason, number) in UNANSWERABLE.items():
        for answer in (asker.ask(cdr), asker.ask_on_topic(cdr)):
            assert (answer.status, answer.answer, answer.question_id) == (status, "", number), name
            assert reason in answer.reason, name
        assert asker.ask(question()).status == Status.OK
    assert process.works()


def test_without_a_scene_or_with_an_old_one_it_says_so(
    start: Start,
    scene_answerer: SceneAnswerer,
    scan: Scene,
    cloud: Callable[..., bytes],
    eventually: Callable[..., None],
) -> None:
    process, asker = start(configured(scene_answerer, max_age_s=5), plan=replace(PLAN, max_age_s=5))
    assert asker.ask(question()).reason == "there is no scene yet"
    old = cloud(scan.points, scan.colors, stamp_ns=time.time_ns() - 60 * 10**9)
    eventually(lambda: asker.clouds.put(old) or len(process.mapper.map))
    answer = asker.ask(question())
    assert (answer.status, answer.scene_version) == (Status.STALE_SCENE, 0)
    assert "expected at most 5 s" in answer.reason
    assert process.ready().startswith("the scene is 6")
    asker.clouds.put(b"\x00\x01\x00\x00rubbish")
    eventually(lambda: metric(process, 'clouds_total{arrival="malformed"}') == 1)
    new = cloud(scan.points, scan.colors)
    eventually(lambda: asker.clouds.put(new) or process.ready() == "")
    assert asker.ask(question()).scene_version > 0


def test_questions_during_a_map_update_are_about_one_version_each(
    start: Start,
    scene_answerer: SceneAnswerer,
    scan: Scene,
    cloud: Callable[..., bytes],
    eventually: Callable[..., None],
) -> None:
    process, asker = start(configured(scene_answerer, max_lag_s=0, max_waiting=100))
    stop = threading.Event()

    def map_on() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            asker.clouds.put(cloud(scan.points + np.float32(0.01 * step), scan.colors))
            time.sleep(0.01)

    mapping = threading.Thread(target=map_on)
    mapping.start()
    try:
        eventually(lambda: len(process.mapper.map))
        answers = []
        with ThreadPoolExecutor(4) as pool:
            while len({answer.scene_version for answer in answers}) < 3:
                numbers = range(len(answers), len(answers) + 8)
                answers += pool.map(lambda i: asker.ask(question(number=str(i))), numbers)
                assert len(answers) < 1000, "the map does not change"
    finally:
        stop.set()
        mapping.join()
    assert [int(answer.question_id) for answer in answers] == list(range(len(answers)))
    assert {answer.status for answer in answers} <= {Status.OK, Status.NO_ANSWER}
    confidences: dict[int, set[tuple]] = {}
    for answer in answers:
        said = (answer.answer, answer.confidence, *answer.alternatives)
        confidences.setdefault(answer.scene_version, set()).add(said)
    assert all(len(said) == 1 for said in confidences.values())
    assert metric(process, "scenes_encoded") >= len(confidences)


class Slow(torch.nn.Module):
    """A block that waits until it is opened."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.block, self.open, self.began = block, threading.Event(), threading.Event()

    def forward(self, *args):
        self.began.set()
        self.open.wait(PATIENCE_S)
        return self.block(*args)


def slowed(model: SceneAnswerer) -> tuple[SceneAnswerer, Slow]:
    model = deepcopy(model)
    assert model.block is not None
    slow = Slow(model.block)
    model.add_module("block", slow)
    return model, slow


def test_too_many_questions_are_turned_away_and_those_in_work_are_answered_before_the_end(
    start: Start, scene_answerer: SceneAnswerer, snapshot: SceneSnapshot, eventually: Callable[..., None]
) -> None:
    model, slow = slowed(scene_answerer)
    process, asker = start(configured(model, max_waiting=2), snapshot)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(asker.ask, question(number=str(i))) for i in range(2)]
        eventually(lambda: metric(process, "questions_unanswered") == 2)
        turned_away = asker.ask(question(number="late"))
        assert (turned_away.status, turned_away.question_id) == (Status.OVERLOADED, "late")
        assert turned_away.reason == "2 questions are in work or wait"
        assert not any(future.done() for future in waiting)
        closing = pool.submit(process.close)
        eventually(lambda: asker.ask(question(number="too late")).reason == "the node is stopping")
        began = time.monotonic()
        slow.open.set()
        assert [future.result(PATIENCE_S).question_id for future in waiting] == ["0", "1"]
        closing.result(PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S / 2
    assert not process.works()


def test_a_question_that_hangs_does_not_keep_the_process_from_its_end(
    start: Start, scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    model, slow = slowed(scene_answerer)
    process, asker = start(configured(model), snapshot)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(asker.ask, question())
        assert slow.began.wait(PATIENCE_S)
        began = time.monotonic()
        process.close()
        assert time.monotonic() - began < PATIENCE_S / 2
        slow.open.set()
        hanging.result(PATIENCE_S)


def test_with_the_block_served_elsewhere_the_answers_are_the_same(
    start: Start,
    sessions: tuple[zenoh.Session, zenoh.Session],
    scene_answerer: SceneAnswerer,
    snapshot: SceneSnapshot,
) -> None:
    assert isinstance(scene_answerer.block, FrozenBlockAdapter)
    host = BlockHost({"scene": fold(scene_answerer.block)})
    model, blocks = deepcopy(scene_answerer), ZenohBlocks(sessions[0])
    model.add_module("block", RemoteBlock(blocks, "scene", timeout_s=PATIENCE_S))
    alone = configured(scene_answerer)
    alone.set_scene(snapshot)
    alone.activate()
    with ZenohBlockWorker(sessions[1], host):
        _, asker = start(configured(model), snapshot)
        for text in QUESTIONS:
            expected, answer = alone.answer(AskedQuestion("q", text, SITUATION)), asker.ask(question(text))
            assert (answer.status, answer.answer) == (expected.status, expected.answer)
            assert answer.confidence == pytest.approx(expected.confidence, abs=1e-5)
    blocks.close()
    assert host.service.counts.requests == len(QUESTIONS)


def test_a_service_call_of_ros_is_told_which_of_its_requests_is_answered(
    start: Start, scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    _, asker = start(configured(scene_answerer), snapshot)
    sent = Attachment(41, 7, bytes(range(16)))
    reply = asker.call(question(), sent.to_bytes())
    assert reply.attachment is not None
    received = Attachment.from_bytes(reply.attachment.to_bytes())
    assert (received.sequence_number, received.gid) == (41, bytes(range(16)))
    assert received.stamp_ns > 7


def test_it_says_how_it_is(start: Start, scene_answerer: SceneAnswerer, snapshot: SceneSnapshot) -> None:
    process, asker = start(configured(scene_answerer), snapshot)
    (status,) = deserialize(asker.diagnoses.get(timeout=PATIENCE_S), DIAGNOSTICS).status
    assert (status.name, status.level) == ("scene question: time of an answer, ms", Level.OK)
    mapped, _ = start(configured(scene_answerer))
    names = [status.name for status in mapped.statuses()]
    assert names == ["scene question: time of an answer, ms", f"scene question: {PLAN.clouds}"]
    assert process.works()
    assert mapped.works()
