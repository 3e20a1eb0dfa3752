"""Training a model that recognises actions, or pre-training its encoder."""

from __future__ import annotations

from pathlib import Path

from perception.encoders.video_mae_weights import load_video_mae
from perception.errors import InputError
from perception.models.action_recognizer import ActionRecognizer
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_datasets.video.open_videos import open_videos
from perception_datasets.video.records import Videos
from perception_tools.classification.held_out import hold_out
from perception_tools.classification.records import labelled, labelled_loaders
from perception_tools.training.job import Job
from perception_tools.training.sampler import SegmentSampler
from perception_tools.video.data import ClipReader, TrainingClips, ValidationClips
from perception_tools.video.learning import ActionTask
from perception_tools.video.model import (
    ActionTraining,
    build_autoencoder,
    build_recognizer,
    load_encoder_of,
    save_recognizer,
)
from perception_tools.video.pretraining import PretrainingTask
from perception_tools.video.run import ActionRun

VALIDATION_BATCH = 32


def action_job(run: ActionRun, model: ActionRecognizer | None = None) -> Job:
    """Videos of both splits, and the model of the recipe.

    Args:
        run: The run.
        model: To train in place of the recipe's; it has as many classes as the data.

    Raises:
        InputError: The videos, or the checkpoint to start from, cannot be used.
    """
    recipe, (train, val) = run.recipe, open_splits(run)
    classes = () if recipe.mask_ratio else train.classes
    trained: ActionRecognizer | MaskedAutoencoder
    if recipe.mask_ratio:
        trained = build_autoencoder(recipe)
        task = PretrainingTask(recipe, trained)
    else:
        trained = model or build_recognizer(recipe, len(classes))
        task = ActionTask(recipe, trained, len(classes))
    if run.start_from is not None:
        load_video_mae(run.start_from, trained.encoder, drop_head=True)
    if run.encoder_run is not None:
        load_encoder_of(run.encoder_run, trained.encoder)
    readers = [
        ClipReader(videos, recipe.shorter_side, (run.keep_mb << 20) * len(videos) // (len(train) + len(val)))
        for videos in (train, val)
    ]
    changed, shown = (
        TrainingClips(readers[0], recipe, trained.input),
        ValidationClips(readers[1], trained.input, recipe.order),
    )
    segments = SegmentSampler(len(train), recipe.batch, recipe.seed)

    def save(path: Path, steps: int) -> None:
        source = run.data.resolve().name
        training = ActionTraining(run.name, source, run.labels, run.where, len(train), steps)
        save_recognizer(path, trained, recipe, classes, training)

    split = "…" if run.held_out else run.val_split
    labels = f" --labels {run.labels}" if run.labels else ""
    return Job(
        task=task,
        segments=segments,
        loaders=labelled_loaders(
            changed, shown, segments, parts=recipe.accumulate, batch_judged=VALIDATION_BATCH, workers=run.workers
        ),
        save=save,
        monitor="val/loss" if recipe.mask_ratio else "val/top1",
        mode="min" if recipe.mask_ratio else "max",
        closing_message=task.unread_in_words,
        next_command=f"perception evaluate {run.out} --data {run.data}{labels} --split {split} --out …",
        name_of=train.ids.__getitem__,
    )


def open_splits(run: ActionRun) -> tuple[Videos, Videos]:
    """The videos to train and to validate on, with the same classes.

    Raises:
        InputError: One cannot be opened, has no labels, or too few videos.
    """
    train = labelled(open_videos(run.data, run.split, labels=run.labels, where=run.where), run.split, "video")
    if len(train.classes) < 2:
        raise InputError(f"{run.data}: expected at least 2 classes in split {run.split!r}, found {len(train.classes)}")
    if run.held_out:
        kept, held = hold_out(train.labels, run.held_out, run.recipe.seed, "video")
        train, val = train.subset(kept), train.subset(held)
    else:
        val = open_videos(run.data, run.val_split, classes=train.classes, labels=run.labels, where=run.where)
        val = labelled(val, run.val_split, "video")
    if not len(val):
        raise InputError(f"{run.data}: expected videos in split {run.val_split!r}, found none; name another split")
    return train.limited(run.limit), val.limited(run.val_limit)
