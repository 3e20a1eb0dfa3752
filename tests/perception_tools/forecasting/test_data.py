"""Training data: every scenario once a pass, however many processes share it; all randomness a function of its key."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.input import VectorizedInput
from perception.encoders.vectornet.vectorize import VectorizedScenario
from perception.encoders.vectornet.views import View
from perception.errors import InputError
from perception.traffic.augmentation import NO_AUGMENTATION
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.data import (
    Sample,
    TrainingScenarios,
    choose_targets,
    make_training_batch,
    training_loader,
    validation_loader,
)
from perception_tools.forecasting.prepared import PreparedScenario, has_target, is_moving
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.shared_cache import SharedCache
from perception_tools.training.sampler import Key

INPUT = VectorizedInput()


def same_vectors(left: VectorizedScenario, right: VectorizedScenario) -> bool:
    return all(np.array_equal(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))


def assert_same_views(left: VectorBatch, right: VectorBatch) -> None:
    torch.testing.assert_close(asdict(left), asdict(right), rtol=0, atol=0)


@pytest.fixture
def folder_of(data: Path):
    """The tiny data set's scenarios of a split."""
    return lambda split: open_forecasting(data, split)


def test_a_sample_is_a_function_of_its_key_whatever_was_drawn_before(folder_of, tiny_recipe: ForecastRecipe) -> None:
    folder, keys = folder_of("train"), [Key(index, data_pass) for index in (0, 4) for data_pass in (0, 1, 2)]
    once, again = (TrainingScenarios(folder, INPUT, tiny_recipe, keep) for keep in (8, 0))
    samples = {key: once[key] for key in keys}
    for key in reversed(keys):
        sample = again[key]
        assert same_vectors(sample.scenario.prepared, samples[key].scenario.prepared)
        assert np.array_equal(sample.targets, samples[key].targets)
        assert sample.augmentation == samples[key].augmentation
    assert len({sample.augmentation.turn_rad for sample in samples.values()}) == len(keys)
    other_seed = TrainingScenarios(folder, INPUT, replace(tiny_recipe, seed=1))
    assert other_seed[keys[0]].augmentation != samples[keys[0]].augmentation


@pytest.mark.parametrize(("probability", "expected"), [(0.0, {False}), (1.0, {True}), (0.5, {True, False})])
def test_scenarios_are_mirrored_as_often_as_the_recipe_says(
    folder_of, tiny_recipe: ForecastRecipe, probability: float, expected: set[bool]
) -> None:
    scenarios = TrainingScenarios(folder_of("train"), INPUT, replace(tiny_recipe, mirror_probability=probability))
    samples = [scenarios[Key(0, data_pass)] for data_pass in range(12)]
    assert {sample.augmentation.mirrored for sample in samples} == expected


def test_what_is_drawn_is_done_to_the_batch(folder_of, tiny_recipe: ForecastRecipe) -> None:
    sample = TrainingScenarios(folder_of("train"), INPUT, replace(tiny_recipe, mirror_probability=1.0))[Key(0, 0)]
    assert sample.augmentation.turn_rad != 0
    expected = INPUT.collate([sample.scenario.prepared], [sample.targets], [sample.augmentation])
    views = make_training_batch([sample], INPUT, tiny_recipe).views
    assert isinstance(views, VectorBatch)
    assert_same_views(views, expected)
    plain = INPUT.collate([sample.scenario.prepared], [sample.targets])
    assert not torch.equal(plain.futures, expected.futures)


def test_turns_have_the_recipes_spread(folder_of, tiny_recipe: ForecastRecipe) -> None:
    scenarios = TrainingScenarios(folder_of("train"), INPUT, replace(tiny_recipe, turn_std_rad=0.2))
    turns = [scenarios[Key(0, data_pass)].augmentation.turn_rad for data_pass in range(300)]
    assert np.std(turns) == pytest.approx(0.2, rel=0.15)
    assert np.mean(turns) == pytest.approx(0, abs=0.05)
    straight = TrainingScenarios(folder_of("train"), INPUT, replace(tiny_recipe, turn_std_rad=0.0))
    assert straight[Key(0, 0)].augmentation.turn_rad == 0


