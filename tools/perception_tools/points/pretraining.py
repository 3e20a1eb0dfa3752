"""Pre-training of an encoder of point clouds without labels, and what takes the encoder over."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from perception.clouds.cloud import CloudInput
from perception.encoders.point_bert import PointBert
from perception.errors import InputError
from perception.losses.reconstruction import chamfer_distance
from perception.models.point_masked_autoencoder import PointMaskedAutoencoder
from perception_datasets.clouds.records import Clouds
from perception_tools.classification.learning import LabelledBatch
from perception_tools.classification.records import labelled_loaders
from perception_tools.model_files import read_model, write_model
from perception_tools.points.data import ShownClouds, TrainingClouds
from perception_tools.points.model import PointTraining, build_encoder
from perception_tools.points.recipes import PointRecipe
from perception_tools.points.run import PointRun
from perception_tools.points.task import TASK
from perception_tools.training.job import Job
from perception_tools.training.reading_task import ReadingTask
from perception_tools.training.sampler import SegmentSampler

SCALE = 1000.0
"""Factor of the loss, so that it is near 1: groups have a radius of some hundredths of a cloud's."""
VALIDATION_BATCH = 64


def build_autoencoder(recipe: PointRecipe) -> PointMaskedAutoencoder:
    """The model of a recipe for pre-training, initialised from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        shown = CloudInput(recipe.points, recipe.scaling)
        return PointMaskedAutoencoder(build_encoder(recipe), recipe.mask_ratio, shown)


class PretrainingTask(ReadingTask[PointRecipe, PointMaskedAutoencoder]):
    """An encoder and how it learns without labels: by the Chamfer distance of hidden groups."""

    noun = "cloud"

    @override
    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Float[Tensor, ""]:
        """Hides a random block of groups in each cloud."""
        self.unread |= dict(batch.unread)
        found = self.model(batch.values, torch.rand(len(batch.values), device=batch.values.device))
        loss = SCALE * chamfer_distance(found.predicted, found.true).mean()
        self.log_step({"train/chamfer": loss})
        return loss

    @override
    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Hides blocks that are the same in every validation."""
        self.unread_in_validation |= dict(batch.unread)
        if not len(batch.labels):
            return
        found = self.model(batch.values, fixed_seeds(len(batch.values)).to(batch.values.device))
        loss = SCALE * chamfer_distance(found.predicted, found.true).mean()
        self.log("val/chamfer", loss, prog_bar=True, batch_size=len(batch.labels), sync_dist=True)


def fixed_seeds(count: int) -> Float[Tensor, " {count}"]:
    """Where the hidden block of each cloud of a batch grows from, in evaluation."""
    return torch.rand(count, generator=torch.Generator().manual_seed(0))


def pretraining_job(run: PointRun, train: Clouds, val: Clouds) -> Job:
    """Clouds without their labels, and the model of the recipe.

    Args:
        run: The run.
        train: Clouds to learn from.
        val: Clouds to validate on.
    """
    recipe = run.recipe
    model = build_autoencoder(recipe)
    task = PretrainingTask(recipe, model)
    segments = SegmentSampler(len(train), recipe.batch, recipe.seed)
    changed, seen = TrainingClouds(train, model.input, recipe, run.keep), ShownClouds(val, model.input, run.keep)

    def save(path: Path, steps: int) -> None:
        training = PointTraining(run.name, run.data.resolve().name, len(train), steps, run.best_on)
        write_model(path, model, TASK.format, {"recipe": recipe.to_json(), "training": asdict(training)})

    return Job(
        task=task,
        segments=segments,
        loaders=labelled_loaders(
            changed, seen, segments, parts=recipe.accumulate, batch_judged=VALIDATION_BATCH, workers=run.workers
        ),
        save=save,
        monitor="val/chamfer",
        mode="min",
        closing_message=task.unread_in_words,
        next_command=f"perception analyse reconstruction {run.out} --data {run.data} --out …, or perception train "
        f"points/… --encoder-run {run.out}",
        name_of=train.ids.__getitem__,
    )


def load_autoencoder(path: Path) -> tuple[PointMaskedAutoencoder, PointRecipe]:
    """A pre-trained model in evaluation mode, and its recipe.

    Raises:
        InputError: There is no such run, or it is not one of pre-training.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe, _ = stored.recipe_and_training(PointRecipe, PointTraining)
        if not recipe.mask_ratio:
            raise InputError(
                "expected an encoder that was pre-trained, got a classifier; give a run of points/pretrain-…"
            )
        model = build_autoencoder(recipe)
        stored.load_into(model)
    return model.eval(), recipe


def load_encoder_of(run: Path, encoder: PointBert, recipe: PointRecipe) -> None:
    """Puts the encoder of a pre-training into another.

    Raises:
        InputError: There is no such run, or it is of another size; the numbers of points and groups may differ.
    """
    model, theirs = load_autoencoder(run)
    if theirs.size != recipe.size:
        raise InputError(
            f"{run}: expected an encoder of size {recipe.size}, got {theirs.size}; give --size {theirs.size}"
        )
    encoder.load_state_dict(model.encoder.state_dict())
