"""Forecasting scenarios for training: which, in what order, turned and mirrored how, asking about whom.

Everything random is a function of (seed, pass, scenario), never of a generator's past, so a run that is killed and
resumed sees what an unbroken run sees, and so do any number of processes together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from perception.batches import TensorRecord
from perception.encoders.forecasting import ForecastBatch, ForecastInput
from perception.errors import InputError
from perception.traffic.augmentation import Augmentation
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.errors import RecordError
from perception_datasets.forecasting import ScenarioFolder
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.loaders import KeptRecords, make_loader
from perception_tools.training.sampler import Key, SegmentSampler, records_at_once

STANDING_M = 2.0
"""An agent whose future ends within this distance of its start teaches little: others are chosen first."""
KEEP = 50_000
"""Scenarios kept in memory by default, about 70 kB each."""


@dataclass(frozen=True)
class PreparedScenario:
    """A scenario as the encoder's input keeps it, and who in it can be learned from.

    Attributes:
        prepared: From the input's `prepare`.
        focal: The focal agent.
        has_target: Agents with a complete future, and the focal agent with any of it.
        moving: Agents that are elsewhere at the end of their future.
    """

    prepared: Any
    focal: int
    has_target: Bool[np.ndarray, " agents"]
    moving: Bool[np.ndarray, " agents"]


@dataclass(frozen=True)
class Sample:
    """A scenario as one training step sees it.

    Attributes:
        scenario: The scenario.
        targets: Agents to predict.
        augmentation: How it is changed.
        failures: Scenarios that it stands in for, by name with the reason.
    """

    scenario: PreparedScenario
    targets: Int[np.ndarray, " targets"]
    augmentation: Augmentation
    failures: dict[str, str]


@dataclass(frozen=True)
class TrainingBatch(TensorRecord):
    """One step's scenarios.

    Attributes:
        views: What the model reads.
        weights: Weight of each predicted agent in the loss; 0 where a row only pads.
        failures: Scenarios that could not be used on the way, by name with the reason.
    """

    views: ForecastBatch
    weights: Float32[Tensor, "views rows"]
    failures: dict[str, str]


class TrainingScenarios(Dataset[Sample]):
    """Scenarios of a folder, prepared once and kept in memory.

    A scenario that cannot be read, or has nothing to learn from, is named in the sample's `failures`, and the next one
    in the folder's order takes its place.

    Args:
        folder: Where they are.
        input: Shows scenarios to the encoder.
        recipe: Targets and augmentation.
        keep: Number of scenarios that stay in memory; the others are read every time.
    """

    def __init__(self, folder: ScenarioFolder, input: ForecastInput, recipe: ForecastRecipe, keep: int = KEEP) -> None:
        self.folder, self.recipe = folder, recipe
        self._input = input
        self._scenarios = KeptRecords(self._read, keep)
        self._failed: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, key: Key) -> Sample:
        """A scenario, mirrored and turned at random, with the agents to predict."""
        rng = np.random.default_rng((self.recipe.seed, key.data_pass, key.index))
        failures: dict[str, str] = {}
        scenario = self._usable(key.index, failures)
        mirrored = bool(rng.random() < self.recipe.mirror_probability)
        targets = choose_targets(scenario, self.recipe.targets_per_scenario, rng)
        augmentation = Augmentation(mirrored, float(rng.normal(0, self.recipe.turn_std_rad)))
        return Sample(scenario, targets, augmentation, failures)

    def _usable(self, index: int, failures: dict[str, str]) -> PreparedScenario:
        for candidate in (*range(index, len(self.folder)), *range(index)):
            if candidate not in self._failed:
                try:
                    return self._scenarios[candidate]
                except (RecordError, UnusableScenario) as error:
                    self._failed[candidate] = str(error)
            failures[self.folder.ids[candidate]] = self._failed[candidate]
        raise InputError(f"training data: expected a usable scenario, got none; the last: {self._failed[index]}")

    def _read(self, index: int) -> PreparedScenario:
        scenario = self.folder[index]
        prepared = PreparedScenario(
            self._input.prepare(scenario), scenario.focal, has_target(scenario), is_moving(scenario)
        )
        if not prepared.has_target.any():
            raise UnusableScenario("no agent has a labelled future; train on a split with labels")
        return prepared


def has_target(scenario: Scenario) -> Bool[np.ndarray, " agents"]:
    """Agents that can be learned from: seen now with a complete future, or the focal agent with any future."""
    usable = scenario.has_complete_future.copy()
    usable[scenario.focal] = scenario.agents.valid[scenario.focal, scenario.history_steps :].any()
    return usable


def is_moving(scenario: Scenario) -> Bool[np.ndarray, " agents"]:
    """Agents that are elsewhere at the end of their future; the unlabelled end counts as the present place."""
    position, valid = scenario.agents.position, scenario.agents.valid
    end = np.linalg.norm(position[:, -1] - position[:, scenario.present], axis=-1)
    return valid[:, -1] & (end > STANDING_M)


def choose_targets(scenario: PreparedScenario, count: int, rng: np.random.Generator) -> Int[np.ndarray, " targets"]:
    """The focal agent and others at random, moving ones first and at most one that stands still.

    Args:
        scenario: Its focal agent is left out if it has no future to learn from.
        count: Maximum number of targets.
        rng: Decides among the others.
    """
    usable = scenario.has_target.copy()
    first = np.array([scenario.focal])[usable[[scenario.focal]]]
    usable[scenario.focal] = False
    moving = rng.permutation(np.flatnonzero(usable & scenario.moving))
    standing = rng.permutation(np.flatnonzero(usable & ~scenario.moving))
    return np.concatenate([first, moving, standing[:1]])[:count]


def make_training_batch(samples: Sequence[Sample], input: ForecastInput, recipe: ForecastRecipe) -> TrainingBatch:
    """Samples as one step's batch."""
    views = input.collate(
        [sample.scenario.prepared for sample in samples],
        [sample.targets for sample in samples],
        [sample.augmentation for sample in samples],
    )
    is_focal = np.concatenate([sample.targets == sample.scenario.focal for sample in samples])
    weights = torch.zeros(views.rows_valid.shape)
    weights[views.rows_valid] = torch.where(torch.from_numpy(is_focal), recipe.focal_weight, 1.0)
    failures = {name: reason for sample in samples for name, reason in sample.failures.items()}
    return TrainingBatch(views, weights, failures)