def test_a_broken_file_is_named_and_the_next_scenario_takes_its_place(
    write_data: Callable[[Path], Path], tmp_path: Path, tiny_recipe: ForecastRecipe
) -> None:
    data = write_data(tmp_path / "argoverse1")
    (data / "train" / "data" / "8.csv").write_text("nonsense\n")
    folder = open_forecasting(data, "train")
    scenarios = TrainingScenarios(folder, INPUT, tiny_recipe)
    last, first = scenarios[Key(7, 0)], scenarios[Key(0, 0)]
    assert last.scenario.prepared.id == folder.ids[0], "after the last scenario comes the first"
    assert list(last.failures) == ["8"]
    assert "8.csv" in last.failures["8"]
    assert first.failures == {}
    assert scenarios[Key(7, 1)].failures == last.failures, "it is named in every pass"
    batch = make_training_batch([last, first], INPUT, tiny_recipe)
    assert batch.failures == last.failures


def test_a_scenario_that_the_encoder_cannot_use_is_named_and_replaced_too(
    folder_of, tiny_recipe: ForecastRecipe
) -> None:
    folder = folder_of("train")

    class Choosy(VectorizedInput):
        def prepare(self, scenario: Scenario) -> VectorizedScenario:
            if scenario.id == folder.ids[2]:
                raise UnusableScenario("too dull")
            return super().prepare(scenario)

    sample = TrainingScenarios(folder, Choosy(), tiny_recipe)[Key(2, 0)]
    assert sample.failures == {folder.ids[2]: "too dull"}
    assert sample.scenario.prepared.id == folder.ids[3]


def test_data_without_anything_to_learn_is_refused(
    write_argoverse1_csv, make_argoverse1_rows, data: Path, tmp_path: Path, tiny_recipe: ForecastRecipe
) -> None:
    observed = [row for row in make_argoverse1_rows() if float(row.split(",")[0]) < 315968001.95]
    write_argoverse1_csv(tmp_path / "train" / "data" / "1.csv", observed)
    (tmp_path / "map_files").symlink_to(data / "map_files")
    scenarios = TrainingScenarios(open_forecasting(tmp_path, "train"), INPUT, tiny_recipe)
    with pytest.raises(InputError, match="expected a usable scenario, got none; the last: no agent has a labelled"):
        scenarios[Key(0, 0)]


@pytest.fixture(scope="session")
def crowd(make_scenario: Callable[..., Scenario]) -> Callable[..., PreparedScenario]:
    """Six agents: 0 and 1 drive, 2 and 3 stand, 4 drives and is lost at the end, 5 drives. One of them is focal."""

    def make(focal: int, focal_future: int = 10) -> PreparedScenario:
        speed = np.array([1.0, 0.8, 0.0, 0.0, 1.0, 0.6])
        position = np.stack([speed[:, None] * np.arange(15), np.tile(4.0 * np.arange(6)[:, None], 15)], axis=-1)
        scenario = make_scenario(position=position)
        valid = scenario.agents.valid.copy()
        valid[4, -1] = False
        valid[focal, scenario.history_steps + focal_future :] = False
        scenario = replace(scenario, agents=replace(scenario.agents, valid=valid), focal=focal)
        able = has_target(scenario), is_moving(scenario)
        return PreparedScenario(INPUT.prepare(scenario), focal, *able, scenario.shape, is_scored=True)

    return make


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), count=st.integers(1, 8))
def test_targets_are_the_focal_agent_then_moving_ones_then_one_that_stands(crowd, seed: int, count: int) -> None:
    chosen = choose_targets(crowd(focal=5), count, np.random.default_rng(seed)).tolist()
    assert chosen[0] == 5
    assert set(chosen[1:3]) <= {0, 1}
    assert set(chosen[3:]) <= {2, 3}
    assert len(chosen) == len(set(chosen)) == min(count, 4)


def test_chance_decides_among_the_others(crowd) -> None:
    draws = {tuple(choose_targets(crowd(focal=1), 4, np.random.default_rng(seed))) for seed in range(40)}
    assert draws == {(1, a, b, still) for a, b in ((0, 5), (5, 0)) for still in (2, 3)}


def test_the_focal_agent_is_asked_with_part_of_a_future_but_not_with_none(crowd) -> None:
    def chosen(focal: int, **options) -> list[int]:
        return choose_targets(crowd(focal, **options), 1, np.random.default_rng(0)).tolist()

    assert chosen(2, focal_future=3) == [2]
    assert chosen(2, focal_future=0)[0] in {0, 1, 5}
    assert chosen(4) == [4]


