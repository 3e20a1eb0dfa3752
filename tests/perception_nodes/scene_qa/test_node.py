from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.encoders.vectornet.network import VectorNet
from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import fold
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.models.scene_answerer import SceneAnswerer
from perception.scenes.scene import Scene
from perception.texts.answers import AnswerVocabulary
from perception.traffic.map_index import MapIndex
from perception_nodes.block.service import BlockService
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.operations.lifecycle import LifecycleError
from perception_nodes.scene_qa.node import SceneQaNode
from perception_nodes.scene_qa.question import AskedQuestion, GivenAnswer, Status
from perception_nodes.scene_qa.scene_map import SceneSnapshot
from perception_nodes.scene_qa.settings import SceneQaSettings

ANSWERS = AnswerVocabulary(("bed", "yes", "chair", "no"))
POINTS = 150
QUESTIONS = ["What is left of me?", "Is it red?", "How many chairs are here?", "Is the bed left?"]
S = 10**9


class Clock:
    """A stream's clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 100 * S

    def __call__(self) -> int:
        return self.now_ns


def active(model: SceneAnswerer, scene: SceneSnapshot | None, clock: Clock | None = None, **options) -> SceneQaNode:
    node = SceneQaNode(SceneQaSettings(**options), clock=clock or Clock())
    node.configure(model, ANSWERS, model_id="tiny")
    if scene is not None:
        node.set_scene(scene)
    node.activate()
    return node


@pytest.fixture
def snapshot(scan: Scene) -> SceneSnapshot:
    return SceneSnapshot.of_scene(scan, 100 * S)


@pytest.fixture
def node(scene_answerer: SceneAnswerer, snapshot: SceneSnapshot) -> SceneQaNode:
    return active(scene_answerer, snapshot)


def ask(node: SceneQaNode, question: str = QUESTIONS[0], situation: str = "I face the bed.", **options) -> GivenAnswer:
    return node.answer(AskedQuestion("q", question, situation, **options))


def comparable(given: GivenAnswer) -> tuple:
    return replace(given, latency_ms=0.0, evidence=()), [(e.proposal, e.score) for e in given.evidence]


def test_a_scene_is_encoded_once_for_all_questions_about_it(node: SceneQaNode) -> None:
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: ask(node, text), QUESTIONS * 2))
    assert node.scenes_encoded == 1
    alone = [ask(node, text) for text in QUESTIONS * 2]
    assert list(map(comparable, together)) == list(map(comparable, alone))
    assert node.scenes_encoded == 1


def test_encoding_ahead_leaves_nothing_to_wait_for(node: SceneQaNode) -> None:
    node.encode()
    assert node.scenes_encoded == 1
    ask(node)
    assert node.scenes_encoded == 1


def test_an_answer_names_the_version_that_it_is_about(scene_answerer: SceneAnswerer, snapshot: SceneSnapshot) -> None:
    clock = Clock()
    node = active(scene_answerer, snapshot, clock, max_lag_s=2.0)

    def version_after(seconds: float, version: int) -> int:
        stamp_ns = 100 * S + round(seconds * S)
        node.set_scene(SceneSnapshot(version, stamp_ns, snapshot.points + np.float32(version), snapshot.colors))
        clock.now_ns = stamp_ns
        answer = ask(node)
        assert answer.scene_stamp_ns <= stamp_ns
        return answer.scene_version

    assert ask(node).scene_version == 1
    assert version_after(1.0, 2) == 1  # near enough
    assert version_after(2.0, 3) == 1
    assert version_after(2.1, 4) == 4
    assert version_after(3.0, 5) == 4
    assert node.scenes_encoded == 2


def test_another_scan_takes_effect_at_once_though_its_stamp_is_the_same(
    node: SceneQaNode, snapshot: SceneSnapshot
) -> None:
    first = ask(node)
    node.set_scene(SceneSnapshot(1, snapshot.stamp_ns, 2 * snapshot.points, 255 - snapshot.colors))
    assert ask(node).confidence != first.confidence
    assert node.scenes_encoded == 2


def test_the_scene_may_change_all_the_time_while_many_ask(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    node = active(scene_answerer, snapshot, max_lag_s=0, max_waiting=100)
    versions = [
        SceneSnapshot(v, 100 * S + v, snapshot.points * np.float32(1 + v / 20), snapshot.colors) for v in range(2, 12)
    ]
    alone = {1: comparable(ask(node))}
    for version in versions:
        node.set_scene(version)
        alone[version.version] = comparable(ask(node))
    node.set_scene(snapshot)
    answers: list[GivenAnswer] = []
    threads = [threading.Thread(target=lambda: answers.extend(ask(node) for _ in range(10))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in versions:
        node.set_scene(version)
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert len(answers) == 30
    for answer in answers:
        assert comparable(answer) == alone[answer.scene_version]


def test_without_a_scene_or_with_an_old_one_there_is_no_answer(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    clock = Clock()
    node = active(scene_answerer, None, clock, max_age_s=5)
    answer = ask(node)
    assert (answer.status, answer.reason, answer.scene_version) == (Status.STALE_SCENE, "there is no scene yet", 0)
    node.set_scene(snapshot)
    assert ask(node).status is Status.OK
    clock.now_ns += 6 * S
    answer = ask(node)
    assert (answer.status, answer.answer) == (Status.STALE_SCENE, "")
    assert "6.0 s old; expected at most 5 s" in answer.reason


class Slow(torch.nn.Module):
    """A block that waits until it is opened."""

    def __init__(self, block: torch.nn.Module | None) -> None:
        super().__init__()
        assert block is not None
        self.block, self.open, self.began = block, threading.Event(), threading.Event()

    def forward(self, *args):
        self.began.set()
        self.open.wait(60)
        return self.block(*args)


def with_slow_block(model: SceneAnswerer, snapshot: SceneSnapshot, clock: Clock, **options) -> tuple[SceneQaNode, Slow]:
    model = deepcopy(model)
    slow = Slow(model.block)
    model.block = slow  # pyright: ignore[reportAttributeAccessIssue]
    node = active(model, snapshot, clock, **options)
    node.encode()
    return node, slow


def test_more_questions_than_may_wait_are_turned_away_at_once(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    node, slow = with_slow_block(scene_answerer, snapshot, Clock(), max_waiting=2)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, node) for _ in range(2)]
        slow.began.wait(60)
        while node._waiting < 2:
            time.sleep(0.001)
        answer = ask(node)
        assert (answer.status, answer.reason) == (Status.OVERLOADED, "2 questions are in work or wait")
        slow.open.set()
        assert [future.result(60).status for future in waiting] == [Status.OK] * 2
    assert node.counts == {Status.OK: 2, Status.OVERLOADED: 1}


def test_a_deadline_holds_before_while_waiting_and_after(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    clock = Clock()
    node, slow = with_slow_block(scene_answerer, snapshot, clock)
    before = ask(node, deadline_ns=clock.now_ns - S)
    assert (before.status, before.reason[:19]) == (Status.DEADLINE, "the deadline passed")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, node, deadline_ns=clock.now_ns + S // 10)
        slow.began.wait(60)
        waiting = ask(node, deadline_ns=clock.now_ns + S // 50)
        assert (waiting.status, waiting.reason) == (Status.DEADLINE, "the deadline passed while others were answered")
        time.sleep(0.1)
        slow.open.set()
        assert first.result(60).reason == "the deadline passed while the answer was computed"
    assert ask(node, deadline_ns=clock.now_ns + 100 * S).status is Status.OK


def test_a_question_that_cannot_wait_for_the_scene_does_not_and_the_next_need_not(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    encode = scene_answerer.encode_scene

    def slowly(*args):
        go_on.wait(60)
        return encode(*args)

    monkeypatch.setattr(scene_answerer, "encode_scene", slowly)
    clock = Clock()
    node = active(scene_answerer, snapshot, clock)
    late = ask(node, deadline_ns=clock.now_ns + S // 50)
    assert (late.status, late.reason) == (Status.DEADLINE, "the deadline passed while the scene was encoded")
    assert late.latency_ms < 5000
    go_on.set()
    assert ask(node).status is Status.OK
    assert node.scenes_encoded == 1


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        ({"question": ""}, Status.ERROR, "the question is empty"),
        ({"question": "zebra"}, Status.NO_ANSWER, "no word of the question is known: zebra"),
        ({"language": "de"}, Status.NO_ANSWER, "the question is in 'de'; this model reads 'en'"),
    ],
)
def test_a_question_that_is_refused_gets_an_answer_with_the_reason(
    node: SceneQaNode, options: dict, status: Status, reason: str
) -> None:
    answer = ask(node, **options)
    assert (answer.question_id, answer.status, answer.answer, answer.reason) == ("q", status, "", reason)
    assert (answer.model_id, answer.latency_ms > 0) == ("tiny", True)
    assert ask(node).status is Status.OK
    assert node.counts == {status: 1, Status.OK: 1}


def test_the_nodes_settings_are_those_of_its_answers(scene_answerer: SceneAnswerer, snapshot: SceneSnapshot) -> None:
    answer = ask(active(scene_answerer, snapshot, min_confidence=1.1, alternatives=2))
    assert (answer.status, len(answer.alternatives)) == (Status.NO_ANSWER, 2)


def test_what_breaks_inside_is_an_answer_too(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = active(scene_answerer, replace(snapshot, points=snapshot.points * np.float32(np.nan)))
    answer = ask(node)
    assert (answer.status, answer.answer) == (Status.ERROR, "")
    assert "expected finite points" in answer.reason
    node.set_scene(replace(snapshot, points=snapshot.points[:0], colors=snapshot.colors[:0]))
    assert ask(node).status is Status.ERROR
    node.set_scene(snapshot)
    assert ask(node).status is Status.OK

    def out_of_memory(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(scene_answerer, "answer", out_of_memory)
    answer = ask(node)
    assert (answer.status, answer.reason) == (Status.ERROR, "MemoryError: no room")


def test_forecasts_and_answers_pass_one_tail_and_stay_what_they_were(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot, make_tick, make_scenario
) -> None:
    torch.manual_seed(0)
    adapter = build_adapter(16, source="random:32x48x4?seed=0", init="default")
    head = TrajectoryDecoder(16, modes=3, steps=10)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view="scene")
    forecaster = Forecaster(encoder, adapter, head).eval()
    served_forecaster, served_answerer = deepcopy(forecaster), deepcopy(scene_answerer)
    assert isinstance(scene_answerer.block, FrozenBlockAdapter)

    def drive(model: Forecaster) -> list[np.ndarray]:
        moving = ForecastingNode(ForecastingSettings(max_forecasts=8, min_history_steps=1))
        moving.configure(model, history_steps=4, model_id="tiny")
        moving.set_map(MapIndex(make_scenario().map))
        moving.activate()
        return [moving.step(make_tick(step)).trajectories for step in range(8)]

    expected = drive(forecaster), [ask(active(scene_answerer, snapshot), text) for text in QUESTIONS]
    folded = fold(adapter)
    with BlockService(folded.tail, max_delay_s=0.005) as service:
        served_forecaster.block = service.pipeline("forecast", folded)  # pyright: ignore[reportAttributeAccessIssue]
        served_answerer.block = service.pipeline("answer", fold(scene_answerer.block, tail=folded.tail))  # pyright: ignore[reportAttributeAccessIssue]
        node = active(served_answerer, snapshot)
        with ThreadPoolExecutor(2) as pool:
            forecasts = pool.submit(drive, served_forecaster)
            answers = pool.submit(lambda: [ask(node, text) for text in QUESTIONS])
            for ours, theirs in zip(forecasts.result(60), expected[0], strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
            for ours, theirs in zip(answers.result(60), expected[1], strict=True):
                assert (ours.status, ours.answer) == (theirs.status, theirs.answer)
                assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-5)
        assert service.counts.requests >= len(QUESTIONS) + 8
        assert service.counts.failed == 0


def test_an_overloaded_or_late_block_service_is_what_the_answer_says(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot
) -> None:
    assert isinstance(scene_answerer.block, FrozenBlockAdapter)
    model = deepcopy(scene_answerer)
    folded = fold(scene_answerer.block)
    with BlockService(folded.tail, max_delay_s=0.05, queue_size=1) as service:
        served = service.pipeline("answer", folded)
        model.block = served  # pyright: ignore[reportAttributeAccessIssue]
        node = active(model, snapshot)
        served.timeout_s = -1.0
        late = ask(node)
        assert (late.status, late.reason[:6]) == (Status.DEADLINE, "waited")
        served.timeout_s = float("inf")
        assert ask(node).status is Status.OK
        service.queue_size = 0
        full = ask(node)
        assert (full.status, full.reason[:16]) == (Status.OVERLOADED, "pipeline answer:")
    assert ask(node).reason.startswith("ServiceClosed: ")


def test_only_an_active_node_answers(scene_answerer: SceneAnswerer, snapshot: SceneSnapshot) -> None:
    node = active(scene_answerer, snapshot)
    node.deactivate()
    with pytest.raises(LifecycleError, match="answer: expected an active node, it is inactive"):
        ask(node)
    node.activate()
    assert ask(node).status is Status.OK
    node.shutdown()
    with pytest.raises(LifecycleError):
        ask(node)


def test_a_model_that_sees_nothing_is_refused(scene_answerer: SceneAnswerer) -> None:
    blind = SceneAnswerer(None, scene_answerer.text, None, 5, dim=16, heads=2, pooled_dim=10)
    with pytest.raises(InputError, match="tiny: expected a model that sees scenes"):
        SceneQaNode().configure(blind, ANSWERS, model_id="tiny")
