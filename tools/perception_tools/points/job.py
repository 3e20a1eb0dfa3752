"""Training a classifier of point clouds."""

from __future__ import annotations

from pathlib import Path

from perception.encoders.point_bert_weights import load_point_bert
from perception.errors import InputError
from perception.models.point_classifier import PointClassifier
from perception_datasets.clouds.open_clouds import open_clouds
from perception_datasets.clouds.records import Clouds
from perception_tools.classification.held_out import hold_out
from perception_tools.classification.records import labelled_loaders
from perception_tools.points.data import ShownClouds, TrainingClouds
from perception_tools.points.learning import EPOCHS_FILE, EpochRecord, PointTask
from perception_tools.points.model import BEST_FILE, PointTraining, build_classifier, save_classifier
from perception_tools.points.pretraining import load_encoder_of, pretraining_job
from perception_tools.points.run import PointRun
from perception_tools.training.job import Job
from perception_tools.training.sampler import SegmentSampler

VALIDATION_BATCH = 64


def point_job(run: PointRun, model: PointClassifier | None = None) -> Job:
    """Clouds of both splits, and the classifier of the recipe, or an encoder that learns without labels.

    Args:
        run: The run.
        model: To train in place of the recipe's; it has as many classes as the data. None for pre-training.

    Raises:
        InputError: The clouds or the checkpoint to start from cannot be used.
    """
    recipe, (train, val) = run.recipe, open_splits(run)
    if recipe.mask_ratio:
        return pretraining_job(run, train, val)
    trained = model or build_classifier(recipe, len(train.classes))
    if run.start_from is not None:
        load_point_bert(run.start_from, trained.encoder)
    if run.encoder_run is not None:
        load_encoder_of(run.encoder_run, trained.encoder, recipe)
    segments = SegmentSampler(len(train), recipe.batch, recipe.seed)
    changed = TrainingClouds(train, trained.input, recipe, run.keep)
    seen = ShownClouds(val, trained.input, run.keep)

    def save(path: Path, steps: int) -> None:
        training = PointTraining(run.name, run.data.resolve().name, len(train), steps, run.best_on)
        save_classifier(path, trained, recipe, train.classes, training)

    epochs = EpochRecord(run.out / EPOCHS_FILE, run.best_on, lambda step: save(run.out / BEST_FILE, step))
    task = PointTask(recipe, trained, len(train.classes), epochs)

    split = "test" if run.best_on == "held-out" else run.validated_split
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


def open_splits(run: PointRun) -> tuple[Clouds, Clouds]:
    """The clouds to train and to validate on, with the same classes.

    Raises:
        InputError: One cannot be opened, or has too few clouds.
    """
    variant = run.recipe.variant
    train = open_clouds(run.data, run.split, variant=variant)
    if len(train.classes) < 2:
        raise InputError(f"{run.data}: expected at least 2 classes in split {run.split!r}, found {len(train.classes)}")
    if run.best_on == "held-out":
        kept, held = hold_out(train.labels, run.held_out, run.recipe.seed, "cloud")
        train, val = train.subset(kept), train.subset(held)
    else:
        val = open_clouds(run.data, run.validated_split, classes=train.classes, variant=variant)
    return train.limited(run.limit), val.limited(run.val_limit)
