"""`perception bench scene-qa`: what the first question about a scene costs a node, and what all others do."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from perception.models.scene_answerer import SceneAnswerer
    from perception_nodes.scene_qa.scene_map import SceneSnapshot

WORDS = (
    "i am standing facing the and there is a on my left right behind me within reach what color many which direction"
)
KINDS = "chair table window door bed sofa cabinet desk lamp curtain shelf sink toilet"
QUESTIONS = (
    ("I am facing the window and there is a table on my left.", "What is behind me?"),
    ("I am standing", "Is there a chair on my right?"),
    ("", "How many chairs are there?"),
    ("I am facing the bed and there is a cabinet on my right within reach, and behind me a door.", "Which direction?"),
)
"""Situation and question: of different lengths, as people ask."""
ANSWERS = 706
"""Number of answers in SQA3D's dictionary."""


@dataclass(frozen=True)
class Timing:
    """A node's latencies with a number of threads, in milliseconds.

    Attributes:
        threads: Number of torch's threads.
        block: `plain`, or `folded` for deployment.
        first_ms: Time of the first question about a scene, which encodes it: the median over versions of the scene.
        p50_ms: Median time of the other questions.
        p99_ms: 99th percentile of the same.
        cpu_ms: Processor time of one of the others, in the median, of all threads: other programs do not count.
        questions: How many others there were.
    """

    threads: int
    block: str
    first_ms: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    questions: int


def bench_scene_qa(
    source: str = "random:smollm2?seed=0",
    points: int = 40_000,
    dim: int = 256,
    proposals: int = 256,
    questions: int = 200,
    versions: int = 3,
    threads: tuple[int, ...] = (1, 2),
) -> dict:
    """Times a node with a network of SQA3D's size, untrained, on a synthetic room; all proposals count as objects.

    Args:
        source: Block URI; the time does not depend on its weights.
        points: That the network sees.
        dim: Width of the tokens: 256 in SQA3D, 768 in Pang et al.
        proposals: Number of objects, all of which pass the block for every question. VoteNet has 256; a trained one
            takes some forty for objects.
        questions: Asked after the first one.
        versions: Number of versions of the scene, each encoded once.
        threads: Numbers of threads to try.
    """
    import torch

    from perception.errors import InputError
    from perception.frozen.folded import fold
    from perception.kernels.linear import for_inference
    from perception_tools.machine import describe_machine

    if min(questions, versions, points, proposals, *threads) < 1:
        raise InputError(
            "expected at least one question, version, point, proposal and thread, got fewer; change the options"
        )
    model = for_inference(make_answerer(source, dim, proposals))  # as `perception node scene-qa` runs it
    plain = model.block
    assert plain is not None
    folded = fold(plain)
    timings = []
    for count in threads:
        torch.set_num_threads(count)
        for name, block in (("plain", plain), ("folded", folded)):
            model.add_module("block", block)  # in place of the one that is there
            timings.append(time_node(model, points, questions, versions, count, name))
    print(_as_table(timings))
    options = {"source": source, "points": points, "dim": dim, "proposals": proposals, "machine": describe_machine()}
    return {**options, "timings": [asdict(timing) for timing in timings]}


def make_answerer(source: str, dim: int, proposals: int) -> SceneAnswerer:
    """A network of SQA3D's size around a block, in evaluation mode, that takes every proposal for an object."""
    import torch
    from torch import nn

    from perception.encoders.text import LstmText
    from perception.encoders.votenet import VoteNet
    from perception.frozen.adapter import build_adapter
    from perception.models.scene_answerer import SceneAnswerer
    from perception.scenes.classes import BOX_CLASSES
    from perception.texts.vocabulary import Vocabulary

    torch.manual_seed(0)
    seen = VoteNet(4, torch.ones(len(BOX_CLASSES), 3), proposals=proposals)
    out = seen.propose[-1]
    assert isinstance(out, nn.Linear)
    with torch.no_grad():
        out.bias[1] += 100
    text = LstmText(Vocabulary.of_texts([WORDS, KINDS, *(q for pair in QUESTIONS for q in pair)]))
    return SceneAnswerer(seen, text, build_adapter(dim, source=source), ANSWERS + 1, dim=dim).eval()


def time_node(model: SceneAnswerer, points: int, questions: int, versions: int, threads: int, block: str) -> Timing:
    """Asks a node, one question after the other."""
    from perception.texts.answers import AnswerVocabulary
    from perception_nodes.scene_qa.node import SceneQaNode, SceneQaSettings
    from perception_nodes.scene_qa.question import AnswerMode, AskedQuestion

    node = SceneQaNode(SceneQaSettings(max_lag_s=0.0))  # no answer from the scene before
    node.configure(model, AnswerVocabulary(tuple(f"answer {i}" for i in range(ANSWERS))), model_id="bench")
    node.activate()
    first, others, cpu = [], [], []
    for version in range(versions):
        node.set_scene(_make_scene(points, version))
        for number in range(1 + questions // versions):
            situation, question = QUESTIONS[number % len(QUESTIONS)]
            begin_s = time.process_time()
            given = node.answer(AskedQuestion(str(number), question, situation, mode=AnswerMode.WITH_EVIDENCE))
            if number:
                cpu.append(1e3 * (time.process_time() - begin_s))
            (others if number else first).append(given.latency_ms)
    node.shutdown()
    p50, p99 = np.percentile(others, [50, 99])
    cpu_ms = float(np.median(cpu))
    return Timing(threads, block, float(np.median(first)), float(p50), float(p99), cpu_ms, len(others))


def _make_scene(points: int, version: int) -> SceneSnapshot:
    from perception_nodes.scene_qa.scene_map import SceneSnapshot
    from perception_tools.scene_qa.bench.cloud import make_room

    colors = np.random.default_rng(version).integers(0, 256, (2 * points, 3), np.uint8)
    return SceneSnapshot(version, time.time_ns(), make_room(2 * points, seed=version), colors)


def _as_table(timings: list[Timing]) -> str:
    lines = [
        f"{'threads':>7}  {'block':<7} {'question 1, ms':>15} {'2…n, p50 ms':>12} {'p99 ms':>8} {'CPU ms':>8} {'n':>6}"
    ]
    for t in timings:
        latency = f"{t.first_ms:>15.1f} {t.p50_ms:>12.2f} {t.p99_ms:>8.2f}"
        lines.append(f"{t.threads:>7}  {t.block:<7} {latency} {t.cpu_ms:>8.2f} {t.questions:>6}")
    return "\n".join(lines)
