"""Coloured pictures with questions and captions that need them, a tiny recipe, and runs of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.image_text.recipes import ImageTextRecipe
    from perception_tools.image_text.run import ImageTextRun

pytest.importorskip("transformers")
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}
_PER_SPLIT = {"train": 24, "val": 9}


def _paint(path: Path, colour: str, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(COLOURS[colour] + rng.normal(0, 20, (20, 20, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def questions_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions in VQAv2's format: two about each of some pictures of one colour. Tests must not change it."""
    from perception_datasets.image_text.vqa import VqaQuestion, picture_file, write_vqa

    folder, rng = tmp_path_factory.mktemp("vqa") / "colours", np.random.default_rng(0)
    for split, count in _PER_SPLIT.items():
        records = []
        for number in range(count):
            colour, file = list(COLOURS)[number % 3], picture_file(number, split)
            _paint(folder / split / file, colour, rng)
            asked = list(COLOURS)[int(rng.integers(3))]
            answer = "yes" if asked == colour else "no"
            for i, (text, said, kind, begins) in enumerate(
                (
                    ("what color is it?", colour, "other", "what color is"),
                    (f"is it {asked}?", answer, "yes/no", "is it"),
                )
            ):
                answers = (said,) * 9 + ("maybe",)
                records.append(VqaQuestion(10 * number + i, number, file, text, answers, said, kind, begins))
        files = (folder / f"v2_{split}_questions.json", folder / f"v2_{split}_annotations.json")
        write_vqa(*files, records, data_type="made", data_subtype=split)
    return folder


@pytest.fixture(scope="session")
def captions_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captions in Karpathy's format: two of each picture. Tests must not change it."""
    folder, rng = tmp_path_factory.mktemp("captions") / "colours", np.random.default_rng(0)
    images = []
    for split, count in _PER_SPLIT.items():
        for number in range(count):
            colour = list(COLOURS)[number % 3]
            _paint(folder / "images" / f"{split}{number}.png", colour, rng)
            said = [{"raw": f"a {colour} square"}, {"raw": f"a square that is {colour} number {number}"}]
            images.append({"filename": f"{split}{number}.png", "split": split, "sentences": said})
    (folder / "dataset_made.json").write_text(json.dumps({"images": images, "dataset": "made"}))
    return folder


@pytest.fixture(scope="session")
def tiny_recipe() -> Callable[..., ImageTextRecipe]:
    """Makes a recipe that trains in seconds around a seeded random block."""
    from perception_tools.image_text.recipes import RECIPES
    from perception_tools.training.recipes import BlockRecipe

    def make(goal: str = "vqa", **changes: Any) -> ImageTextRecipe:
        small: dict[str, Any] = {
            **{"image_dim": 16, "image_depth": 1, "image_heads": 2, "text_dim": 16, "text_depth": 1, "text_heads": 2},
            **{"dim": 16, "heads": 2, "layers": 1, "patch": 8, "picture": 16, "longest": 12, "positions": 14},
            **{"batch": 8, "passes": 2, "answers_at_least": 2, "false_captions": 3, "dropout": 0.1},
            "block": BlockRecipe(source="random:32x48x4?seed=0"),
        }
        return replace(RECIPES[f"image-text/{goal}-micro-llama"], **{**small, **changes})

    return make


@pytest.fixture(scope="session")
def make_run(
    questions_folder: Path,
    captions_folder: Path,
    tiny_recipe: Callable[..., ImageTextRecipe],
    maker_of_runs: Callable[..., Callable[..., Any]],
) -> Callable[..., ImageTextRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.image_text.run import ImageTextRun

    def make(out: Path, goal: str = "vqa", recipe: dict | None = None, **options: Any) -> ImageTextRun:
        data, name = questions_folder if goal == "vqa" else captions_folder, f"image-text/{goal}-micro-llama"
        make = maker_of_runs(ImageTextRun, tiny_recipe(goal), data=data, name=name, accelerator="cpu")
        return make(out, recipe, **options)

    return make


@pytest.fixture(scope="session")
def trained_answers(make_run: Callable[..., ImageTextRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run on questions. Tests must not change it."""
    return train_into_folder("answers", make_run)


@pytest.fixture(scope="session")
def trained_ranks(make_run: Callable[..., ImageTextRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run on captions. Tests must not change it."""
    return train_into_folder("ranks", make_run, "retrieval")
