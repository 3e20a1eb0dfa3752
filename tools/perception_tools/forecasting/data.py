"""Forecasting scenarios for training: which, in what order, turned and mirrored how, asking about whom.

Everything random is a function of (seed, pass, scenario), never of a generator's past, so a run that is killed and
resumed sees what an unbroken run sees, and so do any number of processes together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from perception.encoders.vectornet.vectorize import UnusableScenario, VectorizedScenario, mirror, vectorize
from perception.encoders.vectornet.views import VectorBatch, make_batch
from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.forecasting import ScenarioFolder
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.sampler import Key, SegmentSampler

STILL_M = 2.0
"""An agent whose future ends within this distance of its start teaches little: others are chosen first."""


@dataclass(frozen=True)
class Sample:
    """A scenario as one training step sees it.

    Attributes:
        vectors: The scenario, perhaps mirrored.
        targets: Rows of the agents to predict.
        turn_rad: By how much its views are turned.
        failures: Scenarios that it stands in for, by name with the reason.
    """

    vectors: VectorizedScenario
    targets: Int[np.ndarray, " targets"]
    turn_rad: float
    failures: dict[str, str]


@dataclass(frozen=True)
class TrainingBatch:
    """One step's views.

    Attributes:
        views: Of all its scenarios.
        weights: Of each predicted agent in the loss; 0 where a row only pads.
        failures: Scenarios that could not be used on the way, by name with the reason.
    """

    views: VectorBatch
    weights: Float32[Tensor, "views rows"]
    failures: dict[str, str]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TrainingBatch:
        """The same batch on another device."""
        return replace(
            self, views=self.views.to(device, non_blocking), weights=self.weights.to(device, non_blocking=non_blocking)
        )


class TrainingScenarios(Dataset[Sample]):
    """Scenarios of a folder, vectorised once and kept in memory.

    A scenario that cannot be read, or has nothing to learn from, is named in the sample's `failures`, and the next one
    in the folder's order takes its place.

    Args:
        folder: Where they are.
        recipe: Targets and augmentation.
        keep: At most this many stay in memory (about 70 kB each); the others are read every time.
    """

    def __init__(self, folder: ScenarioFolder, recipe: ForecastRecipe, keep: int = 50_000) -> None:
        self.folder, self.recipe, self.keep = folder, recipe, keep
        self._kept: dict[int, VectorizedScenario] = {}
        self._failed: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, key: Key) -> Sample:
        """A scenario, mirrored and turned at random, with the agents to predict."""
        rng = np.random.default_rng((self.recipe.seed, key.data_pass, key.index))
        failures: dict[str, str] = {}
        vectors = self._usable(key.index, failures)
        if rng.random() < self.recipe.mirror_probability:
            vectors = mirror(vectors)
        targets = choose_targets(vectors, self.recipe.targets_per_scenario, rng)
        return Sample(vectors, targets, float(rng.normal(0, self.recipe.turn_std_rad)), failures)

    def _usable(self, index: int, failures: dict[str, str]) -> VectorizedScenario:
        for candidate in (*range(index, len(self.folder)), *range(index)):
            vectors = self._kept.get(candidate)
            if vectors is None and candidate not in self._failed:
                vectors = self._read(candidate)
            if vectors is not None:
                return vectors
            failures[self.folder.ids[candidate]] = self._failed[candidate]
        raise InputError(f"training data: expected a usable scenario, got none; the last: {self._failed[index]}")

    def _read(self, index: int) -> VectorizedScenario | None:
        try:
            vectors = vectorize(self.folder[index])
        except (RecordError, UnusableScenario) as error:
            self._failed[index] = str(error)
            return None
        if not has_target(vectors).any():
            self._failed[index] = "no agent has a labelled future; train on a split with labels"
            return None
        if len(self._kept) < self.keep:
            self._kept[index] = vectors
        return vectors


def has_target(vectors: VectorizedScenario) -> Bool[np.ndarray, " agents"]:
    """Agents that can be learned from: a complete future, or the focal agent with any of it."""
    usable = vectors.futures_valid.all(axis=1) & (vectors.futures_valid.shape[1] > 0)
    usable[vectors.focal] = vectors.futures_valid[vectors.focal].any()
    return usable


def moving(vectors: VectorizedScenario) -> Bool[np.ndarray, " agents"]:
    """Agents that are elsewhere at the end of their future."""
    return np.linalg.norm(vectors.futures[:, -1], axis=-1) > STILL_M


def choose_targets(vectors: VectorizedScenario, count: int, rng: np.random.Generator) -> Int[np.ndarray, " targets"]:
    """The focal agent and others at random, moving ones first and at most one that stands still.

    Args:
        vectors: The scenario; its focal agent is left out if it has no future to learn from.
        count: How many at most.
        rng: Chooses.
    """
    usable, moves = has_target(vectors), moving(vectors)
    first = np.array([vectors.focal])[usable[[vectors.focal]]]
    usable[vectors.focal] = False
    on_the_way = rng.permutation(np.flatnonzero(usable & moves))
    still = rng.permutation(np.flatnonzero(usable & ~moves))
    return np.concatenate([first, on_the_way, still[:1]])[:count]


def make_training_batch(samples: Sequence[Sample], recipe: ForecastRecipe) -> TrainingBatch:
    """Samples to one step's views."""
    views = make_batch(
        [sample.vectors for sample in samples],
        [sample.targets for sample in samples],
        frame=recipe.frame,
        max_tokens=recipe.max_tokens,
        turn_rad=[sample.turn_rad for sample in samples],
    )
    focal = torch.tensor([sample.vectors.focal for sample in samples])[views.view_scenario]
    weights = torch.where(views.row_agents == focal[:, None], recipe.focal_weight, 1.0) * views.rows_valid
    failures = {name: reason for sample in samples for name, reason in sample.failures.items()}
    return TrainingBatch(views, weights, failures)


