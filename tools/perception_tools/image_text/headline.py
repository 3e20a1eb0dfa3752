"""The few numbers of a model of pictures with texts that tell whether a change of its block's form matters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from perception.metrics.retrieval import rank_pairs
from perception.models.image_text import ImageText
from perception_tools.image_text.data import open_captions, open_questions
from perception_tools.image_text.model import TrainedImageText
from perception_tools.image_text.prediction import encode_pictures, predict_answers
from perception_tools.image_text.ranking import encode_captions, score_row
from perception_tools.image_text.scoring import score_vqa

_BATCH, _PAIRS = 64, 256


def headline(
    model: ImageText, trained: TrainedImageText, data: Path, split: str, limit: int | None
) -> dict[str, float]:
    """Accuracy of answers, or R@1 both ways, on the first records of a split; shares from 0 to 1.

    Raises:
        InputError: The data cannot be used.
    """
    changed = replace(trained, model=model)
    if trained.recipe.goal == "vqa":
        of = open_questions(data, split, None, limit)
        questions = of.records
        pictures = encode_pictures(changed, of.files, [question.image_file for question in questions], _BATCH, split)
        return {"accuracy": float(score_vqa(questions, predict_answers(changed, questions, pictures)).accuracy.mean())}
    of = open_captions(data, split, None, limit)
    captioned = of.records
    pictures = encode_pictures(changed, of.files, [one.file for one in captioned], _BATCH, split)
    read = [one for one in captioned if one.file in pictures.tokens]
    captions = encode_captions(model, [text for one in read for text in one.captions], _BATCH)
    scores = np.stack([score_row(model, pictures.tokens[one.file], captions, _PAIRS) for one in read])
    table = rank_pairs(scores, np.repeat(np.arange(len(read)), [len(one.captions) for one in read]))
    return {direction: table.as_json()["recall"][direction]["1"] for direction in ("image_retrieval", "text_retrieval")}
