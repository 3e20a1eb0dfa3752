"""Training a model of pictures with texts."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from perception.encoders.clip_vision import ClipVision, load_clip_vision
from perception.encoders.roberta import RobertaText, load_roberta
from perception.errors import InputError
from perception.files import reading
from perception.models.image_text import ImageText
from perception.models.meter_checkpoint import load_meter
from perception.texts.answers import frequent_answers
from perception.texts.tokenizer import Tokenizer, WordTokenizer
from perception.texts.vqa_normalization import normalize_vqa
from perception_datasets.image_text.vqa import VqaQuestion
from perception_tools.image_text.data import (
    AnySplit,
    Collator,
    ShownTexts,
    Split,
    answerable,
    open_captions,
    open_questions,
)
from perception_tools.image_text.learning import ImageTextTask
from perception_tools.image_text.model import ImageTextTraining, build_image_text, save_image_text
from perception_tools.image_text.recipes import ImageTextRecipe
from perception_tools.image_text.run import ImageTextRun
from perception_tools.training.job import Job
from perception_tools.training.loaders import SharedLoaders
from perception_tools.training.sampler import SegmentSampler

VALIDATION_BATCH = 64


def image_text_job(run: ImageTextRun, model: ImageText | None = None) -> Job:
    """Records of both splits, and the model of the recipe, with pretrained towers where they are given.

    Args:
        run: The run.
        model: To train in place of the recipe's; its answers are the run's.

    Raises:
        InputError: The data, a tower or the checkpoint to start from cannot be used.
    """
    answers: tuple[str, ...] = ()
    if run.recipe.goal == "vqa":
        train = open_questions(run.data, run.split, run.pictures, run.limit)
        answers = known_answers(run, train)
        train = answerable(train, answers)
        val = open_questions(run.data, run.val_split, run.pictures, run.val_limit)
    else:
        train = open_captions(run.data, run.split, run.pictures, run.limit)
        val = open_captions(run.data, run.val_split, run.pictures, run.val_limit)
    towers = _Towers.of(run, train)
    recipe = towers.recipe
    trained = model or towers.build(len(answers))
    if run.start_from is not None:
        load_meter(run.start_from, trained, drop_heads=True)
    task, collate = ImageTextTask(recipe, trained), Collator(trained, len(answers))
    options = {"answers": answers, "false_captions": recipe.false_captions, "seed": recipe.seed}
    shown = ShownTexts(train, trained, **options, auto_augment=recipe.auto_augment)
    judged = ShownTexts(val, trained, **options)
    segments = SegmentSampler(len(train.records), recipe.batch, recipe.seed)

    def save(path: Path, steps: int) -> None:
        training = ImageTextTraining(run.name, run.data.resolve().name, len(train.records), steps)
        save_image_text(path, trained, recipe, answers, training)

    def closing_message() -> str:
        return "\n".join(filter(None, [train.note, val.note, task.unread_in_words()]))

    return Job(
        task=task,
        segments=segments,
        loaders=SharedLoaders(
            shown,
            judged,
            segments,
            collate,
            collate,
            VALIDATION_BATCH,
            recipe.accumulate,
            run.workers,
        ),
        save=save,
        monitor=task.monitor,
        mode="max",
        closing_message=closing_message,
        next_command=f"perception evaluate {run.out} --data {run.data} --split {run.val_split} --out …",
        name_of=lambda index: _name(train, index),
    )


def _name(split: AnySplit, index: int) -> str:
    record = split.records[index]
    return str(record.id) if isinstance(record, VqaQuestion) else record.file


def known_answers(run: ImageTextRun, train: Split[VqaQuestion]) -> tuple[str, ...]:
    """Answers that a model chooses among: those of a file, or the frequent ones of the training questions.

    METER's rule: the normalised most frequent answer of at least nine questions. METER counts train and val together,
    which gives 3,129 answers on VQAv2; here training alone decides, so that evaluation stays unseen.

    Raises:
        InputError: The file is none, or no answer is frequent enough.
    """
    if run.answers is not None:
        with reading(run.answers, 'give a JSON list of answers, or {"answer": class}'):
            content = json.loads(run.answers.read_text(encoding="utf-8"))
            if isinstance(content, dict):
                content = sorted(content, key=content.__getitem__)
            found = tuple(content)
            if len(set(found)) < 2 or len(set(found)) < len(found) or not all(isinstance(a, str) for a in found):
                raise ValueError(f"expected at least two answers, each once, found {len(found)}")
            return found
    least = run.recipe.answers_at_least
    given = (normalize_vqa(of.frequent_answer) for of in train.records)
    answers = frequent_answers(given, least)
    if len(answers) < 2:
        raise InputError(
            f"{run.data}: expected at least two answers that are given {least} times, found {len(answers)}; lower "
            "--answers-at-least, or give --answers"
        )
    return answers


@dataclass(frozen=True)
class _Towers:
    """Pretrained towers, if there are any, and the recipe with their sizes."""

    recipe: ImageTextRecipe
    tokenizer: Tokenizer
    image: ClipVision | None
    text: RobertaText | None

    @classmethod
    def of(cls, run: ImageTextRun, train: AnySplit) -> _Towers:
        recipe = run.recipe
        image = None if run.image_tower is None else load_clip_vision(run.image_tower, recipe.picture)
        text = None if run.text_tower is None else load_roberta(run.text_tower, recipe.longest, recipe.dropout)
        for kind, tower in (("image", image), ("text", text)):
            if tower is not None:
                names = [f"{kind}_{name}" for name in ("dim", "depth", "heads")]
                recipe = replace(recipe, **dict(zip(names, astuple(tower.size), strict=True)))
        if image is not None:
            recipe = replace(recipe, patch=image.patch)
        if text is not None:
            recipe = replace(recipe, positions=text.positions)
        recipe.check()
        return cls(recipe, WordTokenizer.of_texts(_texts(train)) if text is None else text.tokenizer, image, text)

    def build(self, answers: int) -> ImageText:
        """The model, with the towers' weights."""
        model = build_image_text(self.recipe, self.tokenizer, answers)
        for name in ("image", "text"):
            tower = getattr(self, name)
            if tower is not None:
                getattr(model, name).load_state_dict(tower.state_dict())
        return model


def _texts(split: AnySplit) -> list[str]:
    return [
        text
        for record in split.records
        for text in ((record.question,) if isinstance(record, VqaQuestion) else record.captions)
    ]
