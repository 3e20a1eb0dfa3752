"""The few numbers of a scene answerer that tell whether a change of its block's form matters."""

from __future__ import annotations

from pathlib import Path

import torch

from perception.metrics.question_answering import score_answers
from perception.models.scene_answerer import SceneAnswerer
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.scene_qa.data import by_scene, first_scenes
from perception_tools.scene_qa.evaluate import remember
from perception_tools.scene_qa.model import TrainedAnswerer
from perception_tools.scene_qa.predictions import AnswerPredictions


@torch.no_grad()
def headline(
    model: SceneAnswerer, trained: TrainedAnswerer, data: Path, split: str, limit: int | None
) -> dict[str, float]:
    """EM@1 and EM@10 over the questions about the first scenes of a split; shares from 0 to 1.

    Raises:
        InputError: The store cannot be used.
    """
    scans, questions = open_scene_store(data), first_scenes(read_questions(data, split), limit, split)
    given = AnswerPredictions()
    for scene_id, asked in by_scene(questions).items():
        tokens = model.encode([scans.read(scene_id).scene])
        answers = model.ask(tokens, [q.situation for q in asked], [q.question for q in asked])
        remember(given, asked, answers, trained.answers)
    scores = score_answers(questions, given.answers, trained.answers).as_json()
    return {"em1": scores["em1"], "em10": scores["em10"]}