def training_loader(
    folder: ScenarioFolder,
    input: ForecastInput,
    recipe: ForecastRecipe,
    *,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    keep: int = KEEP,
) -> DataLoader[TrainingBatch]:
    """Batches of training views, this process's share of each step."""
    return make_loader(
        TrainingScenarios(folder, input, recipe, keep),
        collate=partial(make_training_batch, input=input, recipe=recipe),
        batch=records_at_once(recipe.batch_scenarios, processes, recipe.accumulate),
        sampler=SegmentSampler(len(folder), recipe.batch_scenarios, recipe.seed, rank, processes),
        workers=workers,
    )


def validation_loader(
    folder: ScenarioFolder, input: ForecastInput, *, rank: int = 0, processes: int = 1
) -> DataLoader[ForecastBatch]:
    """Every scenario's focal agent, neither mirrored nor turned; prepared once, in memory.

    Scenarios that cannot be used are left out here; `perception evaluate` names them.
    """
    usable: list[tuple[Any, int]] = []
    for scenario in folder.read_all(lambda _name, _error: None):
        if scenario.has_complete_future[scenario.focal]:
            with suppress(UnusableScenario):
                usable.append((input.prepare(scenario), scenario.focal))
    if len(usable) < processes:
        raise InputError(
            f"validation split of {folder.source}: expected at least {processes} scenarios (one a process) whose "
            f"focal agent has a complete future, got {len(usable)} of {len(folder)}; validate on a split with labels"
        )
    return make_loader(usable[rank::processes], collate=partial(_make_validation_batch, input=input), batch=32)


def _make_validation_batch(scenarios: Sequence[tuple[Any, int]], input: ForecastInput) -> ForecastBatch:
    """Asks for the focal agents alone."""
    return input.collate([prepared for prepared, _ in scenarios], [np.array([focal]) for _, focal in scenarios])
