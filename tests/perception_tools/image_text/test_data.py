"""What enters a batch: soft scores, false captions of other pictures, and what replaces a broken picture."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception.models.image_text import ImageText
from perception.texts.tokenizer import WordTokenizer
from perception_tools.image_text.data import Collator, ShownTexts, answerable, open_captions, open_questions
from perception_tools.image_text.model import build_image_text
from perception_tools.image_text.recipes import ImageTextRecipe
from perception_tools.training.sampler import Key


@pytest.fixture(scope="module")
def model(tiny_recipe: Callable[..., ImageTextRecipe]) -> ImageText:
    return build_image_text(tiny_recipe(), WordTokenizer(["is", "it", "red", "a", "square"]), 3)


def test_a_question_comes_with_its_picture_and_soft_scores(questions_folder: Path, model: ImageText) -> None:
    split = open_questions(questions_folder, "train", None, None)
    assert len(split.records) == 48
    shown = ShownTexts(split, model, answers=("red", "maybe", "yes"))
    first = shown[Key(0, 0)]
    assert first.texts == ("what color is it?",)
    assert first.scores == {0: 1.0, 1: pytest.approx(0.3)}
    again = pickle.loads(pickle.dumps(shown))[Key(0, 0)]  # our own; workers get it so
    assert again.image is not None
    assert again.image.equal(first.image)
    batch = Collator(model, 3)([first, shown[Key(2, 0)]])
    assert batch.images.shape == (2, 3, 16, 16)
    assert batch.scores.tolist() == [[1.0, pytest.approx(0.3), 0.0], [0.0, pytest.approx(0.3), 0.0]]


def test_false_captions_are_of_other_pictures_and_change_with_the_pass(captions_folder: Path, model: ImageText) -> None:
    split = open_captions(captions_folder, "train", None, None)
    shown = ShownTexts(split, model, false_captions=5, seed=3)
    own = [set(of.captions) for of in split.records]
    passes = [shown[Key(4, number)].texts for number in range(6)]
    assert all(len(texts) == 6 and texts[0] in own[4] for texts in passes)
    numbered = {text for texts in passes for text in texts[1:] if "number" in text}
    assert numbered
    assert not any(text.endswith("number 4") for text in numbered)
    assert len(set(passes)) > 1
    assert shown[Key(4, 2)].texts == passes[2], "a function of seed, pass and picture"
    few = ShownTexts(replace(split, records=split.records[:3]), model, false_captions=5)
    assert len(few[Key(0, 0)].texts) == 6


def test_training_pictures_change_with_the_pass_and_validation_ones_do_not(
    questions_folder: Path, model: ImageText
) -> None:
    split = open_questions(questions_folder, "train", None, None)
    plain = ShownTexts(split, model)
    shown = ShownTexts(split, model, auto_augment="rand-m3-n2-p1", seed=1)
    passes: list[Any] = [shown[Key(0, number)].image for number in range(4)]
    assert any(not passes[0].equal(image) for image in passes[1:])
    again: Any = pickle.loads(pickle.dumps(shown))[Key(0, 2)].image  # our own; workers get it so
    assert again.equal(passes[2]), "a function of seed, pass and picture"
    judged: Any = shown[0].image
    assert judged.equal(plain[0].image)
    with pytest.raises(InputError, match="expected a string of timm's RandAugment, got 'much'"):
        ShownTexts(split, model, auto_augment="much")


def test_a_broken_picture_is_replaced_in_training_and_named_in_validation(
    questions_folder: Path, model: ImageText
) -> None:
    split = open_questions(questions_folder, "val", None, None)
    places = dict(split.files.places)
    broken = split.records[0].image_file
    del places[broken]
    hole = replace(split, files=replace(split.files, places=places))
    shown = ShownTexts(hole, model, answers=("red",))
    assert [name for name, _ in shown[Key(0, 0)].unread] == [broken, broken]
    assert shown[Key(0, 0)].image is not None
    assert shown[0].image is None
    empty = Collator(model, 1)([shown[0]])
    assert empty.images.shape == (0, 3, 16, 16)
    assert empty.unread[0][0] == broken
    nothing = replace(split, files=replace(split.files, places={}))
    with pytest.raises(InputError, match="found 18 in a row that cannot"):
        ShownTexts(nothing, model)[Key(0, 0)]


def test_questions_without_a_known_answer_are_dropped(questions_folder: Path) -> None:
    split = open_questions(questions_folder, "train", None, None)
    assert len(answerable(split, ("red",)).records) == 8
    with pytest.raises(InputError, match="some with a known answer, found none"):
        answerable(split, ("purple",))


def test_pictures_are_needed(captions_folder: Path, questions_folder: Path) -> None:
    with pytest.raises(InputError, match=r"expected the pictures of the records, found none.*give --pictures"):
        open_captions(captions_folder, "val", questions_folder, None)
