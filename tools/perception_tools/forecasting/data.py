"""Forecasting scenarios for training: which, in what order, turned and mirrored how, asking about whom.

Everything random is a function of (seed, pass, scenario), never of a generator's past, so a run that is killed and
resumed sees what an unbroken run sees, and so do any number of processes together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from perception.batches import TensorRecord
from perception.encoders.forecasting import ForecastBatch, ForecastInput
from perception.errors import InputError
from perception.traffic.augmentation import Augmentation
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import ScenarioFolder
from perception_datasets.lengths import earlier, hide_history
from perception_tools.forecasting.prepared import (
    KEEP,
    PreparedScenario,
    PreparedScenarios,
    has_target,
    prepare_scenario,
    with_cache,
)
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.shared_cache import SharedCache
from perception_tools.training.loaders import make_loader
from perception_tools.training.sampler import Key, SegmentSampler, records_at_once


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


OF_PAST = 1
"""How much of the past is seen has random numbers of its own, so that all others stay the same."""


class TrainingScenarios(Dataset[Sample]):
    """Scenarios of a folder, each prepared once.

    A scenario that cannot be read, has other lengths or nothing to learn from, is named in the sample's `failures`, and
    the next one in the folder's order takes its place.

    Args:
        folder: Where they are.
        input: Shows scenarios to the encoder.
        recipe: Targets and augmentation.
        keep: Number of scenarios that stay in memory where there is no cache; the others are read every time.
        shape: Number of observed and of future steps; that of the first labelled scenario unless given.
        cache: What was prepared before.
    """

    def __init__(
        self,
        folder: ScenarioFolder,
        input: ForecastInput,
        recipe: ForecastRecipe,
        keep: int = KEEP,
        shape: tuple[int, int] | None = None,
        cache: SharedCache | None = None,
    ) -> None:
        self.folder, self.recipe = folder, recipe
        self._input, self._shape = input, shape
        self._scenarios = PreparedScenarios(folder, input, cache, keep)
        self._failed: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, key: Key) -> Sample:
        """A scenario, mirrored and turned at random, with the agents to predict."""
        rng = np.random.default_rng((self.recipe.seed, key.data_pass, key.index))
        failures: dict[str, str] = {}
        index, scenario = self._usable(key.index, failures)
        mirrored = bool(rng.random() < self.recipe.mirror_probability)
        if self.recipe.varies_past:
            of_past = np.random.default_rng((self.recipe.seed, key.data_pass, key.index, OF_PAST))
            scenario = self._as_seen(index, scenario, of_past)
        targets = choose_targets(scenario, self.recipe.targets_per_scenario, rng)
        augmentation = Augmentation(mirrored, float(rng.normal(0, self.recipe.turn_std_rad)))
        return Sample(scenario, targets, augmentation, failures)

    def _as_seen(self, index: int, scenario: PreparedScenario, rng: np.random.Generator) -> PreparedScenario:
        """The scenario from an earlier present and with a shorter past, both by chance; then it is read anew."""
        recipe, (past, _) = self.recipe, scenario.shape
        sooner = int(rng.integers(0, min(recipe.earlier_present, past - 2) + 1)) if recipe.earlier_present else 0
        if recipe.history_dropout and rng.random() < recipe.history_dropout:
            past = int(rng.integers(2, max(past, 3)))
        if sooner == 0 and past == scenario.shape[0]:
            return scenario
        record = self.folder[index]
        with suppress(UnusableScenario):  # the focal agent was not seen then
            record = earlier(record, sooner)
        return prepare_scenario(hide_history(record, past), self._input)

    def _usable(self, index: int, failures: dict[str, str]) -> tuple[int, PreparedScenario]:
        for candidate in (*range(index, len(self.folder)), *range(index)):
            if candidate not in self._failed:
                try:
                    return candidate, self._checked(candidate)
                except (RecordError, UnusableScenario) as error:
                    self._failed[candidate] = str(error)
            failures[self.folder.ids[candidate]] = self._failed[candidate]
        raise InputError(f"training data: expected a usable scenario, got none; the last: {self._failed[index]}")

    def _checked(self, index: int) -> PreparedScenario:
        scenario = self._scenarios[index]
        require_target(scenario.has_target)
        if self._shape is None:
            self._shape = first_labelled(self.folder).shape
        scenario.require_shape(self._shape)
        return scenario


def first_labelled(folder: ScenarioFolder) -> Scenario:
    """The first scenario of a folder that can be learned from: it tells the number of observed and of future steps.

    Raises:
        InputError: There is none.
    """
    failures = Failures()
    for name, scenario in folder.read_named(failures.add):
        try:
            require_target(has_target(scenario))
        except UnusableScenario as error:
            failures.add(name, RecordError(str(error)))
        else:
            return scenario
    first = next(iter(failures.reasons.values()), "none")
    raise InputError(f"none of {len(folder)} scenarios could be used; the first: {first}")


def require_target(has_target: Bool[np.ndarray, " agents"]) -> None:
    """Checks that there is something to learn from.

    Raises:
        UnusableScenario: No agent has a future to learn from.
    """
    if not has_target.any():
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
    cache: SharedCache | None = None,
) -> DataLoader[TrainingBatch]:
    """Batches of training views, this process's share of each step.

    Where pasts vary, raw files are parsed once all the same, and scenarios as they were read are kept in the cache too.
    """
    if recipe.varies_past:
        folder = with_cache(folder, cache)
    return make_loader(
        TrainingScenarios(folder, input, recipe, keep, shape, cache),
        collate=partial(make_training_batch, input=input, recipe=recipe),
        batch=records_at_once(recipe.batch_scenarios, processes, recipe.accumulate),
        sampler=SegmentSampler(len(folder), recipe.batch_scenarios, recipe.seed, rank, processes),
        workers=workers,
    )


class ValidationScenarios(Dataset[PreparedScenario]):
    """Scenarios whose focal agent has a complete future, each prepared once; the others are left out.

    Args:
        folder: Where they are.
        input: Shows scenarios to the encoder.
        shape: Number of observed and of future steps; that of the first of them unless given.
        cache: What was prepared before.
    """

    def __init__(
        self,
        folder: ScenarioFolder,
        input: ForecastInput,
        shape: tuple[int, int] | None = None,
        cache: SharedCache | None = None,
    ) -> None:
        self._scenarios = PreparedScenarios(folder, input, cache)
        self._usable: list[int] = []
        for index in range(len(folder)):
            with suppress(RecordError, UnusableScenario):
                scenario = self._scenarios[index]
                if scenario.is_scored:
                    shape = shape or scenario.shape
                    scenario.require_shape(shape)
                    self._usable.append(index)

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, index: int) -> PreparedScenario:
        """One of the scenarios that can be used."""
        return self._scenarios[self._usable[index]]


def validation_loader(
    folder: ScenarioFolder,
    input: ForecastInput,
    *,
    rank: int = 0,
    processes: int = 1,
    shape: tuple[int, int] | None = None,
    cache: SharedCache | None = None,
) -> DataLoader[ForecastBatch]:
    """Every scenario's focal agent, neither mirrored nor turned.

    Scenarios that cannot be used are left out here; `perception evaluate` names them.

    Args:
        folder: Where they are.
        input: Shows scenarios to the encoder.
        rank: Number of this process.
        processes: Number of processes that share the scenarios.
        shape: Number of observed and of future steps; that of the first labelled scenario unless given.
        cache: What was prepared before.
    """
    usable = ValidationScenarios(folder, input, shape, cache)
    if len(usable) < processes:
        raise InputError(
            f"validation split of {folder.source}: expected at least {processes} scenarios (one a process) whose "
            f"focal agent has a complete future, got {len(usable)} of {len(folder)}; validate on a split with labels"
        )
    shared = Subset(usable, range(rank, len(usable), processes))
    return make_loader(shared, collate=partial(_make_validation_batch, input=input), batch=32)


def _make_validation_batch(scenarios: Sequence[PreparedScenario], input: ForecastInput) -> ForecastBatch:
    """Asks for the focal agents alone."""
    return input.collate([s.prepared for s in scenarios], [np.array([s.focal]) for s in scenarios])
