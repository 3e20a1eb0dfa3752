"""Scenarios as an encoder's input keeps them, made once for all processes and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from perception.encoders.forecasting import ForecastInput
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.argoverse.scenario_folder import ScenarioFiles
from perception_datasets.forecasting import ScenarioFolder
from perception_datasets.stores.sources import fingerprint
from perception_datasets.stores.store import StoredSplit
from perception_tools.shared_cache import SharedCache, fingerprint_of
from perception_tools.training.loaders import KeptRecords

STANDING_M = 2.0
"""An agent whose future ends within this distance of its start teaches little: others are chosen first."""
KEEP = 50_000
"""Scenarios kept in memory where there is no shared cache, about 70 kB each."""


@dataclass(frozen=True)
class PreparedScenario:
    """A scenario as the encoder's input keeps it, and who in it can be learned from.

    Attributes:
        prepared: From the input's `prepare`.
        focal: The focal agent.
        has_target: Agents with a complete future, and the focal agent with any of it.
        moving: Agents that are elsewhere at the end of their future.
        shape: Number of observed and of future steps.
        is_scored: Whether the focal agent has a complete future.
    """

    prepared: Any
    focal: int
    has_target: Bool[np.ndarray, " agents"]
    moving: Bool[np.ndarray, " agents"]
    shape: tuple[int, int]
    is_scored: bool

    def require_shape(self, shape: tuple[int, int]) -> None:
        """Checks the number of observed and of future steps, which all scenarios of one model share.

        Raises:
            UnusableScenario: It has others.
        """
        if self.shape != shape:
            raise UnusableScenario(
                f"expected {shape[0]} observed and {shape[1]} future steps as the others have, got {self.shape[0]} "
                f"and {self.shape[1]}; leave it out"
            )


class PreparedScenarios:
    """The scenarios of a folder, prepared: from the shared cache where they are there.

    Args:
        folder: Where they are.
        input: Shows scenarios to the encoder.
        cache: What was prepared before; None to prepare everything anew.
        keep: Number of scenarios that stay in this process's memory where the cache cannot be used.
    """

    def __init__(
        self,
        folder: ScenarioFolder,
        input: ForecastInput,
        cache: SharedCache | None = None,
        keep: int = KEEP,
    ) -> None:
        self._folder, self._input, self._cache = folder, input, cache
        self._maker = None if cache is None else fingerprint_of(input, PreparedScenario)
        self._kept = KeptRecords(self._prepare, keep)

    def __getitem__(self, index: int) -> PreparedScenario:
        """Returns a scenario of the folder.

        Raises:
            RecordError: It cannot be read.
            UnusableScenario: The encoder cannot use it.
        """
        if self._cache is None or self._maker is None:
            return self._kept[index]
        return self._cache.get(self._maker, self._folder.fingerprint(index), lambda: self._prepare(index))

    def _prepare(self, index: int) -> PreparedScenario:
        return prepare_scenario(self._folder[index], self._input)


def prepare_scenario(scenario: Scenario, input: ForecastInput) -> PreparedScenario:
    """A scenario for an encoder.

    Raises:
        UnusableScenario: The encoder cannot use it.
    """
    return PreparedScenario(
        input.prepare(scenario),
        scenario.focal,
        has_target(scenario),
        is_moving(scenario),
        scenario.shape,
        bool(scenario.has_complete_future[scenario.focal]),
    )


@dataclass(frozen=True)
class CachedFiles:
    """Scenarios of raw files, each parsed once for all runs of this host.

    Attributes:
        files: Reads them.
        cache: What was read before.
        maker: From `fingerprint_of`.
    """

    files: ScenarioFiles
    cache: SharedCache
    maker: bytes

    @property
    def source(self) -> str:
        """The data set."""
        return self.files.source

    def names(self) -> Sequence[str]:
        """Returns the names of the scenarios."""
        return self.files.names()

    def path(self, name: str) -> Path:
        """Returns the file to name in a message about a scenario."""
        return self.files.path(name)

    def inputs(self, name: str) -> Sequence[Path]:
        """Returns all that a scenario is read from."""
        return self.files.inputs(name)

    def read(self, name: str) -> Scenario:
        """Returns a scenario as it was read before, or reads it; raises RecordError if its files are broken."""
        return self.cache.get(self.maker, f"{name} {fingerprint(self.inputs(name))}", lambda: self.files.read(name))


def with_cache(folder: ScenarioFolder, cache: SharedCache | None) -> ScenarioFolder:
    """Returns a folder whose raw files are parsed once for all runs; a prepared store is quick to read as it is."""
    if cache is None or isinstance(folder.files, StoredSplit):
        return folder
    maker = fingerprint_of(folder.files, Scenario)
    return folder if maker is None else replace(folder, files=CachedFiles(folder.files, cache, maker))


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
