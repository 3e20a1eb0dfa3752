from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.vectornet.network import VectorNet
from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import fold
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.models.scene_answerer import SceneAnswerer
from perception.scenes.classes import BOX_CLASSES
from perception.scenes.sample import FIXED_SAMPLE_SEED, collate_scenes, sample_scene
from perception.scenes.scene import Scene
from perception.texts.answers import AnswerVocabulary
from perception.traffic.map_index import MapIndex
from perception_nodes.block.service import BlockService
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.operations.lifecycle import LifecycleError
from perception_nodes.scene_qa.node import SceneQaNode, SceneQaSettings
from perception_nodes.scene_qa.question import AnswerMode, AskedQuestion, GivenAnswer, Status
from perception_nodes.scene_qa.scene_map import SceneSnapshot

ANSWERS = AnswerVocabulary(("bed", "yes", "chair", "no"))
POINTS = 150
QUESTIONS = ["What is left of me?", "Is it red?", "How many chairs are here?", "Is the bed left?"]
S = 10**9


class Clock:
    """A stream's time that stands still until it is moved."""

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


def test_answers_are_those_of_the_model_offline(node: SceneQaNode, scene_answerer: SceneAnswerer, scan: Scene) -> None:
    batch = collate_scenes([sample_scene(scan, np.random.default_rng(FIXED_SAMPLE_SEED), count=POINTS)])
    texts = scene_answerer.text.batch(["I face the bed."] * 4), scene_answerer.text.batch(QUESTIONS)
    with torch.inference_mode():
        expected, seen = scene_answerer(batch.points, batch.features, *texts)
    assert expected.evidence is not None
    assert seen is not None
    given = [ask(node, text, mode=AnswerMode.WITH_EVIDENCE) for text in QUESTIONS]
    assert len({answer.confidence for answer in given}) == 4
    for row, answer in enumerate(given):
        scores = expected.probabilities[row]
        ranked = [(ANSWERS.answer_of(i), float(scores[i])) for i in scores[:-1].argsort(descending=True).tolist()]
        given_first = () if answer.status is Status.NO_ANSWER else ((answer.answer, answer.confidence),)
        assert answer.status is (Status.NO_ANSWER if scores[-1] > ranked[0][1] else Status.OK)
        names, shares = zip(*given_first, *answer.alternatives, strict=True)
        assert names == tuple(name for name, _ in ranked)
        np.testing.assert_allclose(shares, [share for _, share in ranked], atol=1e-6)
        for evidence in answer.evidence:
            assert evidence.score == pytest.approx(expected.evidence[row, evidence.proposal].item(), abs=1e-6)
            np.testing.assert_allclose(evidence.box, seen.detections.boxes[0, evidence.proposal])
            kind = int(seen.detections.class_scores[0, evidence.proposal].argmax())
            assert evidence.label == BOX_CLASSES[kind]
        assert [e.score for e in answer.evidence] == sorted((e.score for e in answer.evidence), reverse=True)
        assert sum(e.score for e in answer.evidence) == pytest.approx(1)


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


@pytest.mark.parametrize(
    ("question", "situation", "status", "reason"),
    [
        ("", "I stand.", Status.ERROR, "the question is empty"),
        (" \n\t", "", Status.ERROR, "the question is empty"),
        ("what " * 201, "", Status.ERROR, "the question has 1005 characters; expected at most 1000"),
        ("what?", "x" * 1001, Status.ERROR, "the situation has 1001 characters; expected at most 1000"),
        ("zebra zebu", "I stand.", Status.NO_ANSWER, "no word of the question is known: zebra, zebu"),
        ("\x00\ud800", "", Status.NO_ANSWER, "no word of the question is known"),
    ],
)
def test_a_text_that_cannot_be_answered_says_why(
    node: SceneQaNode, question: str, situation: str, status: Status, reason: str
) -> None:
    answer = ask(node, question, situation)
    assert (answer.status, answer.answer) == (status, "")
    assert answer.reason.startswith(reason)
    assert ask(node).status is Status.OK


