"""What the exported file of a scene answerer is, and scenes with questions that tell whether it is right.

A graph answers questions from points and words. Two things are done before it: words become numbers, and the first
level of the detector chooses points and their neighbours among all points of a scan, tens of thousands. That depends on
the points alone, not on any weight, and a search that skips most of them is far faster than a graph, which cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from perception.batches import TensorRecord, named_tensors
from perception.encoders.pointnet2 import Sampled
from perception.encoders.text import LstmText
from perception.heads.answer import SceneAnswers
from perception.models.scene_answerer import SceneAnswerer
from perception.scenes.classes import BOX_CLASSES
from perception.scenes.sample import MEAN_COLOR
from perception.scenes.scene import Scene
from perception.scenes.viewpoint import ViewpointEstimate
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import TextBatch, Vocabulary
from perception_nodes.exported.runtimes import Runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.scene_qa.model import KnownWords, SceneQaTraining, TrainedAnswerer, build_answerer
from perception_tools.scene_qa.recipes import RECIPES

RECIPE = "scene-qa/rooms-llama"
ANSWERS = 706
SITUATION = "I am facing the window and there is a table on my left."
MANY = 16


@dataclass(frozen=True)
class SceneQuestions(TensorRecord):
    """Scenes, and questions about them.

    Attributes:
        points: Scene frame, metres.
        features: Of each point, see `perception.scenes.sample.SceneBatch`.
        centres: Indices of the points that the detector's first level keeps, see `Sampled`.
        neighbours: Indices of the points in the ball around each.
        situation_ids: Numbers of the words of each question's situation.
        situation_valid: False for padding.
        question_ids: Numbers of the words of each question.
        question_valid: False for padding.
        scene_of_question: Index of the scene that each question is about.
    """

    points: Float32[Tensor, "scenes points 3"]
    features: Float32[Tensor, "scenes points 4"]
    centres: Int64[Tensor, "scenes centres"]
    neighbours: Int64[Tensor, "scenes centres neighbours"]
    situation_ids: Int64[Tensor, "questions situation_words"]
    situation_valid: Bool[Tensor, "questions situation_words"]
    question_ids: Int64[Tensor, "questions question_words"]
    question_valid: Bool[Tensor, "questions question_words"]
    scene_of_question: Int64[Tensor, " questions"]


class ExportedAnswerer:
    """An answerer that a runtime computes, as evaluation calls the trained one.

    Args:
        runtime: The graph, which encodes the scenes anew with every call.
        model: Shows scenes and texts to it.
    """

    def __init__(self, runtime: Runtime, model: SceneAnswerer) -> None:
        self.runtime, self._model = runtime, model

    def encode(self, scenes: Sequence[Scene]) -> Mapping[str, Tensor]:
        """What the graph reads of scenes."""
        return _shown(self._model, scenes)

    def ask(
        self,
        scenes: Mapping[str, Tensor],
        situations: Sequence[str],
        questions: Sequence[str],
        scene_of_question: Int64[Tensor, " questions"] | None = None,
    ) -> SceneAnswers:
        """Answers to questions in words; see `SceneAnswerer.ask`."""
        of = torch.zeros(len(questions), dtype=torch.long) if scene_of_question is None else scene_of_question
        batch = _with_texts(self._model, scenes, situations, questions, of)
        given = self.runtime.run({name: tensor.numpy() for name, tensor in named_tensors(batch).items()})
        found = {name: torch.from_numpy(value) for name, value in given.items()}
        viewpoint = None
        if "viewpoint_position" in found:
            viewpoint = ViewpointEstimate(found["viewpoint_position"], found["viewpoint_quaternion"])
        return SceneAnswers(found["logits"], found.get("evidence"), viewpoint, self._model.one_answer)


def untrained(block: str, recipe_name: str | None = None) -> TrainedAnswerer:
    """The model of a recipe with a block, as it is before training, for a few words."""
    name = recipe_name or RECIPE
    recipe = RECIPES[name].with_source(block)
    answers = AnswerVocabulary(tuple(f"answer{number}" for number in range(ANSWERS)))
    words = KnownWords(Vocabulary.of_texts([SITUATION, " ".join(BOX_CLASSES)]), answers)
    model = build_answerer(recipe, words, torch.ones(len(BOX_CLASSES), 3)).eval()
    training = SceneQaTraining(name, "", scenes=0, questions=0, steps=0)
    return TrainedAnswerer(model, recipe, answers, training)


def exportable(trained: TrainedAnswerer) -> Exportable:
    """A trained answerer, folded, with made scenes: questions of one word, of none, about two scenes, of one point."""
    model = trained.model

    def batch(points: Sequence[int], asked: Sequence[tuple[int, str, str]]) -> SceneQuestions:
        """Scenes by their numbers of points; questions by scene, situation and words."""
        of, situations, questions = zip(*asked, strict=True)
        scenes = [_made(count, seed) for seed, count in enumerate(points)]
        return _with_texts(model, _shown(model, scenes), situations, questions, torch.tensor(of))

    two = [(0, SITUATION, "What is behind me?"), (1, "", "Is there a chair on my right?"), (1, SITUATION, "How many?")]
    many = [(0, SITUATION, f"Is there {number} chair?") for number in range(MANY)]
    return Exportable(
        source=GraphSource(model.folded(), _answer),
        cases=lambda: {
            "three questions about two scenes": batch((9_000, 7_000), two),
            "one question of one word": batch((9_000,), [(0, "window", "chair")]),
            "an empty question": batch((9_000,), [(0, "", "")]),
            "a scene of one point": batch((1,), [(0, SITUATION, "What?")]),
            f"{MANY} questions about one scene": batch((9_000,), many),
        },
        timed=("one question of one word", f"{MANY} questions about one scene"),
        metadata=_metadata(trained),
        serve=lambda runtime: ExportedAnswerer(runtime, model),
    )


def _metadata(trained: TrainedAnswerer) -> dict[str, Any]:
    text = trained.model.text
    assert isinstance(text, LstmText), "recipes have no other"
    return {
        "recipe": trained.recipe.to_json(),
        "training": asdict(trained.training),
        "answers": list(trained.answers.answers),
        "words": {"words": list(text.vocabulary.words), "rule": text.vocabulary.rule},
        "scene": asdict(trained.model.input) | {"mean_color": MEAN_COLOR.tolist()},
        "inputs": {
            "points": "sampled points of each scan; scene frame: metres, z up, the floor near z = 0",
            "features": "red, green, blue as (value - mean_color) / 256, then the height above the floor in metres",
            "centres": "indices of points, farthest first, from the first point on",
            "neighbours": "indices of points in the ball around each centre, in the order of the points",
            "situation_ids": "numbers of words, from 1; 0 is an unknown word and the only word of an empty text",
            "question_ids": "the same",
            "scene_of_question": "index of each question's scene",
        },
        "outputs": {
            "logits": "one for each of `answers`; the last is of answers that are not known",
            "evidence": "weight of each proposal of the detector in the answer",
            "viewpoint_position": "estimated position of the asker; scene frame, metres",
            "viewpoint_quaternion": "x, y, z, w, not normalised; the asker looks along -x",
        },
    }


def _answer(model: Any, batch: SceneQuestions) -> SceneAnswers:
    sampled = Sampled(batch.centres, batch.neighbours)
    scenes = None if model.scene is None else model.encode_scene(batch.points, batch.features, sampled)
    situation = TextBatch(batch.situation_ids, batch.situation_valid)
    question = TextBatch(batch.question_ids, batch.question_valid)
    return model.answer(scenes, situation, question, batch.scene_of_question)


def _shown(model: SceneAnswerer, scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """What the graph reads of scenes; of a model that answers blindly it reads nothing."""
    batch = model.collate([model.prepare(scene) for scene in scenes])
    nothing = torch.zeros(len(scenes), 1, dtype=torch.long)
    sampled = (
        Sampled(nothing, nothing.unsqueeze(-1)) if model.scene is None else model.scene.backbone.sample(batch.points)
    )
    return {"points": batch.points, "features": batch.features, **named_tensors(sampled)}


def _with_texts(
    model: SceneAnswerer,
    scenes: Mapping[str, Tensor],
    situations: Sequence[str],
    questions: Sequence[str],
    scene_of_question: Int64[Tensor, " questions"],
) -> SceneQuestions:
    situation, question = model.text.batch(situations), model.text.batch(questions)
    return SceneQuestions(
        **scenes,
        situation_ids=situation.ids,
        situation_valid=situation.valid,
        question_ids=question.ids,
        question_valid=question.valid,
        scene_of_question=scene_of_question,
    )


def _made(points: int, seed: int) -> Scene:
    """Random points of a room of 6 × 5 × 2.5 m, without objects."""
    rng = np.random.default_rng(seed)
    nothing = np.zeros(points, np.int64)
    return Scene(
        id=f"made{seed}",
        points=(rng.random((points, 3)) * (6.0, 5.0, 2.5)).astype(np.float32),
        colors=rng.integers(0, 256, (points, 3), np.uint8),
        semantic=nothing,
        instance=nothing,
        boxes=np.zeros((0, 6), np.float32),
        box_classes=np.zeros(0, np.int64),
        box_instances=np.zeros(0, np.int64),
    )