@pytest.mark.parametrize("view", get_args(View))
def test_focal_agents_weigh_what_the_recipe_says_and_padding_nothing(crowd, tiny_recipe, view: View) -> None:
    asked = (crowd(focal=1), np.array([0, 1, 5])), (crowd(focal=5), np.array([5]))
    samples = [Sample(scenario, targets, NO_AUGMENTATION, {}) for scenario, targets in asked]
    batch = make_training_batch(samples, VectorizedInput(view), replace(tiny_recipe, focal_weight=4.0))
    expected = [[1.0], [4.0], [1.0], [4.0]] if view == "agent" else [[1.0, 4.0, 1.0], [4.0, 0.0, 0.0]]
    assert batch.weights.tolist() == expected


def test_workers_give_the_batches_of_one_process(folder_of, tiny_recipe: ForecastRecipe) -> None:
    def views(workers: int) -> list[VectorBatch]:
        return [batch.views for batch in training_loader(folder_of("train"), INPUT, tiny_recipe, workers=workers)]

    here, there = views(0), views(1)
    assert len(here) == 4
    for left, right in zip(here, there, strict=True):
        assert_same_views(left, right)


def test_validation_asks_every_focal_agent_once_over_all_processes(folder_of) -> None:
    whole = list(validation_loader(folder_of("val"), INPUT))
    parts = [list(validation_loader(folder_of("val"), INPUT, rank=rank, processes=2)) for rank in (0, 1)]
    (everything,), ((even,), (odd,)) = whole, parts
    assert len(everything.rows_valid) == 5
    assert torch.equal(even.futures, everything.futures[::2])
    assert torch.equal(odd.futures, everything.futures[1::2])
    assert everything.rows_valid.all()
    assert everything.futures_valid.all()


def test_validation_needs_a_labelled_scenario_for_each_process(folder_of) -> None:
    with pytest.raises(InputError, match=r"at least 6 scenarios \(one a process\).* got 5 of 5"):
        validation_loader(folder_of("val"), INPUT, processes=6)


def test_a_past_is_cut_by_chance_and_always_the_same_way(folder_of, tiny_recipe: ForecastRecipe) -> None:
    folder, recipe = folder_of("train"), replace(tiny_recipe, history_dropout=0.5)
    once, again = (TrainingScenarios(folder, INPUT, recipe, keep) for keep in (8, 0))
    whole = TrainingScenarios(folder, INPUT, tiny_recipe)
    keys = [Key(index, data_pass) for index in range(len(folder)) for data_pass in range(3)]
    lengths = []
    for key in keys:
        sample = once[key]
        assert same_vectors(sample.scenario.prepared, again[key].scenario.prepared)
        assert sample.augmentation == whole[key].augmentation
        np.testing.assert_array_equal(sample.targets, whole[key].targets)
        seen = sample.scenario.prepared.agent_vectors_valid.any(axis=0)
        lengths.append(int(seen.sum()))
        assert seen[-1]
    assert 5 < lengths.count(19) < 19
    assert len(set(lengths)) > 5


def test_scenarios_are_seen_from_earlier_presents_too(folder_of, tiny_recipe: ForecastRecipe) -> None:
    folder, recipe = folder_of("train"), replace(tiny_recipe, earlier_present=30)  # more than there is of a past
    training, whole = TrainingScenarios(folder, INPUT, recipe), TrainingScenarios(folder, INPUT, tiny_recipe)
    starts = set()
    for index, data_pass in itertools.product(range(len(folder)), range(12)):
        sample, now = training[Key(index, data_pass)], whole[Key(index, data_pass)]
        seen = sample.scenario.prepared.agent_vectors_valid.any(axis=0)
        starts.add(int(seen.argmax()))
        assert seen[-1]
        assert sample.scenario.shape == now.scenario.shape
        assert sample.augmentation == now.augmentation
        assert sample.scenario.has_target[sample.targets].all()
    assert min(starts) == 0
    assert len(starts) > 8


def test_files_are_parsed_once_where_pasts_vary(
    data: Path, tiny_recipe: ForecastRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, recipe, parsed = open_forecasting(data, "train"), replace(tiny_recipe, earlier_present=10), list[str]()
    read = type(folder.files).read
    monkeypatch.setattr(type(folder.files), "read", lambda self, name: parsed.append(name) or read(self, name))
    cache = SharedCache(tmp_path / "cache.sqlite3", 100_000_000)
    for _ in range(3):
        assert len(list(training_loader(folder, INPUT, recipe, cache=cache))) > 0
    cache.close()
    assert sorted(parsed) == sorted(folder.ids)
