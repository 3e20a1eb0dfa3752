"""Scenarios are prepared once, whoever asks for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from perception.encoders.vectornet.input import VectorizedInput
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.errors import RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_datasets.stores.forecasting import prepare
from perception_tools.forecasting.prepared import PreparedScenario, PreparedScenarios, with_cache
from perception_tools.shared_cache import SharedCache


class Counting(VectorizedInput):
    """Counts what it prepares, outside of its state."""

    prepared: ClassVar[list[str]] = []

    def prepare(self, scenario: Scenario):
        self.prepared.append(scenario.id)
        return super().prepare(scenario)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are written by the test's own process: starting others takes seconds."""
    pool = SimpleNamespace(map=map)
    monkeypatch.setattr("perception_datasets.stores.writer.worker_pool", lambda *_: nullcontext(pool))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SharedCache]:
    Counting.prepared.clear()
    cache = SharedCache(tmp_path / "cache.sqlite3", 100_000_000)
    yield cache
    cache.close()


def same(left: PreparedScenario, right: PreparedScenario) -> bool:
    vectors = [
        np.array_equal(getattr(left.prepared, f.name), getattr(right.prepared, f.name)) for f in fields(left.prepared)
    ]
    able = np.array_equal(left.has_target, right.has_target), np.array_equal(left.moving, right.moving)
    return all([*vectors, *able, left.focal == right.focal, left.shape == right.shape])


def everything(folder: ScenarioFolder, cache: SharedCache | None, input: VectorizedInput) -> list[PreparedScenario]:
    scenarios = PreparedScenarios(folder, input, cache)
    return [scenarios[index] for index in range(len(folder))]


def test_a_second_run_prepares_nothing_and_sees_the_same(data: Path, cache: SharedCache) -> None:
    folder = open_forecasting(data, "val")
    first = everything(folder, cache, Counting())
    assert Counting.prepared == list(folder.ids)
    second = everything(folder, cache, Counting())
    assert Counting.prepared == list(folder.ids)
    plain = everything(folder, None, VectorizedInput())
    assert all(map(same, first, second))
    assert all(map(same, first, plain))


def test_a_scene_whose_file_changed_is_prepared_anew_and_no_other(
    write_data: Callable[[Path], Path], tmp_path: Path, cache: SharedCache
) -> None:
    folder = open_forecasting(write_data(tmp_path / "argoverse1"), "val")
    everything(folder, cache, Counting())
    Counting.prepared.clear()
    path = folder.paths[1]
    path.write_text(path.read_text() + "\n")
    everything(folder, cache, Counting())
    assert Counting.prepared == [folder.ids[1]]


def test_records_of_a_store_are_found_again_in_another_store(data: Path, tmp_path: Path, cache: SharedCache) -> None:
    list(prepare(open_forecasting(data, "val"), tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for name in ("one", "two"):
        everything(open_forecasting(tmp_path / name, "val"), cache, Counting())
    assert len(Counting.prepared) == 5, "the records are the same"


def test_a_broken_file_and_a_scene_that_cannot_be_used_are_errors_each_time(
    broken_data: Path, cache: SharedCache
) -> None:
    scenarios = PreparedScenarios(open_forecasting(broken_data, "val"), Counting(), cache)
    for _ in range(2):
        with pytest.raises(RecordError, match=r"2\.csv"):
            scenarios[1]
    with pytest.raises(UnusableScenario, match="expected 5 observed and 6 future steps as the others have, got 20 and"):
        scenarios[0].require_shape((5, 6))


@pytest.mark.usefixtures("cache")
def test_without_a_cache_as_many_as_asked_for_stay_in_memory(data: Path) -> None:
    scenarios = PreparedScenarios(open_forecasting(data, "val"), Counting(), None, keep=2)
    for _ in range(2):
        for index in range(3):
            scenarios[index]
    assert len(Counting.prepared) == 4


def test_raw_files_are_parsed_once_and_read_again_when_they_change(
    write_data: Callable[[Path], Path], tmp_path: Path, cache: SharedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_forecasting(write_data(tmp_path / "argoverse1"), "val")
    folder = with_cache(plain, cache)
    first = list(folder)
    assert folder.paths == plain.paths
    assert folder.source == plain.source
    parsed = []
    read = type(plain.files).read
    monkeypatch.setattr(type(plain.files), "read", lambda self, name: parsed.append(name) or read(self, name))
    for again, scenario in zip(list(folder), first, strict=True):
        assert np.array_equal(again.agents.position, scenario.agents.position)
        assert again.agents.ids == scenario.agents.ids
    assert parsed == []
    plain.paths[2].write_text(plain.paths[2].read_text() + "\n")
    list(with_cache(plain, cache))
    assert parsed == [plain.ids[2]]


def test_a_store_needs_no_cache_to_be_read(data: Path, tmp_path: Path, cache: SharedCache) -> None:
    list(prepare(open_forecasting(data, "val"), tmp_path / "store"))
    folder = open_forecasting(tmp_path / "store", "val")
    assert with_cache(folder, cache) is folder
