"""`perception demo --task image`: from drawn pictures to a report, in less than ten minutes on two cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from perception_tools.image.recipes import RECIPES, ImageRecipe
from perception_tools.output_places import keep_apart

SEEDS = (0, 1)
TRAIN_PICTURES, VAL_PICTURES = 4000, 400
LEARNING_RATE = 2e-3
"""Twice the recipe's, for a training that is far shorter. Without a block, 44 % of 400 other pictures were right after
868 steps, at the recipe's rate 32 %; one in eight is chance."""
DEMO_RECIPES = ("image/vit-micro", "image/vit-micro-llama", "image/vit-micro-random")


def demo(
    out: Path = Path("out/demo-image"), data: Path | None = None, val_split: str = "val", steps: int = 800
) -> None:
    """Draws pictures, trains a small ViT without a block, with a language block and a random one, writes the report.

    Each is trained with two seeds, so that the report can say what a difference is worth. Run it again and it goes on
    where it was stopped.

    Args:
        out: Folder for everything: data, runs, report/report.html, report/metrics.json.
        data: Small pictures of your own, in any format that training reads; shapes are drawn where none are given.
        val_split: Split to evaluate on.
        steps: Training steps of each run.
    """
    from perception_datasets.images.open_pictures import open_pictures
    from perception_tools.blocks import pretrained_or_stand_in
    from perception_tools.image.evaluate import evaluate_classifiers
    from perception_tools.image.run import ImageRun
    from perception_tools.image.sample import sample_shapes
    from perception_tools.training.fit import fit

    if data is None:
        data = out / "data"
        sample_shapes(data, train=TRAIN_PICTURES, val=VAL_PICTURES)
    else:
        keep_apart([out], [data])
    source, pictures = pretrained_or_stand_in(), len(open_pictures(data, "train"))
    runs = []
    for name in DEMO_RECIPES:
        for seed in SEEDS:
            print(f"\ntraining {name}, seed {seed}")
            recipe = _shortened(replace(RECIPES[name], seed=seed), pictures, steps, source)
            folder = out / f"{name.replace('/', '-')}-{seed}"
            fit(ImageRun(data=data, out=folder, recipe=recipe, name=name, val_split=val_split, logger=()))
            runs.append(folder)
    what = "SYNTHETIC shapes drawn by a program" if data == out / "data" else str(data)
    evaluate_classifiers(tuple(runs), data, out / "report", split=val_split, data_name=f"{what}, {steps} steps")
    print(f"open {(out / 'report' / 'report.html').resolve().as_uri()}")


def _shortened(recipe: ImageRecipe, pictures: int, steps: int, source: str) -> ImageRecipe:
    """The recipe for about so many steps."""
    passes = max(1, round(steps * recipe.batch / pictures))
    # An average over so few steps would still hold the initial weights.
    return replace(
        recipe.with_source(source),
        passes=passes,
        validate_every=max(1, passes // 4),
        validate_average=False,
        learning_rate=LEARNING_RATE,
    )