def training_loader(
    folder: ScenarioFolder, recipe: ForecastRecipe, *, rank: int = 0, processes: int = 1, workers: int = 0
) -> DataLoader[Sample]:
    """Batches of training views, this process's share of each step."""
    return DataLoader(
        TrainingScenarios(folder, recipe),
        batch_size=recipe.batch_scenarios // processes,
        sampler=SegmentSampler(len(folder), recipe.batch_scenarios, recipe.seed, rank, processes),
        collate_fn=partial(make_training_batch, recipe=recipe),
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def validation_loader(
    folder: ScenarioFolder, recipe: ForecastRecipe, *, rank: int = 0, processes: int = 1
) -> DataLoader[VectorizedScenario]:
    """Every scenario's focal agent, neither mirrored nor turned; vectorised once, in memory.

    Scenarios that cannot be used are left out here; `perception evaluate` names them.
    """
    usable: list[VectorizedScenario] = []
    for scenario in folder.read_all(lambda _name, _error: None):
        try:
            vectors = vectorize(scenario)
        except UnusableScenario:
            continue
        if vectors.futures_valid[vectors.focal].all() and vectors.futures_valid.shape[1]:
            usable.append(vectors)
    if len(usable) < processes:
        raise InputError(
            f"validation split of {folder.source}: expected at least {processes} scenarios (one a process) whose "
            f"focal agent has a complete future, got {len(usable)} of {len(folder)}; validate on a split with labels"
        )
    share = cast(Dataset[VectorizedScenario], usable[rank::processes])  # a list has all that a DataLoader asks of one
    return DataLoader(share, batch_size=32, collate_fn=partial(make_validation_batch, recipe=recipe))


def make_validation_batch(scenarios: Sequence[VectorizedScenario], recipe: ForecastRecipe) -> VectorBatch:
    """The focal agents' views."""
    focal = [np.array([scenario.focal]) for scenario in scenarios]
    return make_batch(scenarios, focal, frame=recipe.frame, max_tokens=recipe.max_tokens)
