from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from perception.errors import InputError

if TYPE_CHECKING:
    from perception_tools.analysis.sweep.plan import Sweep

MakeSweep = Callable[..., "Sweep"]
Finish = Callable[..., None]


def test_every_cell_is_planned_with_every_seed_in_folders_of_its_own(make_sweep: MakeSweep) -> None:
    sweep = make_sweep("--over dim=8,16 --seeds 0..1 --train-split val --limit 4")
    assert [run.name for run in sweep.runs] == [
        "vectornet,dim=8 seed 0",
        "vectornet,dim=16 seed 0",
        "vectornet,dim=8 seed 1",
        "vectornet,dim=16 seed 1",
    ]
    last = sweep.runs[-1]
    assert last == sweep.find("vectornet,dim=16", 1)
    assert (last.run.recipe.seed, last.run.recipe.to_json()["dim"]) == (1, 16)
    assert (last.run.split, last.run.val_split, last.run.limit) == ("val", "val", 4)
    places = [place for run in sweep.runs for place in (run.run.out, run.evaluation, run.log)]
    assert len(set(places)) == 12
    assert all(place.is_relative_to(sweep.options.out) for place in places)


def test_recipes_are_swept_like_a_field(make_sweep: MakeSweep) -> None:
    sweep = make_sweep("--seeds 3 --over block.kind=mlp,none", "forecast/vectornet,forecast/vectornet-llama")
    assert [run.cell.name for run in sweep.runs] == [
        "vectornet,block.kind=mlp",
        "vectornet,block.kind=none",
        "vectornet-llama,block.kind=mlp",
        "vectornet-llama,block.kind=none",
    ]
    assert [run.run.name for run in sweep.runs] == ["forecast/vectornet"] * 2 + ["forecast/vectornet-llama"] * 2
    assert [run.run.recipe.block.kind for run in sweep.runs] == ["mlp", "none"] * 2


@pytest.mark.parametrize(
    ("options", "recipe", "complaint"),
    [
        ("", "forecast/vectornet,scene-qa/rooms", "scene-qa/rooms: it is of the task scene-qa, forecast/vectornet of"),
        ("", "forecast/vectornt", r"there is no recipe 'forecast/vectornt'; did you mean forecast/vectornet"),
        ("--jobs 0", "forecast/vectornet", "--jobs 0: expected at least 1"),
        ("--nodes 2", "forecast/vectornet", "--nodes 2: a sweep runs on one host"),
        ("--device gpu", "forecast/vectornet", "--device gpu: expected a device that this machine has"),
        ("--seed 3", "forecast/vectornet", r"--seed: a sweep has several; give --seeds 0\.\.4"),
    ],
)
def test_what_cannot_be_planned_is_refused(make_sweep: MakeSweep, options: str, recipe: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        make_sweep(options, recipe)


def test_the_sweep_may_not_lie_in_its_data(data: Path) -> None:
    from perception_tools.commands.sweep import read_sweep

    for out in (data, data / "sweep"):
        with pytest.raises(InputError, match="apart from the data in "):
            read_sweep(["forecast/vectornet", "--data", str(data), "--out", str(out)])


def test_a_run_is_finished_once_training_and_evaluation_are(make_sweep: MakeSweep, finish: Finish) -> None:
    sweep = make_sweep()
    first = sweep.runs[0]
    assert (first.trained_model(), sweep.metrics(first)) == (None, None)
    finish(sweep, first, 1.25)
    metrics = sweep.metrics(first)
    assert metrics is not None
    assert metrics["k6"]["min_fde"] == 1.25
    assert sweep.metrics(sweep.runs[1]) is None


def test_metrics_count_only_for_the_model_split_and_limit_that_they_are_of(
    make_sweep: MakeSweep, finish: Finish
) -> None:
    sweep = make_sweep()
    first = sweep.runs[0]
    finish(sweep, first)
    for options in ("--split train", "--score-limit 3"):
        other = make_sweep(f"--over dim=8,16 --seeds 0,1 {options}")
        assert other.runs[0].trained_model() is not None
        assert other.metrics(other.runs[0]) is None
    (first.run.out / "model.safetensors").write_text("trained further")
    assert (first.trained_model(), sweep.metrics(first)) == (None, None)


@pytest.mark.parametrize("file", ["run.json", "finished.json", "model.safetensors"])
def test_a_run_that_lacks_a_file_or_has_half_of_it_is_not_finished(
    make_sweep: MakeSweep, finish: Finish, file: str
) -> None:
    sweep = make_sweep()
    first = sweep.runs[0]
    finish(sweep, first)
    path = first.run.out / file
    path.write_text(path.read_text()[:-5])
    assert sweep.metrics(first) is None
    path.unlink()
    assert sweep.metrics(first) is None


def test_a_folder_with_other_numbers_is_refused_and_they_are_named(make_sweep: MakeSweep, finish: Finish) -> None:
    sweep = make_sweep()
    finish(sweep, sweep.runs[0])
    with pytest.raises(
        InputError, match=r"dim=8/seed-0: it holds a run with limit None, not 4, recipe\.dropout 0\.1, not"
    ):
        make_sweep("--over dim=8,16 --seeds 0,1 --dropout 0.2 --limit 4")
    assert make_sweep("--over dim=8,16 --seeds 0,1 --dropout 0.2 --restart").runs[0].run.restart


def test_more_values_and_seeds_keep_what_is_finished(make_sweep: MakeSweep, finish: Finish) -> None:
    sweep = make_sweep()
    for run in sweep.runs:
        finish(sweep, run)
    wider = make_sweep("--over dim=32,16,8 --seeds 0..2")
    assert sum(wider.metrics(run) is not None for run in wider.runs) == 4
    assert len(wider.runs) == 9


def test_a_description_is_what_comes_back_from_its_file(make_sweep: MakeSweep) -> None:
    run = make_sweep().runs[0]
    assert json.loads(json.dumps(run.description())) == run.description()
    assert run.description() != replace(run, run=replace(run.run, limit=1)).description()


def test_numbers_out_of_bounds_are_refused_before_anything_is_run(make_sweep: MakeSweep) -> None:
    with pytest.raises(InputError, match=r"^dim: expected a multiple of heads=2, got 7"):
        make_sweep("--over dim=8,7 --seeds 0")
