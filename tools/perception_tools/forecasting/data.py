"""Forecasting scenarios for training: which, in what order, turned and mirrored how, asking about whom.

Everything random is a function of (seed, pass, scenario), never of a generator's past, so a run that is killed and
resumed sees what an unbroken run sees, and so do any number of processes together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import ScenarioFolder
from perception_datasets.lengths import hide_history
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

    A scenario that cannot be read, has other lengths or nothing to learn from, is named in the sample's `failures`, and
    the next one in the folder's order takes its place.

    Args:
        folder: Where they are.
        input: Shows scenarios to the encoder.
        recipe: Targets and augmentation.
        keep: Number of scenarios that stay in memory; the others are read every time.
        shape: Number of observed and of future steps; that of the first labelled scenario unless given.
    """

    def __init__(
        self,
        folder: ScenarioFolder,
        input: ForecastInput,
        recipe: ForecastRecipe,
        keep: int = KEEP,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self.folder, self.recipe = folder, recipe
        self._input, self._shape = input, shape
        self._scenarios = KeptRecords(self._read, keep)
        self._failed: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, key: Key) -> Sample:
        """A scenario, mirrored and turned at random, with the agents to predict."""
        rng = np.random.default_rng((self.recipe.seed, key.data_pass, key.index))
        failures: dict[str, str] = {}
        index, scenario = self._usable(key.index, failures)
        mirrored = bool(rng.random() < self.recipe.mirror_probability)
        targets = choose_targets(scenario, self.recipe.targets_per_scenario, rng)
        augmentation = Augmentation(mirrored, float(rng.normal(0, self.recipe.turn_std_rad)))
        if self.recipe.history_dropout and rng.random() < self.recipe.history_dropout:
            scenario = self._with_short_past(index, scenario, rng)
        return Sample(scenario, targets, augmentation, failures)

    def _with_short_past(self, index: int, scenario: PreparedScenario, rng: np.random.Generator) -> PreparedScenario:
        """The scenario with a past of at least two steps; it is read and prepared anew, and not kept."""
        record = self.folder[index]
        steps = int(rng.integers(2, max(record.history_steps, 3)))
        return replace(scenario, prepared=self._input.prepare(hide_history(record, steps)))

    def _usable(self, index: int, failures: dict[str, str]) -> tuple[int, PreparedScenario]:
        for candidate in (*range(index, len(self.folder)), *range(index)):
            if candidate not in self._failed:
                try:
                    return candidate, self._scenarios[candidate]
                except (RecordError, UnusableScenario) as error:
                    self._failed[candidate] = str(error)
            failures[self.folder.ids[candidate]] = self._failed[candidate]
        raise InputError(f"training data: expected a usable scenario, got none; the last: {self._failed[index]}")

    def _read(self, index: int) -> PreparedScenario:
        scenario = self.folder[index]
        require_target(scenario)
        if self._shape is None:
            self._shape = first_labelled(self.folder).shape
        scenario.require_shape(self._shape, "as the others have")
        return PreparedScenario(
            self._input.prepare(scenario), scenario.focal, has_target(scenario), is_moving(scenario)
        )


def first_labelled(folder: ScenarioFolder) -> Scenario:
    """The first scenario of a folder that can be learned from: it tells the number of observed and of future steps.

    Raises:
        InputError: There is none.
    """
    failures = Failures()
    for name, scenario in folder.read_named(failures.add):
        try:
            require_target(scenario)
        except UnusableScenario as error:
            failures.add(name, RecordError(str(error)))
        else:
            return scenario
    first = next(iter(failures.reasons.values()), "none")
    raise InputError(f"none of {len(folder)} scenarios could be used; the first: {first}")


def require_target(scenario: Scenario) -> None:
    """Checks that there is something to learn from.

    Raises:
        UnusableScenario: No agent has a future to learn from.
    """
    if not has_target(scenario).any():
        raise UnusableScenario("no agent has a labelled future; train on a split with labels")


def check_apart(train: ScenarioFolder, val: ScenarioFolder) -> str:
    """Returns a warning about scenarios that are both trained on and validated on; empty if there are none.

    Raises:
        InputError: The two are read from the same files, so that validation would measure what was learned by heart.
    """
    if train.reads_the_files_of(val):
        raise InputError(
            f"splits {train.split!r} and {val.split!r}: expected different scenarios to train and to validate on, "
            f"found the same files, such as {val.paths[0]}; put them into a folder for each split"
        )
    shared = val.shared_with(train)
    if not shared:
        return ""
    return (
        f"warning: {len(shared)} of {len(val)} scenarios of split {val.split!r} are in split {train.split!r} too, such "
        f"as {shared[0]}; numbers on them do not show how a model does on new ones"
    )


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
    shape: tuple[int, int] | None = None,
) -> DataLoader[TrainingBatch]:
    """Batches of training views, this process's share of each step."""
    return make_loader(
        TrainingScenarios(folder, input, recipe, keep, shape),
        collate=partial(make_training_batch, input=input, recipe=recipe),
        batch=records_at_once(recipe.batch_scenarios, processes, recipe.accumulate),
        sampler=SegmentSampler(len(folder), recipe.batch_scenarios, recipe.seed, rank, processes),
        workers=workers,
    )


def validation_loader(
    folder: ScenarioFolder,
    input: ForecastInput,
    *,
    rank: int = 0,
    processes: int = 1,
    shape: tuple[int, int] | None = None,
) -> DataLoader[ForecastBatch]:
    """Every scenario's focal agent, neither mirrored nor turned; prepared once, in memory.

    Scenarios that cannot be used are left out here; `perception evaluate` names them.

    Args:
        folder: Where they are.
        input: Shows scenarios to the encoder.
        rank: Number of this process.
        processes: Number of processes that share the scenarios.
        shape: Number of observed and of future steps; that of the first labelled scenario unless given.
    """
    usable: list[tuple[Any, int]] = []
    for scenario in folder.read_all(lambda _name, _error: None):
        if scenario.has_complete_future[scenario.focal]:
            with suppress(UnusableScenario):
                shape = shape or scenario.shape
                scenario.require_shape(shape, "as the others have")
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
