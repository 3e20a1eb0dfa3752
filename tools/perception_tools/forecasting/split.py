"""The scenarios of a split that models can be scored on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from perception.errors import InputError
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.forecasting.model import TrainedForecaster

ENOUGH = 20
"""Number of scenarios at the start which, if all have another number of steps, tell that the others have, too."""


def trained_shape(models: Sequence[TrainedForecaster]) -> tuple[int, int]:
    """Number of observed and of future steps that models were trained on.

    Raises:
        InputError: They differ, so that no scenario suits all.
    """
    shapes = {(model.training.history_steps, model.training.future_steps): model.name for model in models}
    if len(shapes) > 1:
        found = ", ".join(f"{name} with {history} and {future}" for (history, future), name in shapes.items())
        raise InputError(
            f"evaluate: expected models of the same number of observed and future steps, got {found}; evaluate those "
            "that were trained on one kind of data"
        )
    return next(iter(shapes))


def scenarios_in_train(data: Path, folder: ScenarioFolder) -> int | None:
    """Number of scenarios that are in the training split of the same data too; None where there is no other split."""
    try:
        train = None if folder.split == "train" else open_forecasting(data, "train")
    except InputError:
        return None
    if train is None or train.reads_the_files_of(folder):  # a folder without a split level
        return None
    return len(folder.shared_with(train))


class Split:
    """The usable scenarios of a folder, in batches; remembers where each stands, and which could not be used.

    Args:
        folder: Where they are.
        shape: Number of observed and of future steps of a usable scenario; any unless given.
        in_train: Number of them that are in the training split too; None where that is not known.
    """

    def __init__(
        self, folder: ScenarioFolder, shape: tuple[int, int] | None = None, in_train: int | None = None
    ) -> None:
        self.folder, self.shape, self.in_train = folder, shape, in_train
        self.failures = Failures()
        self._index: dict[str, int] = {}
        self._of_other_shape = 0

    def batches(self, size: int) -> Iterator[list[Scenario]]:
        """At most this many scenarios at a time.

        Raises:
            InputError: The first `ENOUGH` scenarios that can be read all have another number of steps.
        """
        batch: list[Scenario] = []
        for index, name in enumerate(self.folder.ids):
            try:
                scenario = self.folder[index]
                scenario.require_focal()
                self._check_shape(scenario)
            except (RecordError, UnusableScenario) as error:
                self.failures.add(name, RecordError(str(error)))
                continue
            batch.append(scenario)
            self._index[scenario.id] = index
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _check_shape(self, scenario: Scenario) -> None:
        if self.shape is None:
            return
        try:
            scenario.require_shape(self.shape, "as in training")
        except UnusableScenario as error:
            self._of_other_shape += 1
            if self._of_other_shape >= ENOUGH and not self._index:
                raise InputError(
                    f"{error}, and so on; evaluate on a labelled split of the kind of data that was trained on"
                ) from error
            raise

    def notes(self) -> list[str]:
        """What a reader of the report must know of the scenarios."""
        failed = [self.failures.report(len(self.folder))] if len(self.failures) else []
        return failed + ([leak(self.in_train)] if self.in_train else [])

    def recall(self, scenario_id: str) -> Scenario:
        """One of the scenarios that `batches` gave, read again."""
        return self.folder[self._index[scenario_id]]


def leak(count: int) -> str:
    """Returns a warning about scenarios that are trained on too."""
    return f"warning: {count} of the scenarios are in the training split of the same data too"
