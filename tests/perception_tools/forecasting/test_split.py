from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.traffic.scenario import Scenario
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.forecasting.split import ENOUGH, Split


def test_a_split_remembers_where_each_scenario_stands(broken_data: Path) -> None:
    split = Split(open_forecasting(broken_data, "val"))
    batches = list(split.batches(3))
    assert [len(batch) for batch in batches] == [3, 1]
    for scenario in (scenario for batch in batches for scenario in batch):
        again = split.recall(scenario.id)
        assert again.id == scenario.id
        np.testing.assert_array_equal(again.agents.position, scenario.agents.position)


def test_data_of_another_kind_are_refused_before_all_are_read(make_scenario: Callable[..., Scenario]) -> None:
    read: list[str] = []

    class Unlabelled:
        source = "synthetic"

        def names(self) -> list[str]:
            return [str(number) for number in range(10 * ENOUGH)]

        def path(self, name: str) -> Path:
            return Path("unlabelled") / name

        def inputs(self, name: str) -> tuple[Path, ...]:
            return (self.path(name),)

        def read(self, name: str) -> Scenario:
            read.append(name)
            return make_scenario(name, history_steps=5, steps=5)

    folder = ScenarioFolder(Unlabelled(), "test", Unlabelled().names())
    with pytest.raises(InputError, match="expected 5 observed and 10 future steps as in training, got 5 and 0; "):
        list(Split(folder, (5, 10)).batches(4))
    assert len(read) == ENOUGH
