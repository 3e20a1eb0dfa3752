"""`perception demo --task image-text`: from drawn pictures and questions to a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from perception_tools.image_text.recipes import RECIPES, ImageTextRecipe

TRAIN_PICTURES, VAL_PICTURES = 3000, 300
DEMO_RECIPES = ("image-text/vqa-micro", "image-text/vqa-micro-llama", "image-text/vqa-micro-random")


def demo(out: Path = Path("out/demo-image-text"), steps: int = 700) -> None:
    """Draws pictures with questions, trains a small model without a block, with a language block and a random one.

    The report says what each answers with the pictures, without them and with exchanged ones. One seed each: it shows
    the way, not what a block is worth. Run it again and it goes on where it was stopped.

    Args:
        out: Folder for everything: data, runs, report/report.html, report/metrics.json.
        steps: Training steps of each run.
    """
    from perception_tools.blocks import pretrained_or_stand_in
    from perception_tools.image_text.data import open_questions
    from perception_tools.image_text.evaluate import evaluate_image_text
    from perception_tools.image_text.run import ImageTextRun
    from perception_tools.image_text.sample import sample_picture_questions
    from perception_tools.training.fit import fit

    data = out / "data"
    sample_picture_questions(data, train=TRAIN_PICTURES, val=VAL_PICTURES)
    source, questions = pretrained_or_stand_in(), len(open_questions(data, "train", None, None).records)
    runs = []
    for name in DEMO_RECIPES:
        print(f"\ntraining {name}")
        recipe = _shortened(RECIPES[name], questions, steps, source)
        runs.append(out / name.replace("/", "-"))
        fit(ImageTextRun(data=data, out=runs[-1], recipe=recipe, name=name, logger=()))
    what = f"SYNTHETIC pictures drawn by a program, {steps} steps"
    evaluate_image_text(tuple(runs), data, out / "report", data_name=what)
    print(f"open {(out / 'report' / 'report.html').resolve().as_uri()}")


def _shortened(recipe: ImageTextRecipe, questions: int, steps: int, source: str) -> ImageTextRecipe:
    """The recipe for about so many steps."""
    passes = max(1, round(steps * recipe.batch / questions))
    return replace(recipe.with_source(source), passes=passes)