def test_unknown_and_superfluous_words_are_named_but_no_obstacle(node: SceneQaNode) -> None:
    answer = ask(node, "what zebra is left of me ?", "I face the zebu .")
    assert (answer.status, answer.reason) == (Status.OK, "words that are not known: zebra, zebu")
    long, cut = ask(node, "is it " * 51, ""), ask(node, "is it " * 50, "")
    assert long.reason == "only the first 100 words of the question were read"
    assert (long.answer, long.confidence, cut.reason) == (cut.answer, cut.confidence, "")
    assert ask(node, situation="").status is Status.OK


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_gets_an_answer_with_a_status(
    scene_answerer: SceneAnswerer, scan: Scene, question: str, situation: str
) -> None:
    node = _shared_node(scene_answerer, scan)
    answer = ask(node, question, situation)
    assert answer.status in (Status.OK, Status.NO_ANSWER, Status.ERROR)
    assert (answer.answer != "") == (answer.status is Status.OK)
    assert answer.reason or answer.status is Status.OK
    assert "Error" not in answer.reason


_NODES: list[SceneQaNode] = []


def _shared_node(model: SceneAnswerer, scan: Scene) -> SceneQaNode:
    if not _NODES:
        _NODES.append(active(model, SceneSnapshot.of_scene(scan, 100 * S)))
    return _NODES[0]


def test_yes_or_no_is_chosen_where_that_is_asked(node: SceneQaNode, snapshot: SceneSnapshot) -> None:
    answer, free = ask(node, mode=AnswerMode.YES_NO), ask(node)
    named = {answer.answer, *(name for name, _ in answer.alternatives)}
    assert named == {"yes", "no"}
    confidence = dict([(free.answer, free.confidence), *free.alternatives])
    assert answer.confidence == max(confidence["yes"], confidence["no"])
    without = SceneQaNode(SceneQaSettings(), clock=Clock())
    assert node._configured is not None
    without.configure(node._configured.model, AnswerVocabulary(("a", "b", "c", "d")), model_id="other")
    without.set_scene(snapshot)
    without.activate()
    assert ask(without, mode=AnswerMode.YES_NO).status is Status.NO_ANSWER


def test_a_model_is_not_asked_in_a_language_that_it_does_not_read(node: SceneQaNode) -> None:
    assert ask(node, language="en-GB").status is Status.OK
    answer = ask(node, language="de")
    assert (answer.status, answer.reason) == (Status.NO_ANSWER, "the question is in 'de'; this model reads 'en'")


def test_an_uncertain_or_unknown_answer_is_not_given(scene_answerer: SceneAnswerer, snapshot: SceneSnapshot) -> None:
    answer = ask(active(scene_answerer, snapshot, min_confidence=1.1))
    assert (answer.status, answer.answer) == (Status.NO_ANSWER, "")
    assert answer.reason.startswith("not certain enough: 0.")
    assert answer.confidence == answer.alternatives[0][1]
    model = deepcopy(scene_answerer)
    last = model.answer_head[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias[len(ANSWERS) - 1] += 100
    answer = ask(active(model, snapshot))
    assert (answer.status, answer.reason) == (Status.NO_ANSWER, "the likeliest answer is none that the model can name")


class Slow(torch.nn.Module):
    """A block that waits until it is told to go on."""

    def __init__(self, block: torch.nn.Module | None) -> None:
        super().__init__()
        assert block is not None
        self.block, self.open, self.began = block, threading.Event(), threading.Event()

    def forward(self, *args):
        self.began.set()
        self.open.wait(10)
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
        slow.began.wait(10)
        while node._waiting < 2:
            time.sleep(0.001)
        answer = ask(node)
        assert (answer.status, answer.reason) == (Status.OVERLOADED, "2 questions are in work or wait")
        slow.open.set()
        assert [future.result(10).status for future in waiting] == [Status.OK] * 2
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
        slow.began.wait(10)
        waiting = ask(node, deadline_ns=clock.now_ns + S // 50)
        assert (waiting.status, waiting.reason) == (Status.DEADLINE, "the deadline passed while others were answered")
        time.sleep(0.1)
        slow.open.set()
        assert first.result(10).reason == "the deadline passed while the answer was computed"
    assert ask(node, deadline_ns=clock.now_ns + 100 * S).status is Status.OK


def test_a_question_that_cannot_wait_for_the_scene_does_not_and_the_next_need_not(
    scene_answerer: SceneAnswerer, snapshot: SceneSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    encode = scene_answerer.encode_scene

    def slowly(*args):
        go_on.wait(10)
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
    model = deepcopy(scene_answerer)
    for parameter in model.answer_head.parameters():
        parameter.requires_grad_(False).fill_(torch.nan)
    assert ask(active(model, snapshot)).reason == "the model's scores are not finite"

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
        moving = ForecastingNode(ForecastingSettings(max_forecasts=8))
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


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="max_waiting: expected at least 1, got 0"):
        SceneQaSettings(max_waiting=0)
