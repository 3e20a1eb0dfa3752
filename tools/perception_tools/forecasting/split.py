"""The scenarios of a split that models can be scored on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from perception.errors import InputError
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_datasets.lengths import shorten
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


def asked_shape(
    models: Sequence[TrainedForecaster], history_steps: int | None, horizon_steps: int | None
) -> tuple[int, int]:
    """Number of observed steps to show models and of future steps to score, where the user says one of them.

    Raises:
        InputError: They are too few, the models do not look as far, or they differ where the user does not say.
    """
    if history_steps is not None and history_steps < 2:
        raise InputError(f"--history-steps {history_steps}: expected at least 2, from which a motion can be seen")
    nearest = min(model.training.future_steps for model in models)
    if horizon_steps is not None and not 1 <= horizon_steps <= nearest:
        raise InputError(
            f"--horizon-steps {horizon_steps}: expected from 1 to {nearest}, which is as far as the models look; give "
            "such a number"
        )
    if history_steps is not None and horizon_steps is not None:
        return history_steps, horizon_steps
    history, future = trained_shape(models)
    return history_steps or history, horizon_steps or future


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
        cut: Whether longer scenarios are cut to this shape, the past at its beginning and the future at its end.
    """

    def __init__(
        self,
        folder: ScenarioFolder,
        shape: tuple[int, int] | None = None,
        in_train: int | None = None,
        cut: bool = False,
    ) -> None:
        self.folder, self.shape, self.in_train = folder, shape, in_train
        self._cut = shape if cut else None
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
                scenario = self._read(index)
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

    def _read(self, index: int) -> Scenario:
        scenario = self.folder[index]
        return scenario if self._cut is None else shorten(scenario, *self._cut)

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
        return self._read(self._index[scenario_id])


def leak(count: int) -> str:
    """Returns a warning about scenarios that are trained on too."""
    return f"warning: {count} of the scenarios are in the training split of the same data too"
