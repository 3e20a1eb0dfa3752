"""`perception train RECIPE --data DIR --out DIR`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from perception_tools.forecasting.recipes import DESCRIPTIONS, RECIPES, ForecastRecipe
from perception_tools.scene_qa.recipes import DESCRIPTIONS as SCENE_QA_DESCRIPTIONS
from perception_tools.scene_qa.recipes import RECIPES as SCENE_QA_RECIPES
from perception_tools.scene_qa.recipes import SceneQaRecipe


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What every kind of training run is told beside its data and recipe.

    Attributes:
        out: The run's folder. If it holds an unfinished run of the same recipe, that run goes on.
        name: Of the recipe.
        split: Which split to train on.
        val_split: Which split to validate on.
        workers: Processes that read data. With 0 the training process reads, which is fastest where all fits in memory.
        devices: Processes that train, each on a GPU of its own or on the CPU. Under torchrun: on each host.
        nodes: Hosts, under torchrun.
        accelerator: Lightning's name: auto, cpu, gpu.
        restart: Forget the run that is in `out`.
    """

    out: Path
    name: tyro.conf.Suppress[str]
    split: str = "train"
    val_split: str = "val"
    workers: int = 0
    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    restart: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingRun(RunOptions):
    """What to train a forecaster on, and where to put it.

    Attributes:
        data: A raw Argoverse 1 or 2 folder, sensor logs, synthetic scenarios, or a prepared store.
        recipe: Every number, each with an option of its own.
        limit: Train on the first so many scenarios only.
        val_limit: Validate on the first so many only.
    """

    data: Path
    recipe: tyro.conf.OmitArgPrefixes[ForecastRecipe]
    limit: int | None = None
    val_limit: int | None = None

    def describe(self) -> dict:
        """What makes it this run and no other, for its folder."""
        return {
            "name": self.name,
            "recipe": self.recipe.to_json(),
            "data": str(self.data.resolve()),
            "limit": self.limit,
        }


@dataclass(frozen=True, kw_only=True)
class SceneQaTrainingRun(RunOptions):
    """What to train a scene answerer on, and where to put it.

    Attributes:
        data: A store with scenes and questions (`perception prepare scannet`, then `sqa3d`).
        recipe: Every number, each with an option of its own.
        answers: SQA3D's answer_dict.json. Without it, the answers are those that occur twice in the training split.
        word_vectors: A GloVe text file. Without it, word vectors are learned.
        detector_run: A run whose detector is taken as it is and learns no more: a `…-detector` recipe's, or any
            answerer's with such a detector. Controls and seeds are then compared on the same objects, in less time.
        limit: Train on the first so many scenes only.
        val_limit: Validate on the first so many only.
    """

    data: Path
    recipe: tyro.conf.OmitArgPrefixes[SceneQaRecipe]
    answers: Path | None = None
    word_vectors: Path | None = None
    detector_run: Path | None = None
    limit: int | None = None
    val_limit: int | None = None

    def describe(self) -> dict:
        """What makes it this run and no other, for its folder."""
        return {
            "name": self.name,
            "recipe": self.recipe.to_json(),
            "data": str(self.data.resolve()),
            "answers": str(self.answers.resolve()) if self.answers else None,
            "word_vectors": str(self.word_vectors.resolve()) if self.word_vectors else None,
            "detector_run": str(self.detector_run.resolve()) if self.detector_run else None,
            "limit": self.limit,
        }


AnyTrainingRun = TrainingRun | SceneQaTrainingRun

CHOICES = tyro.extras.subcommand_type_from_defaults(
    {
        **{
            name: TrainingRun(data=tyro.MISSING, out=tyro.MISSING, recipe=recipe, name=name)
            for name, recipe in RECIPES.items()
        },
        **{
            name: SceneQaTrainingRun(data=tyro.MISSING, out=tyro.MISSING, recipe=recipe, name=name)
            for name, recipe in SCENE_QA_RECIPES.items()
        },
    },
    descriptions=DESCRIPTIONS | SCENE_QA_DESCRIPTIONS,
    prefix_names=False,
)


def train(run: tyro.conf.OmitArgPrefixes[CHOICES]) -> None:  # pyright: ignore[reportInvalidTypeForm]
    """Trains a recipe; run the same command again after a stop and it goes on where it was.

    Writes to OUT: model.safetensors (the averaged weights, at every validation), run.json, last.ckpt (for resuming)
    and TensorBoard events.
    """
    from perception_tools.training.fit import fit

    fit(run)
