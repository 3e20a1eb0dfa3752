"""Training a classifier of pictures."""

from __future__ import annotations

from pathlib import Path

from perception.encoders.vit_weights import load_vit
from perception.errors import InputError
from perception.models.image_classifier import ImageClassifier
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import Pictures
from perception_tools.classification.held_out import hold_out
from perception_tools.classification.records import labelled, labelled_loaders
from perception_tools.image.data import TrainingPictures
from perception_tools.image.learning import ImageTask
from perception_tools.image.model import ImageTraining, build_classifier, save_classifier
from perception_tools.image.prediction import PreparedPictures
from perception_tools.image.run import ImageRun
from perception_tools.image.sets import read_class_names
from perception_tools.training.job import Job
from perception_tools.training.sampler import SegmentSampler

VALIDATION_BATCH = 128


def image_job(run: ImageRun, model: ImageClassifier | None = None) -> Job:
    """Pictures of both splits, and the classifier of the recipe.

    Args:
        run: The run.
        model: To train in place of the recipe's; it has as many classes as the data.

    Raises:
        InputError: The pictures, the list of classes or the checkpoint to start from cannot be used.
    """
    recipe, (train, val) = run.recipe, open_splits(run)
    trained = model or build_classifier(recipe, len(train.classes))
    if run.start_from is not None:
        load_vit(run.start_from, trained.encoder, drop_head=True, resample=True)
    task, changed = ImageTask(recipe, trained, len(train.classes)), TrainingPictures(train, recipe, run.keep)
    segments = SegmentSampler(len(train), recipe.batch, recipe.seed, repeats=recipe.augmentation.repeats)
    seen, split = PreparedPictures(val, trained.input), "…" if run.held_out else run.val_split

    def save(path: Path, steps: int) -> None:
        training = ImageTraining(run.name, run.data.resolve().name, len(train), steps)
        save_classifier(path, trained, recipe, train.classes, training)

    return Job(
        task=task,
        segments=segments,
        loaders=labelled_loaders(
            changed, seen, segments, parts=recipe.accumulate, batch_judged=VALIDATION_BATCH, workers=run.workers
        ),
        save=save,
        monitor="val/top1",
        mode="max",
        closing_message=task.unread_in_words,
        next_command=f"perception evaluate {run.out} --data {run.data} --split {split} --out …",
        name_of=train.ids.__getitem__,
    )


def open_splits(run: ImageRun) -> tuple[Pictures, Pictures]:
    """The pictures to train and to validate on, with the same classes.

    Raises:
        InputError: One cannot be opened, has no labels, or too few pictures.
    """
    classes = None if run.classes is None else read_class_names(run.classes)
    train = labelled(open_pictures(run.data, run.split, classes=classes), run.split, "picture")
    if len(train.classes) < 2:
        raise InputError(f"{run.data}: expected at least 2 classes in split {run.split!r}, found {len(train.classes)}")
    if run.held_out:
        kept, held = hold_out(train.labels, run.held_out, run.recipe.seed, "picture")
        train, val = train.subset(kept), train.subset(held)
    else:
        val = labelled(open_pictures(run.data, run.val_split, classes=train.classes), run.val_split, "picture")
    if not len(val):
        raise InputError(f"{run.data}: expected pictures in split {run.val_split!r}, found none; name another split")
    return train.limited(run.limit), val.limited(run.val_limit)
