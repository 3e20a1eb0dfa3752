from collections.abc import Callable
from pathlib import Path

from perception.traffic.scenario import Scenario
from perception_datasets.argoverse.scenario_folder import ScenarioFiles, ScenarioFolder
from perception_datasets.errors import Failures, RecordError


class Numbers:
    """Scenarios in memory, of which every third is broken."""

    source = "synthetic"

    def __init__(self, make_scenario: Callable[..., Scenario]) -> None:
        self.make_scenario = make_scenario

    def names(self) -> list[str]:
        return [str(number) for number in range(7)]

    def path(self, name: str) -> Path:
        return Path("numbers") / name

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


def test_failures_without_entries_are_falsy() -> None:
    assert not Failures()
