from collections.abc import Callable
from pathlib import Path

import pytest

from perception.traffic.scenario import Scenario
from perception_datasets.argoverse.scenario_folder import ScenarioFiles, ScenarioFolder
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import open_forecasting
from perception_datasets.stores.forecasting import prepare


class Numbers:
    """Scenarios in memory, of which every third is broken."""

    source = "synthetic"

    def __init__(self, make_scenario: Callable[..., Scenario]) -> None:
        self.make_scenario = make_scenario

    def names(self) -> list[str]:
        return [str(number) for number in range(7)]

    def path(self, name: str) -> Path:
        return Path("numbers") / name

    def inputs(self, name: str) -> list[Path]:
        return [self.path(name)]

    def read(self, name: str) -> Scenario:
        if int(name) % 3 == 2:
            raise RecordError(f"numbers/{name}: broken; repair it")
        return self.make_scenario(name)


def test_any_reader_by_name_makes_a_sequence(make_scenario: Callable[..., Scenario]) -> None:
    files = Numbers(make_scenario)
    assert isinstance(files, ScenarioFiles)
    folder = ScenarioFolder(files, "val", files.names())
    assert (len(folder), folder.source, folder.paths[4]) == (7, "synthetic", Path("numbers/4"))
    assert folder[4].id == "4"


def test_bad_scenarios_are_counted_and_named_and_the_others_are_read(make_scenario: Callable[..., Scenario]) -> None:
    files, failures = Numbers(make_scenario), Failures()
    folder = ScenarioFolder(files, "val", files.names())
    assert [scenario.id for scenario in folder.read_all(failures.add)] == ["0", "1", "3", "4", "6"]
    assert len(failures) == 2
    assert failures.report(of=len(folder)) == (
        "2 of 7 scenarios could not be read\n  2: numbers/2: broken; repair it\n  5: numbers/5: broken; repair it"
    )
    assert [name for name, _ in folder.read_named(failures.add)] == ["0", "1", "3", "4", "6"]


def test_an_impossible_scenario_is_a_bad_one_whatever_reader_gave_it(make_scenario: Callable[..., Scenario]) -> None:
    class OneImpossible(Numbers):
        def read(self, name: str) -> Scenario:
            scenario = self.make_scenario(name)
            if name == "1":
                scenario.agents.position[1, 2, 0] = 1e300
            return scenario

    folder, failures = ScenarioFolder(OneImpossible(make_scenario), "val", ("0", "1", "2")), Failures()
    assert [scenario.id for scenario in folder.read_all(failures.add)] == ["0", "2"]
    assert "numbers/1: scenario 1: expected position below 1e+07, found 1e+300" in failures.reasons["1"]
    with pytest.raises(RecordError, match="numbers/1: scenario 1"):
        folder[1]


def test_scenarios_with_the_same_name_are_in_both_folders(make_scenario: Callable[..., Scenario]) -> None:
    files = Numbers(make_scenario)
    one, other = ScenarioFolder(files, "train", ("0", "1", "3")), ScenarioFolder(files, "val", ("3", "0", "4"))
    assert one.shared_with(other) == ["0", "3"]
    assert not one.reads_the_files_of(other), "they have no files"


def test_scenes_of_argoverse_1_are_the_same_if_their_content_is(
    argoverse1: Path,
    tmp_path: Path,
    make_argoverse1_rows: Callable[..., list[str]],
    write_argoverse1_csv: Callable[..., Path],
) -> None:
    train, val = open_forecasting(argoverse1, "train"), open_forecasting(argoverse1, "val")
    assert val.shared_with(train) == ["1", "2"], "made from the same seed"
    write_argoverse1_csv(argoverse1 / "train" / "data" / "2.csv", make_argoverse1_rows(seed=77))
    assert val.shared_with(train) == ["1"], "a number alone says nothing: each split starts from 1"
    for folder in (train, val):
        list(prepare(folder, tmp_path / "store", processes=1))
    stored = {split: open_forecasting(tmp_path / "store", split) for split in ("train", "val")}
    assert stored["val"].shared_with(stored["train"]) == ["1"]
    assert stored["val"].shared_with(train) == ["1"]
    assert not stored["val"].reads_the_files_of(stored["train"])
    assert stored["val"].reads_the_files_of(open_forecasting(tmp_path / "store", "val", limit=2))


def test_a_link_to_a_split_is_that_split(argoverse1: Path) -> None:
    val = open_forecasting(argoverse1, "val")
    (argoverse1 / "other").symlink_to(argoverse1 / "val")
    assert open_forecasting(argoverse1, "other").reads_the_files_of(val)
    assert not open_forecasting(argoverse1, "train").reads_the_files_of(val)


def test_failures_without_entries_are_falsy() -> None:
    assert not Failures()
